"""The tab row and the function bar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from nvltop.analysis.health.gpu_names import gpu_names
from nvltop.formatting import age
from nvltop.tui.render.replay_bar import timeline
from nvltop.tui.render.row import Row, TextRun, fit, fit_text
from nvltop.tui.render.traffic import has_links, mean_window
from nvltop.tui.render.view_state import ViewState

ClickAreas: TypeAlias = "list[tuple[int, int, str]]"
"""Areas that react to clicks: first column, column after the last one, and action."""


class FunctionKey(NamedTuple):
    """One key of the function bar."""

    name: str
    label: str
    action: str


HELP_KEY: Final = FunctionKey("F1", "Help", "app.help")
SETUP_KEY: Final = FunctionKey("F2", "Setup", "app.setup")
SEARCH_KEY: Final = FunctionKey("F3", "Search", "search")
FILTER_KEY: Final = FunctionKey("F4", "Filter", "filter")
SORT_KEY: Final = FunctionKey("F6", "SortBy", "sort_by")
"""Key of every tab with a list."""
RECORD_KEY: Final = FunctionKey("F7", "Record", "app.record")
STOP_KEY: Final = FunctionKey("F7", "Stop", "app.record")
SNAPSHOT_KEY: Final = FunctionKey("F8", "Snap", "app.snapshot")
QUIT_KEY: Final = FunctionKey("F10", "Quit", "app.quit")
COMPARED, COMPARED_SHORT = " COMPARED ", " CMP "
"""Sign on the tab row that Errors and the link page compare with something."""
COMPARE_KEY: Final = FunctionKey("b", "Compare", "app.compare")
END_COMPARE_KEY: Final = FunctionKey("b", "EndCmp", "app.compare")
LABEL_WIDTH: Final = 6
"""Columns that a label takes at least, as in htop."""
MIN_TIMELINE_WIDTH: Final = 60
"""Columns reserved for the timeline of a replay."""
SLOWED_RATIO: Final = 1.05
"""Ratio of effective to requested interval above which the driver is shown as slow."""


def tabs(view: ViewState, width: int, names: Sequence[str], current: int) -> tuple[Row, ClickAreas]:
    """Return the tab row, with rate, data age and clock at its right end, and the areas of the tabs."""
    frame = view.frame
    old = [g for g in frame.gpus if g.stale and g.state == "ok"]
    oldest = max((g.age_s.get("links", 0.0) for g in old), default=0.0)
    right: list[TextRun] = []
    if view.paused:
        right += [(" PAUSED ", "paused"), (" ", "")]
    elif old:
        who = "" if len(old) == len(frame.gpus) else f"{gpu_names(old)}: "
        right.append((f"{who}data {age(oldest)} old  ", "error"))
    slowed = frame.interval_s > frame.tick.interval_s * SLOWED_RATIO
    per_s = f"{1 / frame.interval_s:.3g}/s{' (slow driver)' if slowed else ''}  "
    right.append((per_s, "warn" if slowed else ""))
    clock = datetime.fromtimestamp(frame.tick.wall_s).strftime("%H:%M:%S") if frame.tick.wall_s else ""
    right.append((clock + " ", "bold"))
    if view.recording:
        right.insert(0, (" REC ", "error"))
    used = sum(len(t) for t, _ in right) + (MIN_TIMELINE_WIDTH if view.replay else 1)
    spare = width - used - sum(len(name) + 2 for name in names)
    if view.baseline:
        sign = COMPARED if len(COMPARED) + 1 <= spare else COMPARED_SHORT
        right[:0] = [(sign, "paused"), (" ", "")]
        used, spare = used + len(sign) + 1, spare - len(sign) - 1
    for window in (mean_window(view.gpus, has_links(view.gpus), long) for long in (True, False)):
        if window and len(window) + 2 <= spare:
            right.insert(0, (f"{window}  ", "dim"))
            used += len(window) + 2
            break
    # If not all tabs fit, only the current one is shown: a cut row would hide that there are more.
    all_fit = used + sum(len(name) + 2 for name in names) <= width
    left: list[TextRun] = []
    clicks = []
    column = 0
    for i, name in enumerate(names):
        if all_fit or i == current:
            left.append((f" {name} ", "tab-current" if i == current else "tab"))
            clicks.append((column, column + len(name) + 2, f"show_tab({i})"))
            column += len(name) + 2
    if view.replay:
        left += [(" ", ""), *timeline(view.replay, width - sum(len(t) for t, _ in left + right) - 2)]
    gap = width - sum(len(t) for t, _ in left + right)
    return fit([*left, (" " * max(1, gap), ""), *right], width), clicks


def function_bar(
    view: ViewState, width: int, tab_keys: Sequence[FunctionKey], status: str
) -> tuple[Row, ClickAreas]:
    """Return the function bar with the common keys and those of a tab, and the areas of the keys.

    `status`, a line about the selected row, is shown at the right end. If there is not enough room, the last
    keys are left out, but never Help and Quit. Such a key also has a letter, which the help shows.
    """
    record = [] if view.replay else [STOP_KEY if view.recording else RECORD_KEY]
    keys = sorted([HELP_KEY, SETUP_KEY, *tab_keys, *record, SNAPSHOT_KEY, QUIT_KEY], key=_key_order)
    status = fit_text(status, width // 2, view.glyphs)
    status_width = len(status) + 2 if status else 0
    while len(keys) > 2 and status_width and sum(map(_key_width, keys)) + status_width > width:
        keys.pop(-2)
    spans: list[TextRun] = []
    clicks = []
    column = 0
    for key in keys:
        spans += [(key.name, "key"), (key.label.ljust(LABEL_WIDTH), "key-label")]
        clicks.append((column, column + _key_width(key), key.action))
        column += _key_width(key)
    status = fit_text(status, max(0, width - column - 2), view.glyphs)
    spans.append((status.rjust(width - column - 1) + " ", "key-label"))
    return fit(spans, width), clicks


def _key_width(key: FunctionKey) -> int:
    return len(key.name) + max(LABEL_WIDTH, len(key.label))


def _key_order(key: FunctionKey) -> int:
    """Return the sort key of a function key: Enter and Esc first, then F1 to F9, letters, and F10."""
    if key.name[1:].isdigit():
        return int(key.name[1:])
    return 9 if len(key.name) == 1 else 0
