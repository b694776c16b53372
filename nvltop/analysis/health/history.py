"""Facts about earlier moments that rules need; bounded by the number of GPUs and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Final, NamedTuple

from nvltop.analysis.errors import ErrorSummary
from nvltop.analysis.health.ber_rates import GpuBer
from nvltop.analysis.health.board import Board
from nvltop.analysis.health.error_rates import ErrorRates
from nvltop.analysis.health.nic_proximity import NicProximity
from nvltop.analysis.health.outliers import Outliers, SettledErrors
from nvltop.analysis.health.unread_time import UnreadTime
from nvltop.analysis.link_capacity import pcie_share
from nvltop.analysis.link_states import errors_by_link, summarize
from nvltop.analysis.nics import data_ports
from nvltop.frozen import mutable
from nvltop.memo import Memo, MemoTable
from nvltop.model import (
    GpuFrame,
    Inventory,
    LinkBer,
    LinkState,
    Maybe,
    Missing,
    NicFrame,
    Remote,
    RemoteKind,
    known,
)

PCIE_SMOOTHING_S: Final = 10.0
"""Time over which the PCIe traffic is averaged, seconds."""


class LinkedPairs(NamedTuple):
    """The GPU pairs that NVLink joins, by the UUIDs of both."""

    statuses: Mapping[tuple[str, str], Maybe[str]] | None
    """P2P status of each pair, where it was read; None if NVLink joins no pair."""
    allowed: Sequence[tuple[str, str]]
    """Pairs that may use NVLink."""


@mutable
class RuleHistory:
    """What nvltop has seen since it started and a single frame does not show."""

    ever_active: dict[str, frozenset[int]] = field(default_factory=dict)
    """Links that have been active at some time, by GPU."""
    readings_down: dict[str, dict[int, int]] = field(default_factory=dict)
    """Number of consecutive readings in which each link has been down, by GPU and link."""
    _states_s: dict[str, float] = field(default_factory=dict)
    """CLOCK_MONOTONIC of the link states that `readings_down` counted last, by GPU."""
    link_ends: dict[tuple[str, int], Remote] = field(default_factory=dict)
    """Remote end of each link, by GPU and link.

    The driver does not report it for a link that is down, so the last answer is kept."""
    fabric_not_ready_since_s: float | None = None
    """CLOCK_MONOTONIC at which the fabric was first seen not to be ready; None while it is ready."""
    last_new_link_s: float | None = None
    """CLOCK_MONOTONIC at which a link last became active that had never been active before.

    Links that are active in the first reading do not count."""
    ever_read: set[str] = field(default_factory=set)
    """GPUs whose gauges could be read at some time, by UUID."""
    ever_active_ports: set[tuple[str, int]] = field(default_factory=set)
    """Data ports of NICs that have been active at some time, by device and port."""
    last_reading_s: float | None = None
    """CLOCK_MONOTONIC of the newest reading of any GPU."""
    unread_time: UnreadTime = field(default_factory=UnreadTime)
    first_ber: dict[str, LinkBer] = field(default_factory=dict)
    """First bit error rates that were read, by GPU."""
    _compared_ber: MemoTable = field(default_factory=MemoTable)
    pcie_share: dict[str, float] = field(default_factory=dict)
    """Used share of the PCIe bandwidth, averaged because traffic comes in bursts, by GPU."""
    _pcie_s: dict[str, tuple[float, float]] = field(default_factory=dict)
    """CLOCK_MONOTONIC of the first and the last reading in `pcie_share`, by GPU."""
    end_comparisons: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)
    """End of the last span that was compared, and the number of consecutive spans in which the two ends of
    a link disagreed, by GPU and link of the sender."""
    _error_summaries: dict[str, ErrorSummary] = field(default_factory=dict)
    settled_errors: SettledErrors = field(default_factory=SettledErrors)
    outliers: Outliers = field(default_factory=Outliers)
    error_rates: ErrorRates = field(default_factory=ErrorRates)
    linked_pairs: Memo[LinkedPairs] = field(default_factory=Memo)
    _nic_proximity: NicProximity | None = None
    _board: tuple[Inventory, Board] | None = None

    def board(self, inventory: Inventory) -> Board:
        """Return the kind of machine; cached for the inventory."""
        if self._board is None or self._board[0] is not inventory:
            self._board = inventory, Board.of(inventory)
            for gpu in inventory.gpus:
                for link, end in enumerate(gpu.remotes if known(gpu.remotes) else ()):
                    if end.kind is not RemoteKind.UNKNOWN:
                        self.link_ends[gpu.uuid, link] = end
        return self._board[1]

    def nic_proximity(self, inventory: Inventory) -> NicProximity:
        """Return how near NICs and GPUs are to each other; cached for the inventory."""
        if self._nic_proximity is None or self._nic_proximity.inventory is not inventory:
            self._nic_proximity = NicProximity.of(inventory)
        return self._nic_proximity

    def error_summary(self, g: GpuFrame) -> ErrorSummary:
        """Return a summary of the error counters of a GPU; cached until a counter changes."""
        now, before = errors_by_link(g.links), self._error_summaries.get(g.gpu.uuid)
        if before is None or before.errors is not now:
            before = self._error_summaries[g.gpu.uuid] = ErrorSummary.of(now)
        return before

    def compared_ber(self, uuid: str, ber: LinkBer) -> GpuBer:
        """Compare the bit error rates of a GPU with the limit; cached until they are read again."""
        return self._compared_ber.get(uuid, (ber,), lambda: GpuBer.of(ber))

    def update(self, gpus: Sequence[GpuFrame], nics: Sequence[NicFrame], now_s: float) -> None:
        """Record the state of the GPUs and NICs at `now_s` (CLOCK_MONOTONIC)."""
        self.ever_active_ports |= {(f.nic.device, f.port.port) for f in data_ports(nics) if f.active}
        self._smooth_pcie(gpus, now_s)
        for g in gpus:
            uuid, ages_s = g.gpu.uuid, g.age_s
            if "states" in ages_s and g.links:
                self._count_readings_down(g, now_s)
                before, active = self.ever_active.get(uuid), summarize(g.links).active
                if before is None:
                    self.ever_active[uuid] = active
                elif active is not before and active - before:
                    self.ever_active[uuid] = before | active
                    self.last_new_link_s = now_s
            if g.state == "ok" and "gauges" in ages_s:
                self.ever_read.add(uuid)
            if ages_s:
                read_s = now_s - min(ages_s.values())
                if self.last_reading_s is None or read_s > self.last_reading_s:
                    self.last_reading_s = read_s

    def _count_readings_down(self, g: GpuFrame, now_s: float) -> None:
        """Count the consecutive readings in which links are down."""
        uuid, read_s = g.gpu.uuid, round(now_s - g.age_s["states"], 3)
        if read_s == self._states_s.get(uuid):
            return
        self._states_s[uuid] = read_s
        before = self.readings_down.get(uuid, {})
        down = summarize(g.links).in_state(LinkState.DOWN)
        if down or before:
            self.readings_down[uuid] = {link: before.get(link, 0) + 1 for link in down}

    def _smooth_pcie(self, gpus: Sequence[GpuFrame], now_s: float) -> None:
        """Average the PCIe traffic: an arithmetic mean at first, then an exponential one."""
        for g in gpus:
            if isinstance(g.pcie.tx_bytes_per_s, Missing):
                continue
            first_s, last_s = self._pcie_s.setdefault(g.gpu.uuid, (now_s - 1.0, now_s - 1.0))
            over_s = now_s - first_s
            over_s = PCIE_SMOOTHING_S if over_s > PCIE_SMOOTHING_S else over_s if over_s > 1e-3 else 1e-3
            weight = (now_s - last_s) / over_s
            weight = weight if weight < 1.0 else 1.0
            before = self.pcie_share.setdefault(g.gpu.uuid, 0.0)
            self.pcie_share[g.gpu.uuid] = before + weight * (pcie_share(g) - before)
            self._pcie_s[g.gpu.uuid] = first_s, now_s
