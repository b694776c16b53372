"""Incidents in reports: one entry a fault, from NVML and the kernel log together, live and replayed alike."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from nvltop.analysis.monitor import Monitor
from nvltop.export.node import families
from nvltop.model import (
    LOG_ACCESS,
    Event,
    Fabric,
    Finding,
    Gpu,
    Inventory,
    LogEvent,
    LogFault,
    LogLine,
    Reading,
    Remote,
    Severity,
    Tick,
)
from nvltop.record.redact import Redactor
from nvltop.report import incidents
from nvltop.report.activity import _limits
from nvltop.report.check import to_check
from nvltop.report.findings import evidence
from nvltop.report.incidents import event_line
from nvltop.report.json import to_json
from nvltop.tui.tabs.health import rows
from nvltop.wire.line_codec import LineDecoder, LineEncoder

START_S, NOW = 1_000_000.0, 100.0
GPUS = tuple(
    Gpu(i, f"GPU-{i}0000000-0000-4000-8000-000000000000", pci_bus_id=f"00000000:{bus}:00.0")
    for i, bus in enumerate(("1B", "43"))
)
DOWN = (
    "NVRM: Xid (PCI:0000:1b:00): 149, NETIR_LINK_EVT Fatal XC0 i0 Link 09 (0x004525c6 0x00000000 0x00000000"
    " 0x00000000 0x00000000 0x00000000)"
)
ECHO = (
    "NVRM: Xid (PCI:0000:43:00): 145, RLW_SRC_TRACK Nonfatal XC1 i0 Link 03 (0x040868e2 0x00000008 0x00000000"
    " 0x00000000 0x00000000 0x00000000)"
)


def line(text, after_s, source="kernel", **fields):
    at_s = START_S + after_s
    return LogLine(NOW + max(0.0, after_s), START_S + max(0.0, after_s), source, text, at_s, **fields)


def items(*lines):
    return [
        Inventory(NOW, START_S, gpus=GPUS),
        *lines,
        Event(NOW + 5, START_S + 5, GPUS[0].uuid, "xid", 149),
        Event(NOW + 5.1, START_S + 5.1, GPUS[1].uuid, "xid", 145),
        Tick(NOW + 6, START_S + 6, 1.0),
    ]


def frame(given):
    monitor = Monitor()
    for item in given:
        monitor.update(item)
    return monitor.frame()


def test_nvml_and_the_log_are_one_event():
    seen = frame(items(line(DOWN, 5), line(ECHO, 5.1)))
    first, second = to_json(seen)["events"]
    assert (first["gpu"], first["code"], first["link"], first["unit"]) == (0, 149, 9, "NETIR_LINK_EVT")
    assert (first["source"], first["fatal"], first["before_start_s"]) == ("kernel", True, None)
    assert (second["gpu"], second["source"]) == (1, "kernel")
    (incident,) = incidents.shown(seen)
    assert len(incident.events) == 2
    assert incidents.place(seen, incident) == "GPU 0 link 9"
    assert next(f for f in seen.findings if f.gpu == GPUS[0].uuid).confidence == "likely"


def test_without_a_log_the_code_alone_makes_a_possible_source():
    seen = frame(items())
    assert [e["source"] for e in to_json(seen)["events"]] == ["nvml", "nvml"]
    assert seen.incidents[0].origin.sure == "possible"


def test_the_log_can_blame_the_other_end():
    seen = frame(items(line(DOWN.replace("0x004525c6", "0x021525c6"), 5), line(ECHO, 5.1)))
    assert seen.incidents[0].origin.blames == "remote-end"
    blamed = next(f for f in seen.findings if f.gpu == GPUS[0].uuid)
    assert "other end of the link" in blamed.summary
    assert "source" not in blamed.summary


def test_what_was_before_the_start_is_listed_and_alarms_nobody():
    monitor = [
        Inventory(NOW, START_S, gpus=GPUS),
        line(DOWN, -3600.0),
        line(ECHO, -90_000.0, boot_s=500_000.0),
    ]
    seen = frame([*monitor, Tick(NOW + 6, START_S + 6, 1.0)])
    assert not incidents.shown(seen)
    assert [e["before_start_s"] for e in to_json(seen)["events"]] == [90_000.0, 3600.0]
    assert not any(f.rule.startswith("xid") for f in seen.findings)
    earlier = [e for e in rows.entries(seen) if e.state == "earlier"]
    assert [("earlier boot" in e.what) for e in earlier] == [False, True]
    text, code = to_check(seen, 6.0)
    assert "Xid 149.4 of GPU 0 link 9" in text
    assert code == to_check(frame([monitor[0], Tick(NOW + 6, START_S + 6, 1.0)]), 6.0)[1]


def test_the_health_tab_shows_the_incident_first():
    seen = frame(items(line(DOWN, 5), line(ECHO, 5.1)))
    first, below = rows.entries(seen)[:2]
    assert (first.state, first.where) == ("incident", "GPU 0 link 9")
    assert "Xid 149.4 of GPU 0 link 9 (kernel)" in below.what


def test_each_fault_is_shown_once_with_one_next_step():
    seen = frame(items(line(DOWN, 5), line(ECHO, 5.1)))
    assert incidents.other_events(seen) == []
    assert not any(e.state == "event" for e in rows.entries(seen))
    assert [f.rule for f in seen.findings] == ["xid-nvlink", "xid-nvlink"]
    assert seen.findings[0].next_step == incidents.shown(seen)[0].next_step


def test_the_lines_of_an_incident_lead_to_their_links():
    remotes = (Remote(),) * 12
    node = Inventory(NOW, START_S, gpus=tuple(replace(gpu, remotes=remotes) for gpu in GPUS))
    seen = frame([node, line(DOWN, 5), line(ECHO, 5.1), items()[-1]])
    found = [(e.gpu, e.link) for e in rows.entries(seen)][:3]
    assert found == [(GPUS[0].uuid, 9), (GPUS[0].uuid, 9), (GPUS[1].uuid, 3)]


def test_a_log_that_may_not_be_read_is_shown_with_what_gives_access():
    access = LogLine(NOW, START_S, LOG_ACCESS, "kernel log not readable: add this user to the group adm")
    seen = frame([Inventory(NOW, START_S, gpus=GPUS), access, Tick(NOW + 6, START_S + 6, 1.0)])
    assert to_json(seen)["kernel_log"] == {"readable": False, "next_step": access.text}
    assert any(e.where == "kernel log" for e in rows.entries(seen))


@pytest.mark.parametrize("redact", [None, Redactor({})])
def test_a_recording_gives_the_same_incident(redact):
    given = items(
        line(DOWN, 5),
        line(ECHO, 5.1),
        line("detected NVSwitch fatal error 20034", 5.2, "imex", level="ERROR"),
    )
    encoder, decoder, again = LineEncoder(), LineDecoder(), []
    for item in given:
        for value in encoder.lines(redact(item) if redact else item):
            text = json.dumps(value)
            if (decoded := decoder.item(json.loads(text), len(text))) is not None:
                again.append(decoded)
    live, replayed = frame(given), frame(again)
    assert len(live.incidents) == len(replayed.incidents) == 1
    assert live.incidents[0].summary == replayed.incidents[0].summary
    assert len(live.incidents[0].events) == len(replayed.incidents[0].events) == 3


def test_multicast_groups_show_that_nvls_is_in_use():
    given = [
        line(
            "Team setup request: Allocation Size:6 Flags:0 Number of GPUs:8 GPU",
            1,
            "fabric-manager",
            level="INFO",
        ),
        line("multicast group 0 is allocated.", 1, "fabric-manager", level="INFO"),
    ]
    seen = frame(items(*given))
    assert (seen.fabric_log.groups, seen.fabric_log.group_gpus) == (frozenset({0}), 8)
    assert any("NVLS" in text for text in incidents.to_lines(seen))
    facts = to_json(seen)["fabric_manager"]
    assert (facts["multicast_groups"], facts["multicast_gpus"], facts["last_error"]) == (1, 8, None)
    nothing = to_json(frame(items()))["fabric_manager"]
    assert {key for key, value in nothing.items() if value is None} == nothing["missing"].keys()


SWITCH = "nvidia-nvswitch0: SXid (PCI:0000:87:00.0): 22003, Fatal, Link 00 MINION HALT"


def test_a_fault_that_only_the_log_shows_is_a_finding():
    start = Inventory(NOW, START_S, gpus=GPUS)
    seen = frame([start, line(SWITCH, 5), Tick(NOW + 6, START_S + 6, 1.0)])
    (found,) = [f for f in seen.findings if f.rule == "log-fault"]
    assert (found.severity, found.headline) == ("critical", "SXid 22003 on NVSwitch")
    before = frame([start, line(SWITCH, -5), Tick(NOW + 6, START_S + 6, 1.0)])
    harmless = frame([start, line(SWITCH.replace("Fatal", "Non-fatal"), 5), Tick(NOW + 6, START_S + 6, 1.0)])
    late = frame([start, line(SWITCH, 5), Tick(NOW + 9000, START_S + 9000, 1.0)])
    for other in (before, harmless, late):
        assert not any(f.rule == "log-fault" for f in other.findings)


def test_metrics_have_the_newest_xid_with_its_link():
    exported = families(frame(items(line(DOWN, 5))), 0.0)
    by_name = {f.metric.name: f for f in exported}
    samples = {labels["gpu"]: (labels.get("link"), value) for labels, value in by_name["last_xid"].samples}
    assert samples == {"0": ("9", 149.0), "1": (None, 145.0)}
    assert by_name["last_xid_timestamp_seconds"].samples[0][1] == START_S + 5


def test_a_fabric_in_progress_has_its_last_error_line():
    fabric = Fabric(state="in-progress", status="success")
    gpu = GPUS[0].uuid
    given = [
        Inventory(NOW, START_S, gpus=GPUS, driver_loaded_s=START_S - 100),
        Reading(gpu, NOW, NOW, START_S, fabric),
        line("Fabric Manager version is : 550.90.07", -40, "fabric-manager", level="INFO"),
        line("failed to configure the NVSwitches", -30, "fabric-manager", level="ERROR"),
        Tick(NOW + 1, START_S + 1, 1.0),
    ]
    facts = to_json(frame(given))["fabric_manager"]
    assert (facts["version"], facts["start_after_driver_s"]) == ("550.90.07", 60.0)
    assert facts["last_error"] == "failed to configure the NVSwitches"
    lines = list(incidents.to_lines(frame(given)))
    assert "the fabric manager started 60s after the driver was loaded" in lines
    assert "last error of the fabric manager: failed to configure the NVSwitches" in lines


def test_an_event_without_a_device_has_no_place(bench):
    fault = LogFault("xid", Severity.CRITICAL, "", code=79, meaning="fell off the bus")
    assert (
        event_line(bench("dgx-h100").run(1.0), LogEvent(fault, "nvml")) == "Xid 79 (nvml): fell off the bus"
    )


def test_evidence_has_units():
    found = {"power_w": [144.883, 70.0], "temperature_c": 88.0, "xid": 79, "gpus": [0, 1]}
    shown = evidence(Finding("xid-gpu", Severity.CRITICAL, None, None, "", found))
    assert shown == "power 145, 70 W · temperature 88 C · xid 79 · gpus 0, 1"
    shown = evidence(
        Finding("link-down", Severity.CRITICAL, None, None, "", {"links": [5], "links_up_before": 6})
    )
    assert shown == "link 5 · links up before 6"


def test_two_limits_of_a_job_do_not_contradict_each_other():
    activity: Any = SimpleNamespace(limits=(SimpleNamespace(kind="nic"), SimpleNamespace(kind="heat")))
    assert _limits(activity, None) == ["the network limits it", "slowed by heat"]
    limited: Any = SimpleNamespace(state="limits")
    assert _limits(activity, limited) == ["the network limits it as well", "slowed by heat"]
