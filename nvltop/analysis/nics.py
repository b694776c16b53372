"""Ports of NICs over time: rates, errors, and what has become of a port that is no longer there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from nvltop.analysis.errors import ErrorTable
from nvltop.analysis.rate_tracker import RateTracker
from nvltop.analysis.rates import NO_SECOND_READING, RateSpan, max_gap_s
from nvltop.model import (
    ErrorCount,
    LinkErrors,
    Maybe,
    Missing,
    Nic,
    NicFrame,
    NicPort,
    NicPorts,
    Reading,
    known,
)

Key = tuple[str, int]
"""Device and port."""

INTERVAL_S: Final = 1.0
"""How often ports are read."""
NO_WRAP: Final = 1 << 40
"""As the unit of a counter: it begins anew, or stops at its end, but it never wraps."""
LOOPBACK: Final = 4.0
"""Traffic within an adapter, between its functions, may be this many times what the port can carry."""
FASTEST: Final = 100e9
"""Bytes/s; taken for a port that does not tell its rate."""
DATA_BYTES_PER_S: Final = 10e9 / 8
"""10 Gb/s: slower Ethernet ports beside RDMA NICs are there to manage the machine."""
GONE: Final = "gone"
NO_LONGER: Final = Missing("no longer there")
NO_ERRORS: Final[Mapping[str, ErrorCount]] = {}
NO_SPAN: Final = RateSpan(0.0, 0.0, (NO_SECOND_READING,) * 4)


@dataclass(slots=True)
class _Track:
    """One port."""

    port: NicPort
    rate_tracker: RateTracker = field(default_factory=lambda: RateTracker.always_fresh(NO_WRAP))
    errors: ErrorTable = field(default_factory=ErrorTable)
    span: RateSpan = NO_SPAN
    read_s: float = 0.0
    fastest: float = 0.0

    def update(self, port: NicPort, time_s: float) -> None:
        self.port, self.read_s = port, time_s
        if known(port.rate_bytes_per_s):
            # A port that has just gone down tells less than what it was counting at.
            self.fastest = max(self.fastest, port.rate_bytes_per_s)
        limit = LOOPBACK * (self.fastest or FASTEST)
        values = (port.tx_bytes, port.rx_bytes, port.ip_tx_bytes, port.ip_rx_bytes)
        for span in self.rate_tracker.update(time_s, values, (), (limit,) * 4, INTERVAL_S):
            self.span = span
        counts: dict[str, tuple[Maybe[int], ...]] = {kind: (count,) for kind, count in port.errors.items()}
        self.errors.update(time_s, LinkErrors(counts))

    def frame(self, nic: Nic, label: str, now_s: float, *, there: bool) -> NicFrame:
        tx, rx, ip_tx, ip_rx = self.span.rates if there else (NO_LONGER,) * 4
        errors = self.errors.at(now_s).get(0, NO_ERRORS)
        port = self.port if there else replace(self.port, state=GONE, physical="", rate_bytes_per_s=NO_LONGER)
        return NicFrame(
            nic=nic,
            port=port,
            label=label,
            tx_bytes_per_s=tx,
            rx_bytes_per_s=rx,
            ip_tx_bytes_per_s=ip_tx,
            ip_rx_bytes_per_s=ip_rx,
            errors=errors,
            span_s=(self.span.start_s, self.span.end_s) if self.span.end_s > self.span.start_s else None,
            age_s=max(0.0, now_s - self.read_s),
            stale=now_s - self.read_s > max_gap_s(INTERVAL_S),
        )


class NicTracks:
    """All ports of the node, those that have gone as well: that they are gone is the news."""

    def __init__(self) -> None:
        self._nics: dict[str, Nic] = {}
        """Those that are or have been there, in order."""
        self._present: frozenset[str] = frozenset()
        self._tracks: dict[Key, _Track] = {}
        self._listed: frozenset[Key] = frozenset()
        self._order: tuple[tuple[Nic, Key], ...] | None = ()
        """The ports by NIC; None once either has changed."""

    def take(self, nics: Maybe[tuple[Nic, ...]]) -> None:
        """Take what an inventory lists."""
        if isinstance(nics, Missing):
            return
        now = {nic.device: nic for nic in nics}
        self._present = frozenset(now)
        taken = {slot(nic) for nic in nics}
        # A function that is switched off, or a port that went into a bond or got another name, is not lost.
        gone = {
            device: nic
            for device, nic in self._nics.items()
            if device not in now and nic.rdma and not nic.virtual and slot(nic) not in taken
        }
        self._nics = now | gone
        self._tracks = {key: track for key, track in self._tracks.items() if key[0] in self._nics}
        self._order = None

    def update(self, reading: Reading, ports: NicPorts) -> None:
        """Take a reading of all ports."""
        for port in ports.ports:
            key = port.device, port.port
            track = self._tracks.get(key)
            if track is None:
                track = self._tracks[key] = _Track(port)
                self._order = None
            track.update(port, reading.end_s)
        self._listed = frozenset((port.device, port.port) for port in ports.ports)

    def rebase(self) -> None:
        """Count errors from now on."""
        for track in self._tracks.values():
            track.errors.rebase()

    def at(self, now_s: float, labels: dict[str, str]) -> tuple[NicFrame, ...]:
        """Return all ports as of `now_s`; `labels` are those of the matrix, by device."""
        if self._order is None:
            self._order = tuple(
                (nic, key)
                for nic in self._nics.values()
                for key in sorted(k for k in self._tracks if k[0] == nic.device)
            )
        return tuple(
            [
                self._tracks[key].frame(
                    nic,
                    labels.get(nic.device, ""),
                    now_s,
                    there=nic.device in self._present and key in self._listed,
                )
                for nic, key in self._order
            ]
        )


def slot(nic: Nic) -> str:
    """Return the card that a NIC is on: its PCI address without the function."""
    return nic.device if isinstance(nic.location, Missing) else nic.location.pci_bus_id.rpartition(".")[0]


def data_ports(ports: Sequence[NicFrame]) -> list[NicFrame]:
    """Return the ports that may carry data of jobs: no NVSwitch's, and no management port of the machine."""
    rdma = any(f.nic.rdma and not f.nic.role for f in ports)
    return [f for f in ports if not f.nic.role and (f.nic.rdma or not rdma or not _slow(f))]


def _slow(f: NicFrame) -> bool:
    rate = f.port.rate_bytes_per_s
    return known(rate) and rate < DATA_BYTES_PER_S
