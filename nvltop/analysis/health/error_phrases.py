"""Phrases about error counters of a link that have increased, for rules."""

from __future__ import annotations

from collections.abc import Mapping

from nvltop.analysis.counter_track import ERROR_WINDOW_S
from nvltop.analysis.health.gpu_names import gpu_name
from nvltop.formatting import count, duration
from nvltop.model import MAX_HEADLINE, ErrorCount, GpuFrame, Link, known
from nvltop.model.error_kinds import error_kind


def recent_errors(errors: Mapping[str, ErrorCount]) -> str:
    """Return the errors of the last minute as text: `12 replays and 3 recoveries`."""
    parts = [
        f"{error.per_min:.0f} {error_kind(kind).name(error.per_min)}"
        for kind, error in errors.items()
        if known(error.per_min) and error.per_min
    ]
    return " and ".join(parts)


def window_phrase(errors: Mapping[str, ErrorCount]) -> str:
    """Return the time of `recent_errors`: `minute`, or `12 s` in the first minute."""
    window_s = min(e.window_s for e in errors.values())
    return "minute" if window_s >= ERROR_WINDOW_S else duration(window_s)


def errors_headline(g: GpuFrame, link: Link, errors: Mapping[str, ErrorCount], minutes: int) -> str:
    """Return `GPU 3 link 7: 12 replays/min`, or `12 replays in 10 s` in the first minute.

    If the last minute had none, that is `errors in 4 of 10 min`.
    """
    name = f"{gpu_name(g)} link {link.index}"
    counts = {kind: e.per_min for kind, e in errors.items() if known(e.per_min) and e.per_min}
    if not counts:
        return f"{name}: errors in {minutes} of 10 min"
    kind = max(counts, key=lambda k: counts[k])
    number, window_s = int(counts[kind]), errors[kind].window_s
    per = "/min" if window_s >= ERROR_WINDOW_S else f" in {duration(window_s)}"
    text = f"{name}: {count(number, 0)} {error_kind(kind).short_name(number)}{per}"
    more = f"{text} and more"
    return more if len(counts) > 1 and len(more) <= MAX_HEADLINE else text
