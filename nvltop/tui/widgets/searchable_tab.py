"""The keys with which a list is searched, filtered and sorted, as in htop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from textual.binding import Binding, BindingType

from nvltop.tui.widgets.menu import Menu
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
        Binding("f4,backslash", "filter", "Filter"),
        Binding("f6,greater_than_sign,full_stop", "sort_by", "Sort by"),
        Binding("I", "invert", "Reverse the order"),
    ]

    @property
    def order(self) -> ListOrder:
        """The filter and the order of the list."""
        raise NotImplementedError

    def sort_columns(self) -> Sequence[tuple[str, str]]:
        """Return key and title of the columns to sort by."""
        raise NotImplementedError

    def search(self, text: str) -> None:
        """Select the next row that contains a text."""
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

    def action_search(self) -> None:
        """Search while the user types."""
        self.prompt("Search", "", self.search)

    def action_filter(self) -> None:
        """Filter the list while the user types."""
        self.prompt("Filter", self.order.filter_text, self._set_filter)

    def _set_filter(self, text: str) -> None:
        self.order.filter_text = text
        self.order_changed()

    def action_sort_by(self) -> None:
        """Open the menu of sort columns."""
        self.app.push_screen(Menu("Sort by", self.sort_columns(), self.order.sort), self.sort_by)

    def action_invert(self) -> None:
        """Reverse the order."""
        self.order.descending = not self.order.descending
        self.order_changed()
