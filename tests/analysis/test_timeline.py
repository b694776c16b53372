"""The timeline: every change once, with its end, in order, bounded, and the same for all outputs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.incidents.ends import normal
from nvltop.analysis.timeline.build import timeline
from nvltop.analysis.timeline.states import MAX_CHANGES, REPEAT_S, StateChanges
from nvltop.model import (
    Event,
    Finding,
    Gpu,
    GpuFrame,
    Incident,
    Link,
    LinkState,
    LinkStates,
    LogEvent,
    LogFault,
    Maybe,
    Missing,
    Nic,
    NicFrame,
    NicPort,
    Origin,
    Severity,
    finding_key,
)
from nvltop.model.timeline import TimelineEvent
from nvltop.report.json import to_json
from nvltop.report.timeline import away, brief, event_place, ranges

UP, DOWN, SLEEP, UNKNOWN = LinkState.UP, LinkState.DOWN, LinkState.SLEEP, LinkState.UNKNOWN
UUID = "GPU-1"


def gpu_frame(states, **fields) -> GpuFrame:
    links = tuple(Link(i, s, "refused" if s is UNKNOWN else "") for i, s in enumerate(states))
    return GpuFrame(Gpu(0, UUID), links=links, **fields)


def lasted_s(event) -> float:
    """Return the length of an event that has ended."""
    return event.ended_s - event.began_s


def observed(*frames, every_s: float = 1.0) -> StateChanges:
    changes = StateChanges()
    for i, frame in enumerate(frames):
        changes.observe([frame], [], i * every_s, 1000.0 + i * every_s)
    return changes


@given(
    sequence=st.lists(st.tuples(*[st.sampled_from([UP, DOWN, SLEEP, UNKNOWN])] * 2), min_size=1, max_size=40),
    every_s=st.sampled_from([1.0, 2 * REPEAT_S]),
)
def test_each_time_a_link_goes_down_is_counted_once(sequence, every_s):
    changes = observed(*map(gpu_frame, sequence), every_s=every_s).changes
    start = next((i for i, states in enumerate(sequence) if UNKNOWN not in states), len(sequence))
    for link in (0, 1):
        states = [states[link] for states in sequence[start:]]
        read = [s for s in states if s is not UNKNOWN]
        falls = sum(a is not DOWN and b is DOWN for a, b in pairwise(read))
        mine = [e for e in changes if e.links == (link,)]
        assert sum(e.count for e in mine) == falls
        assert all(e.ended_s is None or e.ended_s >= e.newest_s >= e.began_s for e in mine)
        assert sum(e.lasts for e in mine) == (bool(mine) and read[-1] is DOWN)
    assert [e.began_s for e in changes] == sorted(e.began_s for e in changes)


def test_the_list_is_bounded():
    frames = [gpu_frame([UP if i % 2 else DOWN] * 2) for i in range(4 * MAX_CHANGES)]
    assert len(observed(*frames, every_s=2 * REPEAT_S).changes) == MAX_CHANGES


def test_a_gpu_that_is_lost_and_a_reset():
    ok, lost = gpu_frame([UP], uptime_s=100.0), gpu_frame([UP], state="lost", state_reason="GPU is lost")
    found = observed(ok, lost, lost, gpu_frame([UP], uptime_s=1.0)).changes
    assert [(e.kind, e.before, e.after, e.lasts) for e in found] == [
        ("gpu-state", "ok", "ok", False),
        ("reset", "", "", False),
    ]
    assert (lasted_s(found[0]), found[0].severity) == (2.0, Severity.CRITICAL)


def test_a_port_of_a_nic():
    changes = StateChanges()
    states: tuple[Maybe[str], ...] = ("active", Missing("not read"), "down", "gone", "active")
    for i, state in enumerate(states):
        changes.observe([], [NicFrame(Nic("mlx5_0", True), NicPort("mlx5_0", 1, state=state))], i, 1000.0 + i)
    [e] = changes.changes
    assert (e.nic, e.port, e.before, e.after, lasted_s(e)) == ("mlx5_0", 1, "active", "active", 2.0)


def flapping(b, seconds: float):
    """Have link 5 of GPU 2 down for a moment."""
    reader = b.readers[2]
    for reading in reader.read_states():
        states = list(reading.data.states)
        states[5] = DOWN
        b.monitor.update(replace(reading, data=replace(reading.data, states=tuple(states))))
    b.frame()
    b.clock.now += seconds
    return b.poll()


def test_a_flap_of_two_seconds_is_seen_by_every_output(bench):
    b = bench("dgx-h100")
    b.interval_s = 1.0
    b.run(5)
    frame = flapping(b, 2.0)
    states = [e for e in frame.timeline if e.kind == "link-state"]
    assert [(event_place(frame, e), e.summary, lasted_s(e)) for e in states] == [
        ("GPU 2 link 5", "link DOWN", 2.0)
    ]
    texts = away(frame, 0.0)
    assert texts[0].startswith("1 event since 14:")
    assert "GPU 2 link 5 DOWN 14:" in texts[-1]
    [value] = [e for e in to_json(frame)["events"] if e["kind"] == "link-state"]
    assert (value["gpu"], value["link"], value["from"], value["to"]) == (2, 5, "up", "up")
    assert (value["lasts"], value["count"], value["summary"]) == (False, 1, "link DOWN")
    frame = flapping(b, 1.0)
    [e] = [e for e in frame.timeline if e.kind == "link-state"]
    assert e.count == 2
    assert "(2 times)" in brief(frame, e)
    assert away(frame, frame.tick.wall_s) == []


@pytest.mark.parametrize(
    ("node", "scenario", "expected"),
    [
        ("dgx-h100", "link-down", ("GPU 3 link 7", "link DOWN", "link-down", Severity.CRITICAL)),
        ("dgx-h100", "gpu-lost", ("GPU 3", "GPU LOST", "gpu-lost", Severity.CRITICAL)),
    ],
)
def test_a_finding_about_a_change_is_not_a_second_event(bench, node, scenario, expected):
    b = bench(node, scenario)
    b.interval_s = 1.0
    frame = b.run(20)
    [e] = frame.timeline
    assert (event_place(frame, e), e.summary, e.rule, e.severity) == expected
    assert e.lasts
    assert e.next_step == frame.findings[0].next_step
    assert away(frame, 0.0) == [], "it is the finding that the header shows"


def test_the_other_end_follows_from_the_first(bench):
    b = bench("dgx1-v100", "link-down")
    b.interval_s = 1.0
    first, second = b.run(20).timeline
    assert (first.cause, second.cause) == ("", "GPU 3 link 5 DOWN (5 of 6 up)")


def test_links_that_change_together_are_one_event(bench):
    b = bench("dgx-h100")
    b.interval_s = 1.0
    b.run(3)
    [reading] = b.readers[1].read_states()
    assert isinstance(reading.data, LinkStates)
    down = tuple(DOWN if i < 4 else s for i, s in enumerate(reading.data.states))
    b.monitor.update(replace(reading, data=replace(reading.data, states=down)))
    frame = b.frame()
    [e] = [e for e in frame.timeline if e.kind == "link-state"]
    assert (event_place(frame, e), e.summary) == ("GPU 1 links 0-3", "links DOWN")
    assert ranges((0, 1, 2, 5, 7, 8)) == "0-2,5,7-8"


def lost_gpu(log: bool, seconds: float = 2.2) -> list:
    """Return the timeline of a GPU that is lost: NVML reports Xid 79 before it is known which GPU it is."""
    change = TimelineEvent("gpu-state", 100.5, Severity.CRITICAL, "GPU LOST", UUID, lasts=True)
    event = Event(0.0, 100.0, None, "xid", 79)
    before = Finding(
        "xid-gpu", Severity.CRITICAL, None, None, "", {"xid": 79}, began_s=100.0, ended_s=100 + seconds
    )
    lost = Finding("gpu-lost", Severity.CRITICAL, UUID, None, "", began_s=100.5, headline="GPU 0 LOST")
    own = finding_key("xid-gpu", UUID)
    now = replace(before, gpu=UUID, ended_s=None, key=own, caused_by=lost.key)
    place = normal("00000000:1B:00.0")
    fault = LogFault("xid", Severity.CRITICAL, "off the bus", code=79, pci_bus_id=place)
    lines = (LogEvent(fault, "kernel", 100.0), LogEvent(fault._replace(pci_bus_id=None), "nvml", 100.0))
    origin = Origin("certain", "", pci_bus_id=place)
    incident = Incident(Severity.CRITICAL, "It fell off the bus.", origin, "", lines)
    gpus = [Gpu(0, UUID, pci_bus_id="00000000:1B:00.0")]
    return list(timeline([change], [event], [incident] if log else [], [lost, now], [before], gpus, 0.0))


@pytest.mark.parametrize("log", [False, True])
def test_an_xid_of_a_lost_gpu_is_one_event_at_that_gpu(log):
    xid, lost = lost_gpu(log)
    assert (xid.gpu, xid.rule, xid.cause, bool(xid.log)) == (UUID, "xid-gpu", "", log)
    assert (lost.gpu, lost.rule, lost.lasts) == (UUID, "gpu-lost", True)
