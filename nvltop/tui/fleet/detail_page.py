"""Pages over the tabs: the GPUs of a node, and the links of a GPU, with their history."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.fleet import phrases
from nvltop.fleet.model import Detail, GpuRow, LinkRow
from nvltop.formatting import age
from nvltop.model import Maybe, known
from nvltop.tui.fleet import detail_rows
from nvltop.tui.fleet.node_rows import sparkline, worst
from nvltop.tui.fleet.view_state import FleetViewState
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.row import Column, TextRun, fit
from nvltop.tui.render.sparklines import spark_title
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.list_tab import ListTab
from nvltop.tui.widgets.rows_widget import RowsWidget

R = TypeVar("R", GpuRow, LinkRow)
MIN_SPARK = 8
MAX_SPARK = 60
MIN_CHART_LINES = 4
MAX_CHART_LINES = 30


class DetailPage(ListTab[R]):
    """A list of GPUs or links, and the charts of the selected one."""

    DEFAULT_CSS = """
    DetailPage { layout: vertical; }
    DetailPage > #place { height: 1; }
    DetailPage > #charts { height: 0; }
    """
    ASCENDING_COLUMNS = frozenset({"gpu", "link", "state", "links"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "close", "Back"),
        Binding("enter", "enter", "Links of the GPU"),
    ]
    view: FleetViewState

    def __init__(
        self, view: FleetViewState, output: DirectOutput, node: str, gpu: str = "", first: str = ""
    ) -> None:
        """Show the GPUs of a node, or the links of its GPU `gpu`; select number `first`, if it is given."""
        super().__init__(view, output)
        self.node, self.gpu = node, gpu
        self._first_selected = first
        self._place = RowsWidget(output, "place")
        self._charts = RowsWidget(output, "charts")
        self._chart_lines = 0

    def compose(self) -> ComposeResult:
        """Stack title, list and charts."""
        yield self._place
        yield self._list
        yield self._charts

    @property
    def detail(self) -> Detail | None:
        """What was read for this page; None before that."""
        detail = self.view.detail
        return detail if detail and (detail.node, detail.gpu) == (self.node, self.gpu) else None

    def set_order(self) -> None:
        """Filter and sort the items; select at first the one that the page was opened for."""
        super().set_order()
        names = [self.name_of(item) for item in self._items]
        if self._first_selected in names:
            self.move(names.index(self._first_selected) - self._selected)
            self._first_selected = ""

    def cell(self, item: R, column: Column) -> TextRun:
        """Return text and role of a column."""
        return detail_rows.cell(item, column, self.view)

    def value(self, item: R, column: str) -> float | str:
        """Return the value by which a column sorts."""
        return detail_rows.value(item, column, self.descending)

    def name_of(self, item: R) -> str:
        """Return the number of a GPU or link."""
        raise NotImplementedError

    def title(self) -> str:
        """Return the name of what is listed."""
        raise NotImplementedError

    def item_key(self, item: R) -> Hashable:
        """Return the number of a GPU or link."""
        return self.name_of(item)

    def empty(self) -> str:
        """Return why nothing is listed."""
        detail = self.detail
        return detail.problem or "nothing" if detail else "reading ..."

    def tail(self, item: R, width: int) -> list[TextRun]:
        """Return the sparklines of TX and RX, if there is room."""
        spark = min(MAX_SPARK, (width - 1) // 2)
        if spark < MIN_SPARK or self.detail is None:
            return []
        runs: list[TextRun] = []
        for direction in ("tx", "rx"):
            values = self.detail.histories.get((self.name_of(item), direction), ())
            runs += [(sparkline(values, item.speed, spark, self.view.glyphs), direction), (" ", "")]
        return runs

    def tail_title(self) -> str:
        """Return the titles of the sparklines."""
        spark = min(MAX_SPARK, (self.tail_width - 1) // 2)
        if spark < MIN_SPARK or self.detail is None:
            return ""
        step_s = self.detail.history_step_s
        titles = [spark_title(way, spark, step_s) if step_s else way.ljust(spark) for way in ("TX", "RX")]
        return " ".join(titles)

    def draw(self) -> None:
        """Draw title, list and charts."""
        width, height = self.size.width, self.size.height
        rows = len(self.items())
        lines = max(0, min(MAX_CHART_LINES, height - 2 - min(rows, max(4, height // 2))))
        lines = lines - lines % 2 if lines >= MIN_CHART_LINES else 0
        if lines != self._chart_lines:
            self._chart_lines = lines
            self._charts.styles.height = lines
            self.call_after_refresh(self.request_draw)
        self._place.show([fit([(self.title(), "title")], width, "title")])
        super().draw()
        if lines and (item := self.selected) is not None:
            head = f"{self.title().partition(':')[0]} {self.kind} {self.name_of(item)}"
            self._charts.show(
                detail_rows.charts(self.view, self.name_of(item), head, _speed(item), width, lines)
            )
        else:
            self._charts.show([])

    kind = "GPU"
    """What a row is."""

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of the page."""
        return (FunctionKey("Esc", "Back", "close"), *super().keys())

    def status(self) -> str:
        """Return the age of what is listed."""
        detail = self.detail
        if detail is None or not detail.time_s:
            return ""
        return detail.problem or f"of {phrases.clock(detail.time_s)}"

    def action_enter(self) -> None:
        """Show that links have no page of their own."""
        self.refuse("a link has no page here: run nvltop on the node for its counters")


class GpusPage(DetailPage[GpuRow]):
    """The GPUs of a node."""

    COLUMNS: ClassVar = detail_rows.GPU_COLUMNS

    @property
    def columns(self) -> Sequence[Column]:
        """The columns; that of both directions together only where it is the only one."""
        both = any(known(item.combined) for item in self.items())
        return [column for column in self.COLUMNS if both or column.key != "both"]

    def items(self) -> Sequence[GpuRow]:
        """Return the GPUs."""
        return self.detail.gpus if self.detail else ()

    def name_of(self, item: GpuRow) -> str:
        """Return the number of a GPU."""
        return item.gpu

    def title(self) -> str:
        """Return the name of the node, its worst finding and the age of its values."""
        node = self.view.node(self.node)
        if node is None:
            return f"{self.node}: no longer listed"
        aged = f"values {age(node.age_s)} old" if known(node.age_s) else ""
        text, _ = worst(node)
        return f"{node.name}: {' · '.join(part for part in (text, aged) if part)}"

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of the page."""
        return (FunctionKey("Ent", "Links", "enter"), *super().keys())

    def action_enter(self) -> None:
        """Show the links of the selected GPU."""
        if item := self.selected:
            self.open_page(LinksPage(self.view, self.output, self.node, item.gpu))
        else:
            self.refuse(self.empty())


class LinksPage(DetailPage[LinkRow]):
    """The links of a GPU."""

    COLUMNS: ClassVar = detail_rows.LINK_COLUMNS
    kind = "link"

    def items(self) -> Sequence[LinkRow]:
        """Return the links."""
        return self.detail.links if self.detail else ()

    def name_of(self, item: LinkRow) -> str:
        """Return the number of a link."""
        return item.link

    def title(self) -> str:
        """Return the name of the GPU, and its findings."""
        node = self.view.node(self.node)
        its = [f for f in node.findings if f.gpu == self.gpu] if node else []
        found = ", ".join(f"{phrases.described(f)}{f' link {f.link}' if f.link else ''}" for f in its[:3])
        return f"{self.view.name(self.node)} GPU {self.gpu}: {found or 'its links'}"

    def action_close(self) -> None:
        """Go back to the GPUs of the node."""
        self.open_page(GpusPage(self.view, self.output, self.node, first=self.gpu))


def _speed(item: GpuRow | LinkRow) -> Maybe[float]:
    return item.speed
