"""The tab Links: all links of all GPUs on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.tui import keys
from nvltop.tui.dialogs import pages
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.links import heatmap
from nvltop.tui.tabs.links.layout import LABEL_WIDTH, LinksLayout
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab


class LinksTab(Tab):
    """A map with a cell per link; the arrow keys move from cell to cell."""

    TITLE = "Links"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "across(-1)", "Link before"),
        Binding("right", "across(1)", "Next link"),
        Binding("enter", "enter", "Open the link"),
    ]

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__(view, output)
        self._map = RowsWidget(output, "heat")
        self._at: LinksLayout | None = None

    def compose(self) -> ComposeResult:
        """Show the map."""
        yield self._map

    def draw(self) -> None:
        """Draw the visible part of the map."""
        view, at = self.view, self._map.size
        self._at = heatmap.layout(view, at.width, at.height, view.gpu, view.link, self._at)
        self._map.show(heatmap.rows(view, at.width, at.height, self._at, view.gpu, view.link))

    def keys(self) -> Sequence[FunctionKey]:
        """Return the key that opens a link."""
        return (keys.OPEN.on_bar(),)

    def move(self, by: int) -> None:
        """Move to another GPU, keeping the selected link."""
        self.view.move(by)

    def page_lines(self) -> int:
        """Return the number of visible GPUs."""
        return self._at.gpus if self._at else 1

    def action_across(self, by: int) -> None:
        """Move to another link of the GPU."""
        self.view.move(by, "links")
        self.request_draw()

    def action_enter(self) -> None:
        """Open the selected link."""
        g = self.view.selected
        if g and self.view.link < len(g.links):
            self.open_page(pages.link_page(self.view, self.output, g.gpu.uuid, g.links[self.view.link].index))
        else:
            self.refuse(self.view.why_no_gpu or "no link is selected")

    async def on_click(self, event: events.Click) -> None:
        """Select the clicked cell; a double click opens its link."""
        x, y = event.screen_offset
        at, seen = self._map.region, self._at
        if not at.contains(x, y) or seen is None:
            return
        row, place = (y - at.y - 1) // seen.lines, (x - at.x - LABEL_WIDTH) // seen.cell
        gpu, link = seen.first_gpu + row, seen.first_link + place
        if not 0 <= row < seen.gpus or not 0 <= place < seen.links:
            return
        if gpu < len(self.view.gpus) and link < len(self.view.gpus[gpu].links):
            self.view.gpu, self.view.link = gpu, link
            if event.chain == 2:
                await self.run_action("enter")
        self.request_draw()
