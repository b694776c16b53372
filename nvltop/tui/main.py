"""The main screen: header, GPUs, matrix, links; selection by keys and mouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen

from nvltop.tui import terminal
from nvltop.tui.lines import Lines
from nvltop.tui.paint import bars, gpus, header, links, matrix
from nvltop.tui.paint.layout import Layout, first_shown, layout
from nvltop.tui.paint.view import View

ALL = 1 << 20
"""More rows than any list has."""


class Main(Screen[None]):
    """What `view` shows; `paint` brings it up to date."""

    DEFAULT_CSS = """
    Main {
        #header { height: 4; }
        #tabs { height: 1; }
        #lower { height: 1fr; }
        #keys { height: 1; dock: bottom; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1,h,question_mark", "app.help", "Help"),
        Binding("f5,t", "swap", "Matrix or links"),
        Binding("f7,r", "app.record", "Record, or stop"),
        Binding("f10,q", "app.quit", "Quit"),
        Binding("enter", "enter", "Links of the selected GPU, or back"),
        Binding("tab,shift+tab", "enter", "GPUs or links", priority=True),
        Binding("escape", "back", "Back to the GPUs"),
        Binding("Z", "app.pause", "Pause"),
        Binding("up", "move(-1)", "Up"),
        Binding("down", "move(1)", "Down"),
        Binding("pageup", "page(-1)", "Page up"),
        Binding("pagedown", "page(1)", "Page down"),
        Binding("home", f"move(-{ALL})", "First"),
        Binding("end", f"move({ALL})", "Last"),
        Binding("space", "app.replay('pause')", "Replay: stop and go on"),
        Binding("full_stop", "app.replay('step')", "Replay: one picture on"),
        Binding("right", "app.replay('forward')", "Replay: 10 s on"),
        Binding("left", "app.replay('back')", "Replay: 10 s back"),
        Binding("greater_than_sign", "app.replay('faster')", "Replay: faster"),
        Binding("less_than_sign", "app.replay('slower')", "Replay: slower"),
        Binding("g", "app.go_to", "Replay: to a time"),
        Binding("n", "app.replay('next')", "Replay: to the next mark"),
        Binding("N", "app.replay('previous')", "Replay: to the mark before"),
    ]

    def __init__(self, view: View, styles: Mapping[str, Style]) -> None:
        super().__init__()
        self._view = view
        self._header = Lines(styles, "header")
        self._tabs = Lines(styles, "tabs")
        self._gpus = Lines(styles, "gpus")
        self._matrix = Lines(styles, "matrix")
        self._links = Lines(styles, "links")
        self._keys = Lines(styles, "keys")
        self._layout: Layout | None = None
        self._first_gpu = 0
        self._first_link = 0
        self._clicks: list[tuple[int, int, str]] = []

    def compose(self) -> ComposeResult:
        """Stack htop's parts: meters, tabs, list, function bar."""
        yield self._header
        yield self._tabs
        yield self._gpus
        with Horizontal(id="lower"):
            yield self._matrix
            yield self._links
        yield self._keys

    def paint(self) -> None:
        """Draw the view; only what changed is sent, and nothing while the terminal is stuck."""
        if not self.is_mounted or (not self.app.is_headless and terminal.stalled()):
            return
        view, width = self._view, self.size.width
        view.clamp()
        if self._arrange():
            # The widgets get their new sizes first.
            self.call_after_refresh(self.paint)
            return
        self._header.show(header.header(view, width))
        self._tabs.show([bars.tabs(view, width)])
        at = self._gpus.size
        self._first_gpu = first_shown(self._first_gpu, view.gpu, len(view.gpus), at.height - 1)
        self._gpus.show(gpus.table(view, at.width, at.height, self._first_gpu))
        if self._matrix.display:
            at = self._matrix.size
            first = max(0, min(view.gpu, len(view.gpus) - at.height + 1))
            self._matrix.show(matrix.rows(view, at.width, at.height, first))
        if self._links.display:
            at = self._links.size
            count = len(view.selected.links) if view.selected else 0
            self._first_link = first_shown(self._first_link, view.link, count, at.height - 2)
            self._links.show(links.rows(view, at.width, at.height, self._first_link))
        bar, self._clicks = bars.function_bar(view, width, bool(self._layout and self._layout.both))
        self._keys.show([bar])

    def _arrange(self) -> bool:
        """Share out the screen; whether anything moved."""
        view = self._view
        new = layout(*self.size, len(view.gpus), matrix.width(view), view.show_links)
        if new == self._layout:
            return False
        self._layout = new
        self._gpus.styles.height = new.gpu_lines
        self._matrix.display = new.matrix
        self._links.display = new.links
        self._matrix.styles.width = new.matrix_columns or "1fr"
        return True

    def on_resize(self) -> None:
        """Draw for the new size once the widgets have theirs."""
        self.call_after_refresh(self.paint)

    def on_screen_resume(self) -> None:
        """Catch up after another screen was in front."""
        self.paint()

    def action_swap(self) -> None:
        """Show the links instead of the matrix, or the other way round."""
        view = self._view
        view.show_links = not view.show_links
        view.links_focused = view.links_focused and view.show_links
        self.paint()

    def action_enter(self) -> None:
        """Go into the selected GPU's links, or back out."""
        self._view.enter(not self._view.show_links)
        self.paint()

    def action_back(self) -> None:
        """Go back to the GPUs."""
        self._view.enter(False)
        self.paint()

    def action_move(self, by: int) -> None:
        """Move the selection of the list that has the focus."""
        self._view.move(by, self._view.links_focused)
        self.paint()

    def action_page(self, way: int) -> None:
        """Move the selection by what is seen of the list."""
        focused = self._links if self._view.links_focused else self._gpus
        self.action_move(way * max(1, focused.size.height - 2))

    async def on_click(self, event: events.Click) -> None:
        """Select what is clicked, go into what is clicked twice, press the function bar's keys."""
        x, y = event.screen_offset
        view = self._view
        if self._keys.region.contains(x, y):
            for start, end, action in self._clicks:
                if start <= x < end:
                    await self.run_action(action)
        elif self._gpus.region.contains(x, y):
            row = self._first_gpu + y - self._gpus.region.y - 1
            if self._first_gpu <= row < len(view.gpus):
                view.gpu, view.links_focused = row, False
                if event.chain == 2:
                    view.enter(True)
        elif self._links.region.contains(x, y) and view.selected:
            row = self._first_link + y - self._links.region.y - 1
            if self._first_link <= row < len(view.selected.links):
                view.link, view.links_focused = row, True
        self.paint()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move down in the list under the mouse."""
        self._wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move up in the list under the mouse."""
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, by: int) -> None:
        self._view.move(by, self._links.display and self._links.region.contains(*event.screen_offset))
        self.paint()
