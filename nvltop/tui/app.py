"""The application: folds what arrives, draws at the refresh rate, answers keys."""

from __future__ import annotations

import asyncio
import os
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from nvltop.analysis.history import History
from nvltop.analysis.monitor import Monitor
from nvltop.analysis.select import NoSuchGpuError, select
from nvltop.model import Inventory
from nvltop.settings import Settings
from nvltop.tui import palette, terminal
from nvltop.tui.help import Help
from nvltop.tui.lines import Lines
from nvltop.tui.paint import bars, gpus, header, links, matrix
from nvltop.tui.paint.view import View
from nvltop.tui.source import Source

SETTLE_S: Final = 0.02
"""GPUs are read one after the other: drawing waits this long for the rest of the sweep."""
TICK_S: Final = 0.5
"""How often ages and a silent driver are looked at even if nothing arrives."""
BOTH: Final = 100
"""From this width on matrix and links stand side by side."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the screen ended."""

    code: int = 0
    message: str = ""
    """Told after the terminal is restored."""


def run(source: Source, settings: Settings) -> Outcome:
    """Show the screen until the user leaves."""
    terminal.screen_on_terminal()
    app = Nvltop(source, settings)
    app.run(mouse=settings.mouse)
    return app.outcome


class Nvltop(App[None]):
    """htop for NVLink."""

    TITLE = "nvltop"
    CSS = """
    Screen { background: ansi_default; color: ansi_default; layout: vertical; overflow: hidden; }
    #header { height: 4; } #tabs { height: 1; } #keys { height: 1; dock: bottom; }
    #lower { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f10,q", "quit", "Quit"),
        Binding("f1,h,question_mark", "help", "Help"),
        Binding("f5,t", "swap", "Matrix or links"),
        Binding("enter", "enter", "Links of the selected GPU"),
        Binding("tab,shift+tab", "turn", "GPUs or links", priority=True),
        Binding("Z", "pause", "Pause"),
        Binding("up", "move(-1)", "Up"),
        Binding("down", "move(1)", "Down"),
        Binding("pageup", "move(-10)", "Page up"),
        Binding("pagedown", "move(10)", "Page down"),
        Binding("home", "move(-100000)", "First"),
        Binding("end", "move(100000)", "Last"),
        Binding("ctrl+l", "redraw", "Redraw"),
        Binding("ctrl+z", "suspend_process", "Suspend"),
    ]

    def __init__(self, source: Source, settings: Settings) -> None:
        super().__init__(ansi_color=True)
        self.animation_level = "none"
        self.outcome = Outcome()
        self._source = source
        self._settings = settings
        self._monitor = Monitor()
        self._only: list[str] | None = None
        self._listening = -1
        self._draw_after = 0.0
        self._pending: asyncio.TimerHandle | None = None
        self._refreshes = 0
        self._history = History()
        self.view = View(history=self._history, glyphs=terminal.glyphs_for(settings.unicode))
        roles = palette.COLOR if settings.color else palette.MONO
        self._header = Lines(roles, "header")
        self._tabs = Lines(roles, "tabs")
        self._gpus = Lines(roles, "gpus")
        self._matrix = Lines(roles, "matrix")
        self._links = Lines(roles, "links")
        self._keys = Lines(roles, "keys")
        self._tops = {"gpus": 0, "links": 0}
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

    def on_mount(self) -> None:
        """Listen to the source, to signals and to the terminal's end."""
        self.theme = "ansi-dark"
        terminal.end_on_signals(self._end)
        self._listen()
        self.set_interval(TICK_S, self._look)
        self.set_interval(terminal.HANGUP_EVERY_S, self._watch_terminal)
        self._arrange()

    def _listen(self) -> None:
        """Wait for items on the source's descriptor, which changes when a worker is replaced."""
        fd = self._source.fileno()
        if fd == self._listening:
            return
        loop = asyncio.get_running_loop()
        if self._listening >= 0:
            loop.remove_reader(self._listening)
        if fd >= 0:
            loop.add_reader(fd, self._arrived)
        self._listening = fd

    def _arrived(self) -> None:
        self._fold()
        if self._pending is None:
            loop = asyncio.get_running_loop()
            wait_s = max(SETTLE_S, self._draw_after - loop.time())
            self._pending = loop.call_later(wait_s, self._draw)

    def _look(self) -> None:
        """Draw even though nothing arrived: ages grow, and a silent driver is told."""
        if self._pending is None and asyncio.get_running_loop().time() > self._draw_after:
            self._draw()

    def _fold(self) -> None:
        for item in self._source.drain():
            self._monitor.update(item)
            if isinstance(item, Inventory):
                self._take(item)

    def _take(self, inventory: Inventory) -> None:
        if inventory.problem and not self.view.gpus:
            problem = inventory.problem
            self._leave(Outcome(3, f"{problem.summary}; {problem.next_step}"))
        elif not inventory.problem:
            try:
                self._only = select(inventory.gpus, self._settings.only)
            except NoSuchGpuError as error:
                self._leave(Outcome(2, str(error)))

    def _draw(self) -> None:
        """Bring the picture up to date."""
        self._pending = None
        self._draw_after = asyncio.get_running_loop().time() + self._settings.interval_s * 0.8
        tick = self._source.tick()
        self._listen()
        self._fold()
        self._monitor.update(tick)
        self.view.now_s = tick.mono_s
        frame = self._monitor.frame()
        self._history.add(frame)
        if not self.view.paused:
            self.view.frame = frame
            only = self._only
            self.view.gpus = tuple(g for g in frame.gpus if only is None or g.gpu.uuid in only)
        if not isinstance(self.screen, Help):
            self.paint()
        self._refreshes += 1
        if self._settings.max_refreshes and self._refreshes >= self._settings.max_refreshes:
            self.exit()

    def _arrange(self) -> None:
        """Give the list as many lines as it needs, and the rest to matrix and links."""
        width, height = self.size
        rest = max(0, height - 6)
        # At 24 lines eight GPUs and their matrix fit exactly; more GPUs scroll.
        below = min(9, rest // 2)
        lines = max(1, min(len(self.view.gpus) + 1, rest - below))
        self._gpus.styles.height = lines
        both = self._both(width)
        self._matrix.display = both or not self.view.show_links
        self._links.display = both or self.view.show_links
        self._matrix.styles.width = matrix.width(self.view) + 1 if both else "1fr"

    def _both(self, width: int) -> bool:
        return width >= max(BOTH, matrix.width(self.view) + 56)

    def paint(self) -> None:
        """Draw the view into the widgets; only changed lines are sent."""
        view, width = self.view, self.size.width
        if view.gpus:
            view.gpu = min(view.gpu, len(view.gpus) - 1)
        if self._shape() != getattr(self, "_last_shape", None):
            self._last_shape = self._shape()
            self._arrange()
        selected = view.selected
        view.link = min(view.link, max(0, len(selected.links) - 1)) if selected else 0
        self._header.show(header.header(view, width))
        self._tabs.show([bars.tabs(view, width)])
        height = self._gpus.size.height
        self._scroll("gpus", view.gpu, len(view.gpus), height - 1)
        self._gpus.show(gpus.table(view, self._gpus.size.width, height, self._tops["gpus"]))
        if self._matrix.display:
            height = self._matrix.size.height
            top = max(0, min(view.gpu, len(view.gpus) - height + 1))
            self._matrix.show(matrix.rows(view, self._matrix.size.width, height, top))
        if self._links.display:
            height = self._links.size.height
            self._scroll("links", view.link, len(selected.links) if selected else 0, height - 2)
            self._links.show(links.rows(view, self._links.size.width, height, self._tops["links"]))
        bar, self._clicks = bars.function_bar(view, width, self._both(width))
        self._keys.show([bar])

    def _shape(self) -> tuple[object, ...]:
        """Return what the arrangement depends on."""
        return (self.size, len(self.view.gpus), self.view.show_links, bool(self.view.selected))

    def _scroll(self, what: str, at: int, count: int, height: int) -> None:
        top = min(self._tops[what], max(0, count - height))
        self._tops[what] = max(0, min(at, max(top, at - height + 1)))

    def on_resize(self) -> None:
        """Draw for the new size once the widgets have theirs."""
        self.call_after_refresh(self.paint)

    def action_help(self) -> None:
        """Show the help."""
        self.push_screen(Help(), lambda _: self.paint())

    def action_swap(self) -> None:
        """Show the links instead of the matrix, or the other way round."""
        self.view.show_links = not self.view.show_links
        if not self.view.show_links and not self._both(self.size.width):
            self.view.links_focused = False
        self._repaint()

    def action_enter(self) -> None:
        """Go into the selected GPU's links, or back out."""
        self.view.links_focused = not self.view.links_focused
        self.view.show_links = self.view.links_focused
        self._repaint()

    def action_turn(self) -> None:
        """Move the focus between GPUs and links."""
        self.action_enter()

    def action_move(self, by: int) -> None:
        """Move the selection."""
        view, selected = self.view, self.view.selected
        if view.links_focused and selected:
            view.link = min(max(0, view.link + by), max(0, len(selected.links) - 1))
        else:
            view.gpu = min(max(0, view.gpu + by), max(0, len(view.gpus) - 1))
        self.paint()

    def action_pause(self) -> None:
        """Let the picture stand still, or go on."""
        self.view.paused = not self.view.paused
        # The sparklines stand still as well, and links looked at meanwhile are of the same moment.
        self.view.history = deepcopy(self._history) if self.view.paused else self._history
        self.paint()

    def action_redraw(self) -> None:
        """Send the whole screen again."""
        self.refresh(repaint=True, layout=True)

    def on_click(self, event: events.Click) -> None:
        """Select what was clicked; press what was clicked in the function bar."""
        x, y = event.screen_x, event.screen_y
        if self._keys.region.contains(x, y):
            for start, end, action in self._clicks:
                if start <= x < end:
                    self.call_later(self.run_action, action)
        elif self._gpus.region.contains(x, y) and y > self._gpus.region.y:
            self.view.links_focused = False
            self.view.gpu = self._tops["gpus"] + y - self._gpus.region.y - 1
            self._repaint()
        elif self._links.display and self._links.region.contains(x, y) and y > self._links.region.y:
            self.view.links_focused = True
            self.view.link = self._tops["links"] + y - self._links.region.y - 1
            self._repaint()

    def on_mouse_scroll_down(self) -> None:
        """Wheel down."""
        self.action_move(1)

    def on_mouse_scroll_up(self) -> None:
        """Wheel up."""
        self.action_move(-1)

    def _repaint(self) -> None:
        self._arrange()
        self.call_after_refresh(self.paint)

    def _watch_terminal(self) -> None:
        if not self.is_headless and terminal.has_gone():
            # Nothing can be restored where nothing is left; the child ends with our pipe.
            self._source.close()
            os._exit(1)

    def _end(self, number: int) -> None:
        self._leave(Outcome(128 + number))

    def _leave(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.exit()
