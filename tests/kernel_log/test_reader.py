"""Framing of log lines, and events made of several lines."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from nvltop.kernel_log.reader import LogReader
from nvltop.kernel_log.records import frame

NOW_S = datetime(2026, 5, 20, tzinfo=timezone.utc).timestamp()
XID = "NVRM: Xid (PCI:0000:3b:00): 48, pid=9, name=python3, DBE"
AT_S = datetime(2026, 5, 18, 10, 11, 12, tzinfo=timezone.utc).timestamp()


def events(text, newest_s=NOW_S):
    reader = LogReader(newest_s)
    found = [event for line in text.splitlines() for event in reader.feed(line)]
    return found + list(reader.close())


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("prefix", "wall_s", "uptime_s"),
    [
        ("[171167.620236] ", None, 171167.620236),
        ("[    4.000001] ", None, 4.000001),
        ("[  123.456789][ T1234] ", None, 123.456789),
        ("<3>[  123.456789] ", None, 123.456789),
        ("kern  :err   : [  123.5] ", None, 123.5),
        ("kern  :err   : 2026-05-18T10:11:12,000000+00:00 ", AT_S, None),
        ("[Mon May 18 10:11:12 2026] ", AT_S, None),
        ("[May18 10:11] ", AT_S - 12, None),
        ("3,1234,56789012,-;", None, 56.789012),
        ("May 18 10:11:12 host kernel: ", AT_S, None),
        ("May 18 10:11:12 host kernel: [  966.503025] ", AT_S, 966.503025),
        ("May 18 10:11:12.250000 host kernel: ", AT_S + 0.25, None),
        ("2026-05-18T12:11:12.500000+02:00 host kernel: ", AT_S + 0.5, None),
        ("2026-05-18T10:11:12+0000 host kernel: ", AT_S, None),
        ("Mon 2026-05-18 10:11:12 UTC host kernel: ", AT_S, None),
        (f"{AT_S:.6f} host kernel: ", AT_S, None),
        ("[  123.456789] host kernel: ", None, 123.456789),
        ("node17: [  123.456789] ", None, 123.456789),
        ("kernel: ", None, None),
        ("", None, None),
        ("/var/log/kern.log:May 18 10:11:12 host kernel: ", AT_S, None),
        ("2026-05-18 10:11:12,500 INFO collector dmesg ", AT_S + 0.5, None),
    ],
)
def test_every_frame(prefix, wall_s, uptime_s):
    (event,) = events(prefix + XID)
    assert event.fault.code == 48
    assert event.fault.process == "python3"
    assert event.wall_s == (None if wall_s is None else pytest.approx(wall_s))
    assert event.uptime_s == (None if uptime_s is None else pytest.approx(uptime_s))


@pytest.mark.parametrize(
    "line",
    [
        f"12,1234,56789012,-;{XID}",
        f"<11>[  123.456789] {XID}",
        f"user  :err   : [  123.456789] {XID}",
        f"May 18 10:11:12 host python3[12]: {XID}",
        f"May 18 10:11:12 host NVRM: {XID}",
        json.dumps({"MESSAGE": XID, "_TRANSPORT": "syslog", "SYSLOG_IDENTIFIER": "kernel"}),
        json.dumps({"MESSAGE": XID, "_TRANSPORT": "kernel", "SYSLOG_FACILITY": "1"}),
        json.dumps({"MESSAGE": XID, "_TRANSPORT": "stdout", "SYSLOG_IDENTIFIER": "kernel"}),
    ],
)
def test_what_a_program_wrote_is_not_believed(line):
    assert events(line) == []


def test_a_journal_entry_has_its_boot():
    entry: dict[str, object] = {
        "MESSAGE": XID,
        "_TRANSPORT": "kernel",
        "SYSLOG_FACILITY": "0",
        "__REALTIME_TIMESTAMP": str(int(AT_S * 1e6)),
        "_SOURCE_MONOTONIC_TIMESTAMP": "5000000",
        "_BOOT_ID": "ab" * 16,
    }
    (event,) = events(json.dumps(entry))
    assert (event.wall_s, event.uptime_s, event.boot) == (AT_S, 5.0, "ab" * 16)
    entry["MESSAGE"] = list(XID.encode())
    assert events(json.dumps(entry))[0].fault.code == 48


def test_stamps_without_a_year_are_never_in_the_future():
    assert frame(f"Dec 31 23:59:59 host kernel: {XID}", NOW_S).wall_s == pytest.approx(
        datetime(2025, 12, 31, 23, 59, 59, tzinfo=timezone.utc).timestamp()
    )
    assert frame(f"Feb 29 00:00:00 host kernel: {XID}", NOW_S).wall_s == pytest.approx(
        datetime(2024, 2, 29, tzinfo=timezone.utc).timestamp()
    )


def test_three_lines_of_a_switch_are_one_event():
    head = "nvidia-nvswitch1: SXid (PCI:0000:84:00.0): 20034, "
    lines = [
        "Fatal, Link 30 LTSSM Fault Up",
        "Severity 1 Engine instance 30 Sub-engine instance 00",
        "Data {0x1}",
    ]
    text = "\n".join(f"[  10.00000{i}] {head}{line}" for i, line in enumerate(lines))
    (event,) = events(text)
    assert event.fault.link == 30
    again = "\n".join(f"[  20.00000{i}] {head}{line}" for i, line in enumerate(lines))
    assert len(events(f"{text}\n{again}")) == 2
    # Where the log begins in the middle of the three, the rest is what there is.
    assert [e.fault.link for e in events(text.splitlines()[1])] == [30]


def test_a_gpu_that_fell_off_the_bus_over_three_lines():
    text = (
        "[ 1843.308145] NVRM: The NVIDIA GPU 0000:b3:00.0\n"
        "               NVRM: (PCI ID: 10de:26b5) installed in this system has\n"
        "               NVRM: fallen off the bus and is not responding to commands.\n"
    )
    (event,) = events(text)
    assert (event.fault.kind, event.fault.pci_bus_id) == ("bus-loss", "00000000:B3:00.0")
    assert event.uptime_s == pytest.approx(1843.308145)
    unsupported = text.replace("fallen off the bus and is not responding to commands", "not supported")
    assert events(unsupported) == []


def test_fabric_manager_records_span_lines_and_have_years():
    text = (
        "[Jul 23 2024 07:53:55] [ERROR] [tid 841] detected NVSwitch fatal error 20034 on fid 0 on NVSwitch"
        " pci bus id 00000000:86:00.0 physical id 3 port 33\n"
        "[Jul 23 2024 07:53:56] [INFO] [tid 841] Received an inband message:  Message header details: magic\n"
        "Message payload details:Team setup request: Allocation Size:60000000 Flags:0 Number of GPUs:8 GPU\n"
        "\n"
        "[Jul 23 2024 07:53:57] [INFO] [tid 841] multicast group 0 is allocated.\n"
        f"May 18 10:11:12 host kernel: {XID}\n"
    )
    reader = LogReader(NOW_S)
    found = [event for line in text.splitlines() for event in reader.feed(line)]
    assert [(e.source, e.fault.code, e.fault.link) for e in found] == [
        ("fabric-manager", 20034, 33),
        ("kernel", 48, None),
    ]
    assert found[0].wall_s is not None
    assert datetime.fromtimestamp(found[0].wall_s, timezone.utc).year == 2024
    assert [(fact.kind, fact.number) for _, fact in reader.facts] == [("team", 8), ("allocated", 0)]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("NVIDIA GPU driver interface version 530.30.02 don't match with driver version 530.41.03.",
         "530.30.02 does not fit driver 530.41.03"),
        ("detected number of NVSwitches don't match with any supported topology, aborting", "fits no known"),
        ("request failed with error:WARNING Nothing to do [NV_WARN_NOTHING_TO_DO]", "no NVSwitch to manage"),
        ("failed to find the GPU handle 54100 in the multicast team request 613028.", "multicast team"),
    ],
)  # fmt: skip
def test_faults_of_the_fabric_manager(text, meaning):
    (event,) = events(f"[Sep 08 2025 23:21:50] [ERROR] [tid 7] {text}")
    assert meaning in event.fault.meaning
    (same,) = events(f"Sep 08 23:21:50 host nv-fabricmanager[4177]: {text}")
    assert same.fault.meaning == event.fault.meaning


def test_boots_are_distinguished():
    text = f"[100.0] {XID}\n[5.0] Linux version 6.8.0\n[7.0] {XID}\n[200.0] {XID}\n[3.0] {XID}\n"
    assert [e.boot for e in events(text)] == [None, "boot 1", "boot 1", "boot 2"]
