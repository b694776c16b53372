"""Text of any script as cells: one character for each column of the terminal.

Rows are cut, padded and compared by column, which is simple if each character takes one column. So a wide
character is followed by `SECOND_HALF`, and a character with combining marks is replaced by a single
private-use character. `to_text` turns cells back into text for the terminal. Widths are those of Unicode
(UAX #11), as in terminals.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from nvltop.text import char_width, normalize

SECOND_HALF: Final = "\ue000"
"""The second column of a wide character, a private-use character; `clean` removes it from foreign text."""
FIRST_MARKED_CHAR: Final = 0xF0000
MAX_MARKED_CHARS: Final = 4096
"""Limit of the characters with combining marks that have a cell of their own; later ones lose their marks."""
_NARROW: Final = re.compile(
    r"[\x00-\u02ff\u0370-\u0482\u2010-\u2027\u2190-\u2211\u2248\u2500-\u25fc\u2800-\u28ff]*"
)
"""Text of characters that are one column wide and are not combining marks: nearly all text."""
_cell_of: dict[str, str] = {}
"""Private-use character by the character with combining marks that it stands for."""
_text_of_cell: dict[str, str] = {}
"""Character with combining marks by its private-use character."""


def to_cells(text: str) -> str:
    """Return text as cells; text that is cells already is returned unchanged."""
    return text if text.isascii() or _NARROW.fullmatch(text) else _cells(text)


@lru_cache(maxsize=512)  # names stay the same from frame to frame
def _cells(text: str) -> str:
    out: list[str] = []
    text = normalize(text)
    for i, character in enumerate(text):
        width = 1 if character in _text_of_cell or character == SECOND_HALF else char_width(character)
        if width == 0:
            _add_mark(out, character)
        else:
            out.append(character)
            if width == 2 and text[i + 1 : i + 2] != SECOND_HALF:
                out.append(SECOND_HALF)
    return "".join(out)


def _add_mark(out: list[str], mark: str) -> None:
    """Add a combining mark to the last character."""
    place = len(out) - 1 - (bool(out) and out[-1] == SECOND_HALF)
    if place < 0:
        return
    marked = _text_of_cell.get(out[place], out[place]) + mark
    if marked not in _cell_of and len(_cell_of) < MAX_MARKED_CHARS:
        _cell_of[marked] = cell = chr(FIRST_MARKED_CHAR + len(_cell_of))
        _text_of_cell[cell] = marked
    out[place] = _cell_of.get(marked, out[place])


def _is_wide(cell: str) -> bool:
    return char_width(_text_of_cell.get(cell, cell)[0]) == 2


def to_text(row: str) -> str:
    """Return the text of cells in the same width; half of a wide character becomes a blank."""
    if row.isascii() or _NARROW.fullmatch(row):
        return row
    out = []
    for i, cell in enumerate(row):
        if cell == SECOND_HALF:
            if i == 0:
                out.append(" ")
        elif _is_wide(cell) and row[i + 1 : i + 2] != SECOND_HALF:
            out.append(" ")
        else:
            out.append(_text_of_cell.get(cell, cell))
    return "".join(out)
