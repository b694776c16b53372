"""The keys with which a list is searched, filtered and sorted, as in htop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from textual.actions import SkipAction
from textual.binding import Binding, BindingType

from nvltop.text import normalize
from nvltop.tui.widgets.tab import Tab


class ListOrder(Protocol):
    """Which rows a list has, and in what order."""

    filter_text: str
    """Only rows that contain this text are listed."""
    sort: str
    """Key of the sort column."""
    descending: bool


class SearchableTab(Tab):
    """A tab with a list that can be searched, filtered and sorted."""

    ASCENDING_COLUMNS: ClassVar[frozenset[str]] = frozenset()
    """Columns whose initial order is ascending."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f3,slash", "search", "Search"),
        Binding("n", "find(1)", "Next match"),
        Binding("N", "find(-1)", "Previous match"),
        Binding("f4,backslash", "filter", "Filter"),
        Binding("escape", "clear_filter", "Clear the filter"),
        Binding("f6,greater_than_sign,full_stop", "sort_by", "Sort by"),
        Binding("I", "invert", "Reverse the order"),
    ]
    search_words = ""
    """Text of the last search."""

    @property
    def order(self) -> ListOrder:
        """The filter and the order of the list."""
        raise NotImplementedError

    def sort_columns(self) -> Sequence[tuple[str, str]]:
        """Return key and title of the columns to sort by."""
        raise NotImplementedError

    def listed_texts(self) -> Sequence[str]:
        """Return the text of each listed row that a search examines, in lower case."""
        raise NotImplementedError

    def all_texts(self) -> Sequence[str]:
        """Return the text of each row that a filter examines, in lower case."""
        raise NotImplementedError

    def selected_row(self) -> int:
        """Return the position of the selected row in the list."""
        raise NotImplementedError

    def select_row(self, row: int) -> None:
        """Select the row at a position in the list."""
        raise NotImplementedError

    def order_changed(self) -> None:
        """Draw the list with another filter or order."""
        self.request_draw()

    def sort_by(self, column: str | None) -> None:
        """Sort by a column; reverse the order if it is the sort column already."""
        order = self.order
        if column in dict(self.sort_columns()) and column is not None:
            first = column not in self.ASCENDING_COLUMNS
            order.descending = not order.descending if column == order.sort else first
            order.sort = column
        self.order_changed()

    def search(self, text: str, way: int = 0) -> bool:
        """Select the nearest row that contains a text; return whether there is one.

        `way` is 0 from the selected row on, 1 for the next match, -1 for the previous one. After the last row
        follows the first.
        """
        self.search_words = text
        wanted, texts = normalize(text).lower(), self.listed_texts()
        at = self.selected_row()
        places = [(at + (i + abs(way)) * (way or 1)) % len(texts) for i in range(len(texts))]
        found = next((place for place in places if wanted in texts[place]), None)
        if found is not None and wanted:
            self.select_row(found)
            self.request_draw()
        return found is not None

    async def action_search(self) -> None:
        """Search while the user types."""
        await self.prompt("Search", "", self.search, lambda: self._find(1))

    async def action_find(self, way: int) -> None:
        """Select the next (1) or previous (-1) match of the last search."""
        if self.search_words:
            self._find(way)
        else:
            await self.action_search()

    def _find(self, way: int) -> None:
        """Select the next (1) or previous (-1) match of the search."""
        if self.search_words and not self.search(self.search_words, way):
            self.app.notify(f"no match: {self.search_words}", markup=False)

    async def action_filter(self) -> None:
        """Filter the list while the user types."""
        await self.prompt("Filter", self.order.filter_text, self.set_filter)

    def set_filter(self, text: str) -> bool:
        """List only the rows that contain a text; return whether there is one."""
        self.order.filter_text = text
        self.order_changed()
        wanted = normalize(text).lower()
        return any(wanted in its for its in self.all_texts())

    def action_clear_filter(self) -> None:
        """List all rows again; without a filter, leave the key to the screen."""
        if not self.order.filter_text:
            raise SkipAction
        self.set_filter("")

    def action_sort_by(self) -> None:
        """Open the menu of sort columns."""
        from nvltop.tui.widgets.menu import Menu

        self.app.push_screen(Menu("Sort by", self.sort_columns(), self.order.sort), self.sort_by)

    def action_invert(self) -> None:
        """Reverse the order."""
        self.order.descending = not self.order.descending
        self.order_changed()
