"""Evaluates once a second whether NVLink limits each job."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from nvltop.analysis.activity.bursts import SILENCE_SHARE
from nvltop.analysis.activity.compute_series import ComputeSeries
from nvltop.analysis.activity.decision import (
    RING_LIMIT,
    JobUsage,
    busy_share,
    combine_usage,
    fill_judgement,
    limit_bounds,
    limited_pair,
    most_used_links,
    practical_rate,
)
from nvltop.analysis.activity.gpu_groups import GpuGroup
from nvltop.analysis.activity.job_state import JobState, alike
from nvltop.analysis.activity.link_usage import MIN_TRAFFIC_SHARE, LinkUsage, measure_usage
from nvltop.analysis.activity.members import are_busy, spinning, why_unread, without_speed
from nvltop.analysis.activity.overlap import NO_CONTRAST, measure_overlap
from nvltop.analysis.activity.traffic_series import TrafficSpan
from nvltop.analysis.activity.traffic_store import MAX_LAG_S
from nvltop.analysis.activity.usage_trace import LimitBounds, UsageTrace, after_gap
from nvltop.analysis.link_capacity import NO_LINK_UP
from nvltop.analysis.rates import max_gap_s
from nvltop.formatting import age
from nvltop.median import median
from nvltop.memo import MemoTable
from nvltop.model import (
    GpuFrame,
    Judgement,
    Maybe,
    Missing,
    Overlap,
    known,
)

WINDOW_S: Final = 60.0
"""Length of the window, seconds; rounded to whole steps if there is a step."""
MIN_WATCHED_S: Final = 5.0
"""Length of the traffic below which there is no judgement, seconds."""
MIN_WATCHED_READINGS: Final = 12
"""Number of readings below which there is no judgement: fewer may be alike by chance."""
MIN_PAUSE_S: Final = 2.0
"""Silence after which a job without a known step has paused, seconds."""
PAUSE_FACTOR: Final = 1.2
"""Silence after which a job with a step has paused, as a multiple of the time without traffic per step."""
MIN_SILENCE_S: Final = 10.0
"""Silence after which a job is silent, seconds; `MIN_SILENCE_STEPS` must have passed as well."""
MIN_SILENCE_STEPS: Final = 3.0
"""Silence after which a job is silent, in step periods."""
NEW_WINDOW_S: Final = 60.0
"""Silence after which new traffic starts a new window, seconds."""
MOSTLY_READ: Final = 0.9
"""Share of the window below which the time that was read is stated instead of the window."""
OVERLAP_INTERVAL_S: Final = 4.0
"""Shortest time between two measurements of the overlap, seconds."""
RESTART_S: Final = 120.0
"""Time with less traffic than before after which a job is evaluated by its new traffic, seconds."""
NO_SPEED: Final = "the speed of the links could not be read"


class BottleneckEvaluator:
    """Holds the traces of all GPUs, and evaluates the jobs on them."""

    def __init__(self, computed: Mapping[str, ComputeSeries]) -> None:
        """Use the compute activity in `computed`, by GPU UUID; the caller adds the readings."""
        self._computed = computed
        self._traces: dict[str, UsageTrace] = {}
        self._jobs: dict[str, JobState] = {}
        self._bounds = MemoTable()
        """`limit_bounds` by GPU UUID."""

    def add(self, spans: Sequence[TrafficSpan], g: GpuFrame) -> None:
        """Add the traffic of a GPU between consecutive readings."""
        trace = self._traces.get(g.gpu.uuid)
        if trace is None:
            trace = self._traces[g.gpu.uuid] = UsageTrace()
        speed, share = g.nvlink.speed_bytes_per_s, g.nvlink.ceiling
        # Without a published figure for this generation, the speed itself is the only known limit.
        ceiling = share if known(share) else 1.0
        if known(speed):
            practical, limit = ceiling * speed, self._bounds_of(g).limit
            for span in spans:
                trace.add(span, practical, ceiling, limit)

    def _bounds_of(self, g: GpuFrame) -> LimitBounds:
        """Return the bounds of a GPU, which change only with its inventory."""
        return self._bounds.get(g.gpu.uuid, (g.gpu,), lambda: limit_bounds(g))

    @property
    def at_limit_s(self) -> dict[str, float]:
        """Seconds at the limit since the monitor started, by GPU."""
        return {uuid: trace.at_limit_s for uuid, trace in self._traces.items()}

    def read_between_s(self, uuids: Sequence[str]) -> tuple[float, float]:
        """Return since when and until when the traffic of any of these GPUs was read without a long gap."""
        traces = [t for uuid in uuids if (t := self._traces.get(uuid))]
        resumed_s = min([t.resumed_s for t in traces], default=-math.inf)
        return resumed_s, max([t.read_s for t in traces], default=-math.inf)

    def last(self, key: str) -> tuple[Judgement | None, Mapping[str, Maybe[float]]]:
        """Return the last judgement of a job with traffic, and the share of the time with traffic by GPU."""
        job = self._jobs.get(key) or JobState()
        return job.last, job.busy

    def retain(self, keys: Sequence[str]) -> None:
        """Drop the state of all jobs except those with these keys."""
        for key in self._jobs.keys() - set(keys):
            del self._jobs[key]

    def evaluate(
        self,
        group: GpuGroup,
        frames: Mapping[str, GpuFrame],
        period_s: float | None,
        now_s: float,
        interval_s: float,
    ) -> Judgement:
        """Return the judgement of one job; `period_s` is its step period."""
        job = self._jobs.setdefault(group.key, JobState())
        members = [frames[uuid] for uuid in group.gpus]
        blank = Judgement(group.job.key if group.job else None, group.gpus, "unknown", step_s=period_s)
        if without_speed(members):
            return replace(blank, state="unclear", why=NO_SPEED)
        traces = {u: t for u in group.gpus if (t := self._traces.get(u)) and t.newest_s > 0}
        if not traces:
            return replace(blank, why=why_unread(members))
        if not any(g.nvlink.links_up for g in members):
            return replace(blank, why=NO_LINK_UP.reason)
        top = max([t.newest_s for t in traces.values()])
        if now_s - top > max_gap_s(interval_s):
            return replace(blank, why=f"the last traffic data is {age(now_s - top)} old")
        lag_s = max(MAX_LAG_S, 2 * interval_s)
        traces = {u: t for u, t in traces.items() if top - t.newest_s <= lag_s}
        end_s = min([t.newest_s for t in traces.values()])
        resumed_s, read_s = self.read_between_s(group.gpus)
        if end_s - read_s > max_gap_s(interval_s):
            return replace(blank, why=why_unread(members))
        self._scan(job, traces, end_s)
        if job.active_s is not None:
            job.active_s = max(job.active_s, resumed_s)  # time that was not read does not count as silence
        silent_s = None if job.active_s is None else max(0.0, end_s - job.active_s)
        if silent_s is not None and silent_s <= self._pause_s(job, period_s, interval_s):
            if job.last is None or job.last.gpus != group.gpus or job.due(end_s, period_s):
                job.measured_s = end_s
                job.moved_s.clear()
                before, job.last = job.last, self._measure(job, blank, members, traces, end_s)
                job.steady = job.clearest.resolved and before is not None and alike(before, job.last)
            return job.last
        if silent_s is not None and silent_s > RESTART_S and self._continues(members, traces, end_s):
            # The job works on with little traffic: evaluate that traffic from now on.
            since_s = end_s - WINDOW_S
            self._jobs[group.key] = JobState(scanned_s=since_s, began_s=since_s, restarted=True)
        return self._judge_silence(job, blank, members, silent_s)

    @staticmethod
    def _pause_s(job: JobState, period_s: float | None, interval_s: float) -> float:
        """Return the longest pause between bursts, in seconds."""
        last = job.last
        if period_s is None:
            return max(MIN_PAUSE_S, 2 * interval_s)
        rest = 1 - last.busy if last and known(last.busy) else 1.0
        return max(PAUSE_FACTOR * rest * period_s, 3 * interval_s)

    def _scan(self, job: JobState, traces: Mapping[str, UsageTrace], end_s: float) -> None:
        """Update the times of the traffic and the pauses of a job."""
        since_s = job.scanned_s
        before = job.active_s
        first: float | None = None
        for uuid, trace in traces.items():
            threshold = job.silence_shares.get(uuid, MIN_TRAFFIC_SHARE)
            new = trace.traffic_between(since_s, end_s, threshold)
            job.moved_s[uuid] = job.moved_s.get(uuid, 0.0) + new.volume_s
            if new.first_s < new.last_s:
                if first is None or new.first_s < first:
                    first = new.first_s
                if job.active_s is None or new.last_s > job.active_s:
                    job.active_s = new.last_s
        job.scanned_s = end_s
        if first is None:
            return
        if before is None or first - before >= NEW_WINDOW_S:
            job.began_s = first
        elif first - before > MIN_PAUSE_S:
            job.longest_pause_s = max(job.longest_pause_s, first - before)

    def _measure(
        self,
        job: JobState,
        blank: Judgement,
        members: Sequence[GpuFrame],
        traces: Mapping[str, UsageTrace],
        end_s: float,
    ) -> Judgement:
        """Return the judgement of a job with traffic, from its shares over the window."""
        period_s = blank.step_s
        wanted_s = WINDOW_S
        if period_s:
            wanted_s = max(1, round(WINDOW_S / period_s)) * period_s
        oldest_s = max(job.began_s, *(t.oldest_s for t in traces.values()))
        available_s = end_s - oldest_s
        if available_s < wanted_s and period_s and available_s >= period_s:
            wanted_s = available_s // period_s * period_s
        start_s = after_gap(traces, max(oldest_s, end_s - wanted_s), end_s)
        by_uuid = {g.gpu.uuid: g for g in members}
        bounds = self._bounds_of(members[0])
        usages: dict[str, LinkUsage] = {}
        why = ""
        readings, seconds = 0, 0.0
        for uuid, trace in traces.items():
            spans = trace.between(start_s, end_s)
            read_s = spans.read_s
            readings, seconds = max(readings, len(read_s)), max(seconds, sum(read_s))
            own = measure_usage(spans, self._bounds_of(by_uuid[uuid]))
            if isinstance(own, Missing):
                why = own.reason
            else:
                usages[uuid] = own
        # The spans at both ends of the window reach out of it.
        seconds = seconds if seconds < MOSTLY_READ * (end_s - start_s) else end_s - start_s
        blank = replace(blank, window_s=seconds)
        if not usages:
            return replace(blank, why=why)
        usages = job.clearest.update(usages, end_s)
        for uuid, usage in usages.items():
            job.silence_shares[uuid] = max(MIN_TRAFFIC_SHARE, SILENCE_SHARE * usage.level)
            job.means[uuid] = usage.mean
            job.busy[uuid] = busy_share(usage)
        if seconds < MIN_WATCHED_S or readings < MIN_WATCHED_READINGS:
            return replace(
                blank,
                state="unclear",
                why=f"watched for {seconds:.0f} s only",
                mean=median(v.mean for v in usages.values()),
            )
        combined = combine_usage(usages)
        if not combined.gpu and (pair := limited_pair(usages, traces)):
            combined = JobUsage(usages[pair], pair)
        if end_s - job.overlap_s >= OVERLAP_INTERVAL_S:
            job.overlap_s = end_s
            overlap = self._overlap(members, traces, usages, start_s)
            if overlap != NO_CONTRAST or not job.clearest.outdated:
                job.overlap = overlap
        before = job.last.state if job.last else ""
        links = most_used_links(traces, combined.gpu)
        practical = practical_rate(members, links)
        found = fill_judgement(blank, combined, bounds, job.overlap, links, practical, before)
        return replace(found, remote=traces[combined.gpu].remote) if combined.gpu else found

    def _overlap(
        self,
        members: Sequence[GpuFrame],
        traces: Mapping[str, UsageTrace],
        usages: Mapping[str, LinkUsage],
        start_s: float,
    ) -> Maybe[Overlap]:
        """Return the overlap of communication and computation since `start_s`."""
        readings: list[tuple[ComputeSeries, float]] = []
        for uuid, own in usages.items():
            compute = self._computed.get(uuid)
            if compute and own.busy:
                compute.add_links(traces[uuid])
                level = min(1.0, own.level) if own.unresolved < own.busy / 2 else RING_LIMIT
                readings.append((compute, level))
        powers = [p for g in members if known(p := g.gpu.power_limit_w)]
        return measure_overlap(readings, start_s, median(powers) if powers else 0.0)

    def _continues(self, members: Sequence[GpuFrame], traces: Mapping[str, UsageTrace], end_s: float) -> bool:
        """Return whether a job that seems silent continues with little traffic."""
        if spinning(members):
            return False
        recent = (
            measure_usage(t.between(end_s - WINDOW_S, end_s), self._bounds_of(members[0]))
            for t in traces.values()
        )
        return any(known(r) and r.mean > MIN_TRAFFIC_SHARE for r in recent)

    def restarted(self, key: str) -> bool:
        """Return whether the job was restarted since the last call."""
        job = self._jobs.get(key)
        if job is None or not job.restarted:
            return False
        job.restarted = False
        return True

    def _judge_silence(
        self,
        job: JobState,
        blank: Judgement,
        members: Sequence[GpuFrame],
        silent_s: float | None,
    ) -> Judgement:
        """Return the judgement of a job without traffic now; the shares keep their last values."""
        fully, working = are_busy(members)
        if silent_s is None or job.last is None:
            state = "no-traffic" if working else "idle"
            return replace(blank, state=state, busy=0.0, at_limit=0.0, at_limit_most=0.0, mean=0.0)
        # The step may have been found only now, from the traffic before the silence.
        last = replace(job.last, gpus=blank.gpus, silent_s=silent_s, step_s=job.last.step_s or blank.step_s)
        if last.gpu not in last.gpus:
            last = replace(last, gpu=None, remote=None)
        period_s = last.step_s
        after_s = max(MIN_SILENCE_S, MIN_SILENCE_STEPS * (period_s or job.longest_pause_s))
        if silent_s < after_s:
            return last
        if fully:
            return replace(last, state="silent")
        return replace(last, state="no-traffic" if working else "idle")
