"""The application: folds what arrives, draws at the refresh rate, ends when told to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import ClassVar, Final

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.analysis.select import select
from nvltop.config.settings import Settings
from nvltop.formatting import BITS, BYTES
from nvltop.gc_tuning import freeze_startup_objects
from nvltop.model import Inventory, Item, Show
from nvltop.record.recording_source import RecordingSource
from nvltop.record.replay import ReplaySource
from nvltop.text import clean
from nvltop.tui.render import themes
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell import terminal
from nvltop.tui.shell.alerts import Alerts
from nvltop.tui.shell.command_palette import Commands, system_commands
from nvltop.tui.shell.frame_scheduler import FrameScheduler
from nvltop.tui.shell.lifecycle import ExitStatus, TerminalApp, refused
from nvltop.tui.shell.main_screen import MainScreen
from nvltop.tui.shell.playback import Playback
from nvltop.tui.shell.save_settings import record_or_stop, save_settings
from nvltop.tui.shell.screen_cost import ScreenCost
from nvltop.tui.shell.snapshots import SnapshotTaker
from nvltop.tui.shell.source import Source
from nvltop.tui.shell.tty_driver import TtyDriver
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.goto import GoToDialog
from nvltop.tui.widgets.help import Help
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.setup import Setup
from nvltop.tui.widgets.style_table import StyleTable

STARTED_S: Final = 3.0
"""When the start is over: all there is to stay has been made."""
FOLD_S: Final = 0.05
REST_S: Final = 0.02
"""How long items of a recording are folded at a stretch, and the pause for keys between two of them."""


class Nvltop(TerminalApp):
    """htop for NVLink."""

    TITLE = "nvltop"
    ALLOW_SELECT = False
    CSS = "Screen { background: ansi_default; color: ansi_default; layout: vertical; overflow: hidden; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,ctrl+q", "quit", "Quit", priority=True),
        Binding("ctrl+l", "redraw", "Redraw"),
        Binding("ctrl+z", "suspend_process", "Suspend"),
    ]

    def __init__(
        self,
        source: Source,
        settings: Settings,
        show: Show | None = None,
        look: tuple[Monitor, RateHistory] | None = None,
        arrived: Sequence[Item] = (),
    ) -> None:
        """Go on with `look`, what a run without a screen has come to, if there was one.

        `arrived` is what the source gave before.
        """
        super().__init__()
        self.animation_level = "none"
        self._source = source
        self._settings = settings
        self._show = show
        self._arrived = arrived
        self._resumed = look is not None
        self._monitor, self._history = look or (Monitor(), RateHistory())
        self._shots = SnapshotTaker(settings.full, isinstance(source, ReplaySource), self._tell)
        self._alerts = Alerts(settings.alert)
        self._only: list[str] | None = None
        self._frames = FrameScheduler(self._draw, lambda: self._settings.interval_s, lambda: self.app_focus)
        self._more: asyncio.TimerHandle | None = None
        """Set while there is more to fold than was folded at a stretch."""
        self._refreshes = 0
        self._cost = ScreenCost()
        self.view = ViewState(history=self._history)
        self.view.recording = isinstance(source, RecordingSource)
        self._playback = Playback(source) if isinstance(source, ReplaySource) else None
        self._styles = StyleTable()
        self.view.show_links = settings.layout == "links"
        self._use(settings)
        self.main = MainScreen(self.view, DirectOutput(self._styles))

    def _use(self, settings: Settings) -> None:
        """Let the screen look as it is set."""
        view = self.view
        view.glyphs = terminal.glyphs_for(settings.unicode)
        view.unit = BITS if settings.units == BITS.name else BYTES
        view.meters = settings.meters
        view.hidden = frozenset(settings.hidden_columns)
        view.readonly = settings.readonly
        self._styles.use(themes.THEMES[settings.theme])

    def change(self, settings: Settings) -> None:
        """Go on with other settings."""
        before, self._settings = self._settings, settings
        if settings.interval_s != before.interval_s:
            self._source.set_interval(settings.interval_s)
        if settings.layout != before.layout:
            self.view.focus_links(settings.layout == "links")
        self._alerts = Alerts(settings.alert)
        self._use(settings)
        for lines in self.main.query(RowsWidget):
            lines.forget()
        self._draw()

    def action_setup(self) -> None:
        """Show what can be set; written into the config file on leaving."""
        self.push_screen(Setup(self._settings, self.change), self._keep)

    def _keep(self, before: Settings | None) -> None:
        if before:
            self._tell(*save_settings(before, self._settings))

    def get_default_screen(self) -> Screen[None]:
        """Start with the main screen."""
        return self.main

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offer in the command palette what the keys do now."""
        return system_commands(screen, self)

    def action_command_palette(self) -> None:
        """Offer all keys by name."""
        if not isinstance(self.screen, Commands):
            self.push_screen(Commands())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave a replay's keys to the tabs where there is none."""
        return (
            bool(self._playback)
            if action in ("replay", "go_to")
            else super().check_action(action, parameters)
        )

    def on_mount(self) -> None:
        """Listen to the source, and to what ends the screen."""
        self.theme = "ansi-dark"
        self.app_resume_signal.subscribe(self, lambda _: self.action_redraw())
        self.watch_ends()
        self._frames.start(self._source.fileno())
        if self._resumed or self._arrived:
            self.call_after_refresh(self._draw)
        if self._playback:
            # Nothing tells when the items of a recording are due but the clock.
            self.set_interval(self._settings.interval_s, self._draw)
        if not self.is_headless:
            self.set_timer(STARTED_S, freeze_startup_objects)
        for problem in self._settings.config_problems:
            self._tell(problem, True)

    def on_unmount(self) -> None:
        """Draw no more, even if nobody has said that it ends."""
        self._frames.stop()

    def _fold(self) -> None:
        if self._playback and self._playback.rewound():
            self._monitor, self._history = Monitor(), RateHistory()
            self.view.history = self._history
            self._shots.clear()
        ends_s = time.monotonic() + FOLD_S
        while items := self._arrived or self._source.drain():
            self._arrived = ()
            self._shots.write(*items)
            for item in items:
                self._monitor.update(item)
                if isinstance(item, Inventory):
                    self._take(item)
            # A replay's clock waits for what is not folded yet; a live one would call the driver silent.
            if not self._playback:
                return
            if time.monotonic() > ends_s:
                self._more = self._more or asyncio.get_running_loop().call_later(REST_S, self._go_on)
                return

    def _go_on(self) -> None:
        """Fold some more of a recording, and have it drawn."""
        self._more = None
        self._fold()
        self._frames.data_ready()

    def _take(self, inventory: Inventory) -> None:
        outcome = refused(inventory, self._settings.only)
        if not outcome:
            self._only = select(inventory.gpus, self._settings.only)
        elif not inventory.problem or not self.view.gpus:
            self.leave(outcome)

    def _draw(self) -> None:
        """Bring the picture up to date."""
        self._frames.frame_started()
        tick = self._source.tick()
        if not self._more:
            self._fold()
        self._frames.listen(self._source.fileno())
        self._monitor.update(tick)
        if not self._playback:
            self._shots.write(tick)
        self.view.now_s = tick.mono_s
        if self._playback:
            self._playback.note(self._monitor.findings, tick.mono_s)
            self.view.replay = self._playback.playing()
        frame = self._monitor.frame()
        self._history.add(frame)
        if self._show:
            self._show(frame, self._only)
        if (alert := self._alerts.of(frame.findings)) and self._driver and not self._playback:
            self._driver.write(alert)
        if not self.view.paused:
            self.view.frame = frame
            only = self._only
            self.view.list_gpus([g for g in frame.gpus if only is None or g.gpu.uuid in only])
        if self.screen is self.main or isinstance(self.screen, ModalScreen):
            self.main.paint()
        if self._settings.snapshot_on_critical:
            self._shots.take_if_critical(self.main, self.view, frame, self._history)
        self._refreshes += 1
        self._cost.note(self._refreshes)
        if self._refreshes == self._settings.max_refreshes:
            self.leave(self.outcome)

    def on_main_tab_order_changed(self) -> None:
        """List the GPUs as the user wants them."""
        self._draw()

    def on_errors_tab_baseline_requested(self) -> None:
        """Count errors from now on."""
        self._monitor.rebase()
        self._draw()

    def action_help(self) -> None:
        """Show the help."""
        self.push_screen(Help(lambda: self._cost.line(self.view.frame.cost)))

    def action_pause(self) -> None:
        """Let the picture stand still, or go on."""
        self.view.paused = not self.view.paused
        # The sparklines stand still as well, and links looked at meanwhile are of the same moment.
        self.view.history = deepcopy(self._history) if self.view.paused else self._history
        self.main.paint()

    def action_record(self) -> None:
        """Record into a new file in the current folder, or stop."""
        if self._playback or not self._monitor.inventory:
            return
        self._source, words, failed = record_or_stop(self._source, self._monitor.inventory)
        self.view.recording = isinstance(self._source, RecordingSource)
        self._tell(words, failed)

    def action_snapshot(self) -> None:
        """Write a snapshot into the current folder; its report also goes to the clipboard."""
        report = self._shots.take(self.main, self.view, self._monitor.frame(), self._history)
        if report:
            self.copy_to_clipboard(report)

    def _tell(self, words: str, failed: bool) -> None:
        if words:
            self.notify(clean(words), severity="error" if failed else "information", markup=False)

    def finish_files(self) -> tuple[str, bool]:
        """Write the last lines of a recording, and a snapshot.

        Return what is to be reported of them, and whether the recording is not whole.
        """
        words, failure = self._shots.wait(), ""
        if isinstance(self._source, RecordingSource):
            self._source.stop()
            failure = str(self._source.error or "")
        return "\n".join(filter(None, (words, failure))), bool(failure)

    def action_replay(self, what: str) -> None:
        """Move in the recording that is shown."""
        if self._playback:
            self._playback.do(what)
            self._draw()

    def action_redraw(self) -> None:
        """Send the whole screen again, and what the terminal is to report."""
        if isinstance(self._driver, TtyDriver):
            self._driver.send_modes()
        self.screen.refresh(repaint=True, layout=True)

    def action_go_to(self) -> None:
        """Ask for a time of the recording, and go there."""
        if self._playback:
            self.push_screen(GoToDialog(self._playback.go_to), lambda _: self._draw())

    def close_source(self) -> None:
        """Let go of the worker, and end what is recorded of it."""
        self._source.close()

    def leave(self, outcome: ExitStatus) -> None:
        """End; what is not folded yet is left."""
        self._frames.stop()
        if self._more:
            self._more.cancel()
        super().leave(outcome)
