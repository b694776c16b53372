"""The tab Main: GPUs, their connections, jobs and findings, matrix, links, NICs and a chart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.analysis.nics import NIC_INTERVAL_S
from nvltop.memo import MemoTable
from nvltop.tui import keys
from nvltop.tui.dialogs import pages
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render import gpu_order
from nvltop.tui.render.row import BLANK, Row
from nvltop.tui.render.scroll import first_shown
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.main import chart, gpus, links, matrix, nics, notes, panes, topology
from nvltop.tui.tabs.main.layout import Content, MainLayout, Panel, layout
from nvltop.tui.tabs.main.status import status
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.searchable_tab import ListOrder, SearchableTab

IDS: Final = {"chart": "node-chart"}
"""Ids of widgets that differ from the names of their panels, because another tab uses them."""


class MainTab(SearchableTab):
    """Panels whose places `layout` decides; each shows rows of a pure function."""

    DEFAULT_CSS = "MainTab RowsWidget { position: absolute; display: none; }"
    TITLE = "Main"
    ASCENDING_COLUMNS = gpu_order.ASCENDING_FIRST
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5,t", "swap", "Matrix, chart, links or NICs"),
        Binding("enter", "enter", "Links of the selected GPU, then the page of a link"),
        Binding("escape", "back", "Back to the GPUs"),
        Binding("m", "focus('matrix')", "Into the matrix, from cell to cell"),
        Binding("i", "focus('nics')", "Into the NICs"),
        Binding("x", "content", "Matrix: links, TX, % of NCCL max, P2P, errors"),
        Binding("e", "estimate", "Matrix: traffic of pairs, or links"),
        Binding("left", "across(-1)", "Matrix: cell before"),
        Binding("right", "across(1)", "Matrix: next cell"),
        Binding("right_square_bracket", "nics(1)", "NICs: next page"),
        Binding("left_square_bracket", "nics(-1)", "NICs: previous page"),
    ]

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__(view, output)
        self._drawers: dict[str, Callable[[Panel], Sequence[Row]]] = {
            "gpus": self._gpu_rows,
            "topology": lambda at: topology.rows(view, at.width),
            "notes": lambda at: notes.rows(view, at.width, at.height),
            "matrix": self._matrix_rows,
            "links": self._link_rows,
            "nics": self._nic_rows,
            "chart": lambda at: chart.rows(view, at.width, at.height),
        }
        self._widgets = {name: RowsWidget(output, IDS.get(name, name)) for name in self._drawers}
        self._content = Content(1)
        self._layout = MainLayout((), ())
        self._first_gpu = self._first_link = self._first_nic = 0
        self._first_row = self._first_column = 0
        """Row and column of the first visible cell of the matrix."""
        self._memo = MemoTable()
        """Rows of the parts that rarely change."""

    def compose(self) -> ComposeResult:
        """Create a widget for each panel."""
        yield from self._widgets.values()

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of the tab; F5 names the pane that it would show next, if one is hidden."""
        following = panes.next_pane(self.view, layout(*self.size, self._content))
        swap = () if following is None else (keys.SWAP.on_bar(panes.PANE_KEYS[following]),)
        return (keys.SEARCH.on_bar(), keys.FILTER.on_bar(), *swap, keys.SORT.on_bar())

    def status(self) -> str:
        """Return the reasons for unknown values of the selected GPU, link or NIC."""
        return status(self.view)

    def invalidate(self) -> None:
        """Discard the cached rows."""
        self._memo = MemoTable()

    def draw(self) -> None:
        """Draw the visible panels."""
        if self._apply_layout() and self.output.is_active:
            # Textual moves the widgets first. While it draws, it moves them and shows their rows at once.
            self.call_after_refresh(self.request_draw)
            return
        for panel in self._layout.panels:
            self._widgets[panel.name].show(self._drawers[panel.name](panel))

    def _gpu_rows(self, at: Panel) -> list[Row]:
        view = self.view
        self._first_gpu = first_shown(self._first_gpu, view.gpu, len(view.gpus), at.height - 1)
        return gpus.table(view, at.width, at.height, self._first_gpu)

    def _matrix_rows(self, at: Panel) -> list[Row]:
        view, m = self.view, self.view.frame.matrix
        top = first_shown(self._first_row, self._matrix_row(), matrix.labels(view), at.height - 1)
        first = matrix.VisibleColumns.of(view, at.width, self._first_column).first
        self._first_row, self._first_column = top, first
        selected = view.selected and view.selected.gpu.uuid
        changing = view.frame.sequence if view.matrix_content not in ("links", "p2p") else None
        key = (
            (m.labels, m.cells, m.p2p_nvlink, view.frame.inventory, view.finding_marks, changing),
            (at, top, first, selected, view.column, view.matrix_content, view.unit, view.glyphs),
        )
        return self._memo.get("matrix", key, lambda: matrix.rows(view, at.width, at.height, top, first))

    def _link_rows(self, at: Panel) -> list[Row]:
        view = self.view
        count = len(view.selected.links) if view.selected else 0
        self._first_link = first_shown(self._first_link, view.link, count, at.height - 2)
        return links.rows(view, at.width, at.height, self._first_link)

    def _nic_rows(self, at: Panel) -> list[Row]:
        view = self.view
        # Numbers and sparklines change together when the NICs have been read, and when a sparkline moves.
        states = tuple((f.nic.device, f.port.state, f.stale, f.span_s) for f in view.frame.nics)
        half_s = view.spark_shape(1, 0.0, NIC_INTERVAL_S).half_s
        history = view.history
        key = (
            (states, view.nic, history, history.generation, half_s),
            history.cell_at(history.now_s, 2 * half_s),
            (at, view.filter_text, nics.nearest_port(view), view.nic_page, view.unit, view.glyphs),
        )
        return self._memo.get("nics", key, lambda: self._make_nic_rows(at))

    def _make_nic_rows(self, at: Panel) -> list[Row]:
        self._first_nic = nics.first_port(self.view, at.height, self._first_nic)
        # A blank separates it from a panel at its right.
        gap = (BLANK,) if at.x + at.width < self.size.width else ()
        rows = nics.table(self.view, at.width - len(gap), at.height, self._first_nic)
        return [(*row, *gap) for row in rows]

    def _apply_layout(self) -> bool:
        """Apply the layout; return whether it has changed."""
        self._content = panes.measure(self.view, self.size.width)
        new = layout(*self.size, self._content, panes.chosen(self.view))
        if new == self._layout:
            return False
        self._layout = new
        for name, widget in self._widgets.items():
            panel = new.panel(name)
            widget.display = panel is not None
            if panel:
                widget.styles.offset = panel.x, panel.y
                widget.styles.width, widget.styles.height = panel.width, panel.height
        return True

    def action_swap(self) -> None:
        """Show the next pane that has no room in the original layout."""
        following = panes.next_pane(self.view, layout(*self.size, self._content))
        self.view.focus_list("gpus")
        self.view.pane = following or ""
        self.request_draw()

    def action_enter(self) -> None:
        """Focus the links of the selected GPU, or open the selected link, NIC or pair."""
        view = self.view
        if view.column is not None:
            # Only pairs of GPUs have a page; NVLink does not connect NICs.
            if view.column < len(view.frame.gpus):
                self.action_open_pair(self._matrix_row(), view.column)
        elif view.nic is not None:
            self._open_nic(view.nic)
        elif view.links_focused and view.selected and view.selected.links:
            link = view.selected.links[view.link]
            self.open_page(pages.link_page(view, self.output, view.selected.gpu.uuid, link.index))
        elif view.selected is None:
            self.refuse(view.why_no_gpu)
        else:
            view.focus_list("links")
            self.request_draw()

    def action_open_pair(self, row: int, column: int) -> None:
        """Open the page of a cell of the matrix, also of a GPU that the filter hides.

        That of the diagonal is the page of the GPU.
        """
        if row == column:
            self.open_page(pages.gpu_page(self.view, self.output, self.view.frame.gpus[row].gpu.uuid))
        else:
            self.open_page(pages.pair_page(self.view, self.output, row, column))

    def _open_nic(self, row: int) -> None:
        ports, _ = nics.fold(self.view.nics)
        if row < len(ports):
            its = ports[row]
            self.open_page(pages.nic_page(self.view, self.output, its.nic.device, its.port.port))

    @property
    def order(self) -> ListOrder:
        """The filter and the order of the GPUs, which other tabs share."""
        return self.view

    def sort_columns(self) -> Sequence[tuple[str, str]]:
        """Return key and title of the columns to sort by."""
        return gpu_order.SORT_COLUMNS

    def order_changed(self) -> None:
        """List the GPUs again."""
        self.view.list_gpus()
        self.request_draw()

    def listed_texts(self) -> Sequence[str]:
        """Return the text of each GPU, or of each NIC if they have the focus, that a search examines."""
        if self.view.nic is not None:
            return [gpu_order.nic_search_text(f) for f in nics.fold(self.view.nics)[0]]
        return [gpu_order.search_text(g) for g in self.view.gpus]

    def all_texts(self) -> Sequence[str]:
        """Return the text of each GPU and NIC that the filter examines."""
        frame = self.view.frame
        return [*map(gpu_order.search_text, frame.gpus), *map(gpu_order.nic_search_text, frame.nics)]

    def selected_row(self) -> int:
        """Return the position of the selected GPU or NIC in its list."""
        return self.view.gpu if self.view.nic is None else self.view.nic

    def select_row(self, row: int) -> None:
        """Select a listed GPU or NIC."""
        self.view.move(row - self.selected_row(), "gpus" if self.view.nic is None else "nics")

    def action_focus(self, where: str) -> None:
        """Move the focus to the matrix or the NICs, or back to the GPUs."""
        view = self.view
        if why := panes.why_not(self.view, where):
            self.refuse(why)
        view.focus_list("gpus" if why or view.focus == where else where)
        if view.column is not None:
            # A pair: the cell behind the diagonal, which is about one GPU.
            row = self._matrix_row()
            view.column = row + 1 if row + 1 < len(view.frame.gpus) else row - 1
        self.request_draw()

    def action_content(self) -> None:
        """Show the next kind of values in the matrix."""
        contents = list(matrix.CONTENTS)
        now = contents.index(self.view.matrix_content)
        self._show_content(contents[(now + 1) % len(contents)])

    def action_estimate(self) -> None:
        """Switch between the traffic of pairs and the number of links in the matrix."""
        self._show_content("links" if self.view.matrix_content == "tx" else "tx")

    def _show_content(self, content: str) -> None:
        self.view.matrix_content = content
        self.view.clamp()
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
            view.column = max(0, min(view.column + by, matrix.labels(view) - 1))
            self.request_draw()

    def action_nics(self, by: int) -> None:
        """Show the next or previous page of NICs, within the first and the last one."""
        if panel := self._layout.panel("nics"):
            view, before = self.view, self.view.nic_page
            view.nic_page = before + by
            moved = nics.first_port(view, panel.height)
            view.nic_page = before
            if nics.first_port(view, panel.height) != moved:
                view.nic_page += by
            self.request_draw()

    def action_back(self) -> None:
        """Go back to the GPUs; at the GPUs, clear the filter."""
        if self.view.focus == "gpus":
            self.action_clear_filter()
            return
        self.view.focus_list("gpus")
        self.request_draw()

    def move(self, by: int) -> None:
        """Move the selection of the list that has the focus."""
        self.view.move(by, self.view.focus)

    def page_lines(self) -> int:
        """Return the number of visible rows of the list that has the focus."""
        panel = self._layout.panel(self.view.focus) or self._layout.panel("gpus")
        return panel.height - 1 if panel else 1

    def _panel_at(self, x: int, y: int) -> Panel | None:
        """Return the panel at a position of the tab."""
        return next(
            (p for p in self._layout.panels if p.x <= x < p.x + p.width and p.y <= y < p.y + p.height), None
        )

    async def on_click(self, event: events.Click) -> None:
        """Select what is clicked; a double click opens it."""
        x, y = event.screen_offset - self.region.offset
        panel = self._panel_at(x, y)
        twice = event.chain == 2
        action = self._select_at(panel, x - panel.x, y - panel.y, twice=twice) if panel else ""
        if action and twice:
            await self.run_action(action)
        self.request_draw()

    def _select_at(self, panel: Panel, x: int, y: int, *, twice: bool) -> str:
        """Select what is at a position within a panel; return the action that opens it, or an empty text."""
        view = self.view
        if panel.name == "gpus":
            row = self._first_gpu + y - 1
            if y == 0:
                self.sort_by(gpus.column_at(view, x, panel.width))
            elif row < len(view.gpus):
                pane = view.pane
                view.focus_list("links" if twice else "gpus")
                # The pane that F5 shows stays while the user looks at one GPU after another.
                view.pane = view.pane or pane
                view.gpu = row
            return ""
        if panel.name == "matrix":
            cell = matrix.cell_at(view, x, y, self._first_row, self._first_column)
            # Only pairs of GPUs have a page; NVLink does not connect NICs.
            if cell and max(cell) < len(view.frame.gpus):
                self._select_cell(*cell)
                return f"open_pair{cell}"
        if panel.name == "links" and view.selected:
            row = self._first_link + y - 1
            if y and row < len(view.selected.links):
                view.focus_list("links")
                view.link = row
                return "enter"
        elif panel.name == "nics" and y:
            row = self._first_nic + y - 1
            if row < len(nics.fold(view.nics)[0]):
                view.focus_list("nics")
                view.nic = row
                return "enter"
        return ""

    def _select_cell(self, row: int, column: int) -> None:
        """Select a cell of the matrix, unless the filter hides the GPU of its row."""
        view = self.view
        listed = [g.gpu.uuid for g in view.gpus]
        if (uuid := view.frame.gpus[row].gpu.uuid) in listed:
            view.focus_list("matrix")
            view.gpu, view.column = listed.index(uuid), column

    def wheel(self, event: events.MouseEvent, by: int) -> None:
        """Move in the list under the mouse."""
        panel = self._panel_at(*(event.screen_offset - self.region.offset))
        name = panel.name if panel else "gpus"
        if panel and name == "nics" and self.view.nic is None:
            self.action_nics(by)
            return
        self.view.move(by, name if name in ("links", "nics") else "gpus")
        self.request_draw()
