"""What the jobs of a node are doing: traffic in, `Activity` out.

One job is analysed at a time, each about once in `ANALYSIS_INTERVAL_S`. Memory: 90 kB per GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from math import ceil, inf
from typing import Final

from nvltop.analysis.activity import gpu_groups
from nvltop.analysis.activity.activity_now import activity_now
from nvltop.analysis.activity.bottleneck import BottleneckEvaluator
from nvltop.analysis.activity.bursts import SILENCE_SHARE, burst_level
from nvltop.analysis.activity.compute_series import ComputeSeries
from nvltop.analysis.activity.gauge_history import GaugeHistory, NicUsage
from nvltop.analysis.activity.gpu_groups import GpuGroup
from nvltop.analysis.activity.link_balance import LinkBalance, LinkImbalance
from nvltop.analysis.activity.other_limits import (
    NO_OTHER_LIMITS,
    JobGpu,
    OtherLimits,
    find_other_limits,
    rank_limits,
)
from nvltop.analysis.activity.rank_grouping import RankGrouping
from nvltop.analysis.activity.ranks import find_straggler, lateness
from nvltop.analysis.activity.step_tracker import MIN_WATCHED_S, StepTracker
from nvltop.analysis.activity.traffic_series import TrafficSeries, TrafficSpan
from nvltop.analysis.activity.traffic_store import Cells, TrafficStore, busier, newest_cells
from nvltop.analysis.link_capacity import PCIE_BUSY_SHARE, pcie_speed
from nvltop.analysis.nan import without_nan
from nvltop.frozen import mutable
from nvltop.memo import Memo
from nvltop.model import (
    NOT_READ,
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

SEARCH_INTERVAL_S: Final = 4.0
"""Time between two analyses of a job whose step period is searched, seconds."""
ANALYSIS_INTERVAL_S: Final = 8.0
"""Time between two analyses of any other job, seconds."""
SHARE_WINDOW_S: Final = 60.0
"""Window of the ranks and of the share of communication, seconds."""
MIN_TRAFFIC_SHARE: Final = 0.002
"""Share of the speed below which a job moves no data."""
FORGET_JOB_S: Final = 1800.0
"""Silence after which a job is no longer expected to continue, seconds."""
MIN_PAUSE_S: Final = 10.0
"""Silence after which a job has paused, seconds, if that is also longer than two steps."""
SCANNED_S: Final = 2.0
"""Length of the newest traffic in which activity is searched for, seconds."""
MIN_SPLIT_GPUS: Final = 3
"""Number of GPUs above which a group may be split: two jobs have at least two GPUs each."""
NO_TRAFFIC: Final = Missing("no NVLink traffic")


@mutable
class _TrackedJob:
    """The state of one job between two analyses."""

    step_tracker: StepTracker = field(default_factory=StepTracker)
    analysed_s: float = float("-inf")
    """Time of the last analysis."""
    silence_bytes_per_s: float = 0.0
    """Rate of all its GPUs together below which the job is silent; 0 until it is known."""
    active_s: float | None = None
    """CLOCK_MONOTONIC of the last traffic."""
    channels: list[list[int]] = field(default_factory=list)
    """Directions of `channel_gpus` with similar traffic, as of the last analysis of the full window."""
    channel_gpus: tuple[str, ...] = ()
    activity: Activity | None = None
    other_limits: OtherLimits = NO_OTHER_LIMITS
    """What bounds the job besides NVLink, as of the last analysis."""
    judged: Memo[Judgement] = field(default_factory=Memo)
    """The judgement that is shown: the same object until something of it changes."""
    shown: Memo[Activity] = field(default_factory=Memo)
    """The activity that is shown: the same object until something of it changes."""

    def due(self, now_s: float) -> bool:
        """Return whether the job should be analysed again."""
        interval_s = SEARCH_INTERVAL_S if self.step_tracker.searching else ANALYSIS_INTERVAL_S
        return self.step_tracker.doubted or now_s - self.analysed_s >= interval_s


class ActivityTracker:
    """Tracks the traffic of every GPU, and the jobs on them."""

    def __init__(self) -> None:
        self.activities: tuple[Activity, ...] = ()
        """As of the last evaluation, in the order of the jobs."""
        self.computed: dict[str, ComputeSeries] = {}
        """Compute activity of each GPU by UUID, without GPUs for which none was read."""
        self.judgements: tuple[Judgement, ...] = ()
        """Whether NVLink limits each job, and each GPU with NVLinks that belongs to no job."""
        self.rank_grouping = RankGrouping()
        """Processes that are one job by their traffic."""
        self.imbalances: tuple[LinkImbalance, ...] = ()
        """Links that carry less than comparable links."""
        self._bottleneck = BottleneckEvaluator(self.computed)
        self._traffic = TrafficStore()
        self._pending: dict[str, list[TrafficSpan]] = {}
        """Spans since the last evaluation, by GPU."""
        self._gauges: dict[str, GaugeHistory] = {}
        self._jobs: dict[str, _TrackedJob] = {}
        self._connected: Memo[list[GpuGroup]] = Memo()
        """Groups outside known jobs, which change only with jobs, links and inventory."""
        self._split: dict[str, list[GpuGroup]] = {}
        """Groups that were split by their traffic, by key of the whole group."""
        self._link_balance = LinkBalance()
        self._nic_usage = NicUsage()

    def add(self, uuid: str, spans: Sequence[TrafficSpan], interval_s: float) -> None:
        """Add the traffic of a GPU since the last call; `interval_s` is the requested interval."""
        if not spans:
            return
        if not self._traffic.cell_s:
            self._traffic.cell_s = interval_s
        self._pending.setdefault(uuid, []).extend(spans)

    def add_compute(self, uuid: str, start_s: float, end_s: float, data: ComputeActivity) -> None:
        """Add the compute activity of a GPU between two times (CLOCK_MONOTONIC)."""
        series = self.computed.get(uuid)
        if series is None:
            series = self.computed[uuid] = ComputeSeries()
        series.add(start_s, end_s, data)

    @property
    def at_limit_s(self) -> dict[str, float]:
        """Seconds at the limit since the monitor started, by GPU."""
        return self._bottleneck.at_limit_s

    def evaluate(
        self,
        gpus: Sequence[GpuFrame],
        jobs: Sequence[Job],
        matrix: Matrix,
        now_s: float,
        interval_s: float,
        nics: Sequence[NicFrame] = (),
    ) -> None:
        """Update `activities`, `judgements` and `imbalances`. Call about once a second."""
        frames = {g.gpu.uuid: g for g in gpus}
        self._add_pending(frames)
        if self._traffic.fit_cells(interval_s):
            for tracked in self._jobs.values():
                tracked.step_tracker, tracked.activity = StepTracker(), None
        self.imbalances = self._link_balance.update(gpus)
        self._nic_usage.add(nics, now_s)
        for uuid, g in frames.items():
            if uuid not in self._gauges:
                self._gauges[uuid] = GaugeHistory()
            self._gauges[uuid].add(g, now_s)
        self.rank_grouping.update(
            jobs, gpus, matrix, self._traffic.busier_direction, self._traffic.cell_s, now_s
        )
        grouped, alone = self._groups(gpus, jobs, matrix)
        self._jobs = {group.key: self._jobs.get(group.key) or _TrackedJob() for group in grouped}
        for group in grouped:
            self._update_silence(group)
        due = [group for group in grouped if self._jobs[group.key].due(now_s)]
        if due:
            group = min(due, key=lambda group: self._jobs[group.key].analysed_s)
            self._analyse(group, frames, now_s)
        self._bottleneck.retain([group.key for group in (*grouped, *alone)])
        judged = {g.key: self._judgement(g, frames, now_s, interval_s) for g in (*grouped, *alone)}
        self.judgements = tuple(judged.values())
        self.activities = tuple(
            a for group in grouped if (a := self._current_activity(group, judged[group.key]))
        )

    def _add_pending(self, frames: Mapping[str, GpuFrame]) -> None:
        """Add the pending spans to the series and to the bottleneck evaluation."""
        for uuid, spans in self._pending.items():
            if uuid in frames:
                self._bottleneck.add(spans, frames[uuid])
            self._traffic.add(uuid, spans)
        self._pending.clear()

    def _groups(
        self, gpus: Sequence[GpuFrame], jobs: Sequence[Job], matrix: Matrix
    ) -> tuple[list[GpuGroup], list[GpuGroup]]:
        """Return the GPUs that work together, and each GPU with NVLinks that works alone."""
        grouped = gpu_groups.group_by_job(jobs, gpus)
        taken = frozenset(uuid for group in grouped for uuid in group.gpus)
        linked = tuple([(g.gpu.uuid, bool(g.links)) for g in gpus])
        connected = self._connected.get(
            (linked, matrix.cells, len(matrix.p2p_nvlink), taken),
            lambda: gpu_groups.group_by_topology(gpus, matrix, taken),
        )
        for group in connected:
            grouped += self._split.get(group.key, [group])
        members = {uuid for group in grouped for uuid in group.gpus}
        alone = [
            GpuGroup(f"gpu:{uuid}", None, (uuid,))
            for uuid, has_links in linked
            if has_links and uuid not in members
        ]
        return grouped, alone

    def _judgement(
        self, group: GpuGroup, frames: Mapping[str, GpuFrame], now_s: float, interval_s: float
    ) -> Judgement:
        """Return whether NVLink limits a job."""
        tracked = self._jobs.get(group.key) or _TrackedJob()
        judged = self._bottleneck.evaluate(group, frames, tracked.step_tracker.period_s, now_s, interval_s)
        if self._bottleneck.restarted(group.key) and group.key in self._jobs:
            self._jobs[group.key] = _TrackedJob()
        over_pcie = sum([self._gauges[uuid].recent_pcie >= PCIE_BUSY_SHARE for uuid in group.gpus])
        limits = rank_limits(judged, tracked.other_limits)
        return tracked.judged.get(
            (judged, over_pcie, limits), lambda: replace(judged, over_pcie=over_pcie, limits=limits)
        )

    def _update_silence(self, group: GpuGroup) -> None:
        """Update the time of the last traffic of a job, and the length of its silence."""
        tracked, cell_s = self._jobs[group.key], self._traffic.cell_s
        if not tracked.silence_bytes_per_s:
            return
        if not (end := self._traffic.end(group.gpus)):
            return
        all_series = self._traffic.series(group.gpus).values()
        for cell in range(end - 1, end - 1 - max(2, round(SCANNED_S / cell_s)), -1):
            at_s = (cell + 1) * cell_s
            if tracked.active_s is not None and at_s <= tracked.active_s:
                break
            if sum(s.moved_bytes_per_s(cell) for s in all_series) > tracked.silence_bytes_per_s:
                tracked.active_s = at_s
                break
        if tracked.active_s is not None:
            # Up to the newest reading: a gap in the readings is not a silence of the job.
            resumed_s, read_s = self._bottleneck.read_between_s(group.gpus)
            tracked.active_s = max(tracked.active_s, resumed_s)
            tracked.step_tracker.set_silence(max(0.0, min(end * cell_s, read_s) - tracked.active_s))

    def _analyse(self, group: GpuGroup, frames: Mapping[str, GpuFrame], now_s: float) -> None:
        """Update the step period and the activity of one job."""
        tracked, cell_s = self._jobs[group.key], self._traffic.cell_s
        step_tracker = tracked.step_tracker
        tracked.analysed_s = now_s
        end = self._traffic.end(group.gpus)
        series = self._traffic.series(group.gpus)
        if not end or not series:
            return
        if tracked.active_s is not None:
            pause_s = max(MIN_PAUSE_S, 2 * (step_tracker.period_s or 0.0), 2 * cell_s)
            if end * cell_s - tracked.active_s > pause_s:
                # A silence adds nothing to the step and the shares, which keep their last values.
                if tracked.activity:
                    tracked.activity = replace(tracked.activity, straggler=None)
                    if step_tracker.stopped:
                        step_tracker.update((), cell_s, now_s)
                    return
                end = ceil((tracked.active_s + MIN_PAUSE_S) / cell_s)
        wanted_s = step_tracker.wanted_s(now_s)
        complete = wanted_s == inf
        least = self._least_traffic(series, frames)
        if complete and all(s.stays_below(least) for s in series.values()):
            tracked.activity = None
            return
        length_s = inf if complete else max(wanted_s, _window_s(step_tracker.period_s))
        cells = newest_cells(series, end, length_s)
        directions = [own for both in cells.values() for own in both]
        if complete:
            seen_s = len(directions[0]) * cell_s
            if (
                group.key.startswith("links:")
                and len(group.gpus) > MIN_SPLIT_GPUS
                and seen_s >= SHARE_WINDOW_S
            ):
                # No job is known: the traffic may be that of several.
                self._split[group.key] = gpu_groups.split_by_traffic(group, busier(cells))
            if seen_s < MIN_WATCHED_S:
                # The first rates may be late: analyse as soon as enough has been seen, not up to 4 s later.
                tracked.analysed_s += min(0.0, MIN_WATCHED_S - seen_s - SEARCH_INTERVAL_S)
            if seen_s < MIN_WATCHED_S or not any(v > least for own in directions for v in own):
                tracked.activity = None
                return
        if complete or tracked.channel_gpus != tuple(cells):
            tracked.channel_gpus, tracked.channels = tuple(cells), gpu_groups.similar_series(directions)
        channels = gpu_groups.sum_channels(directions, tracked.channels) if wanted_s else []
        if complete:
            total = list(map(sum, zip(*channels, strict=True)))
            tracked.silence_bytes_per_s = SILENCE_SHARE * burst_level(without_nan(total))
            self._update_silence(group)
        step_tracker.update(channels, cell_s, now_s)
        tracked.activity = self._activity(group, tracked, frames, cells)

    @staticmethod
    def _least_traffic(series: Mapping[str, TrafficSeries], frames: Mapping[str, GpuFrame]) -> float:
        """Return the rate up to which GPUs move no data, in bytes/s."""
        speeds = [speed for u in series if known(speed := frames[u].nvlink.speed_bytes_per_s)]
        return MIN_TRAFFIC_SHARE * max(speeds, default=0.0)

    def _activity(
        self,
        group: GpuGroup,
        tracked: _TrackedJob,
        frames: Mapping[str, GpuFrame],
        cells: Cells,
    ) -> Activity:
        """Return the communication, ranks and straggler of a job over the last minute."""
        period_s, cell_s = tracked.step_tracker.period_s, self._traffic.cell_s
        count = round(_window_s(period_s) / cell_s)
        cells = {uuid: (tx[-count:], rx[-count:]) for uuid, (tx, rx) in cells.items()}
        judged, busy = self._bottleneck.last(group.key)
        late = lateness([tx for tx, _ in cells.values()], cell_s)
        ranks = tuple(
            self._rank(uuid, rates, busy.get(uuid, NOT_READ), late_s)
            for (uuid, rates), late_s in zip(busier(cells).items(), late, strict=True)
        )
        straggler = find_straggler(ranks, period_s or 0.0, cell_s) if _same_model(frames, cells) else None
        members = [
            JobGpu(u, f"GPU {frames[u].gpu.index}", self._gauges[u], pcie_speed(frames[u])) for u in cells
        ]
        tracked.other_limits = find_other_limits(members, straggler, self._nic_usage.share)
        return Activity(
            job=group.job.key if group.job else None,
            gpus=group.gpus,
            communication=judged.busy if judged else NOT_READ,
            intensity=judged.level if judged else NOT_READ,
            ranks=ranks,
            straggler=straggler,
        )

    def _rank(self, uuid: str, rates: Sequence[float], busy: Maybe[float], late_s: Maybe[float]) -> Rank:
        """Return the values of one GPU of a job over the last minute."""
        read = without_nan(rates)
        gauges = self._gauges[uuid]
        return Rank(
            gpu=uuid,
            moved_bytes_per_s=sum(read) / len(read) if read else NO_TRAFFIC,
            communication=busy,
            power_w=gauges.power_w,
            util_percent=gauges.util_percent,
            sm_clock_mhz=gauges.sm_clock_mhz,
            late_s=late_s,
        )

    def _current_activity(self, group: GpuGroup, judged: Judgement) -> Activity | None:
        """Return the activity of a job now; None if the job moves no data over NVLink."""
        tracked = self._jobs[group.key]
        if tracked.activity is None:
            return None
        step = tracked.step_tracker.step_period(group.job is None or group.job.exact)
        if known(step) and step.silent_s > FORGET_JOB_S:
            return None
        if judged.silent_s and known(step):
            step = replace(step, silent_s=judged.silent_s)
        analysed, other_limits = tracked.activity, tracked.other_limits
        return tracked.shown.get(
            (analysed, group.gpus, step, judged, other_limits),
            lambda: activity_now(analysed, group.gpus, step, judged, other_limits),
        )


def _window_s(period_s: float | None) -> float:
    """Return the number of whole periods closest to `SHARE_WINDOW_S`, in seconds."""
    return SHARE_WINDOW_S if period_s is None else max(1, round(SHARE_WINDOW_S / period_s)) * period_s


def _same_model(frames: Mapping[str, GpuFrame], uuids: Iterable[str]) -> bool:
    """Return whether the GPUs are of the same model, so that they can be compared."""
    return len({frames[uuid].gpu.name for uuid in uuids}) == 1
