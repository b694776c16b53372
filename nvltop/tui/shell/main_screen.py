"""The main screen: header, tab row, the current tab, function bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from nvltop.analysis.health import job
from nvltop.memo import Memo
from nvltop.report.timeline import away, since
from nvltop.tui.dialogs import pages
from nvltop.tui.render import header
from nvltop.tui.render.function_bar import function_bar
from nvltop.tui.render.replay_bar import position_at, timeline
from nvltop.tui.render.row import ClickAreas, Row, fit
from nvltop.tui.render.tab_row import tab_row
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell.tabbed_screen import TabbedScreen
from nvltop.tui.tabs.registry import EVENTS, HEALTH, PROCESSES, TABS
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab

JOB_RULES: Final = frozenset(job.RULE_GROUP.rules)
"""Rules whose findings are about a job."""


class MainScreen(TabbedScreen):
    """The screen that shows a `ViewState`."""

    DEFAULT_CSS = "MainScreen { #replay { height: 1; } }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f7,r", "app.record", "Record, or stop"),
        Binding("f8,w", "app.snapshot", "Snapshot for a bug report"),
        Binding("P", "app.picture", "Picture of this tab"),
        *(
            Binding(str(i), f"show_tab({i - 1})", f"Tab {tab.title}", system=True)
            for i, tab in enumerate(TABS, 1)
        ),
        Binding("b", "app.compare", "Compare with an earlier moment or a file, or end it"),
        Binding("escape", "app.end_comparison", "End the comparison"),
        Binding("a", "app.acknowledge", "Acknowledge the events"),
        Binding("plus,equals_sign", "interval(1)", "Longer interval of the readings"),
        Binding("minus", "interval(-1)", "Shorter interval of the readings"),
        # These have priority over the keys of the tabs, but only in a replay.
        Binding("space", "app.replay('pause')", "Replay: stop, or continue", priority=True),
        Binding("full_stop", "app.replay('step')", "Replay: one frame forward", priority=True),
        Binding("right", "app.replay('forward')", "Replay: 10 s forward", priority=True),
        Binding("left", "app.replay('back')", "Replay: 10 s back", priority=True),
        Binding("greater_than_sign", "app.replay('faster')", "Replay: faster", priority=True),
        Binding("less_than_sign", "app.replay('slower')", "Replay: slower", priority=True),
        Binding("g", "app.go_to", "Replay: to a time", priority=True),
        Binding("n", "app.replay('next')", "Replay: to the next mark", priority=True),
        Binding("N", "app.replay('previous')", "Replay: to the previous mark", priority=True),
    ]

    class IntervalRequested(Message):
        """Message: the user wants a longer (1) or shorter (-1) interval of the readings."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        def make_tab(position: int) -> Tab:
            return TABS[position].load()(view, output)

        super().__init__([tab.title for tab in TABS], make_tab, output)
        self._view = view
        self._replay = RowsWidget(output, "replay")
        self._key_row: Memo[tuple[Row, ClickAreas]] = Memo()
        """The function bar, which rarely changes."""

    def below_tabs(self) -> Iterable[RowsWidget]:
        """Return the timeline of a replay."""
        return (self._replay,) if self._view.replay else ()

    def header_rows(self, width: int) -> Sequence[Row]:
        """Return the header."""
        self._view.clamp()
        return header.header(self._view, width)

    def tab_names(self) -> Sequence[str]:
        """Return the titles; Events has a mark while there are events that nobody acknowledged."""
        unseen = since(self._view.frame.timeline, self._view.acknowledged_s)
        return [f"{title}!" if unseen and title == EVENTS else title for title in self.titles]

    def tab_row(self, width: int, names: Sequence[str], current: int) -> tuple[Row, ClickAreas]:
        """Return the tab row and the areas of the tabs."""
        return tab_row(self._view, width, names, current)

    def key_row(self, width: int) -> tuple[Row, ClickAreas]:
        """Return the function bar for the visible tab, and the areas of the keys."""
        view, tab_keys, status = self._view, self.visible_tab.keys(), self.visible_tab.status()
        replaying = view.replay is not None, view.replay is not None and view.replay.paused
        inputs = width, tuple(tab_keys), status, view.recording, replaying, view.glyphs
        return self._key_row.get(inputs, lambda: function_bar(view, width, tab_keys, status))

    def draw(self) -> None:
        """Update the rows of all parts."""
        if self._view.replay:
            width = self.size.width
            self._replay.show([fit(timeline(self._view.replay, width), width)])
        super().draw()

    def show_subject(self, gpu: str | None, link: int | None, nic: str | None, rule: str) -> None:
        """Show the link, GPU, NIC or jobs that a finding or event is about; else the findings."""
        view = self._view
        if gpu and not nic and link is not None:
            self.open_page(pages.link_page(view, self._output, gpu, link))
        elif rule in JOB_RULES:
            self.show_title(PROCESSES)
        elif nic and (port := self._port(nic, link)) is not None:
            self.open_page(pages.nic_page(view, self._output, nic, port))
        elif gpu:
            self.open_page(pages.gpu_page(view, self._output, gpu))
        else:
            self.show_title(HEALTH)

    def _port(self, nic: str, port: int | None) -> int | None:
        """Return this port of a NIC, or else its first one; None if it has none now."""
        ports = [f.port.port for f in self._view.frame.nics if f.nic.device == nic]
        return port if port in ports else next(iter(ports), None)

    def action_interval(self, by: int) -> None:
        """Use the next longer or shorter interval of the readings."""
        if self._view.replay:
            self.app.notify("the interval is that of the recording", markup=False)
        else:
            self.post_message(self.IntervalRequested(by))

    async def on_click(self, event: events.Click) -> None:
        """Show what the last two lines of the header are about, or go to a position of the replay."""
        x, y = event.screen_offset
        if self._header.region.contains(x, y) and y >= self._header.region.bottom - 2:
            frame = self._view.frame
            fault = any(f.severity.is_problem for f in frame.findings)
            unseen = not fault and away(frame, self._view.acknowledged_s)
            self.show_title(EVENTS if unseen else HEALTH)
        if self._view.replay and self._replay.region.contains(x, y):
            to_s = position_at(self._view.replay, self.size.width, x)
            if to_s is not None:
                await self.run_action(f"app.replay_to({to_s})")
