"""The process lists of all GPUs, each as its lane last read it, and what they come to together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Protocol

from nvltop.model import GpuUse, Maybe, Missing, Processes
from nvltop.nvml.processes import by_pid
from nvltop.nvml.session import GpuReader

OLD_S: Final = 10.0
"""A list that its lane has not renewed for so long is none."""
OLD: Final = Missing("the driver has not answered for some seconds")

Uses = dict[int, GpuUse]


class Table(Protocol):
    """What knows the processes by their number."""

    def describe(self, uses: dict[int, tuple[GpuUse, ...]], unread: Missing | None) -> Processes:
        """Say what the processes are."""


class ProcessLists:
    """The newest list of each GPU."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._lists: dict[str, tuple[float, Maybe[Uses]]] = {}

    def read(self, reader: GpuReader) -> None:
        """Read the list of one GPU."""
        now = time.monotonic()
        self._lists[reader.device.uuid] = now, reader.processes.read(now)

    def describe(self, readers: Sequence[GpuReader]) -> Processes:
        """Say what the processes on these GPUs are."""
        now = time.monotonic()
        return self._table.describe(*by_pid([self._of(r, now) for r in readers if not r.lost]))

    def _of(self, reader: GpuReader, now: float) -> Maybe[Uses]:
        read_s, uses = self._lists.get(reader.device.uuid, (0.0, OLD))
        return uses if now - read_s < OLD_S else OLD
