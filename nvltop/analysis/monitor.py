"""The reducer: items in, frames out. No clock, no I/O, no NVML."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from math import isnan
from typing import Final, NamedTuple

from nvltop.analysis import matrix
from nvltop.analysis.activity.tracker import ActivityTracker
from nvltop.analysis.gpu import GpuTrack
from nvltop.analysis.health.engine import RuleEngine
from nvltop.analysis.health.rule import RuleInput
from nvltop.analysis.incidents.tracker import IncidentTracker
from nvltop.analysis.jobs import Jobs
from nvltop.analysis.nics import NicTracks
from nvltop.analysis.rates import max_gap_s
from nvltop.analysis.refresh import RefreshPeriod
from nvltop.analysis.verdict import node_verdict
from nvltop.memo import Memo
from nvltop.model import (
    NOT_LISTED,
    NOT_READ,
    Activity,
    ComputeActivity,
    Cost,
    CounterRefresh,
    Event,
    Fabric,
    Finding,
    Frame,
    Gpu,
    GpuFrame,
    Host,
    Inventory,
    Item,
    Job,
    LinkBer,
    LinkErrors,
    LinkStates,
    Listening,
    LogLine,
    Matrix,
    Maybe,
    Missing,
    NicFrame,
    NicPorts,
    Pair,
    Processes,
    Reading,
    Tick,
    Verdict,
)

MAX_GPUS: Final = 1024
"""Rows of a node, those of GPUs that are no longer listed included."""
MAX_EVENTS: Final = 1000
"""Events kept; the oldest go first."""


SELDOM: Final = (LinkStates, LinkErrors, LinkBer, Fabric)
"""Groups that the rules are asked about as soon as they come."""


class _Moment(NamedTuple):
    """What rules and frames of one tick share."""

    gpus: tuple[GpuFrame, ...]
    matrix: Matrix
    nics: tuple[NicFrame, ...]
    jobs: tuple[Job, ...]


class Monitor:
    """Folds items; `frame` gives what they add up to."""

    def __init__(self) -> None:
        self._inventory: Inventory | None = None
        self._gpus: dict[str, GpuTrack] = {}
        self._period: RefreshPeriod | None = None
        """Of the driver's refresh of its link counters."""
        self._pairs: dict[tuple[str, str], Pair] = {}
        self._host = Host()
        self._cost = Cost()
        self._processes: Maybe[Processes] = NOT_READ
        self._jobs = Jobs()
        self._tick = Tick(0.0, 0.0, 1.0, "starting")
        self._started_s: float | None = None
        self._first_s: float | None = None
        """CLOCK_MONOTONIC of the first reading of link counters."""
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._listening: Listening | None = None
        self._sequence = 0
        self._topology: Memo[matrix.Topology] = Memo()
        self._around = matrix.Around()
        self._nics = NicTracks()
        self._health = RuleEngine()
        self._activities = ActivityTracker()
        self._incidents = IncidentTracker()
        self._shown: dict[str, bool] = {}
        """Whether the traffic of a GPU could be shown at the last reading, by UUID."""
        self._news = False
        """Something has come that rules look at and that comes seldom."""
        self._folded = 0
        """Number of changes of the state."""
        self._moment: Memo[_Moment] = Memo()

    @property
    def inventory(self) -> Inventory | None:
        """The newest inventory, None before the first."""
        return self._inventory

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the rules say as of the last tick, worst first."""
        return self._health.findings

    def update(self, item: Item) -> None:
        """Fold one item."""
        if self._started_s is None:
            self._started_s = self._incidents.started_s = item.wall_s
        self._folded += 1
        self._news = self._news or not isinstance(item, (Tick, Reading))
        if isinstance(item, Reading):
            self._read(item)
        elif isinstance(item, Tick):
            self._tick = item
            # At ticks and not at frames, so that a replay that shows few of them finds the same.
            if self._inventory and self._gpus and (self._news or self._health.due(item.mono_s)):
                self._news = False
                self._judge(self._inventory)
        elif isinstance(item, Inventory):
            self._take(item)
        elif isinstance(item, LogLine):
            self._incidents.take_line(item)
        elif isinstance(item, Listening):
            self._listening = item
        else:
            self._events.append(item)
            self._incidents.take_event(item)

    def rebase(self) -> None:
        """Count errors from now on; the devices' own counters are left alone."""
        for track in self._gpus.values():
            track.rebase()
        self._nics.rebase()
        self._folded += 1
        self._news = True

    def _read(self, reading: Reading) -> None:
        if reading.gpu is None:
            if isinstance(reading.data, Host):
                self._host = reading.data
            elif isinstance(reading.data, Cost):
                self._cost = reading.data
            elif isinstance(reading.data, Processes):
                self._processes = reading.data
            elif isinstance(reading.data, NicPorts):
                self._nics.update(reading, reading.data)
            elif isinstance(reading.data, CounterRefresh):
                self._learn(RefreshPeriod.measured(reading.data))
            return
        self._news = self._news or isinstance(reading.data, SELDOM)
        track = self._gpus.get(reading.gpu)
        if track and self._first_s is None and reading.group == "links":
            self._first_s = reading.end_s
        if track and track.update(reading, self._interval_of(track.gpu)):
            self._follow(track)
        elif track and isinstance(reading.data, ComputeActivity):
            self._activities.add_compute(reading.gpu, reading.start_s, reading.end_s, reading.data)

    def _learn(self, period: RefreshPeriod) -> None:
        """Take the period at which the driver refreshes its counters."""
        self._period = period
        for track in self._gpus.values():
            if track.learn(period):
                self._follow(track)

    def _follow(self, track: GpuTrack) -> None:
        """Pass on what a GPU has moved."""
        self._sequence += 1
        uuid, interval_s = track.gpu.uuid, self._interval_of(track.gpu)
        for moved in track.moved:
            self._activities.add(uuid, moved, interval_s)
        if track.moved:
            shown = not isnan(track.moved[-1].tx_bytes_per_s)
            if shown is not self._shown.get(uuid):
                # Rates that come or go are news to the rule that says what can be read.
                self._shown[uuid] = shown
                self._news = True
            track.moved.clear()

    def _interval_of(self, gpu: Gpu) -> float:
        """Return how often the link counters of a GPU are read, in seconds."""
        return self._cost.effective_interval_s(self._tick.interval_s, gpu.index)

    def _take(self, inventory: Inventory) -> None:
        if self._inventory:
            inventory = _recognise(inventory, self._inventory)
        self._inventory = inventory
        self._incidents.take_inventory(inventory)
        self._around = matrix.Around.of(inventory)
        self._nics.take(inventory.nics)
        self._pairs = {(p.a, p.b): p for p in inventory.pairs}
        if len(self._gpus) > 2 * MAX_GPUS:
            listed = {gpu.uuid for gpu in inventory.gpus}
            self._gpus = {uuid: track for uuid, track in self._gpus.items() if uuid in listed}
        for gpu in inventory.gpus:
            track = self._gpus.get(gpu.uuid)
            if track:
                track.relist(gpu)
            else:
                self._gpus[gpu.uuid] = GpuTrack(gpu, self._period)

    def _matrix(self, gpus: tuple[GpuFrame, ...]) -> Matrix:
        """Return the matrix; what joins the pairs is worked out again only when a link has changed."""
        states = tuple([track.link_states for track in self._gpus.values()])
        topology = self._topology.get(
            (self._inventory, states), lambda: matrix.topology(gpus, self._pairs, self._around)
        )
        return matrix.with_traffic(topology, gpus)

    def _judge(self, inventory: Inventory) -> None:
        now = self._now(inventory)
        self._incidents.observe(now.gpus, self._tick.wall_s)
        interval_s = self._cost.effective_interval_s(self._tick.interval_s)
        self._activities.evaluate(now.gpus, now.jobs, now.matrix, self._tick.mono_s, interval_s, now.nics)
        for activity in self._activities.activities:
            for uuid in activity.gpus:
                self._gpus[uuid].follow_step(_step_s(activity))
        self._health.evaluate(
            RuleInput(
                inventory=inventory,
                gpus=now.gpus,
                jobs=now.jobs,
                activity=self._activities.activities,
                incidents=self._incidents.incidents,
                judgements=self._activities.judgements,
                imbalances=self._activities.imbalances,
                tick=self._tick,
                cost=self._cost,
                events=self._events,
                listening=self._listening,
                pairs=self._pairs,
                history=self._health.history,
                nics=now.nics,
            )
        )

    def _ports(self, joined: Matrix) -> tuple[NicFrame, ...]:
        """Return the ports of the NICs as of the last tick."""
        n = len(joined.p2p_nvlink)
        names = [nic.device for nic, _ in self._around.nics]
        return self._nics.at(self._tick.mono_s, dict(zip(names, joined.labels[n:], strict=False)))

    def _now(self, inventory: Inventory) -> _Moment:
        """Return what there is as of the last tick."""
        return self._moment.get((self._folded,), lambda: self._compute_moment(inventory))

    def _compute_moment(self, inventory: Inventory) -> _Moment:
        now_s = self._tick.mono_s
        gpus = tuple(
            self._gpus[gpu.uuid].frame(now_s, max_gap_s(self._interval_of(gpu))) for gpu in inventory.gpus
        )
        joined = self._matrix(gpus) if gpus else Matrix()
        running = self._jobs.at(self._processes, gpus, joined, self._activities.rank_grouping.job_of)
        return _Moment(gpus, joined, self._ports(joined), running)

    def _answer(self, inventory: Inventory, now: _Moment) -> Verdict:
        """Return the verdict, from the same analysis as the findings."""
        watched_s = 0.0 if self._first_s is None else max(0.0, self._tick.mono_s - self._first_s)
        return node_verdict(
            inventory,
            now.gpus,
            self._tick,
            self._activities.judgements,
            self._health.findings,
            now.jobs,
            watched_s,
        )

    def frame(self) -> Frame:
        """Return the node as of the last `Tick`."""
        tick = self._tick
        inventory = self._inventory or Inventory(tick.mono_s, tick.wall_s)
        now = self._now(inventory)
        return Frame(
            inventory=inventory,
            tick=tick,
            started_s=tick.wall_s if self._started_s is None else self._started_s,
            gpus=now.gpus,
            matrix=now.matrix,
            nics=now.nics,
            host=self._host,
            cost=self._cost,
            verdict=self._answer(inventory, now),
            findings=self._health.findings,
            past_findings=tuple(self._health.past),
            checks=self._health.checks,
            events=tuple(self._events),
            processes=self._processes,
            jobs=now.jobs,
            activity=self._activities.activities,
            judgements=self._activities.judgements,
            at_limit_s=tuple(self._activities.at_limit_s.items()),
            sequence=self._sequence,
            pending=self._health.pending,
            incidents=self._incidents.incidents,
            log_access=self._incidents.access,
            fabric_log=self._incidents.fabric,
        )


def _step_s(activity: Activity) -> float | None:
    """Return the step of a job that goes on, seconds; None if it is not known."""
    step = activity.step
    if isinstance(step, Missing) or step.silent_s > 2 * step.period_s:
        return None
    return step.period_s


def _recognise(fresh: Inventory, before: Inventory) -> Inventory:
    """Give GPUs that no longer open the name and UUID they had; keep those that are no longer listed.

    Without a driver all keep their rows: what they were, and what they did, is still to be seen.
    After a loss the indices of the others may have moved, so an index is believed only if no other
    GPU has taken what it had before; one unknown GPU and one that is missed are the same.
    """
    if fresh.problem:
        silent = tuple(replace(gpu, problem=fresh.problem.summary) for gpu in before.gpus)
        return replace(fresh, gpus=silent, pairs=before.pairs)
    present = {gpu.uuid for gpu in fresh.gpus}
    missed = {gpu.index: gpu for gpu in before.gpus if gpu.uuid not in present}
    was: dict[int, Gpu] = {}
    for gpu in fresh.gpus:
        if gpu.problem and gpu.index in missed:
            was[gpu.index] = missed.pop(gpu.index)
    unknown = [gpu.index for gpu in fresh.gpus if gpu.problem and gpu.index not in was]
    if len(unknown) == 1 and len(missed) == 1:
        was[unknown[0]] = missed.popitem()[1]
        unknown = []
    gpus = [
        replace(was[g.index], index=g.index, problem=g.problem) if g.index in was else g for g in fresh.gpus
    ]
    if not unknown:
        # What is no longer counted keeps its row: that it is gone is the news.
        gpus += [replace(gpu, problem=NOT_LISTED.reason) for gpu in missed.values()]
    return replace(fresh, gpus=tuple(gpus[:MAX_GPUS]))
