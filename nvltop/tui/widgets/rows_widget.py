"""A widget that shows rows, and sends only the parts of them that changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from rich.segment import Segment
from textual.errors import NoWidget
from textual.geometry import Region
from textual.strip import Strip

from nvltop.tui.render.cells import to_text
from nvltop.tui.render.row import Cells, ColumnRange, Row, Run, section, text_of
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.plain_widget import PlainWidget

EMPTY_ROW: Final[Row] = ()
WHOLE_ROW: Final[ColumnRange] = (0, 0)
MAX_GAP: Final = 6
"""Unchanged columns between two changes up to which both are sent as one: moving the cursor costs bytes."""


class RowsWidget(PlainWidget):
    """Rows of exactly the width of the widget.

    A row that did not change costs nothing. The changed parts of other rows are written directly to the
    terminal if possible; else Textual renders the line again and sends it up to the last change.
    """

    DEFAULT_CSS = "RowsWidget { height: 1fr; width: 1fr; }"

    def __init__(self, output: DirectOutput, id: str) -> None:
        super().__init__(id=id)
        self._output = output
        self._rows: Sequence[Row] = ()
        self._strips: dict[int, Strip] = {}

    def show(self, rows: Sequence[Row]) -> None:
        """Show other rows."""
        old, self._rows = self._rows, rows
        dirty = []
        for y in range(max(len(old), len(rows))):
            before = old[y] if y < len(old) else EMPTY_ROW
            after = rows[y] if y < len(rows) else EMPTY_ROW
            if before != after:
                self._strips.pop(y, None)
                dirty.append((y, changes(before, after)))
        if not dirty:
            return
        if self._output.is_active:
            self._put(dirty)
        else:
            width = self.size.width
            self.refresh(*(Region(0, y, parts[-1][1] or width, 1) for y, parts in dirty))

    def _put(self, dirty: Sequence[tuple[int, Sequence[ColumnRange]]]) -> None:
        try:
            place = self.screen.find_widget(self)
        except NoWidget:
            return
        # On a low screen a part of the widget may lie outside its tab, where another widget is.
        at, seen = place.region, place.visible_region
        if not at:
            return
        blank = ((" " * at.width, ""),)
        width = min(at.width, seen.right - at.x)
        for y, parts in dirty:
            if seen.y <= at.y + y < seen.bottom:
                row = self._rows[y] if y < len(self._rows) else blank
                seen_parts = [(start, min(end or width, width)) for start, end in parts]
                self._output.write_cells(at.x, at.y + y, row, seen_parts)

    def restyle(self) -> None:
        """Draw everything again, after a change of the styles."""
        self._strips.clear()
        self.refresh()

    def take_rows(self) -> tuple[Sequence[Row], dict[int, Strip]]:
        """Remove the rows without sending anything; return the argument of `put_back`."""
        before = self._rows, self._strips
        self._rows, self._strips = (), {}
        return before

    def put_back(self, before: tuple[Sequence[Row], dict[int, Strip]]) -> None:
        """Restore the rows that `take_rows` returned."""
        self._rows, self._strips = before

    def text(self) -> str:
        """Return the text of the rows, without styles."""
        return "\n".join(text_of(row) for row in self._rows)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return lines without border, padding or background, which Textual would add."""
        return [self.render_line(y).crop(crop.x, crop.right) for y in crop.line_range]

    def render_line(self, y: int) -> Strip:
        """Return one line of the widget."""
        strip = self._strips.get(y)
        if strip is None:
            if y >= len(self._rows):
                return Strip.blank(self.size.width)
            styles = self._output.styles.styles
            runs = section(self._rows[y], 0, self.size.width)
            segments = [Segment(to_text(text), styles[role]) for text, role in runs]
            strip = Strip(segments, sum(len(text) for text, _ in runs))
            self._strips[y] = strip
        return strip


def changes(before: Row, after: Row) -> list[ColumnRange]:
    """Return the parts in which two different rows of the same width differ; (0, 0) is the whole row."""
    parts: list[ColumnRange] = []
    olds, news = iter(before), iter(after)
    at = 0
    for old, new in zip_longest(olds, news):
        if old == new:
            at += len(new[0])
            continue
        # Runs of different lengths are compared piece by piece, up to a column where runs of both rows end.
        while old and new and len(old[0]) != len(new[0]):
            width = min(len(old[0]), len(new[0]))
            _compare(parts, at, _cut(old, 0, width), _cut(new, 0, width))
            at += width
            old = _cut(old, width) if len(old[0]) > width else next(olds, None)
            new = _cut(new, width) if len(new[0]) > width else next(news, None)
        if not old or not new:
            return [WHOLE_ROW]
        _compare(parts, at, old, new)
        at += len(new[0])
    return parts


def _compare(parts: list[ColumnRange], at: int, before: Run, after: Run) -> None:
    """Add the difference of two runs of the same width at column `at`."""
    (old, role), (new, its) = before, after
    start, end = at, at + len(new)
    if not (isinstance(role, str) or isinstance(its, str)):
        _compare_cells(parts, at, (old, role), (new, its))
        return
    if role == its:
        if old == new:
            return
        start += _common_start(old, new)
        end -= _common_end(old, new)
    _add(parts, start, end)


def _compare_cells(parts: list[ColumnRange], at: int, before: Cells, after: Cells) -> None:
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
    changed = [i for i, (a, b, role, other) in enumerate(cells, at + same) if a != b or role != other]
    start = end = changed[0] if changed else 0
    for i in changed:
        if i - end >= MAX_GAP:
            _add(parts, start, end)
            start = i
        end = i + 1
    if changed:
        _add(parts, start, end)


def _add(parts: list[ColumnRange], start: int, end: int) -> None:
    """Add a part, or extend the last part if the gap between them is small."""
    if parts and start - parts[-1][1] < MAX_GAP:
        start = parts.pop()[0]
    parts.append((start, end))


def _cut(run: Run, start: int, end: int | None = None) -> Run:
    """Return some columns of a run."""
    text, role = run
    return text[start:end], role if isinstance(role, str) else role[start:end]


def _common_start(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the common prefix of two texts, or of the roles of their cells."""
    if a[0] != b[0]:
        return 0
    low, high = 1, min(len(a), len(b))
    while low < high:
        # Comparing slices is much faster than comparing elements.
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the common suffix of two texts, or of the roles of their cells."""
    if a[-1] != b[-1]:
        return 0
    low, high = 1, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[-middle:] == b[-middle:]:
            low = middle
        else:
            high = middle - 1
    return low
