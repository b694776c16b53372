"""The table of nodes, by NVLink domain, and below it the worst links and the events of a domain."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import ClassVar, TypeAlias

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from nvltop.fleet import phrases
from nvltop.fleet.model import Domain, Node
from nvltop.tui.fleet import node_rows
from nvltop.tui.fleet.detail_page import GpusPage
from nvltop.tui.fleet.view_state import FleetViewState
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.row import Column, Row, TextRun, fit_text
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.list_tab import ListTab
from nvltop.tui.widgets.rows_widget import RowsWidget

Entry: TypeAlias = "Node | Domain"
MIN_NAME, MAX_NAME = 8, 26
"""Columns of the names of nodes."""
MIN_TABLE_LINES = 6
"""Lines that the table keeps, whatever there is to show below it."""


class NodesTab(ListTab[Entry]):
    """One row for each node, below the row of its domain; sorted by a column, one list of nodes."""

    TITLE = "Nodes"
    COLUMNS: ClassVar = node_rows.COLUMNS
    ASCENDING_COLUMNS = frozenset({"name", "links"})
    MIN_TAIL = node_rows.MIN_WORST
    DEFAULT_CSS = "NodesTab { layout: vertical; } NodesTab > #below { height: 0; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "enter", "GPUs of the node"),
        Binding("f5,t", "tree", "By domain, or one list"),
        Binding("D,delete", "retire", "Remove a silent node"),
    ]
    view: FleetViewState

    class Retired(Message):
        """A request to remove a silent node."""

        def __init__(self, node: str) -> None:
            super().__init__()
            self.node = node

    def __init__(self, view: FleetViewState, output: DirectOutput) -> None:
        super().__init__(view, output)
        self._below = RowsWidget(output, "below")
        self._below_lines = 0

    def compose(self) -> ComposeResult:
        """Stack the table, and worst links and events."""
        yield self._list
        yield self._below

    @property
    def columns(self) -> Sequence[Column]:
        """The columns; that of the names is as wide as the longest one, within limits."""
        longest = max((len(node.name) for node in self.view.fleet.nodes), default=0)
        width = max(MIN_NAME, min(MAX_NAME, longest))
        return [replace(c, width=width) if c.key == "name" else c for c in self.COLUMNS]

    def items(self) -> Sequence[Entry]:
        """Return the domains with their nodes, or the nodes alone if they are sorted by a column."""
        fleet = self.view.fleet
        if self.sort:
            return list(fleet.nodes)
        entries: list[Entry] = []
        for domain in fleet.domains:
            entries += [domain, *domain.nodes]
        return entries

    def set_order(self) -> None:
        """Filter and sort the rows; select at first a node, not the line of its domain."""
        first = self._key is None
        super().set_order()
        if first and isinstance(self.selected, Domain):
            self.move(1)

    def item_key(self, item: Entry) -> Hashable:
        """Return the identity of a row."""
        return isinstance(item, Domain), item.key

    def value(self, item: Entry, column: str) -> float | str:
        """Return the value by which a column sorts."""
        assert isinstance(item, Node)
        return node_rows.value(item, column, self.descending)

    def sort_columns(self) -> Sequence[tuple[str, str]]:
        """Return key and title of the columns to sort by."""
        return [*super().sort_columns(), ("worst", "WORST FINDING")]

    def cell(self, item: Entry, column: Column) -> TextRun:
        """Return text and role of a column."""
        if isinstance(item, Domain):
            return "", ""
        return node_rows.cell(item, column, self.view)

    def search_text(self, item: Entry) -> str:
        """Return the text that search and filter examine."""
        if isinstance(item, Domain):
            return phrases.domain_title(item).lower()
        return f"{item.name} {phrases.worst_text(item)} {' '.join(item.labels.values())}".lower()

    def line(self, item: Entry, columns: Sequence[Column], width: int) -> list[TextRun]:
        """Return the runs of a row."""
        if isinstance(item, Node):
            return super().line(item, columns, width)
        title = f"{phrases.domain_title(item)} · {phrases.domain_line(item, self.view.unit)}"
        return [(fit_text(title, width, self.view.glyphs), "caption")]

    def tail(self, item: Entry, width: int) -> list[TextRun]:
        """Return the worst finding and the sparklines."""
        assert isinstance(item, Node)
        return node_rows.tail(item, width, self.view)

    def tail_title(self) -> str:
        """Return the titles of worst finding and sparklines."""
        return node_rows.tail_title(self.tail_width, self.view)

    def empty(self) -> str:
        """Return why there are no nodes."""
        return self.view.why_empty or "no node is listed"

    def draw(self) -> None:
        """Draw the table, and what is below it."""
        height, width = self.size.height, self.size.width
        domain = self._domain()
        room = min(height // 2 if height >= 24 else height // 3, height - MIN_TABLE_LINES)
        lines = max(0, min(node_rows.needed(self.view, domain), room))
        lines = lines if lines > 1 else 0
        if lines != self._below_lines:
            self._below_lines = lines
            self._below.styles.height = lines
            self.call_after_refresh(self.request_draw)
        super().draw()
        rows: list[Row] = node_rows.below(self.view, domain, width, lines) if lines else []
        self._below.show(rows)

    def _domain(self) -> str:
        """Return the key of the domain of the selected row."""
        item = self.selected
        if item is None:
            domains = self.view.fleet.domains
            return domains[0].key if domains else ""
        return item.key if isinstance(item, Domain) else item.domain

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of the tab."""
        item = self.selected
        tree = FunctionKey("F5", "List" if not self.sort else "Domain", "tree")
        more = (FunctionKey("D", "Remove", "retire"),) if isinstance(item, Node) and item.silent else ()
        return (FunctionKey("Ent", "GPUs", "enter"), *super().keys(), tree, *more)

    def status(self) -> str:
        """Return the labels of the selected node, or why it has no values."""
        item = self.selected
        if not isinstance(item, Node):
            return ""
        if item.silent:
            return f"{item.name}: {item.silent.reason}"
        return " ".join(f"{name}={value}" for name, value in item.labels.items() if name != "job")

    def action_tree(self) -> None:
        """Switch between the nodes by domain and one list."""
        self.sort = "" if self.sort else "name"
        self.descending = False
        self.order_changed()

    def action_enter(self) -> None:
        """Show the GPUs of the selected node."""
        if isinstance(item := self.selected, Node):
            self.open_page(GpusPage(self.view, self.output, item.key))
        else:
            self.refuse(self.empty() if item is None else "this is a domain: select one of its nodes")

    def action_retire(self) -> None:
        """Remove the selected node if it is silent."""
        if isinstance(item := self.selected, Node) and item.silent:
            self.post_message(self.Retired(item.key))
        else:
            self.refuse(self.view.why_empty or "only a silent node can be removed")
