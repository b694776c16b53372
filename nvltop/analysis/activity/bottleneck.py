"""Follows each job's NVLink load, and judges once a second whether it limits the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final

from nvltop.analysis.activity.compute_series import ComputeSeries
from nvltop.analysis.activity.decision import (
    RING,
    combine_usage,
    fill_judgement,
    limit_bounds,
    practical_rate,
)
from nvltop.analysis.activity.gpu_groups import GpuGroup
from nvltop.analysis.activity.link_usage import EDGE, QUIET, LinkUsage, measure_usage
from nvltop.analysis.activity.overlap import NO_COMPUTE, measure_overlap
from nvltop.analysis.activity.traffic_series import TrafficSpan
from nvltop.analysis.activity.usage_trace import UsageTrace
from nvltop.analysis.rates import max_gap_s
from nvltop.analysis.verdict import GPU_BUSY_PERCENT
from nvltop.formatting import age
from nvltop.model import (
    NOT_READ,
    GpuFrame,
    Judgement,
    Maybe,
    Missing,
    Overlap,
    known,
)

WINDOW_S: Final = 60.0
"""About so much time is judged, in whole steps where there is a step."""
MIN_WINDOW_S: Final = 5.0
"""Less is not judged."""
PAUSE_S: Final = 2.0
PAUSE_STEPS: Final = 1.2
"""Where no step is known, a pause longer than `PAUSE_S` is none of the pauses between bursts; else one that
is longer by this factor than the step leaves. The shares then stay as they were."""
EVERY_S: Final = 2.0
SETTLED_S: Final = 20.0
"""How often a job is measured once it has run for so long; before, at each judgement."""
SILENT_S: Final = 10.0
SILENT_STEPS: Final = 3.0
"""A silence that is longer than both is reported."""
BUSY_FULLY: Final = 95.0
"""Utilisation in percent from which a GPU works, or spins in a collective."""
SPINNING_POWER: Final = 0.35
"""Share of the power limit below which a GPU that looks busy only waits."""
RESTED_S: Final = 60.0
"""Traffic after so long without any begins a window of its own."""
OVERLAP_S: Final = 4.0
"""How often the overlap is worked out."""
FORGET_LEVEL_S: Final = 120.0
"""A job that works with less traffic than before for so long is judged by what it moves now."""
STALE_S: Final = 5.0
PAIR_SHARE: Final = 0.8
"""Share of the most limited GPU's time at the limit from which another one is limited as much."""


@dataclass(slots=True)
class _JobState:
    """What is remembered of one job."""

    edges: dict[str, float] = field(default_factory=dict)
    """By GPU: share of NCCL max below which it is silent."""
    active_s: float | None = None
    """CLOCK_MONOTONIC at which there was traffic last; the next four are times as well."""
    scanned_s: float = float("-inf")
    restarted: bool = False
    """It goes on with less traffic than before, and is followed as a job of its own."""
    began_s: float = float("-inf")
    """Before it there was no traffic for long."""
    measured_s: float = float("-inf")
    overlap_s: float = float("-inf")
    longest_pause_s: float = 0.0
    overlap: Maybe[Overlap] = NO_COMPUTE
    last: Judgement | None = None
    """As of the last traffic."""


class BottleneckEvaluator:
    """The traces of all GPUs, and what is remembered of the jobs on them."""

    def __init__(self, computed: Mapping[str, ComputeSeries]) -> None:
        """Take how busy the units of each GPU were from `computed`, which somebody else fills."""
        self._computed = computed
        self._traces: dict[str, UsageTrace] = {}
        self._followed: dict[str, _JobState] = {}

    def add(self, moved: TrafficSpan, g: GpuFrame) -> None:
        """Take what a GPU moved between two readings."""
        trace = self._traces.get(g.gpu.uuid)
        if trace is None:
            trace = self._traces[g.gpu.uuid] = UsageTrace()
        speed, share = g.nvlink.speed_bytes_per_s, g.nvlink.ceiling
        # Without a figure for this generation, the speed itself is the limit that is known.
        of_speed = share if known(share) else 1.0
        if known(speed):
            trace.add(moved, of_speed * speed, of_speed, limit_bounds(g).near)

    @property
    def at_limit_s(self) -> dict[str, float]:
        """Seconds at or near the limit since the monitor started, by GPU."""
        return {uuid: trace.at_limit_s for uuid, trace in self._traces.items()}

    def retain(self, keys: Sequence[str]) -> None:
        """Forget the jobs that are not among these."""
        for key in self._followed.keys() - set(keys):
            del self._followed[key]

    def evaluate(
        self,
        group: GpuGroup,
        frames: Mapping[str, GpuFrame],
        period_s: float | None,
        now_s: float,
        interval_s: float,
    ) -> Judgement:
        """Judge one job; `period_s` is its step."""
        followed = self._followed.setdefault(group.key, _JobState())
        members = [frames[uuid] for uuid in group.gpus]
        blank = Judgement(group.job.key if group.job else None, group.gpus, "unknown", step_s=period_s)
        traces = {u: t for u in group.gpus if (t := self._traces.get(u)) and t.newest_s > 0}
        if not traces:
            return replace(blank, why=_unread(members))
        top = max(t.newest_s for t in traces.values())
        if now_s - top > max_gap_s(interval_s):
            return replace(blank, why=f"the last traffic data is {age(now_s - top)} old")
        traces = {u: t for u, t in traces.items() if top - t.newest_s <= max(STALE_S, 2 * interval_s)}
        end_s = min(t.newest_s for t in traces.values())
        self._scan(followed, traces, end_s, period_s)
        silent_s = None if followed.active_s is None else max(0.0, end_s - followed.active_s)
        if silent_s is not None and silent_s <= self._pause_s(followed, period_s, interval_s):
            if followed.last and end_s - followed.measured_s < self._every_s(followed, end_s):
                return followed.last
            followed.measured_s = end_s
            followed.last = self._measure(followed, blank, members, traces, end_s)
            return followed.last
        if silent_s is not None and silent_s > FORGET_LEVEL_S and self._goes_on(members, traces, end_s):
            # That is what there is to judge now.
            since_s = end_s - WINDOW_S
            self._followed[group.key] = _JobState(scanned_s=since_s, began_s=since_s, restarted=True)
        return self._quiet(followed, blank, members, silent_s)

    @staticmethod
    def _pause_s(followed: _JobState, period_s: float | None, interval_s: float) -> float:
        """Return how long a pause between bursts may be."""
        last = followed.last
        if period_s is None:
            return max(PAUSE_S, 2 * interval_s)
        rest = 1 - last.busy if last and known(last.busy) else 1.0
        return max(PAUSE_STEPS * rest * period_s, 3 * interval_s)

    @staticmethod
    def _every_s(followed: _JobState, end_s: float) -> float:
        """Return how often a job is measured: often at first, then as its shares can change."""
        return 0.0 if end_s - followed.began_s < SETTLED_S else EVERY_S

    def _scan(
        self, followed: _JobState, traces: Mapping[str, UsageTrace], end_s: float, period_s: float | None
    ) -> None:
        """Note when there was traffic last."""
        since_s = followed.scanned_s
        before = followed.active_s
        first: float | None = None
        for uuid, trace in traces.items():
            edge = followed.edges.get(uuid, QUIET)
            spans = trace.between(since_s, end_s)
            for start_s, seconds, share in zip(spans.starts_s, spans.seconds, spans.shares, strict=True):
                if share > edge:
                    first = start_s if first is None else min(first, start_s)
                    followed.active_s = max(followed.active_s or 0.0, start_s + seconds)
        followed.scanned_s = end_s
        if first is None:
            return
        if before is None or first - before >= RESTED_S:
            followed.began_s = first
        elif first - before > PAUSE_S:
            followed.longest_pause_s = max(followed.longest_pause_s, first - before)

    def _measure(
        self,
        followed: _JobState,
        blank: Judgement,
        members: Sequence[GpuFrame],
        traces: Mapping[str, UsageTrace],
        end_s: float,
    ) -> Judgement:
        """Work out the shares over the window."""
        period_s = blank.step_s
        wanted_s = WINDOW_S
        if period_s:
            wanted_s = max(1, round(WINDOW_S / period_s)) * period_s
        oldest_s = max(followed.began_s, *(t.oldest_s for t in traces.values()))
        there_s = end_s - oldest_s
        if there_s < wanted_s and period_s and there_s >= period_s:
            wanted_s = there_s // period_s * period_s
        start_s = max(oldest_s, end_s - wanted_s)
        by_uuid = {g.gpu.uuid: g for g in members}
        bounds = limit_bounds(members[0])
        loads: dict[str, LinkUsage] = {}
        why = ""
        for uuid, trace in traces.items():
            own = measure_usage(trace.between(start_s, end_s), limit_bounds(by_uuid[uuid]))
            if isinstance(own, Missing):
                why = own.reason
            else:
                loads[uuid] = own
        seconds = end_s - start_s
        blank = replace(blank, window_s=seconds)
        if not loads:
            return replace(blank, why=why)
        for uuid, known_load in loads.items():
            followed.edges[uuid] = max(QUIET, EDGE * known_load.level)
        if seconds < MIN_WINDOW_S:
            return replace(
                blank,
                state="unclear",
                why=f"watched for {seconds:.0f} s only",
                mean=median(v.mean for v in loads.values()),
            )
        shares = combine_usage(loads)
        if end_s - followed.overlap_s >= OVERLAP_S:
            followed.overlap_s = end_s
            followed.overlap = self._overlap(members, traces, loads, start_s, end_s)
        found = fill_judgement(blank, shares, bounds, followed.overlap, practical_rate(members))
        if shares.gpu:
            return replace(found, remote=traces[shares.gpu].remote)
        # Two GPUs that fill the links between them, whatever the others do.
        most = max(v.near for v in loads.values())
        pair = [uuid for uuid, v in loads.items() if v.near >= PAIR_SHARE * most]
        if len(pair) == 2 < len(loads) and most and traces[pair[0]].remote == pair[1]:
            return replace(found, gpu=pair[0], remote=pair[1])
        return found

    def _overlap(
        self,
        members: Sequence[GpuFrame],
        traces: Mapping[str, UsageTrace],
        loads: Mapping[str, LinkUsage],
        start_s: float,
        end_s: float,
    ) -> Maybe[Overlap]:
        computes = [
            (traces[u], compute, min(1.0, own.level) if own.unresolved < own.busy / 2 else RING)
            for u, own in loads.items()
            if (compute := self._computed.get(u)) and own.busy
        ]
        powers = [p for g in members if known(p := g.gpu.power_limit_w)]
        return measure_overlap(computes, start_s, end_s, median(powers) if powers else 0.0)

    def _goes_on(self, members: Sequence[GpuFrame], traces: Mapping[str, UsageTrace], end_s: float) -> bool:
        """Whether a job that seems silent works on, with little traffic."""
        if _spins(members):
            return False
        recent = (
            measure_usage(t.between(end_s - WINDOW_S, end_s), limit_bounds(members[0]))
            for t in traces.values()
        )
        return any(known(r) and r.mean > QUIET for r in recent)

    def restarted(self, key: str) -> bool:
        """Whether a job is followed from now on as if it had just begun; true once."""
        followed = self._followed.get(key)
        if followed is None or not followed.restarted:
            return False
        followed.restarted = False
        return True

    def _quiet(
        self,
        followed: _JobState,
        blank: Judgement,
        members: Sequence[GpuFrame],
        silent_s: float | None,
    ) -> Judgement:
        """Judge a job that moves nothing now: what was found before stays as it was."""
        busy, working = _busy(members)
        if silent_s is None or followed.last is None:
            state = "no-traffic" if working else "idle"
            return replace(blank, state=state, busy=0.0, at_limit=0.0, at_limit_most=0.0, mean=0.0)
        # The step may be found only now, from the traffic before the silence.
        last = replace(followed.last, silent_s=silent_s, step_s=followed.last.step_s or blank.step_s)
        period_s = last.step_s
        after_s = max(SILENT_S, SILENT_STEPS * (period_s or followed.longest_pause_s))
        if silent_s < after_s:
            return last
        if busy:
            return replace(last, state="silent")
        return replace(last, state="no-traffic" if working else "idle")


def _unread(members: Sequence[GpuFrame]) -> str:
    """Return why there is no traffic to judge."""
    rates = [r for g in members for r in (g.nvlink.tx_bytes_per_s, g.nvlink.rx_bytes_per_s)]
    return next((r.reason for r in rates if isinstance(r, Missing)), NOT_READ.reason)


def _busy(members: Sequence[GpuFrame]) -> tuple[bool, bool]:
    """Return whether at least half of the GPUs are fully busy, and whether any works at all."""
    utils = [u for g in members if known(u := g.gauges.util_percent)]
    fully = sum(u >= BUSY_FULLY for u in utils)
    return bool(utils) and 2 * fully >= len(members), any(u >= GPU_BUSY_PERCENT for u in utils)


def _spins(members: Sequence[GpuFrame]) -> bool:
    """Whether GPUs look busy at little power, as they do in a collective that waits."""
    shares = [
        p / limit
        for g in members
        if known(p := g.gauges.power_w) and known(limit := g.gpu.power_limit_w) and limit
    ]
    return bool(shares) and median(shares) < SPINNING_POWER
