"""The tab row: the tabs, and at its right end the averaging window, the interval and the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from nvltop.analysis.health.gpu_names import gpu_names
from nvltop.formatting import age
from nvltop.report.phrases import counted_gpus
from nvltop.tui.render.row import ClickAreas, Row, TextRun, fit, merge_runs
from nvltop.tui.render.traffic import has_links, in_full, linked, mean_window
from nvltop.tui.render.view_state import ViewState

COMPARED, COMPARED_SHORT = " COMPARED ", " CMP "
"""Sign on the tab row that Errors and the link page compare with something."""
SLOWED_RATIO: Final = 1.05
"""Ratio of effective to requested interval above which the driver is shown as slow."""
SLOW_SHARE: Final = 0.1
"""Share of the effective interval that reading takes at least if a slow driver is why it is longer: after a
change it is for a moment the interval that was requested before."""


def tab_row(view: ViewState, width: int, names: Sequence[str], current: int) -> tuple[Row, ClickAreas]:
    """Return the tab row, with interval, data age and clock at its right end, and the areas to click."""
    tabs_width = sum(len(name) + 2 for name in names)
    right = _right_end(view, width - tabs_width - 1)
    # A clock that is cut would be another time.
    room = width - len(names[current]) - 3
    right = next((runs for runs in (right, right[:-1]) if sum(len(text) for text, _ in runs) <= room), [])
    used = sum(len(text) for text, _ in right)
    # If not all tabs fit, only the current one is shown: a cut row would hide that there are more.
    all_fit = tabs_width + used + 1 <= width
    left, areas = _titles(tuple(names), current, all_fit)
    clicks = [*areas]
    column = areas[-1][1]
    at = column + max(1, width - column - used)
    gap = (" " * (at - column), "")
    for text, role in right:
        if role == "key-label":
            clicks.append((at - 1, at + 2, f"interval({1 if text == '+' else -1})"))
        at += len(text)
    return fit([*left, gap, *right], width), clicks


@lru_cache(maxsize=8)  # they are the same from frame to frame
def _titles(names: tuple[str, ...], current: int, all_fit: bool) -> tuple[Sequence[TextRun], ClickAreas]:
    """Return the names of the tabs and the areas to click; only the current one if they do not all fit."""
    runs: list[TextRun] = []
    areas = []
    column = 0
    for i, name in enumerate(names):
        if all_fit or i == current:
            runs.append((f" {name} ", "tab-current" if i == current else "tab"))
            areas.append((column, column + len(name) + 2, f"show_tab({i})"))
            column += len(name) + 2
    return merge_runs(runs), areas


def _right_end(view: ViewState, width: int) -> list[TextRun]:
    """Return the right end of the tab row; if it is wider than `width`, less important parts are left out."""
    frame = view.frame
    interval_s = frame.interval_s
    slowed = (
        interval_s > frame.tick.interval_s * SLOWED_RATIO and frame.cost.sweep_s > interval_s * SLOW_SHARE
    )
    role = "warn" if slowed else ""
    interval: list[TextRun] = [(f" {interval_s:.3g} s ", role)]
    slow: list[TextRun] = [("(slow driver) ", role)] if slowed else []
    if not view.replay:
        interval = [("-", "key-label"), *interval, ("+", "key-label"), (" ", "")]
    clock = datetime.fromtimestamp(frame.tick.wall_s).strftime("%H:%M:%S") if frame.tick.wall_s else ""
    always = [*_state(view, COMPARED), *interval]
    end: list[TextRun] = [(f" {clock} ", "bold")]
    nvlink = has_links(view.gpus)
    brief = mean_window(view.gpus, nvlink)
    if (
        not brief
        and not linked(counted_gpus(frame.gpus)[0])
        and (of_pcie := mean_window(view.gpus, nvlink=False))
    ):
        brief, nvlink = of_pcie, False  # with MIG, only the meters have rates
    for window in filter(None, (in_full(brief, view.gpus, nvlink), brief)):
        runs: list[TextRun] = [(f"{window}  ", "dim"), *always, *slow, *end]
        if sum(len(text) for text, _ in runs) <= width:
            return runs
    short = _state(view, COMPARED_SHORT)
    if brief and not view.paused:
        # A rate without its window says less than the screen without a clock; a paused screen needs its time.
        window = brief.replace(" of ", " ")
        for rest in (always, short):
            runs = [(f"{window} ", "dim"), *rest]
            if sum(len(text) for text, _ in runs) <= width:
                return runs
    choices = [*always, *slow, *end], [*short, *interval, *end], [*short, *end]
    fitting = (runs for runs in choices if sum(len(text) for text, _ in runs) <= width)
    # Without room for the tabs, there is room for the interval again.
    return next(fitting, choices[1])


def _state(view: ViewState, compared: str) -> list[TextRun]:
    """Return the signs of a comparison, a recording, a pause and old data."""
    runs: list[TextRun] = [(compared, "paused"), (" ", "")] if view.baseline else []
    runs += [(" REC ", "error")] if view.recording else []
    old = [g for g in view.frame.gpus if g.stale and g.state == "ok"]
    if view.paused:
        runs += [(" PAUSED ", "paused"), (" ", "")]
    elif old:
        who = "" if len(old) == len(view.frame.gpus) else f"{gpu_names(old)}: "
        oldest = max(g.read_age_s for g in old)
        runs.append((f"{who}data {age(oldest)} old  ", "error"))
    return runs
