"""The main screen of many nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.message import Message

from nvltop.tui import keys
from nvltop.tui.fleet import head
from nvltop.tui.fleet.detail_page import DetailPage
from nvltop.tui.fleet.events_tab import EventsTab, WorstLinksTab
from nvltop.tui.fleet.nodes_tab import NodesTab
from nvltop.tui.fleet.view_state import FleetViewState
from nvltop.tui.render.function_bar import function_bar
from nvltop.tui.render.row import ClickAreas, Row
from nvltop.tui.shell.tabbed_screen import TabbedScreen
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.tab import Tab

TABS: Final[tuple[type[NodesTab | WorstLinksTab | EventsTab], ...]] = (NodesTab, WorstLinksTab, EventsTab)
COMMON_KEYS: Final = (keys.HELP.on_bar(), keys.SETUP.on_bar())


class FleetScreen(TabbedScreen):
    """The screen that shows a `FleetViewState`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(str(i), f"show_tab({i - 1})", f"Tab {tab.TITLE}", system=True)
        for i, tab in enumerate(TABS, 1)
    ]

    def __init__(self, view: FleetViewState, output: DirectOutput) -> None:
        def make_tab(position: int) -> Tab:
            return TABS[position](view, output)

        super().__init__([tab.TITLE for tab in TABS], make_tab, output)
        self._view = view

    class DetailsWanted(Message):
        """A request to read what a page shows, or nothing more than the tabs do."""

        def __init__(self, page: DetailPage[Any] | None) -> None:
            super().__init__()
            self.page = page

    def open_page(self, page: Tab) -> None:
        """Show a page over the current tab, and read what it shows."""
        super().open_page(page)
        if isinstance(page, DetailPage):
            self.post_message(self.DetailsWanted(page))

    def close_page(self) -> None:
        """Show the current tab, and read no more details."""
        super().close_page()
        self.post_message(self.DetailsWanted(None))

    def header_rows(self, width: int) -> Sequence[Row]:
        """Return the header."""
        return head.header(self._view, width)

    def tab_row(self, width: int, names: Sequence[str], current: int) -> tuple[Row, ClickAreas]:
        """Return the tab row and the areas of the tabs."""
        return head.tab_row(self._view, width, names, current)

    def key_row(self, width: int) -> tuple[Row, ClickAreas]:
        """Return the function bar for the visible tab, and the areas of the keys."""
        tab = self.visible_tab
        return function_bar(self._view, width, tab.keys(), tab.status(), COMMON_KEYS)
