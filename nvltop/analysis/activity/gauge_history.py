"""Gauges of one GPU over the last minute, for means that a single reading does not give."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from nvltop.analysis.nics import data_ports
from nvltop.analysis.verdict import pcie_share
from nvltop.model import Gauges, GpuFrame, Maybe, Missing, NicFrame, known

KEPT_S: Final = 60.0
MOST: Final = 120
"""Samples kept; gauges are read once a second."""
ENOUGH: Final = 10
READ: Final = 0.9
TOO_FEW: Final = Missing("not read often enough yet")

SW_POWER_CAP: Final = 0x4
SW_THERMAL: Final = 0x20
HW_THERMAL: Final = 0x40
POWER_BRAKE: Final = 0x80
"""Bits of `nvmlDeviceGetCurrentClocksEventReasons`."""
TIMES: Final = {
    SW_POWER_CAP: "power_cap_s",
    SW_THERMAL: "sw_thermal_s",
    HW_THERMAL: "hw_thermal_s",
    POWER_BRAKE: "power_brake_s",
}
"""Where `Gauges` has how long each of them applied."""


@dataclass(slots=True)
class GaugeHistory:
    """One GPU's gauges, newest last."""

    _kept: deque[tuple[float, Gauges, Maybe[float]]] = field(default_factory=lambda: deque(maxlen=MOST))
    """CLOCK_MONOTONIC, gauges, share of what PCIe can carry."""

    def add(self, g: GpuFrame, now_s: float) -> None:
        """Take a moment, if its gauges are new."""
        age_s = g.age_s.get("gauges")
        if age_s is None:
            return
        read_s = round(now_s - age_s, 3)
        if not self._kept or read_s > self._kept[-1][0]:
            tx = g.pcie.tx_bytes_per_s
            self._kept.append((read_s, g.gauges, tx if isinstance(tx, Missing) else pcie_share(g)))
        while self._kept and now_s - self._kept[0][0] > KEPT_S:
            self._kept.popleft()

    @property
    def power_w(self) -> Maybe[float]:
        """Mean power draw."""
        return _mean([g.power_w for _, g, _ in self._kept])

    @property
    def util_percent(self) -> Maybe[float]:
        """Mean utilisation."""
        return _mean([g.util_percent for _, g, _ in self._kept])

    @property
    def sm_clock_mhz(self) -> Maybe[float]:
        """Mean clock of the SMs."""
        return _mean([g.sm_clock_mhz for _, g, _ in self._kept])

    @property
    def pcie(self) -> Maybe[float]:
        """Mean share of what PCIe can carry."""
        return _mean([share for _, _, share in self._kept])

    @property
    def recent_pcie(self) -> float:
        """Mean share of what PCIe can carry over the last samples; 0 if none was read."""
        read = [share for _, _, share in list(self._kept)[-ENOUGH:] if known(share)]
        return sum(read) / len(read) if read else 0.0

    @property
    def utils(self) -> list[float]:
        """The utilisation of each sample that has one, in percent, oldest first."""
        return [u for _, g, _ in self._kept if known(u := g.util_percent)]

    def held_share(self, reasons: int) -> float:
        """Return the share of the time in which the clock was held back for one of some reasons.

        It is exact where the driver counts these times (`Gauges.hw_thermal_s` and the like), else that of the
        samples; 0 before there are enough.
        """
        if len(self._kept) < ENOUGH:
            return 0.0
        (first_s, first, _), (last_s, last, _) = self._kept[0], self._kept[-1]
        counted = [
            after - before
            for bit, name in TIMES.items()
            if reasons & bit and known(before := getattr(first, name)) and known(after := getattr(last, name))
        ]
        if counted and min(counted) >= 0 and last_s > first_s:
            return min(1.0, float(max(counted)) / (last_s - first_s))
        told = [g.event_reasons for _, g, _ in self._kept]
        return sum(known(r) and bool(r & reasons) for r in told) / len(told)


@dataclass(slots=True)
class NicUsage:
    """How hard the busiest port of the NICs was used over the last minute."""

    _kept: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MOST))

    def add(self, nics: Sequence[NicFrame], now_s: float) -> None:
        """Take a moment."""
        shares = [
            max(n.tx_bytes_per_s, n.rx_bytes_per_s) / n.port.rate_bytes_per_s
            for n in data_ports(nics)
            if known(n.tx_bytes_per_s) and known(n.rx_bytes_per_s)
            if known(n.port.rate_bytes_per_s) and n.port.rate_bytes_per_s > 0 and not n.stale
        ]
        if shares:
            self._kept.append((now_s, max(shares)))
        while self._kept and now_s - self._kept[0][0] > KEPT_S:
            self._kept.popleft()

    @property
    def share(self) -> Maybe[float]:
        """Mean of its share of what it can carry."""
        return _mean([share for _, share in self._kept])


def _mean(values: Sequence[Maybe[float]]) -> Maybe[float]:
    read = [v for v in values if known(v)]
    if len(read) < max(ENOUGH, READ * len(values)):
        return next((v for v in reversed(values) if isinstance(v, Missing)), TOO_FEW)
    return sum(read) / len(read)
