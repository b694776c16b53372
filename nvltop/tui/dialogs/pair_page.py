"""The page of one pair of GPUs, a cell of the matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.tui import keys
from nvltop.tui.dialogs import pair_rows
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab


class PairPage(Tab):
    """The page of one pair of GPUs: how one reaches the other, and the links between them."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,backspace", "close", "Back")]

    def __init__(self, view: ViewState, output: DirectOutput, row: int, column: int) -> None:
        super().__init__(view, output)
        self._page = RowsWidget(output, "pair-page")
        self._row, self._column = row, column
        self._top = 0

    def compose(self) -> ComposeResult:
        """Show the page."""
        yield self._page

    def draw(self) -> None:
        """Draw the current state of the pair."""
        at = self._page.size
        self._page.show(pair_rows.rows(self.view, self._row, self._column, at.width, at.height, self._top))

    def keys(self) -> Sequence[FunctionKey]:
        """Return the key that closes the page."""
        return (keys.BACK.on_bar(),)

    def move(self, by: int) -> None:
        """Scroll the links."""
        gpus = self.view.frame.gpus
        if max(self._row, self._column) < len(gpus):
            count = len(pair_rows.links_between(gpus[self._row], gpus[self._column]))
            self._top = max(0, min(self._top + by, count - 1))
