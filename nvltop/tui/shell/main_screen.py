"""The main screen: header, tab row, the current tab, function bar."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events
from textual._ansi_sequences import SYNC_END, SYNC_START
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.reactive import Reactive
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from nvltop.tui.render import bars, header
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell import terminal
from nvltop.tui.tabs.registry import TABS
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.prompt import Prompt
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab

AGAIN_S: Final = 0.03
ROWS: Final = (Screen, Tab, Horizontal, RowsWidget)
"""Widgets that are made of `RowsWidget` only; what else there is may lie above them."""


class MainScreen(Screen[None]):
    """What `view` shows; `paint` brings it up to date."""

    DEFAULT_CSS = """
    MainScreen {
        #header { height: 4; }
        #tabs { height: 1; }
        #keys { height: 1; dock: bottom; }
        Prompt { height: 1; dock: bottom; display: none; }
    }
    """
    AUTO_FOCUS = ""
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    """Textual would send the whole screen once more whenever the focus moves."""
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
        # Before the tabs' own keys, but only while there is a replay.
        Binding("space", "app.replay('pause')", "Replay: stop and go on", priority=True),
        Binding("full_stop", "app.replay('step')", "Replay: one picture on", priority=True),
        Binding("right", "app.replay('forward')", "Replay: 10 s on", priority=True),
        Binding("left", "app.replay('back')", "Replay: 10 s back", priority=True),
        Binding("greater_than_sign", "app.replay('faster')", "Replay: faster", priority=True),
        Binding("less_than_sign", "app.replay('slower')", "Replay: slower", priority=True),
        Binding("g", "app.go_to", "Replay: to a time", priority=True),
        Binding("n", "app.replay('next')", "Replay: to the next mark", priority=True),
        Binding("N", "app.replay('previous')", "Replay: to the mark before", priority=True),
    ]

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__()
        self._view = view
        self._output = output
        self._header = RowsWidget(output, "header")
        self._tabs = RowsWidget(output, "tabs")
        self._keys = RowsWidget(output, "keys")
        self._prompt = Prompt()
        self._again: Timer | None = None
        """Set while the terminal takes nothing."""
        self.tabs = tuple(tab(view, output) for tab in TABS)
        self.tab: Tab = self.tabs[0]
        """The current one of the tab row."""
        self.page: Tab | None = None
        """What is shown instead of the current tab, until Esc."""
        self._tab_clicks: list[tuple[int, int, str]] = []
        self._key_clicks: list[tuple[int, int, str]] = []

    def compose(self) -> ComposeResult:
        """Stack htop's parts: meters, tabs, list, function bar."""
        yield self._header
        yield self._tabs
        yield from self.tabs
        yield self._keys
        yield self._prompt

    def on_mount(self) -> None:
        """Begin with the first tab."""
        self._show(self.tab)

    @property
    def shown(self) -> Tab:
        """What stands between the tab row and the function bar."""
        return self.page or self.tab

    def paint(self) -> None:
        """Draw the view; only what changed is sent, and nothing while the terminal is stuck."""
        if not self.is_mounted:
            return
        if not self.app.is_headless and terminal.stalled():
            # Often it is but busy with the frame before: a key's answer does not wait for the next one.
            if self._again is None:
                self._again = self.set_timer(AGAIN_S, self._paint_again)
            return
        if self._stands():
            with self._output.frame(self.app.console, self._write):
                self.draw()
        else:
            self.draw()

    def _stands(self) -> bool:
        """Whether nothing but rows is on the screen, all of them where they will stay."""
        return (
            self.app.screen is self
            and not self.app.is_headless
            and not self._layout_required
            and all(isinstance(widget, ROWS) for widget in self._compositor.visible_widgets)
        )

    def _write(self, changes: str) -> None:
        """Let the terminal show all changes at the same moment, if it can."""
        whole = f"{SYNC_START}{changes}{SYNC_END}" if self.app._sync_available else changes
        if self.app._driver:
            self.app._driver.write(whole)

    def draw(self) -> None:
        """Give all parts their rows; Textual sends them later unless they go straight to the terminal."""
        view, width = self._view, self.size.width
        view.clamp()
        self._header.show(header.header(view, width))
        names = [tab.TITLE for tab in self.tabs]
        row, self._tab_clicks = bars.tabs(view, width, names, self.tabs.index(self.tab))
        self._tabs.show([row])
        self.shown.paint()
        row, self._key_clicks = bars.function_bar(view, width, self.shown.keys(), self.shown.status())
        self._keys.show([row])

    def _paint_again(self) -> None:
        self._again = None
        self.paint()

    def _show(self, tab: Tab) -> None:
        """Let this be what is shown."""
        for other in self.query(Tab):
            other.display = other is tab
        tab.focus()
        if tab.size:
            # It has been shown before: its rows are right at once, most often.
            self.draw()
        # The widgets get their sizes first.
        self.call_after_refresh(self.paint)

    async def action_show_tab(self, index: int) -> None:
        """Show a tab by its place in the tab row."""
        if index < len(self.tabs):
            self.tab = self.tabs[index]
            await self._close()

    async def action_next_tab(self, way: int) -> None:
        """Show the tab beside the current one; after the last comes the first."""
        await self.action_show_tab((self.tabs.index(self.tab) + way) % len(self.tabs))

    async def on_tab_opened(self, message: Tab.Opened) -> None:
        """Show a page over the current tab."""
        await self._close()
        self.page = message.page
        await self.mount(self.page, before=self._keys)
        self._show(self.page)

    async def on_tab_closed(self) -> None:
        """Leave the page."""
        await self._close()

    async def _close(self) -> None:
        if self.page:
            page, self.page = self.page, None
            await page.remove()
        self._show(self.tab)

    def on_tab_asked(self, message: Tab.Asked) -> None:
        """Ask in the place of the function bar."""
        self._prompt.ask(message.caption, message.text, message.changed)

    def on_prompt_left(self) -> None:
        """Go back to the tab."""
        self.shown.focus()
        self.paint()

    def on_tab_changed(self) -> None:
        """Draw what a key or click changed."""
        self.paint()

    def on_resize(self) -> None:
        """Draw for the new size once the widgets have theirs."""
        self.call_after_refresh(self.paint)

    def on_screen_resume(self) -> None:
        """Catch up after another screen was in front."""
        self.paint()

    async def on_click(self, event: events.Click) -> None:
        """Press the tab or the function key under the mouse."""
        x, y = event.screen_offset
        for lines, clicks, its in (
            (self._tabs, self._tab_clicks, self),
            (self._keys, self._key_clicks, self.shown),
        ):
            if lines.region.contains(x, y):
                for start, end, action in clicks:
                    if start <= x < end:
                        await its.run_action(action)
