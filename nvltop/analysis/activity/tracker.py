"""What the jobs of a node are doing, kept up to date: traffic in, `Activity` out.

Cost: a few additions for each reading of the counters; about once in `ANALYSE_S` a job is looked at in
earnest, one at a time. Memory: 90 kB a GPU, a little a job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf
from statistics import median
from typing import Final

from nvltop.analysis.activity import gpu_groups
from nvltop.analysis.activity.bottleneck import BottleneckEvaluator
from nvltop.analysis.activity.bursts import burst_level
from nvltop.analysis.activity.communication import Communication, measure_communication
from nvltop.analysis.activity.compute_series import ComputeSeries
from nvltop.analysis.activity.gauge_history import GaugeHistory, NicUsage
from nvltop.analysis.activity.gpu_groups import GpuGroup
from nvltop.analysis.activity.link_balance import LinkBalance, LinkImbalance
from nvltop.analysis.activity.other_limits import (
    NO_OTHER_LIMITS,
    JobGpu,
    OtherLimits,
    find_other_limits,
    first_limit,
    rank_limits,
)
from nvltop.analysis.activity.rank_grouping import RankGrouping
from nvltop.analysis.activity.ranks import find_straggler, lateness
from nvltop.analysis.activity.step_tracker import SEEN_S, StepTracker
from nvltop.analysis.activity.traffic_series import TrafficSeries, TrafficSpan
from nvltop.analysis.verdict import PCIE_BUSY_SHARE, pcie_speed
from nvltop.model import (
    Activity,
    ComputeActivity,
    GpuFrame,
    Job,
    Judgement,
    Matrix,
    Maybe,
    Missing,
    NicFrame,
    Rank,
    known,
)

ANALYSE_S: Final = 4.0
SETTLED_S: Final = 8.0
LOOK_S: Final = 60.0
"""What is said of ranks and of the share of communication is of about so much time."""
QUIET: Final = 0.002
"""Share of the speed below which nothing moves."""
SILENT: Final = 0.15
"""Share of the bursts' level below which there is silence."""
FORGET_S: Final = 1800.0
"""A job that has moved nothing for so long is not waited for any more."""
STALE_S: Final = 5.0
PAUSE_S: Final = 10.0
"""A silence longer than this and than two steps is no pause between bursts."""
SLOWER: Final = 1.3
FASTER: Final = 0.7
MIN_PARTED: Final = 3
"""Two jobs of two GPUs each are the least that can be told apart."""
NO_TRAFFIC: Final = Missing("no NVLink traffic")
NO_FIGURE: Final = Missing("its bursts, or what NVLink does in practice, are not known")


@dataclass(slots=True)
class _TrackedJob:
    """One job, as far as it was looked at."""

    step_tracker: StepTracker = field(default_factory=StepTracker)
    looked_s: float = float("-inf")
    edge: float = 0.0
    """Bytes/s of all its GPUs together, below which there is silence."""
    active_s: float | None = None
    """CLOCK_MONOTONIC at which there was traffic last."""
    activity: Activity | None = None
    others: OtherLimits = NO_OTHER_LIMITS
    """What bounds it besides NVLink, as of the last look."""

    def due(self, now_s: float) -> bool:
        """Whether it is time to look again."""
        return self.step_tracker.doubted or now_s - self.looked_s >= (
            SETTLED_S if self.step_tracker.settled else ANALYSE_S
        )


class ActivityTracker:
    """Follows the traffic of every GPU, and the jobs on them."""

    def __init__(self) -> None:
        self.activities: tuple[Activity, ...] = ()
        """As of the last judgement, in the order of the jobs."""
        self.computed: dict[str, ComputeSeries] = {}
        """How busy each GPU was, by UUID; GPUs of which nothing was read are not in it."""
        self.judgements: tuple[Judgement, ...] = ()
        """Whether NVLink limits each job, and each GPU with NVLinks that belongs to none."""
        self._bottleneck = BottleneckEvaluator(self.computed)
        self._cell_s = 0.0
        self._noted: list[tuple[str, TrafficSpan]] = []
        """What has come since the last judgement, by GPU."""
        self._series: dict[str, TrafficSeries] = {}
        self._samples: dict[str, GaugeHistory] = {}
        self._jobs: dict[str, _TrackedJob] = {}
        self._parted: dict[str, list[GpuGroup]] = {}
        self._balance = LinkBalance()
        self._network = NicUsage()
        self.partners = RankGrouping()
        """Processes that their traffic makes one job."""
        self.imbalances: tuple[LinkImbalance, ...] = ()
        """Links that carry less than their like."""

    def add(self, uuid: str, moved: TrafficSpan, interval_s: float) -> None:
        """Take what a GPU moved between two readings, which are meant to come every `interval_s`."""
        if not self._cell_s:
            self._cell_s = interval_s
        self._noted.append((uuid, moved))

    def add_compute(self, uuid: str, start_s: float, end_s: float, data: ComputeActivity) -> None:
        """Take how busy a GPU was between two times (CLOCK_MONOTONIC)."""
        self.computed.setdefault(uuid, ComputeSeries()).add(start_s, end_s, data)

    @property
    def at_limit_s(self) -> dict[str, float]:
        """Seconds at or near the limit since the monitor started, by GPU."""
        return self._bottleneck.at_limit_s

    def _take_notes(self, frames: Mapping[str, GpuFrame]) -> None:
        """Spread what has been noted over the cells, all of it together, which is cheaper than one by one."""
        for uuid, moved in self._noted:
            if uuid in frames:
                self._bottleneck.add(moved, frames[uuid])
            series = self._series.get(uuid)
            if series is None:
                series = self._series[uuid] = TrafficSeries(self._cell_s)
            series.add(moved)
        self._noted.clear()

    def evaluate(
        self,
        gpus: Sequence[GpuFrame],
        jobs: Sequence[Job],
        matrix: Matrix,
        now_s: float,
        interval_s: float,
        nics: Sequence[NicFrame] = (),
    ) -> None:
        """Bring `now` up to date; to be called about once a second."""
        frames = {g.gpu.uuid: g for g in gpus}
        self._take_notes(frames)
        self._set_cell_length(interval_s)
        self.imbalances = self._balance.update(gpus)
        self._network.add(nics, now_s)
        for g in gpus:
            self._samples.setdefault(g.gpu.uuid, GaugeHistory()).add(g, now_s)
        self.partners.update(jobs, gpus, matrix, self._traffic, now_s)
        found = gpu_groups.group_by_job(jobs, gpus)
        taken = frozenset(uuid for group in found for uuid in group.gpus)
        for joined in gpu_groups.group_by_topology(gpus, matrix, taken):
            found += self._parted.get(joined.key, [joined])
        joined_in = {uuid for group in found for uuid in group.gpus}
        alone = [
            GpuGroup(f"gpu:{g.gpu.uuid}", None, (g.gpu.uuid,))
            for g in gpus
            if g.links and g.gpu.uuid not in joined_in
        ]
        self._jobs = {group.key: self._jobs.get(group.key) or _TrackedJob() for group in found}
        for group in found:
            self._listen(group, now_s)
        due = [g for g in found if self._jobs[g.key].due(now_s)]
        if due:
            group = min(due, key=lambda g: self._jobs[g.key].looked_s)
            self._look(group, frames, now_s)
        self._bottleneck.retain([group.key for group in (*found, *alone)])
        judged = {g.key: self._judge(g, frames, now_s, interval_s) for g in (*found, *alone)}
        self.judgements = tuple(judged.values())
        self.activities = tuple(a for group in found if (a := self._told(group, judged[group.key], now_s)))

    def _judge(
        self, group: GpuGroup, frames: Mapping[str, GpuFrame], now_s: float, interval_s: float
    ) -> Judgement:
        """Judge whether NVLink limits a job."""
        watched = self._jobs.get(group.key) or _TrackedJob()
        judged = self._bottleneck.evaluate(group, frames, watched.step_tracker.period_s, now_s, interval_s)
        if self._bottleneck.restarted(group.key) and group.key in self._jobs:
            self._jobs[group.key] = _TrackedJob()
        over_pcie = sum(self._samples[uuid].recent_pcie >= PCIE_BUSY_SHARE for uuid in group.gpus)
        return replace(judged, over_pcie=over_pcie, limits=rank_limits(judged, watched.others))

    def _set_cell_length(self, interval_s: float) -> None:
        """Change the length of the cells if readings have become rarer or denser for good."""
        if not self._series:
            return
        needed = max(interval_s, *(s.usual_s for s in self._series.values()))
        if not FASTER * self._cell_s < needed < SLOWER * self._cell_s:
            self._cell_s = needed
            self._series.clear()
            for watched in self._jobs.values():
                watched.step_tracker, watched.activity = StepTracker(), None

    def _end(self, group: GpuGroup) -> int:
        """Return the number of the cell that is not complete yet; 0 if nothing was read."""
        newest = [s.newest for uuid in group.gpus if (s := self._series.get(uuid))]
        top = max(newest, default=0)
        return min((n for n in newest if (top - n) * self._cell_s <= STALE_S), default=0)

    def _traffic(self, gpus: Sequence[str]) -> tuple[dict[str, list[float]], float]:
        """Return the busier direction of some GPUs over the whole window, and the length of a cell."""
        series = {uuid: s for uuid in gpus if (s := self._series.get(uuid))}
        end = self._end(GpuGroup("", None, tuple(gpus)))
        tails = {uuid: s.cells_before(end, s.size - 1) for uuid, s in series.items()} if end else {}
        return {u: [max(a, b) for a, b in zip(*both, strict=True)] for u, both in tails.items()}, self._cell_s

    def _listen(self, group: GpuGroup, now_s: float) -> None:
        """Note when there was traffic last."""
        watched, end = self._jobs[group.key], self._end(group)
        if not end or not watched.edge:
            return
        count = max(2, round(2.0 / self._cell_s))
        tails = [s.cells_before(end, count) for uuid in group.gpus if (s := self._series.get(uuid))]
        for k in range(count):
            if sum(tx[k] + rx[k] for tx, rx in tails if tx[k] == tx[k]) > watched.edge:
                at_s = (end - count + k + 1) * self._cell_s
                watched.active_s = at_s if watched.active_s is None else max(watched.active_s, at_s)
        if watched.active_s is not None:
            # As of the newest reading: when the reading stops, that is no silence of the job.
            watched.step_tracker.set_silence(max(0.0, end * self._cell_s - watched.active_s))

    def _look(self, group: GpuGroup, frames: dict[str, GpuFrame], now_s: float) -> None:
        """Analyse one job."""
        watched = self._jobs[group.key]
        watched.looked_s = now_s
        end = self._end(group)
        series = {uuid: s for uuid in group.gpus if (s := self._series.get(uuid))}
        if not end or not series:
            return
        if watched.active_s is not None:
            pause_s = max(PAUSE_S, 2 * (watched.step_tracker.period_s or 0.0), 2 * self._cell_s)
            if end * self._cell_s - watched.active_s > pause_s:
                # A silence says nothing new of the step and the shares, which stay as they were.
                if watched.activity:
                    watched.activity = replace(watched.activity, straggler=None)
                    if watched.step_tracker.stopped:
                        watched.step_tracker.update((), self._cell_s, now_s)
                    return
                end = ceil((watched.active_s + PAUSE_S) / self._cell_s)
        size = next(iter(series.values())).size
        there = end - min((s.oldest for s in series.values() if s.oldest is not None), default=end)
        wanted_s = watched.step_tracker.wanted_s(now_s)
        whole = wanted_s == inf
        count = size if whole else ceil(max(wanted_s, _look_s(watched.step_tracker.period_s)) / self._cell_s)
        tails = {uuid: s.cells_before(end, max(0, min(count, size - 1, there))) for uuid, s in series.items()}
        first = min(next((i for i, v in enumerate(tx) if v == v), len(tx)) for tx, _ in tails.values())
        tails = {uuid: (tx[first:], rx[first:]) for uuid, (tx, rx) in tails.items()}
        busier = {uuid: [max(a, b) for a, b in zip(*both, strict=True)] for uuid, both in tails.items()}
        if whole:
            if group.job is None and len(group.gpus) > MIN_PARTED:
                self._part(group, busier)
            speeds = {u: speed for u in series if known(speed := frames[u].nvlink.speed_bytes_per_s)}
            top = max((v for own in busier.values() for v in own if v == v), default=0.0)
            seen_s = len(next(iter(busier.values()))) * self._cell_s
            if seen_s < SEEN_S or top <= QUIET * max(speeds.values(), default=0.0):
                watched.activity = None
                return
            total = [sum(c) for c in zip(*(v for both in tails.values() for v in both), strict=True)]
            watched.edge = SILENT * burst_level([v for v in total if v == v])
            self._listen(group, now_s)
        watched.step_tracker.update(
            gpu_groups.merge_similar([own for both in tails.values() for own in both]), self._cell_s, now_s
        )
        watched.activity = self._activity(group, watched, frames, tails, busier)

    def _part(self, group: GpuGroup, busier: dict[str, list[float]]) -> None:
        """See whether GPUs of which no job is known belong to several."""
        key = group.key
        if key.startswith("links:") and len(next(iter(busier.values()))) * self._cell_s >= LOOK_S:
            self._parted[key] = gpu_groups.split_by_traffic(group, busier)

    def _activity(
        self,
        group: GpuGroup,
        watched: _TrackedJob,
        frames: dict[str, GpuFrame],
        tails: dict[str, tuple[list[float], list[float]]],
        busier: dict[str, list[float]],
    ) -> Activity:
        period_s = watched.step_tracker.period_s
        count = round(_look_s(period_s) / self._cell_s)
        shares: list[Maybe[Communication]] = []
        practical: list[float] = []
        for uuid in tails:
            nvlink = frames[uuid].nvlink
            speed, ceiling = nvlink.speed_bytes_per_s, nvlink.ceiling
            most = speed * (ceiling if known(ceiling) else 1.0) if known(speed) else 0.0
            practical.append(most if known(ceiling) else 0.0)
            shares.append(measure_communication(busier[uuid][-count:], most))
        late = lateness([tx[-count:] for tx, _ in tails.values()], self._cell_s)
        ranks = tuple(
            self._rank(uuid, busier[uuid][-count:], share, when)
            for uuid, share, when in zip(tails, shares, late, strict=True)
        )
        unread = next((s for s in shares if isinstance(s, Missing)), None)
        hard = [s.rate / p for s, p in zip(shares, practical, strict=True) if known(s) and s.share and p]
        waited_for = (
            find_straggler(ranks, period_s or 0.0, self._cell_s) if _one_model(frames, tails) else None
        )
        share = unread or median(s.share for s in shares if known(s))
        intensity = median(hard) if hard and len(hard) == len(shares) else NO_FIGURE
        members = [
            JobGpu(u, f"GPU {frames[u].gpu.index}", self._samples[u], pcie_speed(frames[u])) for u in tails
        ]
        watched.others = find_other_limits(members, waited_for, self._network.share)
        return Activity(
            job=group.job.key if group.job else None,
            gpus=group.gpus,
            communication=share,
            intensity=intensity,
            ranks=ranks,
            straggler=waited_for,
        )

    def _rank(
        self, uuid: str, moved: Sequence[float], share: Maybe[Communication], late_s: Maybe[float]
    ) -> Rank:
        read = [v for v in moved if v == v]
        samples = self._samples[uuid]
        return Rank(
            gpu=uuid,
            moved_bytes_per_s=sum(read) / len(read) if read else NO_TRAFFIC,
            communication=share if isinstance(share, Missing) else share.share,
            power_w=samples.power_w,
            util_percent=samples.util_percent,
            sm_clock_mhz=samples.sm_clock_mhz,
            late_s=late_s,
        )

    def _told(self, group: GpuGroup, judged: Judgement, now_s: float) -> Activity | None:
        """Return what is known of a job now; None if it moves nothing over NVLink."""
        watched = self._jobs[group.key]
        if watched.activity is None:
            return None
        step = watched.step_tracker.step_period(now_s, group.job is None or group.job.exact)
        if known(step) and step.silent_s > FORGET_S:
            return None
        found = watched.activity
        if judged.silent_s and known(step):
            step = replace(step, silent_s=judged.silent_s)
        if judged.window_s:
            found = replace(found, communication=judged.busy)
        return replace(found, step=step, limit=first_limit(judged, watched.others), limits=judged.limits)


def _look_s(period_s: float | None) -> float:
    """Return the time that comes nearest to `LOOK_S` in whole periods."""
    return LOOK_S if period_s is None else max(1, round(LOOK_S / period_s)) * period_s


def _one_model(frames: Mapping[str, GpuFrame], uuids: Iterable[str]) -> bool:
    """Whether the GPUs are alike, so that each may be held against the others."""
    return len({frames[uuid].gpu.name for uuid in uuids}) == 1
