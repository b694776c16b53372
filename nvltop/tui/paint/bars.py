"""The tab row and the function bar."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from nvltop.tui.paint.row import Row, Span, fit, sentence
from nvltop.tui.paint.status import status
from nvltop.tui.paint.timeline import timeline
from nvltop.tui.paint.view import View
from nvltop.units import age


class Key(NamedTuple):
    """One place of the function bar."""

    name: str
    label: str
    action: str


HELP: Final = Key("F1", "Help", "app.help")
MATRIX: Final = Key("F5", "Matrix", "swap")
LINKS: Final = Key("F5", "Links", "swap")
RECORD: Final = Key("F7", "Record", "app.record")
STOP: Final = Key("F7", "Stop", "app.record")
QUIT: Final = Key("F10", "Quit", "app.quit")
LABEL: Final = 6
"""Columns of a label, as in htop."""
STRETCHED: Final = 1.05
"""From so much longer than asked on, an interval is said to be."""


def tabs(view: View, width: int) -> Row:
    """Draw the tab row: what is shown left; rate, age and clock right."""
    frame = view.frame
    left: list[Span] = [(" Main ", "tab-current")]
    oldest = max((g.age_s.get("links", 0.0) for g in frame.gpus if g.links), default=0.0)
    right: list[Span] = []
    if view.paused:
        right += [(" PAUSED ", "paused"), (" ", "")]
    elif any(g.stale for g in frame.gpus):
        right.append((f"data {age(oldest)} old  ", "error"))
    asked_s, cost = frame.tick.interval_s, frame.cost
    slowed = cost.interval_s > asked_s * STRETCHED
    per_s = f"{1 / max(asked_s, cost.interval_s):.3g}/s{' (slow driver)' if slowed else ''}  "
    right.append((per_s, "warn" if slowed else ""))
    clock = datetime.fromtimestamp(frame.tick.wall_s).strftime("%H:%M:%S") if frame.tick.wall_s else ""
    right.append((clock + " ", "bold"))
    if view.recording:
        left += [(" ", ""), (" REC ", "error")]
    if view.playing:
        left += [(" ", ""), *timeline(view.playing, width - sum(len(t) for t, _ in left + right) - 2)]
    gap = width - sum(len(t) for t, _ in left + right)
    return fit([*left, (" " * max(1, gap), ""), *right], width)


def function_bar(view: View, width: int, both: bool) -> tuple[Row, list[tuple[int, int, str]]]:
    """Draw the function bar; also from which to which column each action can be clicked.

    What is to be said of the selection stands at its right.
    """
    swap = [] if both else [MATRIX if view.show_links else LINKS]
    spans: list[Span] = []
    clicks = []
    at = 0
    record = [] if view.playing else [STOP if view.recording else RECORD]
    for key in (HELP, *swap, *record, QUIT):
        spans += [(key.name, "key"), (key.label.ljust(LABEL), "key-label")]
        end = at + len(key.name) + LABEL
        clicks.append((at, end, key.action))
        at = end
    words = sentence(status(view), max(0, width - at - 2), view.glyphs)
    spans.append((words.rjust(width - at - 1) + " ", "key-label"))
    return fit(spans, width), clicks
