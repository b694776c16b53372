"""The base class of tabs that are lists, with selection, order, search and filter as in htop."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.app import ComposeResult

from nvltop.text import counted, normalize
from nvltop.tui import keys
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.cells import to_text
from nvltop.tui.render.row import Column, Row, TextRun, end_with, fit, fit_columns, fit_text
from nvltop.tui.render.scroll import first_shown
from nvltop.tui.render.steady_order import SteadyOrder
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.searchable_tab import ListOrder, SearchableTab

T = TypeVar("T")


class ListTab(SearchableTab, Generic[T]):
    """A list of items in columns; subclasses implement the methods that raise NotImplementedError."""

    COLUMNS: ClassVar[Sequence[Column]] = ()
    FIRST_SORT: ClassVar[str] = ""
    """Initial sort column, in descending order."""
    MIN_TAIL: ClassVar[int] = 0
    """Columns of the screen that the part to the right of the columns needs at least."""

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__(view, output)
        self._list = RowsWidget(output, "list")
        self.sort = self.FIRST_SORT
        self.descending = self.FIRST_SORT not in self.ASCENDING_COLUMNS
        self.filter_text = ""
        self.follow = True
        """Whether the selection follows its item when the order changes, or else stays at its row."""
        self._order = SteadyOrder()
        self._hidden = 0
        """Number of rows that the filter hides."""
        self._items: list[T] = []
        self._selected = 0
        self._key: Hashable = None
        """Key of the selected item."""
        self._first = 0
        self._titles_at = 0
        """Line of the column titles."""
        self._title_clicks: list[tuple[int, int, str]] = []

    def compose(self) -> ComposeResult:
        """Show the list."""
        yield self._list

    @property
    def columns(self) -> Sequence[Column]:
        """The columns that the list has now."""
        return self.COLUMNS

    def heading(self, width: int) -> list[Row]:
        """Return the rows above the column titles."""
        return []

    def items(self) -> Sequence[T]:
        """Return all items, in any order."""
        raise NotImplementedError

    def item_key(self, item: T) -> Hashable:
        """Return a key that identifies an item from frame to frame."""
        raise NotImplementedError

    def value(self, item: T, column: str) -> float | str:
        """Return the value by which a column sorts."""
        raise NotImplementedError

    def cell(self, item: T, column: Column) -> TextRun:
        """Return the text and role of a column."""
        raise NotImplementedError

    def empty(self) -> str:
        """Return the reason why the list is empty."""
        raise NotImplementedError

    def tail(self, item: T, width: int) -> list[TextRun]:
        """Return the runs to the right of the columns."""
        return []

    def tail_title(self) -> str:
        """Return the title of the part to the right of the columns."""
        return ""

    def line(self, item: T, columns: Sequence[Column], width: int) -> list[TextRun]:
        """Return the runs of a row."""
        spans: list[TextRun] = []
        for column in columns:
            text, role = self.cell(item, column)
            spans += [(column.pad(text), role), (" ", "")]
        return [*spans, *self.tail(item, width - sum(len(text) for text, _ in spans))]

    @property
    def selected(self) -> T | None:
        """The selected item."""
        return self._items[self._selected] if self._selected < len(self._items) else None

    def search_text(self, item: T) -> str:
        """Return the text of an item that search and filter match, in lower case."""
        return " ".join(to_text(self.cell(item, column)[0]) for column in self.columns).lower()

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys that all lists have."""
        return keys.SEARCH.on_bar(), keys.FILTER.on_bar(), keys.SORT.on_bar()

    def draw(self) -> None:
        """Draw the visible part of the list."""
        self.set_order()
        at = self._list.size
        above = self.heading(at.width)
        self._titles_at = len(above)
        room = at.height - self._titles_at - 1
        self._first = first_shown(self._first, self._selected, len(self._items), room)
        columns = self.visible_columns
        self._list.show([*above, self._title(columns, at.width), *self._rows(columns, at.width, room)])

    @property
    def tail_width(self) -> int:
        """Columns of the screen behind the visible columns."""
        return self._list.size.width - sum(column.width + 1 for column in self.visible_columns)

    @property
    def visible_columns(self) -> Sequence[Column]:
        """The columns that fit on the screen."""
        return fit_columns(self.columns, self._list.size.width - self.MIN_TAIL)

    def set_order(self) -> None:
        """Filter and sort the items, and keep the selection."""
        wanted = normalize(self.view.alias(self.filter_text)).lower()
        every = self.items()
        items = [item for item in every if not wanted or wanted in self.search_text(item)]
        self._hidden = len(every) - len(items)
        if self.sort:
            items.sort(key=lambda item: self.value(item, self.sort), reverse=self.descending)
            by = wanted, self.sort, self.descending
            items = list(self._order.apply(items, self.item_key, by, self.view.now_s))
        self._items = items
        places = {self.item_key(item): i for i, item in enumerate(items)}
        place = places.get(self._key, self._selected) if self.follow else self._selected
        self._selected = max(0, min(place, len(items) - 1))
        self._key = self.item_key(items[self._selected]) if items else None

    def _title(self, columns: Sequence[Column], width: int) -> Row:
        spans: list[TextRun] = []
        self._title_clicks = []
        at = 0
        for column in columns:
            head = column.padded_title()
            if column.key == self.sort:
                mark = self.view.glyphs.descending if self.descending else self.view.glyphs.ascending
                head = column.pad(column.title[: column.width - 1] + mark)
            self._title_clicks.append((at, at + column.width, column.key))
            spans += [(head, "title"), (" ", "title")]
            at += column.width + 1
        spans.append((self.tail_title(), "title"))
        if self.filter_text:
            note = f" filter: {self._shown_filter()} (hides {counted(self._hidden, 'row')})"
            text = "".join(text for text, _ in spans)
            return fit([(end_with(text.ljust(width), note + " ", width), "title")], width, "title")
        return fit(spans, width, "title")

    def _shown_filter(self) -> str:
        """Return the filter; in a redacted picture, only if it is a name that was replaced."""
        words = self.view.alias(self.filter_text)
        return words if words != self.filter_text or self.view.alias is str else "left out"

    def _rows(self, columns: Sequence[Column], width: int, height: int) -> list[Row]:
        if not self._items:
            text = "no match; Esc clears the filter" if self.filter_text else self.empty()
            return [fit([(fit_text(text, width, self.view.glyphs), "dim")], width)]
        rows = []
        for i, item in enumerate(self._items[self._first : self._first + max(0, height)], self._first):
            spans = self.line(item, columns, width)
            rows.append(fit(spans, width, "selected" if i == self._selected else None))
        return rows

    def move(self, by: int) -> None:
        """Move the selection."""
        self._order.note_selection(self.view.now_s)
        self._selected = max(0, min(self._selected + by, len(self._items) - 1))
        self._key = self.item_key(self._items[self._selected]) if self._items else None

    def page_lines(self) -> int:
        """Return the number of visible rows."""
        return self._list.size.height - self._titles_at - 1

    @property
    def order(self) -> ListOrder:
        """The filter and the order of the list."""
        return self

    def order_changed(self) -> None:
        """Sort and filter the list again, for the next key."""
        self.set_order()
        self.request_draw()

    def sort_columns(self) -> Sequence[tuple[str, str]]:
        """Return key and title of the columns to sort by."""
        return [(column.key, column.title) for column in self.columns]

    def listed_texts(self) -> Sequence[str]:
        """Return the text of each listed row that a search examines, in lower case."""
        return [self.search_text(item) for item in self._items]

    def all_texts(self) -> Sequence[str]:
        """Return the text of each row that a filter examines, in lower case."""
        return [self.search_text(item) for item in self.items()]

    def selected_row(self) -> int:
        """Return the position of the selected row in the list."""
        return self._selected

    def select_row(self, row: int) -> None:
        """Select the row at a position in the list."""
        self.move(row - self._selected)

    async def on_click(self, event: events.Click) -> None:
        """Select the row under the mouse, or sort by the column whose title is under it."""
        x, y = event.screen_offset
        at = self._list.region
        if not at.contains(x, y):
            return
        line = y - at.y - self._titles_at
        if line == 0:
            for start, end, column in self._title_clicks:
                if start <= x - at.x <= end:
                    self.sort_by(column)
            return
        row = self._first + line - 1
        if line > 0 and row < len(self._items):
            self.move(row - self._selected)
            if event.chain == 2:
                await self.run_action("enter")
            self.request_draw()
