"""Ports of NICs over time: rates, errors, and ports that no longer exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Final

from nvltop.analysis.errors import ErrorTable
from nvltop.analysis.rates import (
    COUNTER_RESET,
    IMPLAUSIBLE_RATE,
    MAX_PLAUSIBLE_SHARE,
    NO_SECOND_READING,
    READING_GAP,
    TIMING_SLACK_S,
    max_gap_s,
)
from nvltop.frozen import mutable
from nvltop.model import (
    ErrorCount,
    Maybe,
    Missing,
    Nic,
    NicFrame,
    NicPort,
    NicPorts,
    NicSpan,
    Reading,
    known,
)

PortKey = tuple[str, int]
"""Device and port number."""

NIC_INTERVAL_S: Final = 2.0
"""Interval in seconds at which ports are read."""
MAX_GAP_S: Final = max_gap_s(NIC_INTERVAL_S)
"""Longest time between two readings over which a rate is computed, seconds."""
LOOPBACK_FACTOR: Final = 4.0
"""Highest plausible ratio of traffic to port rate: traffic within an adapter is not limited by the port."""
DEFAULT_PORT_BYTES_PER_S: Final = 100e9
"""Assumed rate of a port whose rate is unknown, bytes/s."""
MIN_DATA_BYTES_PER_S: Final = 10e9 / 8
"""Rate (10 Gb/s) below which an Ethernet port beside RDMA NICs is a management port."""
PORT_GONE: Final = "gone"
NOT_THERE: Final = Missing("no longer there")
NO_ERRORS: Final[Mapping[str, ErrorCount]] = {}
MAX_SPANS: Final = 16
"""Number of recent spans in a frame: several end between two frames at a long interval."""


@mutable
class _PortTrack:
    """State of one port."""

    port: NicPort
    errors: ErrorTable = field(default_factory=ErrorTable)
    rates: Sequence[Maybe[float]] = (NO_SECOND_READING,) * 4
    """TX, RX, and both of the kernel's network stack, bytes/s."""
    span_s: tuple[float, float] | None = None
    """CLOCK_MONOTONIC of the two readings behind the rates."""
    spans: tuple[NicSpan, ...] = ()
    """Recent spans, oldest first."""
    read_s: float | None = None
    fastest: float = 0.0

    def update(self, port: NicPort, time_s: float) -> None:
        before, self.port = self.port, port
        before_s, self.read_s = self.read_s, time_s
        if before_s is None or time_s <= before_s:
            before_s = time_s
        if known(port.rate_bytes_per_s):
            # A port that has just gone down reports a lower rate than the one at which it was counting.
            self.fastest = max(self.fastest, port.rate_bytes_per_s)
        seconds = time_s - before_s
        limit = LOOPBACK_FACTOR * (self.fastest or DEFAULT_PORT_BYTES_PER_S)
        self.rates = (
            _rate(before.tx_bytes, port.tx_bytes, seconds, limit),
            _rate(before.rx_bytes, port.rx_bytes, seconds, limit),
            _rate(before.ip_tx_bytes, port.ip_tx_bytes, seconds, limit),
            _rate(before.ip_rx_bytes, port.ip_rx_bytes, seconds, limit),
        )
        self.span_s = (before_s, time_s) if seconds else None
        if seconds:
            self.spans = (*self.spans[1 - MAX_SPANS :], NicSpan(before_s, time_s, *self.rates[:2]))
        self.errors.update(time_s, {kind: (count,) for kind, count in port.errors.items()})

    def frame(self, nic: Nic, label: str, now_s: float, *, present: bool) -> NicFrame:
        tx, rx, ip_tx, ip_rx = self.rates if present else (NOT_THERE,) * 4
        age_s = 0.0 if self.read_s is None else max(0.0, now_s - self.read_s)
        errors = self.errors.at(now_s).get(0, NO_ERRORS)
        port = (
            self.port
            if present
            else replace(self.port, state=PORT_GONE, physical="", rate_bytes_per_s=NOT_THERE)
        )
        return NicFrame(
            nic=nic,
            port=port,
            label=label,
            tx_bytes_per_s=tx,
            rx_bytes_per_s=rx,
            ip_tx_bytes_per_s=ip_tx,
            ip_rx_bytes_per_s=ip_rx,
            errors=errors,
            span_s=self.span_s,
            spans=self.spans,
            age_s=age_s,
            stale=age_s > MAX_GAP_S,
        )


def _rate(before: Maybe[int], after: Maybe[int], seconds: float, limit: float) -> Maybe[float]:
    """Return a rate in bytes/s, up to `limit`; a 64-bit counter restarts or saturates, but never wraps."""
    if isinstance(after, Missing):
        return after
    if isinstance(before, Missing) or not seconds:
        return NO_SECOND_READING
    if seconds > MAX_GAP_S:
        return READING_GAP
    if after < before:
        return COUNTER_RESET
    most = limit * MAX_PLAUSIBLE_SHARE * (seconds + TIMING_SLACK_S)
    return (after - before) / seconds if after - before <= most else IMPLAUSIBLE_RATE


class NicTracks:
    """All ports of the node, including ports that no longer exist, so that their loss is shown."""

    def __init__(self) -> None:
        self._nics: dict[str, Nic] = {}
        """Present and former NICs, in order."""
        self._present: frozenset[str] = frozenset()
        self._tracks: dict[PortKey, _PortTrack] = {}
        self._listed: frozenset[PortKey] = frozenset()
        self._order: tuple[tuple[Nic, PortKey], ...] | None = ()
        """Cached order of the ports, by NIC; None if it has to be computed again."""

    def update_nics(self, nics: Maybe[tuple[Nic, ...]]) -> None:
        """Update the NICs from an inventory."""
        if isinstance(nics, Missing):
            return
        now = {nic.device: nic for nic in nics}
        self._present = frozenset(now)
        used_slots = {pci_slot(nic) for nic in nics}
        # A disabled function, and a port that was renamed or joined a bond, is not lost.
        gone = {
            device: nic
            for device, nic in self._nics.items()
            if device not in now and nic.rdma and not nic.virtual and pci_slot(nic) not in used_slots
        }
        self._nics = now | gone
        self._tracks = {key: track for key, track in self._tracks.items() if key[0] in self._nics}
        self._order = None

    def update(self, reading: Reading, ports: NicPorts) -> None:
        """Add a reading of all ports."""
        for port in ports.ports:
            key = port.device, port.port
            track = self._tracks.get(key)
            if track is None:
                track = self._tracks[key] = _PortTrack(port)
                self._order = None
            track.update(port, reading.end_s)
        self._listed = frozenset((port.device, port.port) for port in ports.ports)

    def at(self, now_s: float, labels: dict[str, str]) -> tuple[NicFrame, ...]:
        """Return all ports at `now_s`; `labels` are the labels in the matrix, by device."""
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
                    present=nic.device in self._present and key in self._listed,
                )
                for nic, key in self._order
            ]
        )


def pci_slot(nic: Nic) -> str:
    """Return the PCI slot of a NIC: its PCI address without the function."""
    return nic.device if isinstance(nic.location, Missing) else nic.location.pci_bus_id.rpartition(".")[0]


def data_ports(ports: Sequence[NicFrame]) -> list[NicFrame]:
    """Return the ports that may carry data of jobs: without those of NVSwitches and management ports."""
    rdma = any(f.nic.rdma and not f.nic.role for f in ports)
    return [f for f in ports if not f.nic.role and (f.nic.rdma or not rdma or not _slow(f))]


def _slow(f: NicFrame) -> bool:
    rate = f.port.rate_bytes_per_s
    return known(rate) and rate < MIN_DATA_BYTES_PER_S
