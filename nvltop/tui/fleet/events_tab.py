"""The tabs of the worst links, and of findings and Xids in order of time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from nvltop.fleet import phrases
from nvltop.fleet.model import WorstLink
from nvltop.fleet.queries import duration
from nvltop.fleet.text import link_text
from nvltop.formatting import count
from nvltop.model import known
from nvltop.tui.fleet.detail_page import GpusPage, LinksPage
from nvltop.tui.fleet.view_state import FleetViewState
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.header import SEVERITY_ROLES
from nvltop.tui.render.row import Column, TextRun, displayable, fit_text
from nvltop.tui.widgets.list_tab import ListTab

OPEN_KEY = FunctionKey("Ent", "Open", "enter")


class WorstLinksTab(ListTab[WorstLink]):
    """Links with errors or findings, the worst first."""

    TITLE = "Links"
    COLUMNS: ClassVar = (
        Column("name", "NODE", 16, 0, left=True),
        Column("gpu", "GPU", 4, 0),
        Column("link", "LINK", 4, 0),
        Column("errors", "ERR", 6, 0),
    )
    ASCENDING_COLUMNS = frozenset({"name", "gpu", "link"})
    MIN_TAIL = 24
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "enter", "Links of the GPU")]
    view: FleetViewState

    def items(self) -> Sequence[WorstLink]:
        """Return the links."""
        return self.view.fleet.worst_links

    def item_key(self, item: WorstLink) -> Hashable:
        """Return the identity of a link."""
        return item.node, item.gpu, item.link

    def value(self, item: WorstLink, column: str) -> float | str:
        """Return the value by which a column sorts."""
        if column == "errors":
            return float(item.errors) if known(item.errors) else -1.0
        text = {"name": self.view.name(item.node), "gpu": item.gpu, "link": item.link}[column]
        return text.rjust(8) if column != "name" else text

    def cell(self, item: WorstLink, column: Column) -> TextRun:
        """Return text and role of a column."""
        name = displayable(self.view.name(item.node), self.view.glyphs)
        texts = {"name": name, "gpu": item.gpu, "link": item.link, "errors": count(item.errors, 0)}
        rose = column.key == "errors" and known(item.errors) and item.errors > 0
        return texts[column.key], "error" if rose else "value" if column.key == "name" else ""

    def tail(self, item: WorstLink, width: int) -> list[TextRun]:
        """Return errors and findings in words."""
        role = SEVERITY_ROLES[item.findings[0].severity] if item.findings else ""
        return [(fit_text(link_text(item), width, self.view.glyphs), role)]

    def tail_title(self) -> str:
        """Return what the words are about."""
        window_s = self.view.fleet.errors_window_s
        return f"ERRORS OF {duration(window_s)}, FINDINGS" if window_s else "ERRORS, FINDINGS"

    def empty(self) -> str:
        """Return why there are no links."""
        fleet = self.view.fleet
        if why := self.view.why_empty:
            return why
        if fleet.source != "nvltop":
            return "dcgm-exporter does not report links"
        unknown = sum(bool(node.errors.unknown) for node in fleet.nodes)
        window = duration(fleet.errors_window_s)
        more = f"; unknown on {unknown} of {len(fleet.nodes)} nodes" if unknown else ""
        return f"no link with errors in the last {window} or with a finding{more}"

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of the tab."""
        return (OPEN_KEY, *super().keys())

    def action_enter(self) -> None:
        """Show the links of the GPU."""
        if item := self.selected:
            self.open_page(LinksPage(self.view, self.output, item.node, item.gpu, item.link))
        else:
            self.refuse(self.empty())


class EventsTab(ListTab[phrases.EventLine]):
    """Findings and Xids of the last hour, the first first; echoes share a row behind their cause."""

    TITLE = "Events"
    COLUMNS: ClassVar = (
        Column("time", "BEGAN", 9, 0),
        Column("role", "ROLE", 8, 0, left=True),
        Column("where", "WHERE", 26, 0, left=True),
        Column("severity", "SEVERITY", 8, 1, left=True),
    )
    ASCENDING_COLUMNS = frozenset({"time", "role", "where"})
    MIN_TAIL = 24
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "enter", "GPUs of the node")]
    view: FleetViewState

    def items(self) -> Sequence[phrases.EventLine]:
        """Return the events."""
        return phrases.event_lines(self.view.fleet)

    def item_key(self, item: phrases.EventLine) -> Hashable:
        """Return the identity of an event."""
        return item.first_s, item.where, item.text.partition(" within")[0]

    def value(self, item: phrases.EventLine, column: str) -> float | str:
        """Return the value by which a column sorts."""
        if column == "time":
            return item.first_s or 0.0
        if column == "severity":
            return item.severity.rank
        return item.role if column == "role" else item.where

    def cell(self, item: phrases.EventLine, column: Column) -> TextRun:
        """Return text and role of a column."""
        if column.key == "severity":
            return item.severity.value, SEVERITY_ROLES[item.severity]
        where = displayable(item.where, self.view.glyphs)
        texts = {"time": phrases.event_time(item), "role": item.role, "where": where}
        return texts[column.key], {"role": "bold", "where": "value"}.get(column.key, "")

    def tail(self, item: phrases.EventLine, width: int) -> list[TextRun]:
        """Return what happened."""
        role = "dim" if item.role == "follows" or not item.active else SEVERITY_ROLES[item.severity]
        text = item.text + ("" if item.active else " · ended")
        return [(fit_text(text, width, self.view.glyphs), role)]

    def tail_title(self) -> str:
        """Return what the words are about."""
        return "FINDING OR XID"

    def empty(self) -> str:
        """Return why there are no events."""
        if why := self.view.why_empty:
            return why
        if self.view.fleet.source != "nvltop":
            return "dcgm-exporter does not report when a fault began"
        return "no finding and no Xid in the last hour"

    def search_text(self, item: phrases.EventLine) -> str:
        """Return the text that search and filter examine."""
        return f"{item.where} {item.text} {item.severity.value} {item.role}".lower()

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of the tab."""
        return (OPEN_KEY, *super().keys())

    def action_enter(self) -> None:
        """Show the GPUs of the node."""
        if (item := self.selected) and item.node:
            self.open_page(GpusPage(self.view, self.output, item.node))
        else:
            self.refuse("this event is of several nodes" if item else self.empty())
