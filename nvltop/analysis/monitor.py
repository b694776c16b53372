"""The monitor: a reducer from items to frames, without clock, I/O or NVML."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final, NamedTuple

from nvltop.analysis import matrix
from nvltop.analysis.activity.tracker import ActivityTracker
from nvltop.analysis.gpu import GpuTrack
from nvltop.analysis.health.engine import RuleEngine
from nvltop.analysis.health.rule import RuleInput
from nvltop.analysis.identities import MAX_GPUS, keep_identities
from nvltop.analysis.incidents.tracker import IncidentTracker, same_xid
from nvltop.analysis.jobs import JobTracker
from nvltop.analysis.nics import NicTracks
from nvltop.analysis.rates import max_gap_s
from nvltop.analysis.refresh import RefreshPeriod
from nvltop.analysis.timeline.build import timeline
from nvltop.analysis.timeline.states import StateChanges
from nvltop.analysis.uptime import initialised_again
from nvltop.analysis.verdict import node_verdict
from nvltop.memo import Memo
from nvltop.model import (
    NOT_READ,
    Activity,
    ComputeActivity,
    Cost,
    CounterRefresh,
    Culprit,
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
    LinkCounters,
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
    TimelineEvent,
    Verdict,
    known,
)

MAX_EVENTS: Final = 1000
"""Highest number of events in a frame; the oldest are dropped first."""
RARE_DATA: Final = (LinkStates, LinkErrors, LinkBer, Fabric)
"""Rarely read groups; the rules are evaluated at the next tick after each."""


class _TickState(NamedTuple):
    """State that rules and frames of one tick share."""

    gpus: tuple[GpuFrame, ...]
    matrix: Matrix
    nics: tuple[NicFrame, ...]
    jobs: tuple[Job, ...]


class Monitor:
    """Adds items to the state of the node, and returns it as frames."""

    def __init__(self) -> None:
        self._inventory: Inventory | None = None
        self._gpus: dict[str, GpuTrack] = {}
        self._period: RefreshPeriod | None = None
        """Refresh period of the driver's link counters."""
        self._pairs: dict[tuple[str, str], Pair] = {}
        self._host = Host()
        self._cost = Cost()
        self._processes: Maybe[Processes] = NOT_READ
        self._jobs = JobTracker()
        self._tick = Tick(0.0, 0.0, 1.0, "starting")
        self._started_s: float | None = None
        self._first_s: float | None = None
        """CLOCK_MONOTONIC of the first reading of link counters."""
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._listening: Listening | None = None
        self._sequence = 0
        self._topology: Memo[matrix.Topology] = Memo()
        self._pci_layout = matrix.PciLayout()
        self._nics = NicTracks()
        self._health = RuleEngine()
        self._activities = ActivityTracker()
        self._incidents = IncidentTracker()
        self._state_changes = StateChanges()
        self._timeline: Memo[tuple[TimelineEvent, ...]] = Memo()
        self._culprits: tuple[Culprit, ...] = ()
        self._have_rates: list[bool] = []
        """Whether the last reading of each GPU resulted in link rates."""
        self._rules_due = False
        """Whether the rules have to be evaluated at the next tick, because a rare item has arrived."""
        self._changes = 0
        """Number of changes of the state."""
        self._cached_state: Memo[_TickState] = Memo()

    @property
    def inventory(self) -> Inventory | None:
        """The latest inventory; None before the first."""
        return self._inventory

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings at the last tick, the worst first."""
        return self._health.findings

    def update(self, item: Item) -> None:
        """Add one item."""
        if self._started_s is None:
            self._started_s = self._incidents.started_s = item.wall_s
        self._changes += 1
        if isinstance(item, Reading):
            self._read(item)
            return
        if isinstance(item, Tick):
            self._tick = item
            # Evaluate at ticks, not at frames, so that a replay with fewer frames has the same findings.
            self._rules_due |= self._rates_changed()
            if self._inventory and self._gpus and (self._rules_due or self._health.due(item.mono_s)):
                self._rules_due = False
                self._evaluate(self._inventory)
            return
        self._rules_due = True
        if isinstance(item, Inventory):
            self._take_inventory(item)
        elif isinstance(item, LogLine):
            self._incidents.take_line(item)
        elif isinstance(item, Listening):
            self._listening = item
        else:
            self._take_event(item)

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
                self._use_period(RefreshPeriod.measured(reading.data))
            return
        data, track = reading.data, self._gpus.get(reading.gpu)
        self._rules_due = self._rules_due or isinstance(data, RARE_DATA)
        if track is None:
            return
        if isinstance(data, LinkCounters):
            if self._first_s is None:
                self._first_s = reading.end_s
            self._sequence += track.count(reading, data, self._interval_of(track.gpu))
            return
        track.update(reading)
        if isinstance(data, ComputeActivity):
            self._activities.add_compute(reading.gpu, reading.start_s, reading.end_s, data)

    def _use_period(self, period: RefreshPeriod) -> None:
        """Use the refresh period of the driver's counters."""
        self._period = period
        for track in self._gpus.values():
            self._sequence += track.learn(period)

    def _rates_changed(self) -> bool:
        """Return whether rates became known or unknown, on which the rule about unread values depends."""
        before, self._have_rates = self._have_rates, [track.has_rates for track in self._gpus.values()]
        return self._have_rates != before

    def _interval_of(self, gpu: Gpu) -> float:
        """Return the effective interval of the link counters of a GPU, seconds."""
        return self._cost.effective_interval_s(self._tick.interval_s, gpu.index)

    def _take_event(self, event: Event) -> None:
        """Add an event; the same Xid may come as an event bit and as an operational event."""
        old = next((e for e in reversed(self._events) if same_xid(e, event)), None)
        if old is None:
            self._events.append(event)
        else:
            detailed = event if event.module else old
            event = replace(detailed, mono_s=old.mono_s, wall_s=old.wall_s, gpu=old.gpu or event.gpu)
            self._events[self._events.index(old)] = event
        self._incidents.take_event(event, old)

    def _take_inventory(self, inventory: Inventory) -> None:
        if self._inventory:
            inventory = keep_identities(inventory, self._inventory)
            before_s, loaded_s = self._inventory.driver_loaded_s, inventory.driver_loaded_s
            if known(loaded_s) and initialised_again(before_s, loaded_s):
                for known_gpu in self._gpus.values():
                    known_gpu.restart(inventory.mono_s - (inventory.wall_s - loaded_s))
        self._inventory = inventory
        self._incidents.take_inventory(inventory)
        self._pci_layout = matrix.PciLayout.of(inventory)
        self._nics.update_nics(inventory.nics)
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
        """Return the matrix; the connections are computed again only when inventory or link states change."""
        states = tuple([track.link_states for track in self._gpus.values()])
        topology = self._topology.get(
            (self._inventory, states), lambda: matrix.topology(gpus, self._pairs, self._pci_layout)
        )
        return matrix.with_traffic(topology, gpus)

    def _evaluate(self, inventory: Inventory) -> None:
        now = self._tick_state(inventory)
        self._incidents.observe(now.gpus, self._tick.wall_s)
        self._culprits = self._incidents.culprits(self._events)
        for uuid, track in self._gpus.items():
            self._activities.add(uuid, track.moved, self._interval_of(track.gpu))
            track.moved.clear()
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
                culprits=self._culprits,
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

        self._state_changes.observe(now.gpus, now.nics, self._tick.mono_s, self._tick.wall_s)

    def _events_in_order(self, inventory: Inventory) -> tuple[TimelineEvent, ...]:
        """Return the timeline, which changes only with its sources."""
        incidents, found, past = self._incidents.incidents, self._health.findings, tuple(self._health.past)
        started_s = self._started_s or 0.0
        sources = self._state_changes.version, tuple(self._events), incidents, found, past, inventory
        return self._timeline.get(
            sources,
            lambda: timeline(
                self._state_changes.changes, self._events, incidents, found, past, inventory.gpus, started_s
            ),
        )

    def _ports(self, connections: Matrix) -> tuple[NicFrame, ...]:
        """Return the ports of the NICs at the last tick."""
        n = len(connections.p2p_nvlink)
        names = [nic.device for nic, _ in self._pci_layout.nics]
        return self._nics.at(self._tick.mono_s, dict(zip(names, connections.labels[n:], strict=False)))

    def _tick_state(self, inventory: Inventory) -> _TickState:
        """Return the state at the last tick."""
        return self._cached_state.get((self._changes,), lambda: self._compute_tick_state(inventory))

    def _compute_tick_state(self, inventory: Inventory) -> _TickState:
        gpus = tuple(
            self._gpus[gpu.uuid].frame(self._tick, inventory, max_gap_s(self._interval_of(gpu)))
            for gpu in inventory.gpus
        )
        connections = self._matrix(gpus) if gpus else Matrix()
        jobs = self._jobs.at(self._processes, gpus, connections, self._activities.rank_grouping.job_of)
        return _TickState(gpus, connections, self._ports(connections), jobs)

    def _verdict(self, inventory: Inventory, now: _TickState) -> Verdict:
        """Return the verdict, based on the same analysis as the findings."""
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
        """Return the node at the last `Tick`."""
        tick = self._tick
        inventory = self._inventory or Inventory(tick.mono_s, tick.wall_s)
        now = self._tick_state(inventory)
        return Frame(
            inventory=inventory,
            tick=tick,
            started_s=tick.wall_s if self._started_s is None else self._started_s,
            gpus=now.gpus,
            matrix=now.matrix,
            nics=now.nics,
            host=self._host,
            cost=self._cost,
            verdict=self._verdict(inventory, now),
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
            culprits=self._culprits,
            timeline=self._events_in_order(inventory),
            log_access=self._incidents.access,
            fabric_log=self._incidents.fabric,
        )


def _step_s(activity: Activity) -> float | None:
    """Return the step period of a job in seconds; None if it is unknown or the job has stopped."""
    step = activity.step
    if isinstance(step, Missing) or step.silent_s > 2 * step.period_s:
        return None
    return step.period_s
