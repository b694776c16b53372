"""The page of one port of a NIC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.tui import keys
from nvltop.tui.dialogs import nic_rows
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab


class NicPage(Tab):
    """The page of one port of a NIC: state, traffic, counters and findings."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,backspace", "close", "Back")]

    def __init__(self, view: ViewState, output: DirectOutput, device: str, port: int) -> None:
        super().__init__(view, output)
        self._page = RowsWidget(output, "nic-page")
        self._device, self._port = device, port
        self._top = 0

    def compose(self) -> ComposeResult:
        """Show the page."""
        yield self._page

    def draw(self) -> None:
        """Draw the current state of the port."""
        at = self._page.size
        self._page.show(nic_rows.rows(self.view, self._device, self._port, at.width, at.height, self._top))

    def keys(self) -> Sequence[FunctionKey]:
        """Return the key that closes the page."""
        return (keys.BACK.on_bar(),)

    def move(self, by: int) -> None:
        """Scroll the counters."""
        f = nic_rows.find(self.view, self._device, self._port)
        lines = len(nic_rows.counters(f)) if f else 0
        self._top = max(0, min(self._top + by, lines - 1))
