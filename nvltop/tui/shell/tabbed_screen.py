"""A screen of tabs that consist of rows, drawn directly where possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual import events, messages
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Size
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

from nvltop.tui.render.row import ClickAreas, Row
from nvltop.tui.shell import textual_private
from nvltop.tui.shell.lifecycle import TerminalApp
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Question, Tab, TabHost

if TYPE_CHECKING:
    from nvltop.tui.widgets.prompt import Prompt

HEADER_LINES: Final = 4
MIN_TAB_LINES: Final = 3
"""Lines that a tab keeps on a low screen; the header loses lines, the last ones last."""
SYNC_START: Final = "\x1b[?2026h"
SYNC_END: Final = "\x1b[?2026l"
"""Escape sequences of synchronized output: the terminal shows all changes between them at once."""
ROW_WIDGETS: Final = (Screen, Tab, Horizontal, RowsWidget)
"""Widgets that contain nothing but rows; any other widget may cover them."""


class TabbedScreen(TabHost):
    """Header, tab row, the current tab, function bar; subclasses implement the methods that raise.

    `draw_frame` brings it up to date.
    """

    DEFAULT_CSS = """
    TabbedScreen {
        #tabs { height: 1; }
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
        Binding("f10,q", "app.quit", "Quit"),
        Binding("tab", "next_tab(1)", "Next tab", priority=True),
        Binding("shift+tab", "next_tab(-1)", "Previous tab", priority=True),
        Binding("Z", "app.pause", "Pause"),
    ]

    writes_directly = True
    """Whether changes of rows may bypass Textual; see `direct_output`."""

    def __init__(self, titles: Sequence[str], make_tab: Callable[[int], Tab], output: DirectOutput) -> None:
        """Show tabs with these titles; `make_tab` returns one by its position, when it is first shown."""
        super().__init__()
        self._output = output
        self._header = RowsWidget(output, "header")
        self._header.styles.height = self._header_lines = HEADER_LINES
        self._tabs = RowsWidget(output, "tabs")
        self._keys = RowsWidget(output, "keys")
        self._prompt: Prompt | None = None
        """None until something is asked: its widgets would delay the first picture."""
        self.titles = tuple(titles)
        self._make_tab = make_tab
        self.tabs: dict[int, Tab] = {0: make_tab(0)}
        """The tabs that have been shown, by their position in the tab row."""
        self.tab = self.tabs[0]
        """The current tab of the tab row."""
        self.page: Tab | None = None
        """The page that covers the current tab until Esc; None if there is none."""
        self._tab_clicks: ClickAreas = []
        self._key_clicks: ClickAreas = []
        self._layout_seen: Mapping[Widget, object] = {}
        """The visible widgets when the screen was last drawn."""
        self._rows_only = False
        """Whether they show only rows."""

    def header_rows(self, width: int) -> Sequence[Row]:
        """Return the rows of the header."""
        raise NotImplementedError

    def tab_names(self) -> Sequence[str]:
        """Return the names in the tab row: the titles, with marks for news."""
        return self.titles

    def tab_row(self, width: int, names: Sequence[str], current: int) -> tuple[Row, ClickAreas]:
        """Return the tab row and the areas of the tabs."""
        raise NotImplementedError

    def key_row(self, width: int) -> tuple[Row, ClickAreas]:
        """Return the function bar for the visible tab, and the areas of the keys."""
        raise NotImplementedError

    def below_tabs(self) -> Iterable[RowsWidget]:
        """Return the widgets between the tab row and the tab."""
        return ()

    def compose(self) -> ComposeResult:
        """Stack the parts as in htop: meters, tab row, list, function bar."""
        yield self._header
        yield self._tabs
        yield from self.below_tabs()
        yield self.tab
        yield self._keys

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
        # Often it is only busy with the last frame. The response to a key must not wait for the next.
        if isinstance(self.app, TerminalApp) and self.app.is_terminal_busy(self.draw_frame):
            return
        if self._is_rows_only():
            with self._output.frame(self.app.console, self._write, self._layout_seen):
                self.draw()
        else:
            self.draw()

    def _is_rows_only(self) -> bool:
        """Whether the screen shows only rows, and no widget is about to move."""
        return (
            self.writes_directly
            and self.app.screen is self
            and not self.app.is_headless
            and self._shows_rows_only()
        )

    def _shows_rows_only(self) -> bool:
        visible = textual_private.visible_widgets(self)
        if visible is not self._layout_seen:
            self._layout_seen = visible
            self._rows_only = bool(visible) and all(isinstance(widget, ROW_WIDGETS) for widget in visible)
        return self._rows_only

    def _write(self, changes: str) -> None:
        """Send changes to the terminal, which shows them all at once if it can."""
        if textual_private.has_synchronized_output(self.app):
            changes = f"{SYNC_START}{changes}{SYNC_END}"
        textual_private.write_to_terminal(self.app, changes)

    def draw(self) -> None:
        """Update the rows of all parts; they are sent directly, or later by Textual."""
        width = self.size.width
        self._header.show(self.header_rows(width)[HEADER_LINES - self._fit_header() :])
        row, self._tab_clicks = self.tab_row(width, self.tab_names(), self._tab_index())
        self._tabs.show([row])
        self._draw_tab(self.visible_tab)
        row, self._key_clicks = self.key_row(width)
        self._keys.show([row])

    def _draw_tab(self, tab: Tab) -> None:
        if not tab.outer_size:
            # So that the first picture of a tab is whole.
            tab.expected_size = self._tab_size()
        tab.draw()

    def _fit_header(self) -> int:
        """Give the header the lines that it has on a screen of this height; return their number."""
        others = 2 + len(tuple(self.below_tabs())) + MIN_TAB_LINES
        lines = max(0, min(HEADER_LINES, self.size.height - others))
        if lines != self._header_lines:
            self._header.styles.height = self._header_lines = lines
        return lines

    def _parts(self) -> Iterator[RowsWidget]:
        """Yield the widgets of the screen that stay when another tab is shown."""
        return (part for part in self.children if isinstance(part, RowsWidget))

    def _tab_size(self) -> Size:
        """Return the size that the other parts of the screen leave for a tab, at least one line."""
        heights = (part.styles.height for part in self._parts())
        lines = sum(height.cells or 0 for height in heights if height)
        return Size(self.size.width, max(1, self.size.height - lines))

    def _show(self, tab: Tab) -> None:
        """Show a tab or page."""
        if self._prompt:
            self._prompt.close()
        for other in self.query(Tab):
            other.display = other is tab
        # At once, unlike `tab.focus`: the keys that follow are for this tab.
        self.set_focus(tab, scroll_visible=False)
        if self.size:
            # Keys may move its selection before its first layout.
            self.draw()
            # Textual draws widgets that move at once, and would draw the others 16 ms later.
            for part in self._parts():
                self.post_message(messages.Update(part))
        # Textual sets the sizes of the widgets before the next refresh.
        self.call_after_refresh(self.draw_frame)

    def action_show_tab(self, index: int) -> None:
        """Show the tab at a position of the tab row."""
        if index < len(self.titles):
            if index not in self.tabs:
                self.tabs[index] = self._make_tab(index)
                self.mount(self.tabs[index], before=self._keys)
            self.tab = self.tabs[index]
            self.close_page()

    def action_next_tab(self, way: int) -> None:
        """Show the next tab (1) or the previous one (-1); the first follows the last."""
        self.action_show_tab((self._tab_index() + way) % len(self.titles))

    def _tab_index(self) -> int:
        """Return the position of the current tab in the tab row."""
        return self.titles.index(self.tab.TITLE)

    def show_title(self, title: str) -> None:
        """Show the tab with a title."""
        self.action_show_tab(self.titles.index(title))

    def open_page(self, page: Tab) -> None:
        """Show a page over the current tab, in place of another page."""
        self.mount(page, before=self._keys)
        self._change_page(page)

    def close_page(self) -> None:
        """Show the current tab, not a page."""
        self._change_page(None)

    def _change_page(self, page: Tab | None) -> None:
        before, self.page = self.page, page
        self._show(self.visible_tab)
        if before:
            # Nothing waits for its end: a page may close itself.
            before.remove()

    @property
    def is_prompting(self) -> bool:
        """Whether the prompt is open."""
        return self._prompt is not None and self._prompt.display

    async def ask(self, question: Question) -> None:
        """Show the prompt in place of the function bar."""
        if self._prompt is None:
            from nvltop.tui.widgets.prompt import Prompt

            self._prompt = Prompt(self._prompt_closed)
            await self.mount(self._prompt)
        self._prompt.ask(question)

    def take_text(self, event: events.Key | events.Paste) -> bool:
        """Insert text into the prompt, if it is open."""
        return self._prompt is not None and self._prompt.take_text(event)

    def _prompt_closed(self) -> None:
        """Return the focus to the tab."""
        self.set_focus(self.visible_tab, scroll_visible=False)
        self.draw_frame()

    def on_tab_changed(self) -> None:
        """Draw the changes of a key or click."""
        self.draw_frame()

    def on_resize(self) -> None:
        """Draw once the widgets have their new sizes."""
        self._fit_header()
        self.call_after_refresh(self.draw_frame)

    def on_screen_resume(self) -> None:
        """Draw after another screen was closed."""
        self.draw_frame()

    async def on_click(self, event: events.Click) -> None:
        """Press the tab or the function key under the mouse."""
        x, y = event.screen_offset
        for lines, clicks, its in (
            (self._tabs, self._tab_clicks, self),
            (self._keys, self._key_clicks, self.visible_tab),
        ):
            if lines.region.contains(x, y):
                for start, end, action in clicks:
                    if start <= x < end:
                        await its.run_action(action)
