"""The parts of a row that differ from the row that was shown before."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, TypeAlias

from nvltop.tui.render.row import Cells, Row, Run, runs_of_one_role, section

Piece: TypeAlias = "tuple[int, str, str]"
"""First column, text and role of cells that changed."""
Compared: TypeAlias = "dict[tuple[int, int, int], list[Piece]]"
"""What differs, by the first column of two runs and their ids: the runs must be kept for as long."""

MAX_GAP: Final = 6
"""Unchanged columns between two changes up to which both are sent as one: moving the cursor costs bytes."""
SHORT: Final = 12
"""Length of a common part up to which it is found by comparing its elements."""


class ChangedCells(tuple[str, tuple[str, ...]]):
    """Cells that were made from others, and know which of them differ; `with_cells` makes them."""

    base: Cells | None
    """The others, as wide as these; None once further cells were made from these."""
    start: int
    """First cell that differs."""
    end: int
    """Cell after the last one that differs."""


def with_cells(base: Cells, start: int, text: str, roles: tuple[str, ...]) -> Cells:
    """Return cells with others from column `start` on, at most `MAX_GAP`, for a quick comparison."""
    (old, old_roles), end = base, start + len(text)
    its = old_roles
    if its[start:end] != roles:
        its = its[:start] + roles + its[end:]
    elif old[start:end] == text:
        return base
    made = ChangedCells((old[:start] + text + old[end:], its))
    while start < end and old[start] == made[0][start] and old_roles[start] == its[start]:
        start += 1
    while start < end and old[end - 1] == made[0][end - 1] and old_roles[end - 1] == its[end - 1]:
        end -= 1
    made.base, made.start, made.end = base, start, end
    if isinstance(base, ChangedCells):
        # Otherwise each run would keep all earlier ones in memory.
        base.base = None
    return made


def changes(before: Row, after: Row, compared: Compared | None = None) -> list[Piece]:
    """Return the cells of `after`, which differs from `before`, that have changed, from left to right.

    These are all cells if the rows are not equally wide. An empty row is blank. `compared` are the pairs of
    runs of other rows that have been compared: rows of a table share runs that look alike.
    """
    if not after:
        return [(0, " " * row_width(before), "")]
    pieces: list[Piece] = []
    olds, news = iter(before), iter(after)
    at = 0
    for old, new in zip_longest(olds, news):
        if old is new or old == new:
            at += len(new[0])
            continue
        if isinstance(new, ChangedCells) and new.base is old:
            _add_cells(pieces, at, new, new.start, new.end)
            at += len(new[0])
            continue
        pair = at, id(old), id(new)
        if compared and pair in compared:
            pieces += compared[pair]
            at += len(new[0])
            continue
        found = len(pieces)
        # Runs of different lengths are compared piece by piece, up to a column where runs of both rows end.
        while old and new and len(old[0]) != len(new[0]):
            width = min(len(old[0]), len(new[0]))
            _compare(pieces, at, _cut(old, 0, width), _cut(new, 0, width))
            at += width
            old = _cut(old, width) if len(old[0]) > width else next(olds, None)
            new = _cut(new, width) if len(new[0]) > width else next(news, None)
            found = -1
        if not old or not new:
            return cells_between(after, 0, row_width(after))
        _compare(pieces, at, old, new)
        if compared is not None and found >= 0:
            compared[pair] = pieces[found:]
        at += len(new[0])
    return pieces


def cells_between(row: Row, start: int, end: int) -> list[Piece]:
    """Return the cells of a row from column `start` up to `end`."""
    pieces = []
    for text, role in section(row, start, end):
        pieces.append((start, text, role))
        start += len(text)
    return pieces


def row_width(row: Row) -> int:
    """Return the columns of a row."""
    return sum([len(text) for text, _ in row])


def _compare(pieces: list[Piece], at: int, before: Run, after: Run) -> None:
    """Add the difference of two runs of the same width at column `at`."""
    (old, role), (new, its) = before, after
    if not isinstance(its, str):
        if isinstance(role, str):
            _add_cells(pieces, at, after, 0, len(new))
        else:
            _compare_cells(pieces, at, (old, role), (new, its))
        return
    start, end = 0, len(new)
    if role == its:
        if old == new:
            return
        start, end = _common_start(old, new), end - _common_end(old, new)
    pieces.append((at + start, new[start:end], its))


def _compare_cells(pieces: list[Piece], at: int, before: Cells, after: Cells) -> None:
    """Add the differences of two runs with a role for each cell."""
    (old, roles), (new, its) = before, after
    # A sparkline is extended at its end, behind which it is blank.
    same = _common_start(old, new)
    if roles[:same] != its[:same]:
        same = _common_start(roles, its)
    last = max(same + 1, len(old.rstrip()), len(new.rstrip()))
    if roles[last:] != its[last:]:
        last = len(new)
    cells = zip(old[same:last], new[same:last], roles[same:last], its[same:last], strict=True)
    changed = [i for i, (a, b, role, other) in enumerate(cells, same) if a != b or role != other]
    start = end = changed[0] if changed else 0
    for i in changed:
        if i - end >= MAX_GAP:
            _add_cells(pieces, at, after, start, end)
            start = i
        end = i + 1
    if changed:
        _add_cells(pieces, at, after, start, end)


def _add_cells(pieces: list[Piece], at: int, cells: Run, start: int, end: int) -> None:
    """Add the cells from `start` up to `end` of a run that has a role for each cell and begins at `at`."""
    text, roles = cells
    assert not isinstance(roles, str)
    column = at + start
    if end == start + 1:
        # As in most sparklines.
        pieces.append((column, text[start], roles[start]))
        return
    for part, role in runs_of_one_role(text[start:end], roles[start:end]):
        pieces.append((column, part, role))
        column += len(part)


def _cut(run: Run, start: int, end: int | None = None) -> Run:
    """Return some columns of a run."""
    text, role = run
    return text[start:end], role if isinstance(role, str) else role[start:end]


def _common_start(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the common prefix of two texts, or of the roles of their cells."""
    length = min(len(a), len(b))
    low, high = 0, min(length, SHORT)
    while low < high and a[low] == b[low]:
        low += 1
    if low < high or low == length:
        return low
    high = length
    while low < high:
        # Comparing slices is faster than comparing many elements.
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the common suffix of two texts, or of the roles of their cells."""
    length = min(len(a), len(b))
    low, high = 0, min(length, SHORT)
    while low < high and a[-1 - low] == b[-1 - low]:
        low += 1
    if low < high or low == length:
        return low
    high = length
    while low < high:
        middle = (low + high + 1) // 2
        if a[-middle:] == b[-middle:]:
            low = middle
        else:
            high = middle - 1
    return low
