"""The function bar: the keys of the screen and of its tab, and a line about the selection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.tui import keys
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.row import ClickAreas, Row, TextRun, fit, fit_text
from nvltop.tui.render.view_state import ViewState

LABEL_WIDTH: Final = 6
"""Columns that a label takes at least, as in htop."""


def function_bar(
    view: ViewState,
    width: int,
    tab_keys: Sequence[FunctionKey],
    status: str,
    common: Sequence[FunctionKey] | None = None,
) -> tuple[Row, ClickAreas]:
    """Return the function bar with the common keys and those of a tab, and the areas of the keys.

    `status`, a line about the selected row, is shown at the right end. If there is not enough room, the last
    keys are left out, but never Help and Quit, and in a replay never its keys. Such a key also has a letter,
    which the help shows. `common` replaces the common keys of the main screen, except Quit.
    """
    record = [] if view.replay else [keys.RECORD.on_bar("Stop" if view.recording else "")]
    if common is None:
        common = (keys.HELP.on_bar(), keys.SETUP.on_bar(), *record, keys.SNAPSHOT.on_bar())
    shown = [*common, *tab_keys]
    shown.sort(key=_key_order)
    last = [entry.on_bar() for entry in keys.REPLAY_KEYS if entry.action] if view.replay else []
    if view.replay and view.replay.paused:
        last[0] = keys.REPLAY_KEYS[0].on_bar("Play")
    last.append(keys.QUIT.on_bar())
    status = fit_text(status, width // 2, view.glyphs)
    status_width = len(status) + 2 if status else 0
    # Without a status, the spaces after the last label may be cut off.
    needed = status_width or len(last[-1].label) - LABEL_WIDTH
    while len(shown) > 1 and sum(map(_key_width, [*shown, *last])) + needed > width:
        shown.pop()
    spans: list[TextRun] = []
    clicks = []
    column = 0
    for key in [*shown, *last]:
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
