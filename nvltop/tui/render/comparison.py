"""Texts about the comparison of the screen with an earlier moment or a file."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from nvltop.formatting import UNKNOWN, count, duration
from nvltop.model import Maybe, Missing
from nvltop.tui.render.row import SEPARATOR
from nvltop.tui.render.view_state import ViewState

if TYPE_CHECKING:
    from nvltop.comparison.baseline import Baseline

DAY_S: Final = 86400.0


def heading(view: ViewState, baseline: Baseline) -> str:
    """Return what the screen compares with, and over which time, in one line."""
    over_s = baseline.over_s(view.frame)
    if not baseline.from_file:
        return SEPARATOR.join((f"Change since {baseline.name}, {duration(over_s or 0.0)} ago", "b ends it"))
    # A file that somebody named may hold the name of a host or user.
    name = baseline.name if view.alias is str else "a file"
    when = ""
    if baseline.time_s is not None and over_s is not None:
        direction = "ago" if over_s >= 0 else "later"
        when = f" of {moment(baseline.time_s, view.frame.tick.wall_s)} ({duration(abs(over_s))} {direction})"
    counts = ["counts are not subtracted"] if baseline.incomparable else []
    return SEPARATOR.join((f"Compared with {name}{when}", baseline.node, *counts, baseline.reason))


def increase_text(increase: Maybe[int]) -> str:
    """Return `+12`, `0`, or `?` for an increase that cannot be determined."""
    if isinstance(increase, Missing):
        return UNKNOWN
    return f"+{count(increase, 0)}" if increase else "0"


def moment(wall_s: float, now_s: float) -> str:
    """Return a time of day, with its date where that is not the date of `now_s`."""
    then, now = datetime.fromtimestamp(wall_s), datetime.fromtimestamp(now_s)
    return then.strftime("%H:%M:%S" if then.date() == now.date() else "%Y-%m-%d %H:%M:%S")
