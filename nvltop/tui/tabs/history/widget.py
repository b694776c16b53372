"""The tab History: TX and RX of the node, a GPU, a link, PCIe or a NIC over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.memo import Memo
from nvltop.tui import keys
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.row import Row
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.history import chart
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab

MIN_COLUMNS: Final = 20
MIN_LINES: Final = 6
"""Size below which no chart is drawn."""


class HistoryTab(Tab):
    """Two charts with a cursor, drawn at most once a second."""

    TITLE = "History"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "cursor(1)", "Cursor back in time"),
        Binding("right", "cursor(-1)", "Cursor on"),
        Binding("right_square_bracket", "span(1)", "Longer time"),
        Binding("left_square_bracket", "span(-1)", "Shorter time"),
        Binding("p", "pcie", "PCIe or NVLink"),
        Binding("l", "link", "The selected link, or the GPU as a whole"),
    ]

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__(view, output)
        self._chart = RowsWidget(output, "chart")
        self._wanted = chart.ChartRequest()
        self._row = 0
        """Index of what is shown: the node, then each GPU, then all NICs together and each of them."""
        self._rows = 1
        self._memo: Memo[list[Row]] = Memo()

    def compose(self) -> ComposeResult:
        """Show the charts."""
        yield self._chart

    def invalidate(self) -> None:
        """Discard the cached chart."""
        self._memo = Memo()

    def draw(self) -> None:
        """Draw the charts if a second has passed or the selection has changed."""
        view, at = self.view, self._chart.size
        gpus = [g.gpu.uuid for g in view.gpus]
        ports = [(f.nic.device, f.port.port) for f in view.frame.nics]
        rows: list[tuple[str | None, tuple[str, int] | None]] = [
            (None, None),
            *((uuid, None) for uuid in gpus),
        ]
        rows += [(None, port) for port in ([chart.ALL_NICS, *ports] if ports else [])]
        self._rows = len(rows)
        self._row = min(self._row, len(rows) - 1)
        uuid, nic = rows[self._row]
        self._wanted = replace(self._wanted, gpu=uuid, nic=nic)
        if at.width < MIN_COLUMNS or at.height < MIN_LINES:
            return
        wanted, history = self._wanted, view.history
        key = (wanted, at, history, history.bucket, len(rows), view.unit, view.glyphs)
        self._chart.show(self._memo.get(key, lambda: chart.rows(view, wanted, at.width, at.height)))

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys that change the chart."""
        return keys.SPAN_DOWN.on_bar(), keys.SPAN_UP.on_bar(), keys.PCIE.on_bar()

    def move(self, by: int) -> None:
        """Select the node, a GPU or a NIC."""
        self._row = max(0, min(self._row + by, self._rows - 1))
        self._wanted = replace(self._wanted, link=None)

    def action_cursor(self, by: int) -> None:
        """Move the cursor by one value."""
        self._wanted = replace(self._wanted, cursor=max(0, min(self._wanted.cursor + by, 298)))
        self.request_draw()

    def action_span(self, by: int) -> None:
        """Select a longer or shorter time span."""
        span = max(0, min(self._wanted.span + by, len(chart.TIME_SPANS) - 1))
        self._wanted = replace(self._wanted, span=span, cursor=0)
        self.request_draw()

    def action_pcie(self) -> None:
        """Switch between NVLink and PCIe."""
        self._wanted = replace(self._wanted, pcie=not self._wanted.pcie)
        self.request_draw()

    def action_link(self) -> None:
        """Switch between the GPU and its selected link."""
        view = self.view
        if self._wanted.link is None and view.selected and view.link < len(view.selected.links):
            self._row = view.gpu + 1
            self._wanted = replace(self._wanted, link=view.selected.links[view.link].index, pcie=False)
        else:
            self._wanted = replace(self._wanted, link=None)
        self.request_draw()

    def wheel(self, event: events.MouseEvent, by: int) -> None:
        """Change the time span."""
        self.action_span(by)
