"""The recent NVLink traffic of all GPUs, in cells of one common length."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from math import ceil, inf
from typing import Final

from nvltop.analysis.activity.traffic_series import TrafficSeries, TrafficSpan

MAX_LAG_S: Final = 5.0
"""Lag behind the newest GPU above which the data of a GPU are ignored, seconds."""
CELL_TOO_SHORT: Final = 1.3
"""Usual length of a reading, in cells, above which the cells are made longer."""
CELL_TOO_LONG: Final = 0.7
"""Usual length of a reading, in cells, below which the cells are made shorter."""
MIN_SPANS: Final = 3
"""Number of readings of a GPU below which their usual length is not known."""

Cells = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""TX and RX by cell, by GPU UUID; all of the same length."""


class TrafficStore:
    """The traffic series of all GPUs."""

    __slots__ = ("_series", "cell_s")

    def __init__(self) -> None:
        self.cell_s = 0.0
        """Length of a cell; 0 until the first span."""
        self._series: dict[str, TrafficSeries] = {}

    def add(self, uuid: str, spans: Iterable[TrafficSpan]) -> None:
        """Add spans of one GPU, oldest first."""
        series = self._series.get(uuid)
        if series is None:
            series = self._series[uuid] = TrafficSeries(self.cell_s)
        for span in spans:
            series.add(span)

    def fit_cells(self, interval_s: float) -> bool:
        """Adapt the length of the cells to the readings; return whether that discarded all data."""
        if not self._series:
            return False
        lengths_s = [s.usual_s for s in self._series.values() if s.spans >= MIN_SPANS]
        needed_s = max([interval_s, *(lengths_s or [self.cell_s])])
        if CELL_TOO_LONG * self.cell_s < needed_s < CELL_TOO_SHORT * self.cell_s:
            return False
        self.cell_s = needed_s
        self._series.clear()
        return True

    def series(self, uuids: Sequence[str]) -> dict[str, TrafficSeries]:
        """Return the series of some GPUs by UUID, without GPUs that have none."""
        return {uuid: s for uuid in uuids if (s := self._series.get(uuid))}

    def end(self, uuids: Sequence[str]) -> int:
        """Return the number of the first incomplete cell of some GPUs; 0 if nothing was read."""
        newest = [s.newest for uuid in uuids if (s := self._series.get(uuid))]
        top = max(newest, default=0)
        return min((n for n in newest if (top - n) * self.cell_s <= MAX_LAG_S), default=0)

    def busier_direction(self, uuids: Sequence[str]) -> dict[str, Sequence[float]]:
        """Return the bytes/s of the busier direction of some GPUs, by cell over the whole window."""
        end = self.end(uuids)
        if not end:
            return {}
        return busier({u: s.cells_before(end, s.size - 1) for u, s in self.series(uuids).items()})


def busier(cells: Cells) -> dict[str, Sequence[float]]:
    """Return the higher of TX and RX of each cell, by GPU."""
    # As `map(max, tx, rx)`, in two thirds of the time.
    return {
        uuid: array("d", [b if b > a else a for a, b in zip(tx, rx, strict=True)])
        for uuid, (tx, rx) in cells.items()
    }


def newest_cells(series: Mapping[str, TrafficSeries], end: int, seconds: float) -> Cells:
    """Return the newest `seconds` of traffic before cell `end`, or what there is of it."""
    first = next(iter(series.values()))
    oldest = min((s.oldest for s in series.values() if s.oldest is not None), default=end)
    count = max(0, min(first.size - 1, end - oldest))
    if seconds < inf:
        count = min(count, ceil(seconds / first.cell_s))
    cells = {uuid: s.cells_before(end, count) for uuid, s in series.items()}
    unread = min(next((i for i, v in enumerate(tx) if v == v), len(tx)) for tx, _ in cells.values())
    return {uuid: (tx[unread:], rx[unread:]) for uuid, (tx, rx) in cells.items()}
