"""Refreshes an engine in a thread of its own, because a server may take long to answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from nvltop.fleet.engine import FleetEngine
from nvltop.fleet.model import Detail, FleetView
from nvltop.fleet.source import FleetError
from nvltop.frozen import frozen

MAX_SHARE: Final = 0.2
"""Share of the time in which the server may be occupied with nvltop's queries."""
END_S: Final = 1.0
"""Time for the thread to end, seconds; it is a daemon, so that nothing waits longer."""


@frozen
class Update:
    """What a refresh resulted in."""

    view: FleetView | None = None
    """The new view; None if there is none."""
    detail: Detail | None = None
    problem: str = ""
    """Why the server could not be asked; empty if it could."""
    crash: Exception | None = None
    """A failure of nvltop itself, after which the thread has ended."""


class Poller:
    """Calls `deliver` with updates, from its own thread; the other methods may be called from any."""

    def __init__(self, engine: FleetEngine, interval_s: float, deliver: Callable[[Update], None]) -> None:
        self._engine = engine
        self.interval_s = interval_s
        self.effective_s = interval_s
        """Interval between two refreshes, longer than the requested one if the server is slow."""
        self._deliver = deliver
        self._wake = threading.Event()
        self._stopped = False
        self._watched: tuple[str, str] | None = None
        self._retire: list[str] = []
        self._due_s = 0.0
        self._thread = threading.Thread(target=self._run, name="prometheus", daemon=True)

    def start(self) -> None:
        """Start to refresh."""
        self._thread.start()

    def close(self) -> None:
        """End; a request in progress is given up."""
        self._stopped = True
        self._wake.set()
        self._engine.source.close()
        if self._thread.is_alive():
            self._thread.join(END_S)

    def watch(self, node: str, gpu: str = "") -> None:
        """Read the GPUs of a node, or the links of a GPU, now and with each refresh."""
        self._watched = node, gpu
        self._wake.set()

    def unwatch(self) -> None:
        """Read no more details."""
        self._watched = None

    def retire(self, node: str) -> None:
        """Remove a silent node until it answers again."""
        self._retire.append(node)
        self._wake.set()

    @property
    def traffic(self) -> tuple[int, int]:
        """Number of requests since the start, and bytes of their answers."""
        return self._engine.source.traffic

    def _run(self) -> None:
        try:
            while not self._stopped:
                self._wake.clear()
                self._step()
                self._wake.wait(max(0.0, self._due_s - time.monotonic()))
        except Exception as crash:
            if not self._stopped:
                self._deliver(Update(crash=crash))

    def _step(self) -> None:
        while self._retire:
            self._engine.retire(self._retire.pop())
            self._due_s = 0.0
        if time.monotonic() >= self._due_s:
            begun_s = time.monotonic()
            try:
                update = Update(self._engine.refresh())
            except FleetError as error:
                update = Update(problem=str(error))
            took_s = time.monotonic() - begun_s
            self.effective_s = max(self.interval_s, took_s / MAX_SHARE)
            self._due_s = begun_s + self.effective_s
            self._send(update)
        if self._watched and not self._stopped:
            self._send(Update(detail=self._engine.detail(*self._watched)))

    def _send(self, update: Update) -> None:
        if not self._stopped:
            self._deliver(update)
