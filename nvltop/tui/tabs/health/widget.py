"""The tab Health: what is wrong, why we think so, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.memo import Memo
from nvltop.tui import keys
from nvltop.tui.dialogs import pages
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.scroll import first_shown
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.health import rows
from nvltop.tui.widgets.details import Details
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab

STUCK_RULE: Final = "stuck-collective"
"""Rule of the finding that a job hangs."""


class HealthTab(Tab):
    """A list, and below it the selected entry in whole sentences."""

    DEFAULT_CSS = "HealthTab { layout: vertical; }"
    TITLE: ClassVar[str] = "Health"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "enter", "Go to the link, GPU, NIC or jobs that the selected line is about"),
        Binding("right_square_bracket", "details(1)", "More lines of the text below the list"),
        Binding("left_square_bracket", "details(-1)", "Lines before"),
        Binding("R", "ras", "A job that hangs: ask NCCL which rank is behind"),
    ]

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__(view, output)
        self._list = RowsWidget(output, "findings")
        self._details = Details(output, "details")
        self._entries: list[rows.HealthEntry] = []
        self._memo: Memo[list[rows.HealthEntry]] = Memo()
        self._selected = 0
        self._first = 0

    def compose(self) -> ComposeResult:
        """Stack list and details."""
        yield self._list
        yield self._details

    def draw(self) -> None:
        """Draw what the rules say."""
        frame, glyphs = self.view.frame, self.view.glyphs
        found = frame.findings, frame.past_findings, frame.checks
        key = (*found, frame.events, frame.incidents, frame.log_access)
        self._entries = self._memo.get(key, lambda: rows.entries(frame))
        self._selected = max(0, min(self._selected, len(self._entries) - 1))
        at = self._list.size
        self._first = first_shown(self._first, self._selected, len(self._entries), at.height - 1)
        self._list.show(rows.rows(self._entries, at.width, at.height, self._first, self._selected, glyphs))
        if chosen := self._chosen:
            lines = rows.detail_lines(chosen, self._details.size.width, glyphs)
            self._details.show_lines((chosen.where, chosen.rule, chosen.since), lines)
        else:
            self._details.show_lines(None, ())

    def action_ras(self) -> None:
        """Open the page that asks NCCL about the job that hangs."""
        frame = self.view.frame
        stuck = next((f for f in frame.findings if f.rule == STUCK_RULE), None)
        job = next((j for j in frame.jobs if stuck and stuck.gpu in j.gpus), None)
        if job is None or self.view.ras_refusal:
            self.refuse(self.view.ras_refusal or "no job is found to hang")
            return
        self.open_page(pages.ras_page(self.view, self.output, job.label, job.pids))

    def move(self, by: int) -> None:
        """Move the selection."""
        self._selected = max(0, min(self._selected + by, len(self._entries) - 1))

    def action_details(self, pages: int) -> None:
        """Show the next or previous lines of the text below the list."""
        self._details.turn(pages)

    @property
    def _chosen(self) -> rows.HealthEntry | None:
        """The selected entry."""
        return self._entries[self._selected] if self._entries else None

    def keys(self) -> Sequence[FunctionKey]:
        """Return the key that shows what the selected line is about."""
        entry = self._chosen
        return (keys.OPEN.on_bar("Go to"),) if entry and (entry.gpu or entry.nic) else ()

    def action_enter(self) -> None:
        """Show what the selected line is about: a link, a GPU, a NIC, or the jobs."""
        entry = self._chosen
        if entry and (entry.gpu or entry.nic):
            self.host.show_subject(entry.gpu, entry.link, entry.nic, entry.rule)
        else:
            self.refuse("this line is not about one GPU, link or NIC")

    def page_lines(self) -> int:
        """Return how many entries are seen."""
        return self._list.size.height - 1

    def on_click(self, event: events.Click) -> None:
        """Select what is clicked."""
        x, y = event.screen_offset
        row = self._first + y - self._list.region.y - 1
        if self._list.region.contains(x, y) and self._first <= row < len(self._entries):
            self._selected = row
            self.request_draw()
