"""The main screen: header, tab row, the current tab, function bar."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.reactive import Reactive
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from nvltop.analysis.health import job
from nvltop.report.timeline import away
from nvltop.tui.dialogs.link_page import LinkPage
from nvltop.tui.dialogs.nic_page import NicPage
from nvltop.tui.render import bars, header
from nvltop.tui.render.replay_bar import position_at, timeline
from nvltop.tui.render.row import fit
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell import terminal, textual_private
from nvltop.tui.tabs.registry import TABS
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.prompt import Prompt
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab

STALL_RETRY_S: Final = 0.03
"""Time after which drawing is tried again on a terminal that accepts no output."""
SYNC_START: Final = "\x1b[?2026h"
SYNC_END: Final = "\x1b[?2026l"
"""Escape sequences of synchronized output: the terminal shows all changes between them at once."""
JOB_RULES: Final = frozenset(job.RULE_GROUP.rules)
"""Rules whose findings are about a job."""
ROW_WIDGETS: Final = (Screen, Tab, Horizontal, RowsWidget)
"""Widgets that contain nothing but rows; any other widget may cover them."""


class MainScreen(Screen[None]):
    """The screen that shows a `ViewState`; `draw_frame` brings it up to date."""

    DEFAULT_CSS = """
    MainScreen {
        #header { height: 4; }
        #tabs { height: 1; }
        #replay { height: 1; }
        #keys { height: 1; dock: bottom; }
        Prompt { height: 1; dock: bottom; display: none; }
    }
    """
    AUTO_FOCUS = ""
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    """Textual's own attribute draws the whole screen again whenever the focus moves."""
    BLANK = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1,h,question_mark", "app.help", "Help"),
        Binding("f2,S", "app.setup", "Setup"),
        Binding("f7,r", "app.record", "Record, or stop"),
        Binding("f8,w", "app.snapshot", "Snapshot for a bug report"),
        Binding("f10,q", "app.quit", "Quit"),
        Binding("tab", "next_tab(1)", "Next tab", priority=True),
        Binding("shift+tab", "next_tab(-1)", "Previous tab", priority=True),
        *(
            Binding(str(i), f"show_tab({i - 1})", f"Tab {tab.TITLE}", system=True)
            for i, tab in enumerate(TABS, 1)
        ),
        Binding("Z", "app.pause", "Pause"),
        Binding("b", "app.compare", "Compare with an earlier moment or a file, or end it"),
        Binding("escape", "app.end_comparison", "End the comparison"),
        Binding("a", "app.acknowledge", "Acknowledge the events"),
        Binding("plus,equals_sign", "interval(1)", "Longer refresh interval"),
        Binding("minus", "interval(-1)", "Shorter refresh interval"),
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
        """Message: the user wants a longer (1) or shorter (-1) refresh interval."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    writes_directly = True
    """Whether changes of rows may bypass Textual; see `direct_output`."""

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__()
        self._view = view
        self._output = output
        self._header = RowsWidget(output, "header")
        self._tabs = RowsWidget(output, "tabs")
        self._replay = RowsWidget(output, "replay")
        self._keys = RowsWidget(output, "keys")
        self._prompt = Prompt()
        self._retry: Timer | None = None
        """Set while the terminal accepts no output."""
        self.tabs = tuple(tab(view, output) for tab in TABS)
        self.tab: Tab = self.tabs[0]
        """The current tab of the tab row."""
        self.page: Tab | None = None
        """The page that covers the current tab until Esc; None if there is none."""
        self._tab_clicks: list[tuple[int, int, str]] = []
        self._key_clicks: list[tuple[int, int, str]] = []

    def compose(self) -> ComposeResult:
        """Stack the parts as in htop: meters, tab row, list, function bar."""
        yield self._header
        yield self._tabs
        if self._view.replay:
            yield self._replay
        yield from self.tabs
        yield self._keys
        yield self._prompt

    def on_mount(self) -> None:
        """Begin with the first tab."""
        self._show(self.tab)

    @property
    def visible_tab(self) -> Tab:
        """The tab or page between the tab row and the function bar."""
        return self.page or self.tab

    def draw_frame(self) -> None:
        """Draw the view; send only changes, and nothing while the terminal accepts no output."""
        if not self.is_mounted:
            return
        if not self.app.is_headless and terminal.is_stalled():
            # Often it is only busy with the last frame. The response to a key must not wait for the next.
            if self._retry is None:
                self._retry = self.set_timer(STALL_RETRY_S, self._retry_frame)
            return
        if self._is_rows_only():
            with self._output.frame(self.app.console, self._write):
                self.draw()
        else:
            self.draw()

    def _is_rows_only(self) -> bool:
        """Whether the screen shows only rows, and no widget is about to move."""
        return (
            self.writes_directly
            and self.app.screen is self
            and not self.app.is_headless
            and textual_private.shows_only(self, ROW_WIDGETS)
        )

    def _write(self, changes: str) -> None:
        """Send changes to the terminal, which shows them all at once if it can."""
        if textual_private.has_synchronized_output(self.app):
            changes = f"{SYNC_START}{changes}{SYNC_END}"
        textual_private.write_to_terminal(self.app, changes)

    def draw(self) -> None:
        """Update the rows of all parts; they are sent directly, or later by Textual."""
        view, width = self._view, self.size.width
        view.clamp()
        self._header.show(header.header(view, width))
        names = [tab.title() for tab in self.tabs]
        row, self._tab_clicks = bars.tabs(view, width, names, self.tabs.index(self.tab))
        self._tabs.show([row])
        if view.replay:
            self._replay.show([fit(timeline(view.replay, width), width)])
        self.visible_tab.draw()
        row, self._key_clicks = bars.function_bar(
            view, width, self.visible_tab.keys(), self.visible_tab.status()
        )
        self._keys.show([row])

    def _retry_frame(self) -> None:
        self._retry = None
        self.draw_frame()

    def _show(self, tab: Tab) -> None:
        """Show a tab or page."""
        for other in self.query(Tab):
            other.display = other is tab
        tab.focus()
        if tab.size:
            # It was shown before, so its size is usually right already.
            self.draw()
        # Textual sets the sizes of the widgets before the next refresh.
        self.call_after_refresh(self.draw_frame)

    async def action_show_tab(self, index: int) -> None:
        """Show the tab at a position of the tab row."""
        if index < len(self.tabs):
            self.tab = self.tabs[index]
            await self._close()

    async def action_next_tab(self, way: int) -> None:
        """Show the next tab (1) or the previous one (-1); the first follows the last."""
        await self.action_show_tab((self.tabs.index(self.tab) + way) % len(self.tabs))

    async def on_tab_page_opened(self, message: Tab.PageOpened) -> None:
        """Show a page over the current tab."""
        await self._open(message.page)

    async def _open(self, page: Tab) -> None:
        await self._close()
        self.page = page
        await self.mount(self.page, before=self._keys)
        self._show(self.page)

    async def on_tab_subject_requested(self, message: Tab.SubjectRequested) -> None:
        """Show the link, GPU, NIC or jobs that a finding or event is about; else the findings."""
        view = self._view
        if message.gpu and not message.nic and message.link is not None:
            await self._open(LinkPage(view, self._output, message.gpu, message.link))
        elif message.rule in JOB_RULES:
            await self._show_title("Processes")
        elif message.nic and (port := self._port(message)) is not None:
            await self._open(NicPage(view, self._output, message.nic, port))
        elif message.gpu:
            view.select(message.gpu)
            await self._show_title("Main")
        else:
            await self._show_title("Health")

    def _port(self, message: Tab.SubjectRequested) -> int | None:
        """Return the port of the NIC that a request is about; None if there is none now."""
        ports = [f.port.port for f in self._view.frame.nics if f.nic.device == message.nic]
        return message.link if message.link in ports else next(iter(ports), None)

    async def _show_title(self, title: str) -> None:
        await self.action_show_tab([tab.TITLE for tab in self.tabs].index(title))

    async def on_tab_page_closed(self) -> None:
        """Close the page."""
        await self._close()

    async def _close(self) -> None:
        if self.page:
            page, self.page = self.page, None
            await page.remove()
        self._show(self.tab)

    def action_interval(self, by: int) -> None:
        """Use the next longer or shorter refresh interval."""
        if not self._view.replay:
            self.post_message(self.IntervalRequested(by))

    def on_tab_prompt_requested(self, message: Tab.PromptRequested) -> None:
        """Show the prompt in place of the function bar."""
        self._prompt.ask(message)

    def on_prompt_closed(self) -> None:
        """Return the focus to the tab."""
        self.visible_tab.focus()
        self.draw_frame()

    def on_tab_changed(self) -> None:
        """Draw the changes of a key or click."""
        self.draw_frame()

    def on_resize(self) -> None:
        """Draw once the widgets have their new sizes."""
        self.call_after_refresh(self.draw_frame)

    def on_screen_resume(self) -> None:
        """Draw after another screen was closed."""
        self.draw_frame()

    async def on_click(self, event: events.Click) -> None:
        """Press the tab or the function key under the mouse."""
        x, y = event.screen_offset
        if self._header.region.contains(x, y) and y == self._header.region.bottom - 1:
            unseen = away(self._view.frame, self._view.acknowledged_s)
            await self._show_title("Events" if unseen else "Health")
        if self._view.replay and self._replay.region.contains(x, y):
            to_s = position_at(self._view.replay, self.size.width, x)
            if to_s is not None:
                await self.run_action(f"app.replay_to({to_s})")
        for lines, clicks, its in (
            (self._tabs, self._tab_clicks, self),
            (self._keys, self._key_clicks, self.visible_tab),
        ):
            if lines.region.contains(x, y):
                for start, end, action in clicks:
                    if start <= x < end:
                        await its.run_action(action)
