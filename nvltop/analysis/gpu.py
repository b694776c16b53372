"""What is known of one GPU, folded from its readings."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nvltop.analysis.activity.series import Moved
from nvltop.analysis.errors import ErrorTable
from nvltop.analysis.rates import IMPLAUSIBLE, PLAUSIBLE, Meter
from nvltop.analysis.verdict import ceiling, share
from nvltop.model import (
    GPU_IS_LOST,
    NOT_LISTED,
    NOT_READ,
    C2cTraffic,
    ErrorCount,
    Fabric,
    Gauges,
    Gpu,
    GpuFrame,
    Link,
    LinkBer,
    LinkCounters,
    LinkErrors,
    LinkState,
    LinkStates,
    Maybe,
    Missing,
    NvLink,
    PcieTraffic,
    Reading,
    Remote,
    Scope,
    known,
)

KIB = 1024
LINK_DOWN = Missing("link is down")
NOT_PER_LINK = Missing("the driver tells only the GPU's total")
PER_LINK = Missing("counted per link")
LOST = {GPU_IS_LOST.reason, NOT_LISTED.reason}
UNLIMITED = float("inf")
ACTIVE = (LinkState.UP, LinkState.SLEEP, LinkState.TRAFFIC_DISABLED)
RECENT_S = 10.0
"""Long enough for the pauses between the steps of a job not to look like its end."""


@dataclass(slots=True)
class GpuTrack:
    """The state behind one `GpuFrame`."""

    gpu: Gpu
    _read_s: dict[str, float] = field(default_factory=dict)
    _gauges: Gauges = field(default_factory=Gauges)
    _pcie: PcieTraffic = field(default_factory=PcieTraffic)
    _pcie_span: tuple[float, float] | None = None
    _c2c: C2cTraffic = field(default_factory=C2cTraffic)
    _fabric: Fabric = field(default_factory=Fabric)
    _states: LinkStates | None = None
    _counters: LinkCounters | None = None
    _rates: tuple[Maybe[float], ...] = ()
    _implausible: Mapping[int, float] = field(default_factory=dict)
    _span: tuple[float, float] | None = None
    _recent: deque[tuple[float, float, float]] = field(default_factory=deque)
    """End, length and share of speed of each span of the last seconds."""
    moved: Moved | None = None
    """Traffic of the last span."""
    _meter: Meter = field(default_factory=Meter)
    _errors: ErrorTable = field(default_factory=ErrorTable)
    _ber: LinkBer | None = None
    _problem: str | None = None
    links_changed: bool = True
    """A link's state changed since this was last looked at."""

    def update(self, reading: Reading, interval_s: float) -> bool:
        """Take a reading; whether it brought new link rates."""
        data = reading.data
        before = self._read_s.get(reading.group)
        self._read_s[reading.group] = reading.end_s
        if isinstance(data, LinkCounters):
            return self._count(reading, data, interval_s)
        if isinstance(data, LinkStates):
            self.links_changed = (
                self.links_changed or self._states is None or self._states.states != data.states
            )
            self._states = data
        elif isinstance(data, LinkErrors):
            self._errors.update(reading.end_s, data)
        elif isinstance(data, Gauges):
            self._gauges = data
            self._problem = reading.problem
        elif isinstance(data, PcieTraffic):
            self._pcie = data
            if before is not None:
                self._pcie_span = (before, reading.end_s)
        elif isinstance(data, C2cTraffic):
            self._c2c = data
        elif isinstance(data, LinkBer):
            self._ber = data
        elif isinstance(data, Fabric):
            self._fabric = data
        return False

    def _count(self, reading: Reading, data: LinkCounters, interval_s: float) -> bool:
        before = self._counters
        if before and (before.counter, before.scope) != (data.counter, data.scope):
            self._meter = Meter()
        self._counters = data
        values = data.tx_bytes + data.rx_bytes
        unit = KIB if all(v % KIB == 0 for v in values if known(v)) else 1
        speeds = self._limits(data)
        span = self._meter.update(reading.start_s, values, data.stamp_us, unit, speeds + speeds, interval_s)
        if span is None:
            return False
        self._rates, self._implausible = span.rates, span.implausible
        self._span = (span.start_s, span.end_s)
        self._remember(span.start_s, span.end_s)
        return True

    def _remember(self, start_s: float, end_s: float) -> None:
        while self._recent and end_s - self._recent[0][0] > RECENT_S:
            self._recent.popleft()
        remotes = self.gpu.remotes
        if isinstance(remotes, Missing) or not self._states:
            return
        # Without making links and sums to show.
        states = dict(enumerate(self._states.states))
        lit = [i for i in range(len(remotes)) if states.get(i) is not LinkState.DOWN]
        tx, rx = self._totals(lit)
        self.moved = Moved(start_s, end_s, tx if known(tx) else math.nan, rx if known(rx) else math.nan)
        speeds = [self._speed(i) for i in lit if states.get(i) in ACTIVE]
        if end_s > start_s and all(known(speed) for speed in speeds):
            speed = sum(v for v in speeds if known(v))
            now = share(NvLink(tx_bytes_per_s=tx, rx_bytes_per_s=rx, speed_bytes_per_s=speed))
            if known(now):
                self._recent.append((end_s, end_s - start_s, now))

    def _speed(self, link: int) -> Maybe[float]:
        speeds = self._states.speed_bytes_per_s if self._states else ()
        return speeds[link] if link < len(speeds) else NOT_READ

    def _recent_share(self) -> Maybe[float]:
        seconds = sum(length for _, length, _ in self._recent)
        if not seconds:
            return self._rates[0] if self._rates and isinstance(self._rates[0], Missing) else NOT_READ
        return sum(length * part for _, length, part in self._recent) / seconds

    def _limits(self, data: LinkCounters) -> list[float]:
        """Return what each counter can move per second; what is not known limits nothing."""
        speeds = self._states.speed_bytes_per_s if self._states else ()
        up = [s for s in speeds if known(s)]
        if data.scope is Scope.GPU:
            return [sum(up) or UNLIMITED]
        fastest = max(up, default=UNLIMITED)
        told = dict(enumerate(speeds))
        limits = (told.get(i, NOT_READ) for i in range(len(data.tx_bytes)))
        return [limit if known(limit) else fastest for limit in limits]

    def rebase(self) -> None:
        """Count errors from now on."""
        self._errors.rebase()

    def frame(self, now_s: float, stale_s: float) -> GpuFrame:
        """Return what to show at `now_s`; link counters older than `stale_s` are marked."""
        links = self._links(now_s)
        ages = {group: max(0.0, now_s - read_s) for group, read_s in self._read_s.items()}
        problem = self.gpu.problem or self._problem
        state = "ok" if not problem else "lost" if problem in LOST else "unreadable"
        return GpuFrame(
            gpu=self.gpu,
            state=state,
            state_reason=problem or "",
            age_s=ages,
            gauges=self._gauges,
            pcie=self._pcie,
            c2c=self._c2c,
            fabric=self._fabric,
            nvlink=replace(
                self._nvlink(links),
                recent_share=self._recent_share(),
                recent_s=sum(length for _, length, _ in self._recent),
            ),
            links=links,
            ber=self._ber,
            span_s=self._span,
            pcie_span_s=self._pcie_span,
            stale=ages.get("links", 0.0) > stale_s,
        )

    def _links(self, now_s: float) -> tuple[Link, ...]:
        remotes = self.gpu.remotes
        if isinstance(remotes, Missing):
            return ()
        errors = self._errors.at(now_s)
        return tuple(self._link(i, remote, errors.get(i, {})) for i, remote in enumerate(remotes))

    def _link(self, i: int, remote: Remote, errors: Mapping[str, ErrorCount]) -> Link:
        states = self._states.states if self._states else ()
        state = states[i] if i < len(states) else (states[0] if len(states) == 1 else NOT_READ)
        tx, rx, tx_total, rx_total = self._traffic(i)
        if state is LinkState.DOWN:
            # What the counters of a link that is down say differs by driver: an error, or no change.
            tx = rx = LINK_DOWN
            tx_total, rx_total = (t if known(t) else LINK_DOWN for t in (tx_total, rx_total))
        return Link(
            index=i,
            state=LinkState.UNKNOWN if isinstance(state, Missing) else state,
            state_reason=state.reason if isinstance(state, Missing) else "",
            speed_bytes_per_s=self._speed(i),
            remote=remote,
            tx_bytes_per_s=tx,
            rx_bytes_per_s=rx,
            tx_bytes_total=tx_total,
            rx_bytes_total=rx_total,
            errors=errors,
        )

    def _traffic(self, i: int) -> tuple[Maybe[float], Maybe[float], Maybe[int], Maybe[int]]:
        counters = self._counters
        if counters is None:
            return NOT_READ, NOT_READ, NOT_READ, NOT_READ
        if counters.scope is Scope.GPU:
            return NOT_PER_LINK, NOT_PER_LINK, NOT_PER_LINK, NOT_PER_LINK
        n = len(counters.tx_bytes)
        if i >= n:
            return NOT_READ, NOT_READ, NOT_READ, NOT_READ
        tx, rx = (self._rates[i], self._rates[n + i]) if len(self._rates) == 2 * n else (NOT_READ, NOT_READ)
        return tx, rx, counters.tx_bytes[i], counters.rx_bytes[i]

    def _nvlink(self, links: tuple[Link, ...]) -> NvLink:
        remotes = self.gpu.remotes
        if isinstance(remotes, Missing):
            return replace(
                NvLink(*(remotes,) * 7),
                counter=remotes,
                scope=remotes,
                errors_total=remotes,
                errors_since_start=remotes,
            )
        if not links:
            none = Missing("no NVLink")
            return replace(
                NvLink(0, 0, *(none,) * 5),
                counter=none,
                scope=none,
                errors_total=none,
                errors_since_start=none,
            )
        unread = next((Missing(k.state_reason) for k in links if k.state is LinkState.UNKNOWN), None)
        up = [k for k in links if k.active]
        dark = None if up else unread
        speeds = [k.speed_bytes_per_s for k in up]
        no_speed = next((s for s in speeds if isinstance(s, Missing)), None)
        counters = self._counters
        tx, rx = self._totals([k.index for k in links if k.state is not LinkState.DOWN])
        errors_total, errors_since_start = self._errors.sums
        whole = counters is not None and counters.scope is Scope.GPU
        return NvLink(
            links_present=len(links),
            links_up=dark or len(up),
            speed_bytes_per_s=no_speed or dark or float(sum(s for s in speeds if known(s))),
            ceiling=ceiling(self.gpu.nvlink_generation),
            tx_bytes_per_s=tx,
            rx_bytes_per_s=rx,
            counter=counters.counter if counters else NOT_READ,
            scope=counters.scope if counters else NOT_READ,
            errors_total=errors_total,
            errors_since_start=errors_since_start,
            tx_bytes_total=counters.tx_bytes[0] if whole and counters else PER_LINK,
            rx_bytes_total=counters.rx_bytes[0] if whole and counters else PER_LINK,
        )

    def _totals(self, lit: list[int]) -> tuple[Maybe[float], Maybe[float]]:
        """Sum each direction over the links not known to be down; with a part unread there is no sum."""
        counters = self._counters
        if counters is None:
            return NOT_READ, NOT_READ
        if counters.scope is Scope.GPU:
            return (self._rates[0], self._rates[1]) if len(self._rates) == 2 else (NOT_READ, NOT_READ)
        if not lit:
            nothing = Missing("no link is up")
            return nothing, nothing
        n = len(counters.tx_bytes)
        return self._sum(lit, lit), self._sum([n + k for k in lit], lit)

    def _sum(self, positions: list[int], lit: list[int]) -> Maybe[float]:
        # A link that claims too much may still be part of a sum that all links together can carry.
        rates = [self._implausible.get(i, self._rates[i]) for i in positions if i < len(self._rates)]
        unread = next((r for r in rates if isinstance(r, Missing)), None)
        if unread or not rates:
            return unread or NOT_READ
        total = float(sum(r for r in rates if known(r)))
        speed = sum(v for i in lit if known(v := self._speed(i)))
        return IMPLAUSIBLE if speed and total > PLAUSIBLE * speed else total
