"""The tab Main: GPUs, matrix, and the links of the selected GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Size
from textual.message import Message

from nvltop.memo import MemoTable
from nvltop.tui.dialogs.link_page import LinkPage
from nvltop.tui.dialogs.pair_page import PairPage
from nvltop.tui.render import gpu_order
from nvltop.tui.render.bars import FILTER_KEY, SEARCH_KEY, SORT_KEY, FunctionKey
from nvltop.tui.render.row import Row
from nvltop.tui.render.scroll import first_shown
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.main import gpus, links, matrix, nics
from nvltop.tui.tabs.main.layout import MIN_LINKS_COLUMNS, MainLayout, layout
from nvltop.tui.tabs.main.status import status
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.searchable_tab import ListOrder, SearchableTab


class MainTab(SearchableTab):
    """GPUs above; matrix and links below, side by side where there is room."""

    DEFAULT_CSS = "MainTab { layout: vertical; #lower { height: 1fr; } }"
    TITLE = "Main"
    ASCENDING_COLUMNS = gpu_order.ASCENDING_FIRST
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5,t", "swap", "Matrix, links or NICs"),
        Binding("enter", "enter", "Links of the selected GPU, then the page of a link"),
        Binding("escape", "back", "Back to the GPUs"),
        Binding("m", "matrix", "Into the matrix, from cell to cell"),
        Binding("e", "estimate", "Matrix: estimate what pairs send through NVSwitches, or not"),
        Binding("left", "across(-1)", "Matrix: cell before"),
        Binding("right", "across(1)", "Matrix: next cell"),
        Binding("right_square_bracket", "nics(1)", "NICs: next page"),
        Binding("left_square_bracket", "nics(-1)", "NICs: previous page"),
    ]

    class OrderChanged(Message):
        """Message: filter or order has changed, so that the GPUs must be listed again."""

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__(view, output)
        self._gpus = RowsWidget(output, "gpus")
        self._matrix = RowsWidget(output, "matrix")
        self._links = RowsWidget(output, "links")
        self._nics = RowsWidget(output, "nics")
        self._nics_below = RowsWidget(output, "below")
        """The NICs, when they are shown instead of matrix and links."""
        self._layout: MainLayout | None = None
        self._first_gpu = 0
        self._first_link = 0
        self._first_row = 0
        self._memo = MemoTable()
        """Rows of the parts that rarely change."""

    def compose(self) -> ComposeResult:
        """Stack the parts."""
        yield self._gpus
        yield self._nics
        with Horizontal(id="lower"):
            yield self._matrix
            yield self._links
            yield self._nics_below

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of the tab; F5 names the pane that it would show next, if one is hidden."""
        following = self._next_pane()
        swap = () if following is None else (FunctionKey("F5", following, "swap"),)
        return (SEARCH_KEY, FILTER_KEY, *swap, SORT_KEY)

    def _next_pane(self) -> str | None:
        """Return the name of the pane that F5 would show next."""
        shown, view = self._layout, self.view
        nics = shown is not None and 0 < len(view.frame.nics) >= shown.nic_lines
        both = shown is not None and shown.both
        if both and not nics:
            return None
        if view.show_nics and nics:
            return "Matrix"
        return "NICs" if nics and (both or view.show_links) else "Matrix" if view.show_links else "Links"

    def status(self) -> str:
        """Return the reasons for unknown values of the selected GPU or link."""
        return status(self.view)

    def invalidate(self) -> None:
        """Discard the cached rows of matrix and NICs."""
        self._memo = MemoTable()

    def draw(self) -> None:
        """Draw the visible panes."""
        view = self.view
        if self._apply_layout():
            # The widgets get their new sizes first.
            self.call_after_refresh(self.request_draw)
            return
        at = self._gpus.size
        self._first_gpu = first_shown(self._first_gpu, view.gpu, len(view.gpus), at.height - 1)
        self._gpus.show(gpus.table(view, at.width, at.height, self._first_gpu))
        if self._matrix.display:
            at = self._matrix.size
            self._first_row = max(0, min(view.gpu, len(view.gpus) - at.height + 1))
            self._matrix.show(self._matrix_rows(at))
        if self._links.display:
            at = self._links.size
            count = len(view.selected.links) if view.selected else 0
            self._first_link = first_shown(self._first_link, view.link, count, at.height - 2)
            self._links.show(links.rows(view, at.width, at.height, self._first_link))
        for lines in (self._nics, self._nics_below):
            if lines.display:
                lines.show(self._nic_rows(lines.size))

    def _matrix_rows(self, at: Size) -> list[Row]:
        view, first = self.view, self._first_row
        m = view.frame.matrix
        selected = view.selected and view.selected.gpu.uuid
        # An estimate is of the newest readings.
        estimated = view.frame.tick.mono_s if view.estimate else None
        key = (
            (m.labels, m.cells, m.p2p_nvlink, view.frame.findings),
            (at, first, selected, view.column, estimated, view.unit, view.glyphs),
        )
        return self._memo.get("matrix", key, lambda: matrix.rows(view, at.width, at.height, first))

    def _nic_rows(self, at: Size) -> list[Row]:
        view = self.view
        # Numbers and sparklines change together once a second, the interval at which NICs are read.
        states = tuple((f.nic.device, f.port.state, f.stale) for f in view.frame.nics)
        key = (
            (states, view.history, view.history.bucket),
            (at, nics.nearest_port(view), view.nic_page, view.unit, view.glyphs),
        )
        return self._memo.get("nics", key, lambda: nics.table(view, at.width, at.height))

    def _apply_layout(self) -> bool:
        """Apply the layout; return whether it has changed."""
        view = self.view
        new = layout(
            *self.size,
            len(view.gpus),
            matrix.width(view, self.size.width - MIN_LINKS_COLUMNS),
            view.show_links,
            len(view.frame.nics),
            view.show_nics,
        )
        if new == self._layout:
            return False
        self._layout = new
        self._gpus.styles.height = new.gpu_lines
        self._matrix.display = new.matrix
        self._links.display = new.links
        self._nics.display = new.nic_lines > 0
        self._nics.styles.height = new.nic_lines
        self._nics_below.display = new.nics_below
        self._matrix.styles.width = new.matrix_columns or "1fr"
        return True

    def action_swap(self) -> None:
        """Show the links instead of the matrix, then the NICs, then the matrix again."""
        view = self.view
        following = self._next_pane()
        view.show_nics = following == "NICs"
        view.show_links = following == "Links"
        view.links_focused = view.links_focused and view.show_links
        self.request_draw()

    def action_enter(self) -> None:
        """Focus the links of the selected GPU, or open the selected link or pair."""
        view = self.view
        if view.column is not None:
            # Only pairs of GPUs have a page; NVLink does not connect NICs.
            if view.column < len(view.frame.gpus):
                self.open_page(PairPage(view, self.output, self._matrix_row(), view.column))
            return
        if view.links_focused and view.selected and view.selected.links:
            link = view.selected.links[view.link]
            self.open_page(LinkPage(view, self.output, view.selected.gpu.uuid, link.index))
            return
        view.focus_links(True)
        self.request_draw()

    @property
    def order(self) -> ListOrder:
        """The filter and the order of the GPUs, which other tabs share."""
        return self.view

    def sort_columns(self) -> Sequence[tuple[str, str]]:
        """Return key and title of the columns to sort by."""
        return gpu_order.SORT_COLUMNS

    def order_changed(self) -> None:
        """Request that the GPUs are listed again."""
        self.post_message(self.OrderChanged())

    def search(self, text: str) -> None:
        """Select the next GPU whose number, name, bus id or UUID contains a text."""
        view = self.view
        for step in range(len(view.gpus)):
            place = (view.gpu + step) % len(view.gpus)
            if text and text.lower() in gpu_order.search_text(view.gpus[place]):
                view.gpu = place
                break
        self.request_draw()

    def action_matrix(self) -> None:
        """Move the focus to the matrix, or back to the GPUs."""
        view = self.view
        view.focus_links(False)
        view.column = self._matrix_row() if view.column is None and view.gpus else None
        self.request_draw()

    def action_estimate(self) -> None:
        """Switch between estimates and the number of links in the matrix."""
        self.view.estimate = not self.view.estimate
        self.request_draw()

    def _matrix_row(self) -> int:
        """Return the row of the selected GPU in the matrix, which always has all GPUs."""
        chosen = self.view.selected
        uuids = [g.gpu.uuid for g in self.view.frame.gpus]
        return uuids.index(chosen.gpu.uuid) if chosen and chosen.gpu.uuid in uuids else 0

    def action_across(self, by: int) -> None:
        """Move to another cell of the row."""
        view = self.view
        if view.column is not None:
            view.column = max(0, min(view.column + by, len(view.frame.matrix.labels) - 1))
            self.request_draw()

    def action_nics(self, by: int) -> None:
        """Show the next or previous page of NICs."""
        lines = self._nics_below if self._nics_below.display else self._nics
        if lines.display:
            self._turn_nics(by, lines.size.height)

    def _turn_nics(self, by: int, height: int) -> None:
        """Turn the page of the NICs, within the first and the last page."""
        view = self.view
        before, view.nic_page = view.nic_page, view.nic_page + by
        moved = nics.first_port(view, height)
        view.nic_page = before
        if nics.first_port(view, height) != moved:
            view.nic_page += by
        self.request_draw()

    def action_back(self) -> None:
        """Go back to the GPUs."""
        self.view.column = None
        self.view.focus_links(False)
        self.request_draw()

    def move(self, by: int) -> None:
        """Move the selection of the list that has the focus."""
        self.view.move(by, self.view.links_focused)

    def page_lines(self) -> int:
        """Return the number of visible rows of the list that has the focus."""
        return (self._links if self.view.links_focused else self._gpus).size.height - 1

    def on_click(self, event: events.Click) -> None:
        """Select what is clicked; a double click on a GPU focuses its links."""
        x, y = event.screen_offset
        view = self.view
        if self._gpus.region.contains(x, y):
            row = self._first_gpu + y - self._gpus.region.y - 1
            if y == self._gpus.region.y:
                self.sort_by(gpus.column_at(view, x - self._gpus.region.x, self._gpus.size.width))
            elif self._first_gpu <= row < len(view.gpus):
                view.gpu, view.links_focused = row, False
                if event.chain == 2:
                    view.focus_links(True)
        elif self._matrix.display and self._matrix.region.contains(x, y):
            first = matrix.VisibleColumns.of(view, self._matrix.size.width).first
            at = x - self._matrix.region.x, y - self._matrix.region.y
            cell = matrix.cell_at(*at, self._first_row, first)
            if cell and max(cell) < len(view.frame.gpus):
                self.open_page(PairPage(view, self.output, *cell))
        elif self._links.region.contains(x, y) and view.selected:
            row = self._first_link + y - self._links.region.y - 1
            if self._first_link <= row < len(view.selected.links):
                view.link, view.links_focused = row, True
        self.request_draw()

    def wheel(self, event: events.MouseEvent, by: int) -> None:
        """Move in the list under the mouse."""
        for lines in (self._nics, self._nics_below):
            if lines.display and lines.region.contains(*event.screen_offset):
                self._turn_nics(by, lines.size.height)
                return
        self.view.move(by, self._links.display and self._links.region.contains(*event.screen_offset))
        self.request_draw()
