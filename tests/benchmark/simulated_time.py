"""A clock that only a test moves, and what waits on it: threads, the event loop, all of nvltop."""

from __future__ import annotations

import heapq
import importlib
import itertools
import pkgutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nvltop

OURS = str(Path(nvltop.__file__).parent)
BEGIN_S, WALL_S = 1000.0, 1_790_000_000.0


class Clock:
    """Simulated seconds."""

    def __init__(self) -> None:
        self.now = BEGIN_S

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return WALL_S + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Stop:
    """What threads wait on, until it ends them; `warm` is called once the warm-up is over."""

    def __init__(self, clock: Clock, warm_s: float, ends_s: float, warm: Callable[[], None]) -> None:
        self._clock, self._warm_s, self.ends_s, self._warm = clock, warm_s, ends_s, warm

    def is_set(self) -> bool:
        return self._clock.now >= self.ends_s

    def wait(self, seconds: float | None = None) -> bool:
        """Let time pass; without a limit until the end, since nothing else sets this."""
        before_s = self._clock.now
        self._clock.now = self.ends_s if seconds is None else before_s + seconds
        if before_s < self._warm_s <= self._clock.now:
            self._warm()
        return self.is_set()

    def set(self) -> None:
        """Do nothing: the threads run one after the other, so that none can wake another."""

    def clear(self) -> None:
        """Do nothing."""


class Loop:
    """What decides when pictures are drawn waits in this event loop; its time is ours."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers: list[tuple[float, int, Any]] = []
        self._numbers = itertools.count()
        self.reader: Callable[[], None] | None = None

    def time(self) -> float:
        return self._clock.now

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.reader = callback

    def remove_reader(self, fd: int) -> None:
        self.reader = None

    def call_at(self, at_s: float, callback: Callable[[], None]) -> Any:
        timer = SimpleNamespace(callback=callback)
        timer.cancel = partial(setattr, timer, "callback", None)
        heapq.heappush(self._timers, (at_s, next(self._numbers), timer))
        return timer

    def run_until(self, at_s: float) -> None:
        """Let time pass, and call what is due."""
        while self._timers and self._timers[0][0] <= at_s:
            due_s, _, timer = heapq.heappop(self._timers)
            self._clock.now = max(self._clock.now, due_s)
            if timer.callback:
                timer.callback()
        self._clock.now = at_s


def modules() -> list[ModuleType]:
    """Load all of nvltop."""
    for found in pkgutil.walk_packages([OURS], "nvltop."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    return [module for name, module in sys.modules.items() if name.startswith("nvltop")]


@contextmanager
def on_clock(clock: Clock) -> Iterator[None]:
    """Let all of nvltop go by a clock of ours."""
    dated = SimpleNamespace(
        monotonic=clock, perf_counter=clock, time=clock.wall, process_time=lambda: 0.0,
        thread_time=lambda: 0.0, sleep=clock.sleep,
        **{name: getattr(time, name) for name in ("localtime", "gmtime", "strftime", "mktime")},
    )  # fmt: skip
    changed = [module for module in modules() if vars(module).get("time") is time]
    for module in changed:
        vars(module)["time"] = dated
    try:
        yield
    finally:
        for module in changed:
            vars(module)["time"] = time
