"""The page of one GPU, over the tab that it was opened from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.tui.dialogs import gpu_rows
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab


class GpuPage(Tab):
    """The page of one GPU: identity, links, clocks, findings and events."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,backspace", "close", "Back"),
        Binding("left", "beside(-1)", "GPU before"),
        Binding("right", "beside(1)", "Next GPU"),
    ]

    def __init__(self, view: ViewState, output: DirectOutput, uuid: str) -> None:
        super().__init__(view, output)
        self._page = RowsWidget(output, "gpu-page")
        self._uuid = uuid
        self._top = 0

    def compose(self) -> ComposeResult:
        """Show the page."""
        yield self._page

    def draw(self) -> None:
        """Draw the current state of the GPU."""
        at = self._page.size
        self._page.show(gpu_rows.rows(self.view, self._uuid, at.width, at.height, self._top))

    def keys(self) -> Sequence[FunctionKey]:
        """Return the key that closes the page."""
        return (FunctionKey("Esc", "Back", "close"),)

    def move(self, by: int) -> None:
        """Scroll the page."""
        g = next((g for g in self.view.frame.gpus if g.gpu.uuid == self._uuid), None)
        lines = len(gpu_rows.lines(self.view, g)) if g else 0
        self._top = max(0, min(self._top + by, lines - 1))

    def action_beside(self, by: int) -> None:
        """Show the previous or next GPU."""
        uuids = [g.gpu.uuid for g in self.view.frame.gpus]
        if self._uuid in uuids:
            self._uuid = uuids[(uuids.index(self._uuid) + by) % len(uuids)]
            self.request_draw()
