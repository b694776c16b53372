"""The tab Events: what happened, in the order of time, and what it still means."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.model import TimelineEvent
from nvltop.report.timeline import event_details, event_place, event_span, event_time
from nvltop.tui import keys
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.row import Column, TextRun, displayable, shorten
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.events import rows
from nvltop.tui.widgets.details import Details
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.list_tab import ListTab

FIXED_WIDTH: Final = 39
"""Columns of all columns but EVENT and CAUSE."""
MIN_EVENT: Final = 20
"""Narrowest column EVENT."""
MIN_TAILED, TAIL = 46, 60
"""Columns of EVENT before there is room behind it, and columns behind a wider EVENT."""
BUS_ID: Final = re.compile(r" \([0-9a-fA-F]+:[0-9a-fA-F:.]+\)")
"""A PCI bus id behind the name of a device."""


class EventsTab(ListTab[TimelineEvent]):
    """What happened since the start, and in the logs before it; the newest first."""

    DEFAULT_CSS = "EventsTab { layout: vertical; }"
    TITLE = "Events"
    FIRST_SORT = "time"
    ASCENDING_COLUMNS = frozenset({"where", "what"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "enter", "Go to what the event is about"),
        Binding("right_square_bracket", "details(1)", "More lines of the text below the list"),
        Binding("left_square_bracket", "details(-1)", "Lines before"),
        Binding("a", "app.acknowledge", "Acknowledge the events: the header counts from now on"),
    ]

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__(view, output)
        self._details = Details(output, "event")

    def compose(self) -> ComposeResult:
        """Stack list and details."""
        yield from super().compose()
        yield self._details

    @property
    def columns(self) -> Sequence[Column]:
        """The columns; EVENT takes the room that the others leave."""
        room = self._list.size.width - FIXED_WIDTH
        return (
            Column("mark", "", 2, 0, left=True),
            Column("time", "TIME", 11, 0),
            Column("lasted", "LASTED", 6, 2),
            Column("where", "WHERE", 16, 0, left=True),
            Column("what", "EVENT", min(max(MIN_EVENT, room), max(MIN_TAILED, room - TAIL)), 0, left=True),
        )

    def sort_columns(self) -> Sequence[tuple[str, str]]:
        """Return key and title of the columns to sort by."""
        return [("time", "TIME"), ("mark", "SEVERITY"), ("where", "WHERE"), ("what", "EVENT")]

    def items(self) -> Sequence[TimelineEvent]:
        """Return the timeline."""
        return self.view.frame.timeline

    def item_key(self, item: TimelineEvent) -> Hashable:
        """Return what identifies an event while it lasts; a headline may change."""
        return item.kind, item.began_s, item.gpu, item.links, item.nic, item.rule or item.summary

    def value(self, item: TimelineEvent, column: str) -> float | str:
        """Return the value by which a column is sorted."""
        if column == "mark":
            return item.severity.rank
        if column in ("where", "what"):
            return event_place(self.view.frame, item) if column == "where" else item.summary
        return item.newest_s

    def cell(self, item: TimelineEvent, column: Column) -> TextRun:
        """Return the text of a cell."""
        frame, glyphs = self.view.frame, self.view.glyphs
        if column.key == "mark":
            return rows.mark(item)
        if column.key == "time":
            return event_time(item.began_s, frame.tick.wall_s), ""
        if column.key == "lasted":
            return event_span(item), "bold" if item.lasts else "dim"
        if column.key == "where":
            return displayable(event_place(frame, item), glyphs), "caption"
        return shorten(event_details(frame, item), column.width, glyphs), rows.role(item)

    def tail(self, item: TimelineEvent, width: int) -> list[TextRun]:
        """Return what the event follows from, and what to do."""
        # The column is narrow: the PCI bus id is in the details.
        text = f"follows from {BUS_ID.sub('', item.cause)}" if item.cause else item.next_step
        return [(shorten(text, max(0, width), self.view.glyphs), "dim")]

    def tail_title(self) -> str:
        """Return the title of the part behind EVENT."""
        return "CAUSE, OR WHAT TO DO"

    def empty(self) -> str:
        """Return the text for an empty list."""
        return "nothing has happened since nvltop started"

    def draw(self) -> None:
        """Draw the list, and the selected event below it."""
        super().draw()
        e, width = self.selected, self._details.size.width
        lines = rows.detail_lines(self.view.frame, e, width, self.view.glyphs) if e else ()
        self._details.show_lines(e and self.item_key(e), lines)

    def action_details(self, pages: int) -> None:
        """Show the next or previous lines of the text below the list."""
        self._details.turn(pages)

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of a list, and those of events."""
        return (
            keys.OPEN.on_bar("Go to"),
            *super().keys(),
            keys.ACKNOWLEDGE.on_bar(),
        )

    async def action_enter(self) -> None:
        """Go to what the selected event is about, and acknowledge the events."""
        item = self.selected
        if item is None:
            self.refuse("no event is selected")
            return
        await self.run_action("app.acknowledge")
        link = item.port if item.nic else item.links[0] if item.links else None
        self.host.show_subject(item.gpu, link, item.nic, item.rule)
