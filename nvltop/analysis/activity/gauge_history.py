"""Gauges of one GPU and rates of the NICs over the last minute, for mean values."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import field
from typing import Final, cast

from nvltop.analysis.link_capacity import pcie_share
from nvltop.analysis.nan import without_nan
from nvltop.analysis.nics import data_ports
from nvltop.frozen import mutable
from nvltop.model import GpuFrame, Maybe, Missing, NicFrame, known
from nvltop.model.clock_reasons import HW_THERMAL, POWER_BRAKE, SW_POWER_CAP, SW_THERMAL

HISTORY_S: Final = 60.0
"""Length of the history, seconds."""
MAX_SAMPLES: Final = 120
"""Number of samples kept; gauges are read once per second."""
MIN_SAMPLES: Final = 10
"""Number of samples below which there is no mean."""
MIN_SAMPLES_READ: Final = 0.9
"""Share of the samples that must have a value."""
TOO_FEW: Final = Missing("not read often enough yet")

_POWER_W, _UTIL_PERCENT, _SM_CLOCK_MHZ, _PCIE, _REASONS = range(5)
"""Columns of a sample; those of `THROTTLE_COLUMNS` follow."""
THROTTLE_COLUMNS: Final = {SW_POWER_CAP: 5, SW_THERMAL: 6, HW_THERMAL: 7, POWER_BRAKE: 8}
"""Column with the time for which each reason applied."""
_COLUMNS: Final = 9


class GaugeHistory:
    """The gauges of one GPU as packed samples, newest last; NaN where a value is missing."""

    __slots__ = ("_missing", "_read_s", "_rows")

    def __init__(self) -> None:
        self._read_s = array("d")
        """CLOCK_MONOTONIC of each sample."""
        self._rows = array("d")
        self._missing: dict[int, Missing] = {}
        """Why the newest missing value of a column was not read."""

    def add(self, g: GpuFrame, now_s: float) -> None:
        """Add the gauges of a frame if they are new."""
        age_s = g.age_s.get("gauges")
        if age_s is None:
            return
        read_s = round(now_s - age_s, 3)
        if not self._read_s or read_s > self._read_s[-1]:
            self._read_s.append(read_s)
            self._rows.extend(self._numbers(_sample(g)))
        old = int(len(self._read_s) > MAX_SAMPLES)
        while old < len(self._read_s) and now_s - self._read_s[old] > HISTORY_S:
            old += 1
        if old:
            del self._read_s[:old], self._rows[: old * _COLUMNS]

    def _numbers(self, sample: Sequence[Maybe[float]]) -> array[float]:
        """Return a sample as numbers, NaN for each missing value, and note why it is missing."""
        numbers = cast(Sequence[float], sample)
        try:
            return array("d", numbers)
        except TypeError:
            missing = {column: v for column, v in enumerate(sample) if isinstance(v, Missing)}
            self._missing |= missing
            return array("d", [math.nan if i in missing else v for i, v in enumerate(numbers)])

    def _column(self, column: int) -> array[float]:
        return self._rows[column::_COLUMNS]

    def _mean(self, column: int) -> Maybe[float]:
        """Return the mean of the known values of a column, or a reason if too few are known."""
        read = without_nan(values := self._column(column))
        if len(read) < max(MIN_SAMPLES, MIN_SAMPLES_READ * len(values)):
            return self._missing[column] if len(read) < len(values) else TOO_FEW
        return sum(read) / len(read)

    @property
    def power_w(self) -> Maybe[float]:
        """Mean power draw."""
        return self._mean(_POWER_W)

    @property
    def util_percent(self) -> Maybe[float]:
        """Mean utilisation."""
        return self._mean(_UTIL_PERCENT)

    @property
    def sm_clock_mhz(self) -> Maybe[float]:
        """Mean clock of the SMs."""
        return self._mean(_SM_CLOCK_MHZ)

    @property
    def pcie(self) -> Maybe[float]:
        """Mean share of the speed of the PCIe link."""
        return self._mean(_PCIE)

    @property
    def recent_pcie(self) -> float:
        """Mean share of the speed of the PCIe link over the last samples; 0 if none was read."""
        newest = max(0, len(self._rows) - MIN_SAMPLES * _COLUMNS)
        read = without_nan(self._rows[newest + _PCIE :: _COLUMNS])
        return sum(read) / len(read) if read else 0.0

    @property
    def utils(self) -> Sequence[float]:
        """The known utilisations of the samples in percent, oldest first."""
        return without_nan(self._column(_UTIL_PERCENT))

    def throttled_share(self, reasons: int) -> float:
        """Return the share of the time in which the clock was reduced for any of `reasons`, a bit mask.

        The share is exact if the driver counts these times (`Gauges.hw_thermal_s` and others). Otherwise it
        is the share of the samples. It is 0 while there are fewer than `MIN_SAMPLES`.
        """
        if len(self._read_s) < MIN_SAMPLES:
            return 0.0
        first, last = self._rows[:_COLUMNS], self._rows[-_COLUMNS:]
        changes = [last[c] - first[c] for reason, c in THROTTLE_COLUMNS.items() if reasons & reason]
        counted = [seconds for seconds in changes if seconds == seconds]
        seconds = self._read_s[-1] - self._read_s[0]
        if counted and min(counted) >= 0 and seconds > 0:
            return min(1.0, max(counted) / seconds)
        read = self._column(_REASONS)
        return sum(r == r and bool(int(r) & reasons) for r in read) / len(read)


def _sample(g: GpuFrame) -> tuple[Maybe[float], ...]:
    """Return the values of a GPU in the order of the columns."""
    own, tx = g.gauges, g.pcie.tx_bytes_per_s
    return (
        own.power_w,
        own.util_percent,
        own.sm_clock_mhz,
        tx if isinstance(tx, Missing) else pcie_share(g),
        own.event_reasons,
        own.power_cap_s,
        own.sw_thermal_s,
        own.hw_thermal_s,
        own.power_brake_s,
    )


@mutable
class NicUsage:
    """The use of the busiest NIC port over the last minute."""

    _samples: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))

    def add(self, nics: Sequence[NicFrame], now_s: float) -> None:
        """Add the rates of a frame."""
        shares = [
            max(n.tx_bytes_per_s, n.rx_bytes_per_s) / n.port.rate_bytes_per_s
            for n in data_ports(nics)
            if known(n.tx_bytes_per_s) and known(n.rx_bytes_per_s)
            if known(n.port.rate_bytes_per_s) and n.port.rate_bytes_per_s > 0 and not n.stale
        ]
        if shares:
            self._samples.append((now_s, max(shares)))
        while self._samples and now_s - self._samples[0][0] > HISTORY_S:
            self._samples.popleft()

    @property
    def share(self) -> Maybe[float]:
        """Mean share of the line rate."""
        if len(self._samples) < MIN_SAMPLES:
            return TOO_FEW
        return sum(share for _, share in self._samples) / len(self._samples)
