"""A session without a screen: reads the worker, folds its items, and ends if the driver does not answer."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from typing import Final

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.select import NoSuchGpuError
from nvltop.analysis.select import select as select_gpus
from nvltop.config.settings import Settings
from nvltop.headless.pacing import ReportPacer
from nvltop.headless.status_line import StatusLine
from nvltop.model import Inventory, Item, ItemSource, Reading, Tick
from nvltop.report.startup import SHOW_AFTER_S, startup_progress

CALL_TIMEOUT_S: Final = 60.0
"""Seconds that one call may take during start-up: waking GPUs without persistence mode takes this long."""
RESTART_WAIT_S: Final = 5.0
"""Seconds in which a worker that ended during start-up may be restarted."""


class RunError(RuntimeError):
    """The run cannot continue; the message is one line for the user."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class HeadlessSession:
    """A worker that is read without a screen."""

    def __init__(
        self,
        worker: ItemSource,
        settings: Settings,
        patient: bool = False,
        patience_s: float = CALL_TIMEOUT_S,
    ) -> None:
        """Read from `worker`.

        A `patient` session keeps waiting for a driver that does not answer or is unloaded. Otherwise the
        run ends when one call during start-up takes longer than `patience_s`, however many calls there are.
        """
        self.monitor = Monitor()
        self.line = StatusLine()
        self.on_item: Callable[[Item], None] | None = None
        """Called with every item."""
        self.only: list[str] | None = None
        """UUIDs of the selected GPUs; None for all."""
        self.pacer = ReportPacer(settings.interval_s)
        self._patience_s = patience_s
        self._worker = worker
        self._settings = settings
        self._patient = patient
        self._begun_s = self._answered_s = time.monotonic()
        self._newest_call_s = 0.0

    def step(self) -> bool:
        """Wait briefly for items, fold those that arrive, and return whether there were any.

        Raises `RunError` if the driver cannot be used, or does not answer during start-up.
        """
        self._await_items(self.pacer.wait_s(time.monotonic()))
        items = self._worker.drain()
        tick = self._worker.tick()
        for item in items:
            self._fold(item)
            if isinstance(item, Inventory):
                if item.problem and self._patient and self.pacer.started:
                    continue
                if item.problem:
                    raise RunError(f"{item.problem.summary}; {item.problem.next_step}", 3)
                self.only = selected_gpus(item, self._settings)
                self.pacer.expect(item, tick.mono_s)
                self.line.clear()
            elif isinstance(item, Reading):
                self.pacer.add(item, tick.mono_s)
        self._fold(tick)
        if not self.pacer.started:
            self._check_startup(tick)
        return bool(items)

    def steps_for(self, seconds: float) -> Iterator[None]:
        """Step until `seconds` after the first reading, yielding after each step; show the progress."""
        begun_s: float | None = None
        observed_s = 0.0
        while observed_s < seconds:
            self.step()
            yield
            if self.pacer.started:
                begun_s = begun_s or time.monotonic()
                observed_s = time.monotonic() - begun_s
            if observed_s > SHOW_AFTER_S:
                self.line.show(f"{observed_s:.0f} of {seconds:g} s observed")

    def _await_items(self, seconds: float) -> None:
        """Wait for items, at most `seconds`; without a worker, only sleep."""
        fd = self._worker.fileno()
        select.select([fd] if fd >= 0 else [], [], [], seconds)

    def _check_startup(self, tick: Tick) -> None:
        """Show which call the first reading waits for; end the run if it does not return in time."""
        now_s = time.monotonic()
        newest_s = max((call.since_s for call in tick.calls), default=self._newest_call_s)
        if newest_s > self._newest_call_s:
            # The previous call has returned.
            self._newest_call_s, self._answered_s = newest_s, now_s
        waited_s, silent_s = now_s - self._begun_s, now_s - self._answered_s
        if waited_s > SHOW_AFTER_S:
            self.line.show(startup_progress(tick, waited_s))
        if self._patient:
            return
        if tick.worker == "ended" and waited_s > RESTART_WAIT_S:
            raise RunError(tick.note or "nvltop's reading process has ended")
        if silent_s > self._patience_s:
            if not tick.calls:
                # No call is in flight, so the driver is not the cause.
                raise RunError(f"nvltop's reading process has sent nothing in {silent_s:.0f} s")
            where = f": {tick.calls[0].function} has not answered"
            raise RunError(
                f"the NVIDIA driver did not answer in {silent_s:.0f} s{where}; see `dmesg` for Xid lines"
            )

    def _fold(self, item: Item) -> None:
        self.monitor.update(item)
        if self.on_item:
            self.on_item(item)


def selected_gpus(inventory: Inventory, settings: Settings) -> list[str] | None:
    """Return the UUIDs of the GPUs that `-i` selects, None for all; raise `RunError` for an unknown one."""
    try:
        return select_gpus(inventory.gpus, settings.only)
    except NoSuchGpuError as error:
        raise RunError(str(error), 2) from None
