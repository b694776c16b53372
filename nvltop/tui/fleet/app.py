"""The application for many nodes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.screen import Screen

from nvltop import __version__
from nvltop.config.settings import Settings
from nvltop.crash import write_report
from nvltop.fleet.engine import FleetEngine
from nvltop.fleet.poller import Poller, Update
from nvltop.fleet.source import Source
from nvltop.formatting import BITS, BYTES
from nvltop.text import clean
from nvltop.tui.fleet.help_text import HELP_TEXT
from nvltop.tui.fleet.nodes_tab import NodesTab
from nvltop.tui.fleet.screen import FleetScreen
from nvltop.tui.fleet.view_state import FleetViewState
from nvltop.tui.shell import terminal
from nvltop.tui.shell.lifecycle import ExitStatus, TerminalApp
from nvltop.tui.shell.save_settings import save_settings
from nvltop.tui.shell.tty_driver import TtyDriver
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.help import HelpScreen
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.setup import SETTING_LINES, SetupScreen
from nvltop.tui.widgets.style_table import StyleTable

AGE_INTERVAL_S: Final = 1.0
"""Interval at which the ages on the screen are updated."""
SETTINGS: Final = ("Theme", "Units of traffic", "Unicode")
"""Labels of the settings that this screen has."""
HELP_TITLE: Final = f"nvltop {__version__}: the nodes that Prometheus scrapes\n\nWHAT WATCHING COSTS"


class FleetApp(TerminalApp):
    """htop for the NVLinks of many nodes."""

    TITLE = "nvltop"
    ALLOW_SELECT = False
    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: ansi_default; color: ansi_default; layout: vertical; overflow: hidden; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,ctrl+q", "quit", "Quit", priority=True),
        Binding("ctrl+l", "redraw", "Redraw"),
        Binding("ctrl+z", "suspend_process", "Suspend"),
    ]

    def __init__(self, source: Source, settings: Settings, interval_s: float) -> None:
        super().__init__()
        self.animation_level = "none"
        self.settings = settings
        self._styles = StyleTable()
        self.view = FleetViewState(interval_s=interval_s, source=source.name)
        self._apply(settings)
        self.main = FleetScreen(self.view, DirectOutput(self._styles))
        self.main.writes_directly = not self.fallback
        self.poller = Poller(FleetEngine(source), interval_s, self._deliver)
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._refreshes = 0
        self._begun_s = time.monotonic()

    def _apply(self, settings: Settings) -> None:
        self.view.glyphs = terminal.glyphs_for(settings.unicode)
        self.view.unit = BITS if settings.units == BITS.name else BYTES
        self._styles.use(self.use_theme(settings.theme))

    def get_default_screen(self) -> Screen[None]:
        """Return the main screen."""
        return self.main

    def on_mount(self) -> None:
        """Start to refresh."""
        self.app_resume_signal.subscribe(self, lambda _: self.action_redraw())
        self._event_loop = asyncio.get_running_loop()
        self.poller.start()
        self.set_interval(AGE_INTERVAL_S, self.step)
        for problem in self.settings.config_problems:
            self.notify(clean(problem), severity="error", markup=False)

    def on_unmount(self) -> None:
        """Refresh no more."""
        self.poller.close()

    def _deliver(self, update: Update) -> None:
        """Hand an update of the poller's thread to the event loop."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            if self._event_loop:
                self._event_loop.call_soon_threadsafe(self.receive, update)

    def receive(self, update: Update) -> None:
        """Show an update."""
        if update.crash:
            self.fail(update.crash)
            return
        view, now_s = self.view, time.monotonic()
        if update.detail:
            view.detail = update.detail
        elif update.problem:
            view.problem_since_s = view.problem_since_s if view.problem else now_s
            view.problem = update.problem
        elif update.view:
            view.problem, view.received_s = "", now_s
            if not view.paused:
                view.fleet = update.view
        if not update.detail:
            self._refreshes += 1
            view.effective_s = self.poller.effective_s
        self.step()
        if self._refreshes == self.settings.max_refreshes:
            self.leave(self.exit_status)

    def step(self) -> None:
        """Draw one frame."""
        self.view.now_s = time.monotonic()
        self.main.draw_frame()

    def on_nodes_tab_retired(self, message: NodesTab.Retired) -> None:
        """Remove a silent node."""
        self.poller.retire(message.node)

    def on_fleet_screen_details_wanted(self, message: FleetScreen.DetailsWanted) -> None:
        """Read what a page shows."""
        if message.page:
            self.poller.watch(message.page.node, message.page.gpu)
        else:
            self.poller.unwatch()

    def action_help(self) -> None:
        """Show the help."""
        self.push_screen(HelpScreen(self._cost, HELP_TITLE, HELP_TEXT))

    def _cost(self) -> str:
        """Return what was sent and received, and the CPU time, since the start."""
        requests, received = self.poller.traffic
        for_s = max(1.0, time.monotonic() - self._begun_s)
        cpu = 100 * time.process_time() / for_s
        rates = f"{requests / for_s * 60:.0f} requests and {received / for_s * 60 / 1e3:.0f} kB a minute"
        return f"{rates} from Prometheus · {cpu:.1f}% of a core"

    def action_setup(self) -> None:
        """Show the settings; changes are written to the config file when the user leaves."""
        lines = [line for line in SETTING_LINES if line.label in SETTINGS]
        self.push_screen(SetupScreen(self.settings, self.change_settings, lines), self._save_settings)

    def change_settings(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self.settings = settings
        self._apply(settings)
        for rows in self.main.query(RowsWidget):
            rows.restyle()
        self.step()

    def _save_settings(self, before: Settings | None) -> None:
        message, failed = save_settings(before, self.settings) if before else ("", False)
        if message:
            self.notify(clean(message), severity="error" if failed else "information", markup=False)

    def action_pause(self) -> None:
        """Freeze the screen, or continue; the server is still asked."""
        self.view.paused = not self.view.paused
        self.step()

    def action_redraw(self) -> None:
        """Draw the whole screen again, and switch the terminal's modes on again."""
        if isinstance(self.terminal_driver, TtyDriver):
            self.terminal_driver.send_modes()
        self.screen.refresh(repaint=True, layout=True)

    def close_source(self) -> None:
        """Close the connection to the server."""
        self.poller.close()


def run(source: Source, settings: Settings, interval_s: float) -> ExitStatus:
    """Run the application until the user leaves."""
    problem = terminal.why_unusable()
    if problem:
        return ExitStatus(1, problem)
    terminal.ignore_size_variables()
    terminal.draw_on_terminal()
    terminal.ensure_size()
    app = FleetApp(source, settings, interval_s)
    app.run_on_terminal(settings.mouse)
    return ExitStatus(1, write_report(app.crashed)) if app.crashed else app.exit_status
