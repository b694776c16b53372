"""A row of the screen: runs of text, each with a role that the theme turns into a style."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final, TypeAlias

from nvltop.frozen import frozen
from nvltop.text import in_ascii
from nvltop.tui.render.cells import to_cells, to_text
from nvltop.tui.render.glyphs import UNICODE, Glyphs

TextRun: TypeAlias = "tuple[str, str]"
"""Text and role. The text is cells, one per column, which have passed through `clean()` and `to_cells()`."""
Cells: TypeAlias = "tuple[str, tuple[str, ...]]"
"""Text, and the role of each of its cells: sparklines and charts change their colour often."""
Run: TypeAlias = "tuple[str, str | tuple[str, ...]]"
"""A `TextRun` or `Cells`."""
Row: TypeAlias = "tuple[Run, ...]"
"""Runs that are not empty."""

ClickAreas: TypeAlias = "list[tuple[int, int, str]]"
"""Areas of a row that react to clicks: first column, column after the last one, and action."""

BLANK: Final[TextRun] = (" ", "")
SEPARATOR: Final = " · "
"""Separator of the parts of a line, which are ordered by importance: the last ones are left out first."""


def merge_runs(spans: Iterable[TextRun]) -> list[TextRun]:
    """Merge adjacent spans of the same role."""
    out: list[TextRun] = []
    run, role = "", ""
    for text, span_role in spans:
        if span_role == role:
            run += text
        elif text:
            if run:
                out.append((run, role))
            run, role = text, span_role
    if run:
        out.append((run, role))
    return out


def fit(spans: Iterable[TextRun], width: int, role: str | None = None) -> Row:
    """Return spans cut or padded to exactly `width` columns; `role` replaces the roles of all spans."""
    if role is not None:
        text = to_cells("".join([text for text, _ in spans]))
        return ((text[:width].ljust(width), role),) if width > 0 else ()
    runs = merge_runs(spans)
    text = "".join([text for text, _ in runs])
    if to_cells(text) is not text:
        runs = [(to_cells(text), its) for text, its in runs]
    return fill(runs, sum([len(text) for text, _ in runs]), width)


def fill(runs: Sequence[Run], used: int, width: int) -> Row:
    """Return runs of cells that take `used` columns, cut or padded to exactly `width` columns."""
    if used == width:
        return tuple(runs)
    if used > width:
        return tuple(section(runs, 0, width))
    *first, (text, role) = runs or [("", "")]
    blanks = " " * (width - used)
    return (*first, (text + blanks, "")) if not role else (*runs, (blanks, ""))


def section(row: Iterable[Run], start: int, end: int) -> list[TextRun]:
    """Return the columns from `start` up to `end` of a row, as runs of one role each."""
    out: list[TextRun] = []
    if end <= 0:
        return out
    for text, role in row:
        width = len(text)
        if start < width:
            begin = max(0, start)
            shown = text[begin:end]
            if isinstance(role, str):
                out.append((shown, role))
            elif roles := role[begin:end]:
                out += runs_of_one_role(shown, roles)
        start, end = start - width, end - width
        if end <= 0:
            break
    return out


def runs_of_one_role(text: str, roles: tuple[str, ...]) -> list[TextRun]:
    """Return cells as runs of one role each."""
    if roles.count(roles[0]) == len(roles):
        return [(text, roles[0])]
    out = []
    at = 0
    for role, cells in groupby(roles):
        begin, at = at, at + sum(1 for _ in cells)
        out.append((text[begin:at], role))
    return out


SECOND_TIME: Final = re.compile(r"\b(RX), [\d.]+ s")
"""Time in the title of the sparklines of RX; that of TX is before it, and the same."""


def end_with(text: str, ending: str, width: int) -> str:
    """Return a title of `width` columns with `ending` at its right; words are dropped for it, but not cut."""
    start = max(0, width - len(ending))
    kept = text[:start]
    if text[start : start + 1].strip() and kept:
        kept = kept.rpartition(" ")[0]
    return (kept.ljust(start) + ending)[:width]


def with_range(titles: Sequence[str], shown: tuple[int, int, int], width: int, glyphs: Glyphs) -> str:
    """Return the first of several titles beside which there is room for the range of the rows that are shown.

    `shown` holds the first row, the one after the last, and their number. For room, the title of the second
    sparkline loses its time, which is that of the first. Otherwise the range alone is shown, or the number of
    rows below, or nothing: a column without its title is worse.
    """
    first, last, count = shown
    at = f"{first + 1}-{last}" if last > first else "0"
    heads = [head.rstrip() for title in titles for head in (title, SECOND_TIME.sub(r"\1", title))]
    places = [(head, words) for head in heads for words in (f" {at} of {count}", f" {at}/{count}")]
    places += [(head, f" {at}") for head in heads]
    places += [(head, f" {glyphs.more_rows}{count - last}") for head in heads if count > last]
    fitting = (head.ljust(width - len(end)) + end for head, end in places if len(head) + len(end) <= width)
    return next(fitting, titles[-1])


def text_of(row: Row) -> str:
    """Return a row's text without its roles."""
    return to_text("".join(text for text, _ in row))


def displayable(text: str, glyphs: Glyphs) -> str:
    """Return foreign text as cells, so that it does not shift other columns; as ASCII on an ASCII screen."""
    return to_cells(text) if glyphs is UNICODE else in_ascii(text)


@lru_cache(maxsize=64)  # most texts stay the same from frame to frame
def fit_text(line: str, width: int, glyphs: Glyphs) -> str:
    """Fit a line into `width` columns by leaving out parts from its end.

    Parts are left out completely, because a cut number would be wrong. If a single part is too long, it is
    cut and ends in an ellipsis.
    """
    parts = to_cells(line).split(SEPARATOR)
    if glyphs is not UNICODE:
        parts = [in_ascii(to_text(part).replace("°", glyphs.degree)) for part in parts]
    while len(parts) > 1 and len(SEPARATOR.join(parts)) > width:
        parts.pop()
    text = SEPARATOR.join(parts)
    if len(text) > width:
        text = text[: max(0, width - 1)] + glyphs.ellipsis[: max(0, width)]
    return text if glyphs is UNICODE else text.replace("·", glyphs.dot)


def shorten(text: str, width: int, glyphs: Glyphs) -> str:
    """Return text as cells, cut with an ellipsis at its end if it is longer than `width` columns."""
    shown = displayable(text, glyphs)
    return shown if len(shown) <= width else shown[: max(0, width - len(glyphs.ellipsis))] + glyphs.ellipsis


@frozen
class Column:
    """One column of a table."""

    key: str
    title: str
    width: int
    drop: int
    """Rank for leaving the column out if there is no room: the highest goes first, 0 never."""
    left: bool = False

    def padded_title(self) -> str:
        """Return the title in the column's width."""
        return self.pad(self.title)

    def pad(self, text: str) -> str:
        """Return a text in the column's width; left-aligned text is not cut behind a blank or dash."""
        if self.left:
            cut = text[: self.width].rstrip(" -") if len(text) > self.width else text
            return cut.ljust(self.width)
        return text[: self.width].rjust(self.width)


def cell_runs(columns: Iterable[Column], cells: Iterable[TextRun]) -> list[Run]:
    """Return the cells of a table, each with a blank behind it, as runs."""
    runs: list[Run] = []
    plain = ""
    for column, (text, role) in zip(columns, cells, strict=True):
        # Most cells are numbers that fit.
        padded = column.pad(text) if column.left or len(text) > column.width else text.rjust(column.width)
        if role:
            if plain:
                runs.append((plain, ""))
            runs.append((padded, role))
            plain = " "
        else:
            plain += f"{padded} "
    if plain:
        runs.append((plain, ""))
    return runs


def fit_columns(columns: Sequence[Column], width: int) -> list[Column]:
    """Return the columns that fit into `width` with a blank between them; columns are dropped, never cut."""
    chosen = list(columns)
    while sum(c.width + 1 for c in chosen) - 1 > width and any(c.drop for c in chosen):
        chosen.remove(max(chosen, key=lambda c: c.drop))
    return chosen


def split_columns(
    columns: Sequence[Column], keys: Container[str]
) -> tuple[Sequence[Column], Sequence[Column], Sequence[Column]]:
    """Return the columns before the adjacent columns with these keys, those columns, and the ones behind."""
    places = [i for i, c in enumerate(columns) if c.key in keys]
    start, end = places[0], places[-1] + 1
    return columns[:start], columns[start:end], columns[end:]
