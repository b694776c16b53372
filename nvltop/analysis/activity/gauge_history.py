"""Gauges of one GPU and rates of the NICs over the last minute, for mean values."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from nvltop.analysis.link_capacity import pcie_share
from nvltop.analysis.nics import data_ports
from nvltop.model import Gauges, GpuFrame, Maybe, Missing, NicFrame, known

HISTORY_S: Final = 60.0
"""Length of the history, seconds."""
MAX_SAMPLES: Final = 120
"""Number of samples kept; gauges are read once per second."""
MIN_SAMPLES: Final = 10
"""Number of samples below which there is no mean."""
MIN_SAMPLES_READ: Final = 0.9
"""Share of the samples that must have a value."""
TOO_FEW: Final = Missing("not read often enough yet")

SW_POWER_CAP: Final = 0x4
SW_THERMAL: Final = 0x20
HW_THERMAL: Final = 0x40
POWER_BRAKE: Final = 0x80
"""Bits of `nvmlDeviceGetCurrentClocksEventReasons`."""
THROTTLE_TIMES: Final = {
    SW_POWER_CAP: "power_cap_s",
    SW_THERMAL: "sw_thermal_s",
    HW_THERMAL: "hw_thermal_s",
    POWER_BRAKE: "power_brake_s",
}
"""Field of `Gauges` with the time for which each reason applied."""


@dataclass(slots=True)
class GaugeHistory:
    """The gauges of one GPU, newest last."""

    _samples: deque[tuple[float, Gauges, Maybe[float]]] = field(
        default_factory=lambda: deque(maxlen=MAX_SAMPLES)
    )
    """CLOCK_MONOTONIC, gauges, and share of the speed of the PCIe link."""

    def add(self, g: GpuFrame, now_s: float) -> None:
        """Add the gauges of a frame if they are new."""
        age_s = g.age_s.get("gauges")
        if age_s is None:
            return
        read_s = round(now_s - age_s, 3)
        if not self._samples or read_s > self._samples[-1][0]:
            tx = g.pcie.tx_bytes_per_s
            self._samples.append((read_s, g.gauges, tx if isinstance(tx, Missing) else pcie_share(g)))
        while self._samples and now_s - self._samples[0][0] > HISTORY_S:
            self._samples.popleft()

    @property
    def power_w(self) -> Maybe[float]:
        """Mean power draw."""
        return _mean([g.power_w for _, g, _ in self._samples])

    @property
    def util_percent(self) -> Maybe[float]:
        """Mean utilisation."""
        return _mean([g.util_percent for _, g, _ in self._samples])

    @property
    def sm_clock_mhz(self) -> Maybe[float]:
        """Mean clock of the SMs."""
        return _mean([g.sm_clock_mhz for _, g, _ in self._samples])

    @property
    def pcie(self) -> Maybe[float]:
        """Mean share of the speed of the PCIe link."""
        return _mean([share for _, _, share in self._samples])

    @property
    def recent_pcie(self) -> float:
        """Mean share of the speed of the PCIe link over the last samples; 0 if none was read."""
        read = [share for _, _, share in list(self._samples)[-MIN_SAMPLES:] if known(share)]
        return sum(read) / len(read) if read else 0.0

    @property
    def utils(self) -> list[float]:
        """The known utilisations of the samples in percent, oldest first."""
        return [u for _, g, _ in self._samples if known(u := g.util_percent)]

    def throttled_share(self, reasons: int) -> float:
        """Return the share of the time in which the clock was reduced for any of `reasons`, a bit mask.

        The share is exact if the driver counts these times (`Gauges.hw_thermal_s` and others). Otherwise it
        is the share of the samples. It is 0 while there are fewer than `MIN_SAMPLES`.
        """
        if len(self._samples) < MIN_SAMPLES:
            return 0.0
        (first_s, first, _), (last_s, last, _) = self._samples[0], self._samples[-1]
        counted = [
            after - before
            for bit, name in THROTTLE_TIMES.items()
            if reasons & bit and known(before := getattr(first, name)) and known(after := getattr(last, name))
        ]
        if counted and min(counted) >= 0 and last_s > first_s:
            return min(1.0, float(max(counted)) / (last_s - first_s))
        reasons_read = [g.event_reasons for _, g, _ in self._samples]
        return sum(known(r) and bool(r & reasons) for r in reasons_read) / len(reasons_read)


@dataclass(slots=True)
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
        return _mean([share for _, share in self._samples])


def _mean(values: Sequence[Maybe[float]]) -> Maybe[float]:
    """Return the mean of the known values, or a reason if too few are known."""
    read = [v for v in values if known(v)]
    if len(read) < max(MIN_SAMPLES, MIN_SAMPLES_READ * len(values)):
        return next((v for v in reversed(values) if isinstance(v, Missing)), TOO_FEW)
    return sum(read) / len(read)
