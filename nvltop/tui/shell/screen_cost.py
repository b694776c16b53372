"""The cost of watching, shown on the help screen: a monitor must not disturb what it watches."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Final

from nvltop.model import Cost, known
from nvltop.tui.shell.tty_driver import TtyDriver

AVERAGED_S: Final = 10.0


class ScreenCost:
    """CPU time, frames and bytes over the last `AVERAGED_S` seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float, int, int]] = deque()

    def record(self, frames: int) -> None:
        """Record the number of frames drawn so far."""
        now = time.monotonic()
        while self._seen and now - self._seen[0][0] > AVERAGED_S:
            self._seen.popleft()
        self._seen.append((now, time.process_time(), frames, TtyDriver.bytes_written))

    def line(self, cost: Cost) -> str:
        """Describe the cost, including that of the reading process."""
        if len(self._seen) < 2 or self._seen[-1][0] <= self._seen[0][0]:
            return "Not measured yet"
        first, last = self._seen[0], self._seen[-1]
        seconds = last[0] - first[0]
        cpu = (last[1] - first[1]) / seconds
        reading = f" + {cost.cpu_s_per_s:.1%} reading" if known(cost.cpu_s_per_s) else ""
        return (
            f"CPU {cpu:.1%} of a core drawing{reading} · {(last[2] - first[2]) / seconds:.1f} pictures/s\n"
            f"  driver: {cost.calls_per_s:.0f} calls/s, {cost.driver_s_per_s * 1e3:.0f} ms of each second"
            f" · terminal: {(last[3] - first[3]) / seconds / 1e3:.1f} kB/s · {os.cpu_count()} CPUs here"
        )
