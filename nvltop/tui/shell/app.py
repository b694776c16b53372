"""The application: the main screen on a feed of items, with the keys that work on every tab."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import ClassVar, Final

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.analysis.select import select
from nvltop.config.settings import SPARK_CELLS_S, Settings, next_interval
from nvltop.formatting import BITS, BYTES
from nvltop.gc_tuning import COLLECT_S, collect, freeze_startup_objects
from nvltop.model import Inventory, Item, ItemSource, Show
from nvltop.tui.render.spark_style import SPARK_STYLES
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell import dialogs, terminal
from nvltop.tui.shell.alerts import Alerts
from nvltop.tui.shell.command_palette import system_commands
from nvltop.tui.shell.comparison_control import FILE, MAX_PATH_CHARS, PLACEHOLDER, ComparisonControl
from nvltop.tui.shell.feed import Feed
from nvltop.tui.shell.frame_scheduler import FrameScheduler, FrameTimes, live_times, replay_times
from nvltop.tui.shell.lifecycle import ExitStatus, TerminalApp, early_exit
from nvltop.tui.shell.main_screen import MainScreen
from nvltop.tui.shell.recorded import parts_of
from nvltop.tui.shell.recording_control import RecordingControl
from nvltop.tui.shell.save_settings import save_settings
from nvltop.tui.shell.screen_cost import ScreenCost
from nvltop.tui.shell.snapshots import SnapshotTaker
from nvltop.tui.shell.textual_private import SafeCommandPalette, write_to_terminal
from nvltop.tui.shell.tty_driver import TtyDriver
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.style_table import StyleTable

STARTUP_S: Final = 3.0
"""Time after which all objects that stay are made, so that the garbage collector may ignore them."""


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
        source: ItemSource,
        settings: Settings,
        show: Show | None = None,
        observed: tuple[Monitor, RateHistory] | None = None,
        first_items: Sequence[Item] = (),
    ) -> None:
        """Show `source`; call `show` with each frame.

        `observed` is the result of a run without a screen, if one came before this. `first_items` are those
        that were read from the source before.
        """
        super().__init__()
        self.animation_level = "none"
        self.settings = settings
        self._show = show
        self.recording = RecordingControl(source)
        self._playback, self._stream = parts_of(source)
        self.feed = Feed(self.recording, self, self._playback, observed, first_items)
        self._snapshots = SnapshotTaker(settings.full, self._playback is not None, self.notify_user)
        self._alerts = Alerts(settings.alert)
        self._only: list[str] | None = None
        """UUIDs of the GPUs to list; None for all."""
        self._frames = FrameScheduler(self.step, self._frame_times)
        self._frame_count = 0
        self._cost = ScreenCost()
        self._styles = StyleTable()
        self.view = ViewState(history=self.feed.history)
        self.view.recording = self.recording.active
        self.view.pane = "links" if settings.layout == "links" else ""
        self._comparison = ComparisonControl(self.view, self.notify_user, self.step)
        self._apply(settings)
        if self._playback:
            self.view.replay = self._playback.state()
        self.main = MainScreen(self.view, DirectOutput(self._styles))
        self.main.writes_directly = not self.fallback

    @property
    def source(self) -> ItemSource:
        """The source of the items that are shown."""
        return self.recording.source

    def _apply(self, settings: Settings) -> None:
        """Set glyphs, units, meters, columns and theme."""
        view = self.view
        view.glyphs = terminal.glyphs_for(settings.unicode)
        view.spark_style = SPARK_STYLES[settings.sparklines]
        view.spark_cell_s = SPARK_CELLS_S[settings.sparkline_cell]
        view.unit = BITS if settings.units == BITS.name else BYTES
        view.meters = settings.meters
        view.hidden = frozenset(settings.hidden_columns)
        view.extra = frozenset(settings.extra_columns)
        view.readonly = settings.readonly
        self._styles.use(self.use_theme(settings.theme))

    def change_settings(self, settings: Settings) -> None:
        """Use other settings from now on."""
        before, self.settings = self.settings, settings
        if settings.interval_s != before.interval_s:
            self.recording.set_interval(settings.interval_s)
        if settings.layout != before.layout:
            self.view.focus_list("links" if settings.layout == "links" else "gpus")
        self._alerts = Alerts(settings.alert)
        self._apply(settings)
        for rows in self.main.query(RowsWidget):
            rows.restyle()
        self.step()

    def on_main_screen_interval_requested(self, message: MainScreen.IntervalRequested) -> None:
        """Use the next longer or shorter interval, from now on but not in the config file."""
        interval_s = next_interval(self.settings.interval_s, message.by)
        self.change_settings(replace(self.settings, interval_s=interval_s))

    def action_setup(self) -> None:
        """Show the settings; changes are written to the config file when the user leaves."""
        self.push_screen(dialogs.setup_screen(self.settings, self.change_settings), self._save_settings)

    def _save_settings(self, before: Settings | None) -> None:
        if before:
            self.notify_user(*save_settings(before, self.settings))

    def get_default_screen(self) -> Screen[None]:
        """Return the main screen."""
        return self.main

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offer the actions that have a key in the command palette."""
        return system_commands(screen, self)

    def action_command_palette(self) -> None:
        """Open the command palette."""
        if not isinstance(self.screen, SafeCommandPalette):
            self.push_screen(SafeCommandPalette())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable keys that tabs use too: those of a replay, and Esc, which ends a comparison."""
        if action == "end_comparison":
            return self.view.baseline is not None
        if action in ("replay", "go_to"):
            return bool(self._playback) and not self.main.is_prompting
        return super().check_action(action, parameters)

    def on_mount(self) -> None:
        """Start to draw."""
        self.app_resume_signal.subscribe(self, lambda _: self.action_redraw())
        self._frames.start(self.recording.fileno())
        if self.feed.has_data or self._playback:
            # Before the widgets are laid out, so that the first picture shows what was read.
            self.step()
        if not self.is_headless:
            self.set_timer(STARTUP_S, freeze_startup_objects)
            self.set_interval(COLLECT_S, collect)
        if self.fallback:
            self.notify_user(f"Textual draws and reads keys by itself: {self.fallback}", False)
        for problem in self.settings.config_problems:
            self.notify_user(problem, True)

    def on_unmount(self) -> None:
        """Draw no more, even if the end was not announced."""
        self._frames.stop()

    def items_read(self, items: Sequence[Item]) -> None:
        """Keep the items for a snapshot."""
        self._snapshots.write(*items)

    def inventory_read(self, inventory: Inventory) -> None:
        """Choose the GPUs to list, or end if there is none."""
        status = early_exit(inventory, self.settings.only)
        if not status:
            self._only = select(inventory.gpus, self.settings.only)
        elif not inventory.problem or not self.view.gpus:
            self.leave(status)

    def history_restarted(self) -> None:
        """Show the history of a recording from its beginning again."""
        self.view.history = self.feed.history
        self._snapshots.clear()
        self._comparison.restart()

    def data_ready(self) -> None:
        """Draw what was folded, unless the last frame was just now."""
        self._frames.data_ready()

    def _frame_times(self, running_s: float) -> FrameTimes:
        interval_s = self.settings.interval_s
        if self._playback:
            return replay_times(interval_s, self._playback.speed)
        return live_times(interval_s, running_s)

    def step(self) -> None:
        """Draw one frame: the state of the node with all items that have arrived."""
        self._frames.frame_started()
        frame = self.feed.next_frame()
        self._frames.listen(self.recording.fileno())
        now_s = self.view.now_s = frame.tick.mono_s
        if (stream := self._stream) and stream is self.recording.source and stream.ended:
            message = str(stream.error or stream.warning or "the stream has ended")
            self.leave(ExitStatus(1 if stream.error else 0, message))
            return
        if self._playback:
            self._playback.add_marks(frame.findings, now_s)
            self.view.replay = self._playback.state()
        if self._show:
            self._show(frame, self._only)
        if (alert := self._alerts.escapes(frame.findings)) and not self._playback:
            write_to_terminal(self, alert)
        if not self.view.paused:
            self.view.frame = frame
            self._comparison.add_frame(frame)
            only = self._only
            self.view.selectable = [g for g in frame.gpus if only is None or g.gpu.uuid in only]
            self.view.list_gpus()
        if self.screen is self.main or isinstance(self.screen, ModalScreen):
            self.main.draw_frame()
        if self.settings.snapshot_on_critical:
            self._snapshots.take_if_critical(self.main, self.view, frame, self.feed.history)
        self._frame_count += 1
        self._cost.record(self._frame_count)
        if self._frame_count == self.settings.max_refreshes:
            self.call_after_refresh(self.leave, self.exit_status)

    def action_compare(self) -> None:
        """Choose what Errors and the link page compare with, or end the comparison."""
        if self.view.baseline:
            self._comparison.end()
            return
        from nvltop.tui.widgets.line_dialog import LineDialog
        from nvltop.tui.widgets.menu import Menu

        comparison = self._comparison

        def begin(option: str | None) -> None:
            if option == FILE:
                self.push_screen(LineDialog(PLACEHOLDER, comparison.read, comparison.path, MAX_PATH_CHARS))
            elif option:
                comparison.begin(option)

        self.push_screen(Menu("Compare with", comparison.options()), begin)

    def action_acknowledge(self) -> None:
        """Count and mark only events from now on as new."""
        self.view.acknowledged_s = self.view.frame.tick.wall_s
        self.main.draw_frame()

    def action_end_comparison(self) -> None:
        """End the comparison."""
        self._comparison.end()

    def action_help(self) -> None:
        """Show the help."""
        self.push_screen(dialogs.help_screen(lambda: self._cost.line(self.view.frame.cost)))

    def action_pause(self) -> None:
        """Freeze the screen, or continue; sampling goes on."""
        self.view.paused = not self.view.paused
        # A copy, so that sparklines do not move, and links that are opened meanwhile show the same moment.
        self.view.history = deepcopy(self.feed.history) if self.view.paused else self.feed.history
        self.main.draw_frame()

    def action_record(self) -> None:
        """Record into a new file in the current folder, or stop."""
        if self._playback:
            self.notify_user("this is a recording: nothing is read that could be recorded", False)
            return
        if not self.feed.monitor.inventory:
            self.notify_user("nothing has been read yet that could be recorded", False)
            return
        message, failed = self.recording.toggle(self.feed.monitor.inventory)
        self.view.recording = self.recording.active
        self.notify_user(message, failed)
        self.main.draw_frame()

    def action_snapshot(self) -> None:
        """Write a snapshot into the current folder, and copy its report to the clipboard."""
        report = self._snapshots.take(self.main, self.view, self.feed.monitor.frame(), self.feed.history)
        if report:
            self.copy_to_clipboard(report)

    def action_picture(self) -> None:
        """Write a picture of the current tab into the current folder."""
        self._snapshots.take_picture(self.main, self.view)

    def finish_files(self) -> tuple[str, bool]:
        """Finish the recording, and a snapshot that is still being written.

        Return a message about them, which may be empty, and whether the recording is incomplete.
        """
        message, failure = self._snapshots.wait(), self.recording.finish()
        return "\n".join(filter(None, (message, failure))), bool(failure)

    def action_replay(self, what: str) -> None:
        """Control the replay: pause, step, speed, jumps."""
        if self._playback:
            self._playback.run_command(what)
            self.step()

    def action_replay_to(self, position_s: float) -> None:
        """Jump to a position in the recording, in seconds from its start."""
        if self._playback:
            self._playback.jump(position_s)
            self.step()

    def action_redraw(self) -> None:
        """Draw the whole screen again, and switch the terminal's modes on again."""
        if isinstance(self.terminal_driver, TtyDriver):
            self.terminal_driver.send_modes()
        self.screen.refresh(repaint=True, layout=True)

    def action_go_to(self) -> None:
        """Ask for a time, and jump to it in the recording."""
        if self._playback:
            from nvltop.tui.shell.playback import GO_TO_EXAMPLES
            from nvltop.tui.widgets.line_dialog import LineDialog

            self.push_screen(LineDialog(GO_TO_EXAMPLES, self._playback.go_to), lambda _: self.step())

    def close_source(self) -> None:
        """Close the source, and finish its recording."""
        self.recording.close()

    def leave(self, status: ExitStatus) -> None:
        """End without folding the items that are left."""
        self._frames.stop()
        self.feed.stop()
        super().leave(status)
