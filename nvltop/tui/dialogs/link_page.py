"""The page of one link, over the tab that it was opened from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.tui import keys
from nvltop.tui.dialogs import link_rows
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab


class LinkPage(Tab):
    """The page of one link: state, traffic, error counters, findings and events."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,backspace", "close", "Back"),
        Binding("left", "beside(-1)", "Link before"),
        Binding("right", "beside(1)", "Next link"),
    ]

    def __init__(self, view: ViewState, output: DirectOutput, uuid: str, index: int) -> None:
        super().__init__(view, output)
        self._page = RowsWidget(output, "link-page")
        self._uuid = uuid
        self._index = index
        self._top = 0

    def compose(self) -> ComposeResult:
        """Show the page."""
        yield self._page

    def draw(self) -> None:
        """Draw the current state of the link."""
        at = self._page.size
        self._page.show(link_rows.rows(self.view, self._uuid, self._index, at.width, at.height, self._top))

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys that close the page, and that start or end a comparison."""
        return keys.BACK.on_bar(), keys.COMPARE.on_bar("EndCmp" if self.view.baseline else "")

    def move(self, by: int) -> None:
        """Scroll the counters."""
        g = next((g for g in self.view.frame.gpus if g.gpu.uuid == self._uuid), None)
        lines = len(g.links[self._index].errors) if g and self._index < len(g.links) else 0
        self._top = max(0, min(self._top + by, lines - 1))

    def action_beside(self, by: int) -> None:
        """Show the previous or next link of the GPU."""
        g = next((g for g in self.view.frame.gpus if g.gpu.uuid == self._uuid), None)
        if g and g.links:
            self._index = (self._index + by) % len(g.links)
        self.request_draw()
