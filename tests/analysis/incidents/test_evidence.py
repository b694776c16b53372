"""Evidence beside events: error counters and the fabric state join the incident of their GPU and link."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.analysis.monitor import Monitor
from nvltop.model import (
    Counter,
    Event,
    Fabric,
    Gpu,
    Inventory,
    LinkCounters,
    LinkErrors,
    LinkState,
    LinkStates,
    LogLine,
    Reading,
    Remote,
    Scope,
    Tick,
)
from nvltop.report import incidents
from nvltop.report.json import to_json

START_S, NOW = 1_000_000.0, 100.0
LINKS = 4
GPUS = tuple(
    Gpu(
        i,
        f"GPU-{i}0000000-0000-4000-8000-000000000000",
        pci_bus_id=f"00000000:{bus}:00.0",
        remotes=(Remote(),) * LINKS,
    )
    for i, bus in enumerate(("1B", "43", "52"))
)
STATES = LinkStates((LinkState.UP,) * LINKS, (50e9,) * LINKS)
TRAFFIC = LinkCounters(Counter.DATA, Scope.LINK, (0,) * LINKS, (0,) * LINKS)
HEALTHY = Fabric(state="completed", status="success", health_summary="healthy")


def reading(gpu, at_s, data):
    return Reading(GPUS[gpu].uuid, NOW + at_s, NOW + at_s, START_S + at_s, data)


def errors(gpu, at_s, replays=(0,) * LINKS, **kinds):
    return reading(gpu, at_s, LinkErrors({"replay": replays, **kinds}))


def tick(at_s):
    return Tick(NOW + at_s, START_S + at_s, 1.0)


def xid(gpu, at_s, code):
    return Event(NOW + at_s, START_S + at_s, GPUS[gpu].uuid, "xid", code)


def legacy(gpu, link, at_s):
    bus = GPUS[gpu].pci_bus_id[4:].lower()
    text = f"NVRM: Xid (PCI:{bus}): 74, NVLink: fatal error detected on link {link}(0x200000, 0x0, 0x0, 0x0)"
    return LogLine(NOW + at_s, START_S + at_s, "kernel", text, START_S + at_s)


def start():
    yield Inventory(NOW, START_S, gpus=GPUS)
    for gpu in range(len(GPUS)):
        yield reading(gpu, 0, STATES)
        yield reading(gpu, 0, TRAFFIC)
        yield errors(gpu, 0)
        yield reading(gpu, 0, HEALTHY)
    yield tick(0)


def frame(*items):
    monitor = Monitor()
    for item in (*start(), *items):
        monitor.update(item)
    return monitor.frame()


def evidence(seen):
    return [e for i in seen.incidents for e in i.events if e.source in ("counter", "fabric")]


def test_counters_that_jump_just_before_an_xid_join_its_incident():
    seen = frame(errors(1, 10, (0, 0, 12, 0)), tick(10), legacy(1, 2, 13), tick(14))
    (incident,) = incidents.shown(seen)
    jump, fault = incident.events
    assert (jump.source, jump.fault.link, jump.wall_s) == ("counter", 2, START_S + 10)
    assert fault.fault.code == 74
    assert incident.began_s == START_S + 13
    assert (
        "Link 2 of GPU 1 (0000:43:00.0), 3 s before the first message: error counters increased: 12 replays."
    )
    assert "3 s before the first message: error counters increased: 12 replays." in incident.summary
    listed = to_json(seen)["incidents"][0]["events"]
    assert [(e["source"], e["kind"], e["code"], e["link"]) for e in listed] == [
        ("counter", "counter", None, 2),
        ("kernel", "xid", 74, 2),
    ]
    # Evidence is not a message: besides findings, the list of events has the Xid only.
    assert [e["code"] for e in to_json(seen)["events"] if e["kind"] != "finding"] == [74]


@pytest.mark.parametrize(
    ("at_s", "replays", "joins"),
    [
        (10, (0, 0, 0, 12), False),  # another link
        (-100, (0, 0, 12, 0), False),  # too early
        (24, (0, 0, 12, 0), True),  # read after the fault
    ],
)
def test_evidence_joins_by_link_and_time(at_s, replays, joins):
    jump = (errors(1, max(at_s, 5), replays), tick(max(at_s, 5)))
    shift_s = 115 if at_s < 0 else 20
    fault = (legacy(1, 2, shift_s), tick(shift_s))
    seen = frame(*jump, *fault) if at_s < shift_s else frame(*fault, *jump)
    assert bool(evidence(seen)) is joins


def test_only_one_link_with_errors_is_a_possible_origin_of_a_fault_that_all_report():
    faults = [legacy(gpu, gpu, 20 + gpu / 100) for gpu in range(3)]
    assert frame(*faults, tick(21)).incidents[0].origin.sure == "unknown"
    (incident,) = frame(errors(1, 15, (0, 7, 0, 0)), tick(15), *faults, tick(21)).incidents
    assert (incident.origin.pci_bus_id, incident.origin.link) == (GPUS[1].pci_bus_id, 1)
    assert incident.origin.sure == "possible"
    assert "error counters increased only on this link" in incident.summary
    both = (errors(1, 15, (0, 7, 0, 0)), errors(2, 15, (0, 0, 7, 0)), tick(15))
    assert frame(*both, *faults, tick(21)).incidents[0].origin.sure == "unknown"


def test_counters_alone_make_no_incident_and_a_steady_trickle_is_one_event():
    items = [item for i in range(1, 40) for item in (errors(0, i, (i, 0, 0, 0)), tick(i))]
    assert frame(*items).incidents == ()
    joined = evidence(frame(*items, legacy(0, 0, 40), tick(41)))
    assert [e.fault.text for e in joined] == ["error counters increased: 1 replay"]
    burst = evidence(frame(*items, errors(0, 41, (90, 0, 0, 0)), tick(41), legacy(0, 0, 42), tick(43)))
    assert [e.fault.text for e in burst][-1] == "error counters increased: 51 replays"


def test_counters_without_a_threshold_are_not_evidence():
    informative = errors(1, 10, xmit_discards=(0, 0, 900, 0))
    assert not evidence(
        frame(
            errors(1, 1, xmit_discards=(0, 0, 0, 0)),
            tick(1),
            informative,
            tick(10),
            legacy(1, 2, 13),
            tick(14),
        )
    )


def test_a_change_of_the_fabric_joins_by_gpu():
    sick = replace(HEALTHY, state="in-progress", health_summary="unhealthy")
    seen = frame(reading(1, 12, sick), tick(12), xid(1, 13, 149), tick(14))
    (incident,) = incidents.shown(seen)
    assert [e.fault.text for e in incident.events if e.source == "fabric"] == [
        "fabric state changed from completed to in-progress",
        "fabric health changed from healthy to unhealthy",
    ]
    assert "fabric state changed from completed to in-progress, and 1 more" in incident.summary
    assert incident.origin.pci_bus_id == GPUS[1].pci_bus_id
    assert not evidence(frame(reading(0, 12, sick), tick(12), xid(1, 13, 149), tick(14)))
