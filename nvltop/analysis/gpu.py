"""State of one GPU, computed from its readings."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import field, fields, replace
from typing import Any, Final, TypeVar

from nvltop.analysis.activity.traffic_series import TrafficSpan
from nvltop.analysis.errors import ErrorTable
from nvltop.analysis.link_capacity import busier_share, ceiling
from nvltop.analysis.link_states import UNREAD_PART, LazyLinks, LinkStateSummary
from nvltop.analysis.link_totals import peer_traffic, totals
from nvltop.analysis.nan import or_nan
from nvltop.analysis.rate_tracker import RateTracker
from nvltop.analysis.rates import RateSpan, packed_rates
from nvltop.analysis.refresh import RefreshPeriod
from nvltop.analysis.rolling_share import RollingShare
from nvltop.analysis.throttling import ThrottleTimes
from nvltop.analysis.uptime import initialised_again, uptime_s
from nvltop.analysis.window_means import WindowMeans
from nvltop.frozen import mutable
from nvltop.model import (
    NOT_READ,
    C2cTraffic,
    ComputeActivity,
    Fabric,
    Gauges,
    Gpu,
    GpuFrame,
    Inventory,
    LinkBer,
    LinkCounters,
    LinkErrors,
    LinkSpan,
    LinkState,
    LinkStates,
    Maybe,
    Missing,
    NvLink,
    PcieTraffic,
    Reading,
    Remote,
    Scope,
    Tick,
    known,
    or_none,
)
from nvltop.model.missing import LOST_REASONS

D = TypeVar("D", PcieTraffic, C2cTraffic, Fabric, LinkBer)
PER_LINK_ONLY = Missing("counted per link")
NO_LINK = Missing("no NVLink")
BYTE_COUNTER: Final = "byte-counter"
"""`PcieTraffic.source` of rates that are means since the reading before."""
MAX_PCIE_GAP_S: Final = 15.0
"""Longest time for which one sample of the PCIe throughput stands, seconds; it is read every 5 s."""
MAX_SPANS: Final = 32
"""Number of recent spans in a frame: 3 s at the shortest interval, more than the time between two frames."""


@mutable
class GpuTrack:
    """The state behind one `GpuFrame`."""

    gpu: Gpu
    period: RefreshPeriod | None = None
    """Refresh period of the driver's link counters, if it is known when the track begins."""
    _read_s: dict[str, float] = field(default_factory=dict)
    _gauges: Gauges = field(default_factory=Gauges)
    _pcie: PcieTraffic = field(default_factory=PcieTraffic)
    _pcie_span: tuple[float, float] | None = None
    _c2c: C2cTraffic = field(default_factory=C2cTraffic)
    _fabric: Fabric = field(default_factory=Fabric)
    _compute: ComputeActivity = field(default_factory=ComputeActivity)
    _compute_span: tuple[float, float] | None = None
    _throttled: ThrottleTimes = field(default_factory=ThrottleTimes)
    _states: LinkStates | None = None
    _counters: LinkCounters | None = None
    _rates: tuple[Maybe[float], ...] = ()
    _packed_rates: Sequence[Maybe[float]] = ()
    """The same for what keeps them for some time."""
    _implausible: Mapping[int, float] = field(default_factory=dict)
    _cached_totals: tuple[Maybe[float], Maybe[float]] | None = None
    """TX and RX of all links; None if rates, link states or counters have changed since."""
    _cached_summary: LinkStateSummary | None = None
    """Summary of the link states; None if these or the remote ends have changed since."""
    _span: tuple[float, float] | None = None
    _recent: RollingShare = field(default_factory=RollingShare)
    moved: list[TrafficSpan] = field(default_factory=list)
    """Traffic of the spans that have ended, up to the last frame; the consumer clears it."""
    _unsettled: tuple[float, float] | None = None
    """Start and end of the newest span, until it is added to `_spans`, `_means` and `moved`."""
    _spans: deque[LinkSpan] = field(default_factory=lambda: deque(maxlen=MAX_SPANS))
    _means: WindowMeans = field(default_factory=WindowMeans)
    _rate_tracker: RateTracker = field(default_factory=RateTracker)
    _errors: ErrorTable = field(default_factory=ErrorTable)
    _ber: LinkBer | None = None
    _initialised_s: Maybe[float] = NOT_READ
    """CLOCK_MONOTONIC at which the driver initialised the GPU, from the last reading that has it."""
    _problem: str | None = None

    def __post_init__(self) -> None:
        if self.period:
            self._rate_tracker.learn(self.period)

    def update(self, reading: Reading) -> None:
        """Add a reading of anything but the counters of the links."""
        data, group = reading.data, reading.group
        before = self._read_s.get(group)
        self._read_s[group] = reading.end_s
        if isinstance(data, ComputeActivity):
            self._compute = data
            spans = reading.end_s > reading.start_s
            self._compute_span = (reading.start_s, reading.end_s) if spans else None
        elif isinstance(data, LinkStates):
            # Mostly the same object: the worker sends again only what has changed.
            if self._states is not data and self._states != data:
                self._states = data
                self._cached_summary = self._cached_totals = None
        elif isinstance(data, LinkErrors):
            if reading.problem and not data.counts:
                self._errors.fail(reading.end_s, Missing(reading.problem))
            else:
                self._errors.update(reading.end_s, data.counts)
        elif isinstance(data, Gauges):
            self._gauges = data
            self._throttled.add(reading.end_s, data)
            self._problem = reading.problem
            if reading.problem in LOST_REASONS:
                self._lose(reading.end_s, Missing(reading.problem))
        elif isinstance(data, PcieTraffic):
            self._pcie = data
            if before is not None:
                # A sample stands for the time since the last one, except after a gap; a count is a mean.
                is_gap = data.source != BYTE_COUNTER and reading.end_s - before > MAX_PCIE_GAP_S
                self._pcie_span = (reading.start_s if is_gap else before, reading.end_s)
        elif isinstance(data, C2cTraffic):
            self._c2c = data
        elif isinstance(data, LinkBer):
            self._ber = data
        elif isinstance(data, Fabric):
            self._note_initialised(data.initialised_s)
            self._fabric = data

    def _lose(self, time_s: float, why: Missing) -> None:
        """Make what is not read any more, now that the GPU is lost, unknown: nothing else would."""
        self._errors.fail(time_s, why)
        self._pcie, self._c2c = _without_values(self._pcie, why), _without_values(self._c2c, why)
        # A GPU that comes back was initialised again if this time differs from that one.
        initialised_s = self._fabric.initialised_s
        self._fabric = replace(_without_values(self._fabric, why), initialised_s=initialised_s)
        self._ber = self._ber and _without_values(self._ber, why)

    def count(self, reading: Reading, data: LinkCounters, interval_s: float) -> bool:
        """Add a reading of the counters of the links; return whether it resulted in new rates."""
        self._read_s[reading.group] = reading.end_s
        before = self._counters
        if before and (before.counter is not data.counter or before.scope is not data.scope):
            self._settle()  # the newest span is of the old counters
            period, self._rate_tracker = self._rate_tracker.period, RateTracker()
            if period:
                self._rate_tracker.learn(period)
        values, stamps_us = data.numbers()
        if before is None or before.scope is not data.scope or len(values) != len(self._rates):
            self._cached_totals = None
        self._counters = data
        if self._problem in LOST_REASONS and any(map(known, values)):
            self._problem = None  # it is back; its gauges are read less often
        limits = self._summary.limits(data.scope, len(values) // 2)
        return self._add_spans(
            self._rate_tracker.update(reading.start_s, values, stamps_us, limits, interval_s)
        )

    @property
    def link_states(self) -> tuple[Maybe[LinkState], ...]:
        """States of the links at the last reading; empty before the first."""
        return self._states.states if self._states else ()

    def learn(self, period: RefreshPeriod) -> bool:
        """Use the refresh period of the driver's counters; return whether it resulted in new rates."""
        return self._add_spans(self._rate_tracker.learn(period))

    def _add_spans(self, spans: Sequence[RateSpan]) -> bool:
        """Add the spans that a reading has closed, oldest first; return whether there are any."""
        for span in spans:
            self._settle()
            if span.rates is not self._rates or span.implausible is not self._implausible:
                self._rates, self._implausible = span.rates, span.implausible
                self._packed_rates = packed_rates(span.rates)
                self._cached_totals = None
            self._span = self._unsettled = (span.start_s, span.end_s)
        return bool(spans)

    def _settle(self) -> None:
        """Add the newest span to frames, means and traffic, with the link states that were read after it.

        The counters of a link that has gone down fail before its state is read.
        """
        if self._unsettled is None:
            return
        (start_s, end_s), self._unsettled = self._unsettled, None
        tx, rx = self._totals
        span = LinkSpan(start_s, end_s, tx, rx, self._packed_rates)
        self._spans.append(span)
        if end_s > start_s:
            self._means.add(span)
        used: Maybe[float] = NOT_READ
        if self._states and known(self.gpu.remotes):
            peers = peer_traffic(self._counters, self._summary, self._rates)
            self.moved.append(TrafficSpan(start_s, end_s, or_nan(tx), or_nan(rx), peers))
            used = busier_share(tx, rx, self._summary.speed_bytes_per_s)
        self._recent.add(start_s, end_s, or_none(used))

    def _recent_share(self) -> tuple[Maybe[float], float]:
        """Return the share of the speed that was used lately, and over how many seconds."""
        share, seconds = self._recent.mean
        if share is not None:
            return share, seconds
        return (self._rates[0] if self._rates and isinstance(self._rates[0], Missing) else NOT_READ), seconds

    def follow_step(self, step_s: float | None) -> None:
        """Average over a step of the GPU's job from now on; over two seconds if None."""
        self._means.set_window(step_s)

    def relist(self, gpu: Gpu) -> None:
        """Replace the properties of the GPU by those of a newer inventory."""
        if self.gpu.remotes != gpu.remotes:
            self._cached_summary = self._cached_totals = None
        self.gpu = gpu

    def _note_initialised(self, initialised_s: Maybe[float]) -> None:
        if isinstance(initialised_s, Missing):
            return
        if initialised_again(self._initialised_s, initialised_s):
            self.restart(initialised_s)
        self._initialised_s = initialised_s

    def restart(self, initialised_s: float) -> None:
        """Note that the driver initialised the GPU again at a time (CLOCK_MONOTONIC)."""
        self._errors.restart(initialised_s)

    def frame(self, tick: Tick, inventory: Inventory, stale_s: float) -> GpuFrame:
        """Return the GPU at a tick.

        It is stale if the link counters, or all values of a GPU without links, are older than `stale_s`.
        """
        self._settle()
        remotes, window, now_s = self.gpu.remotes, self._means.window, tick.mono_s
        # As `max(0.0, now_s - read_s)`, in half of the time.
        ages = {group: now_s - s if s < now_s else 0.0 for group, s in self._read_s.items()}
        problem = self.gpu.problem or self._problem
        state = "ok" if not problem else "lost" if problem in LOST_REASONS else "unreadable"
        links = () if isinstance(remotes, Missing) else self._links(remotes, now_s)
        return GpuFrame(
            gpu=self.gpu,
            state=state,
            state_reason=problem or "",
            age_s=ages,
            gauges=self._gauges,
            pcie=self._pcie,
            c2c=self._c2c,
            fabric=self._fabric,
            nvlink=self._nvlink(),
            links=links,
            ber=self._ber,
            span_s=self._span,
            pcie_span_s=self._pcie_span,
            stale=(ages["links"] if "links" in ages else min(ages.values(), default=0.0)) > stale_s,
            spans=tuple(self._spans),
            mean_span_s=window.span_s if window else None,
            mean_is_step=self._means.is_step,
            compute=self._compute,
            compute_span_s=self._compute_span,
            throttling=self._throttled.shares,
            uptime_s=uptime_s(self.gpu, self._fabric.initialised_s, inventory, tick),
        )

    def _links(self, remotes: tuple[Remote, ...], now_s: float) -> LazyLinks:
        errors, window = self._errors.at(now_s), self._means.window
        return LazyLinks(remotes, self._summary, self._counters, self._rates, errors, window)

    @property
    def _summary(self) -> LinkStateSummary:
        """The link states at the last reading."""
        if self._cached_summary is None:
            remotes = self.gpu.remotes
            self._cached_summary = LinkStateSummary.of(remotes if known(remotes) else (), self._states)
        return self._cached_summary

    def _nvlink(self) -> NvLink:
        remotes = self.gpu.remotes
        recent_share, recent_s = self._recent_share()
        why = remotes if isinstance(remotes, Missing) else None if remotes else NO_LINK
        if why:
            none = 0 if why is NO_LINK else why
            return NvLink(
                links_present=none,
                links_up=none,
                speed_bytes_per_s=why,
                ceiling=why,
                tx_bytes_per_s=why,
                rx_bytes_per_s=why,
                mean_tx_bytes_per_s=why,
                mean_rx_bytes_per_s=why,
                peak_tx_bytes_per_s=why,
                peak_rx_bytes_per_s=why,
                recent_share=recent_share,
                recent_s=recent_s,
                counter=why,
                scope=why,
                errors_total=why,
                errors_since_start=why,
            )
        states, counters = self._summary, self._counters
        tx, rx = self._totals
        window = self._means.window
        means, peaks = (window.means, window.peaks) if window else ((), ())
        errors = self._errors.sums(states.in_state(LinkState.DOWN))
        gpu_total = counters if counters and counters.scope is Scope.GPU else None
        return NvLink(
            links_present=len(states.states),
            links_up=states.active_count,
            speed_bytes_per_s=states.speed_bytes_per_s,
            ceiling=ceiling(self.gpu.nvlink_generation),
            tx_bytes_per_s=tx,
            rx_bytes_per_s=rx,
            recent_share=recent_share,
            recent_s=recent_s,
            counter=counters.counter if counters else NOT_READ,
            scope=counters.scope if counters else NOT_READ,
            errors_total=errors.total,
            errors_since_start=errors.since_start,
            errors_unread_part=errors.unread_part,
            tx_bytes_total=gpu_total.tx_bytes[0] if gpu_total else PER_LINK_ONLY,
            rx_bytes_total=gpu_total.rx_bytes[0] if gpu_total else PER_LINK_ONLY,
            mean_tx_bytes_per_s=_mean_or_reason(means, 0, tx),
            mean_rx_bytes_per_s=_mean_or_reason(means, 1, rx),
            peak_tx_bytes_per_s=_mean_or_reason(peaks, 0, tx),
            peak_rx_bytes_per_s=_mean_or_reason(peaks, 1, rx),
        )

    @property
    def has_rates(self) -> bool:
        """Whether the rates of the links are known."""
        return known(self._totals[0])

    @property
    def _totals(self) -> tuple[Maybe[float], Maybe[float]]:
        """TX and RX of the links that are not known to be down; missing if one of them is unknown."""
        if self._cached_totals is None:
            self._cached_totals = totals(self._counters, self._summary, self._rates, self._implausible)
        return self._cached_totals


def _without_values(data: D, why: Missing) -> D:
    """Return a group of values with each known one replaced by the reason why it is unknown."""

    def unread(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(unread, value))
        return value if isinstance(value, Missing) else why

    names = [f.name for f in fields(data) if f.name != "source"]
    changes: dict[str, Any] = {name: unread(getattr(data, name)) for name in names}
    return replace(data, **changes)


def _mean_or_reason(values: Sequence[float], column: int, newest: Maybe[float]) -> Maybe[float]:
    """Return a mean, or the reason of the newest rate if the mean is unknown."""
    if column < len(values) and values[column] == values[column]:
        return values[column]
    return newest if isinstance(newest, Missing) else UNREAD_PART
