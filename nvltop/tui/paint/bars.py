"""The tab row and the function bar."""

from __future__ import annotations

from datetime import datetime

from nvltop.tui.paint.row import Row, Span, fit
from nvltop.tui.paint.view import View
from nvltop.units import age

KEYS = (
    ("F1", "Help", "help"),
    ("F5", "", "swap"),
    ("F10", "Quit", "quit"),
)
"""Key, label and action; only what works."""


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
    interval_s = max(frame.tick.interval_s, frame.cost.interval_s)
    slowed = frame.cost.interval_s > frame.tick.interval_s * 1.05
    right.append((f"{1 / interval_s:.3g}/s{' (slow driver)' if slowed else ''}  ", "warn" if slowed else ""))
    clock = datetime.fromtimestamp(frame.tick.wall_s).strftime("%H:%M:%S") if frame.tick.wall_s else ""
    right.append((clock + " ", "bold"))
    gap = width - sum(len(t) for t, _ in left + right)
    return fit([*left, (" " * max(1, gap), ""), *right], width)


def function_bar(view: View, width: int, both: bool) -> tuple[Row, list[tuple[int, int, str]]]:
    """Draw the function bar; also from which to which column each action can be clicked."""
    spans: list[Span] = []
    clicks = []
    at = 0
    for key, label, action in KEYS:
        if action == "swap":
            if both:
                continue
            label = "Matrix" if view.show_links else "Links"
        text = label.ljust(6)
        spans += [(key, "key"), (text, "key-label")]
        clicks.append((at, at + len(key) + len(text), action))
        at += len(key) + len(text)
    spans.append((" " * max(0, width - at), "key-label"))
    return fit(spans, width), clicks
