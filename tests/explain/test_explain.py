"""`--explain`: files of every kind, hostile ones included, exit codes, and the bounds on time and memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import time
import tracemalloc

import pytest

from nvltop.cli import main
from nvltop.explain.explain import explain
from nvltop.explain.source import Source

DOWN = (
    "NVRM: Xid (PCI:0000:3b:00): 149, NETIR_LINK_EVT Fatal XC0 i0 Link 07 (0x0044e5c6 0x00000000 0x00000000"
    " 0x00000000 0x00000000 0x00000000)"
)
ECHO = (
    "NVRM: Xid (PCI:0000:5e:00): 145, pid=12, name=py\x1b[2Jthon, RLW_SRC_TRACK Nonfatal XC1 i0 Link 03"
    " (0x040868e2 0x00000008 0x00000000 0x00000000 0x00000000 0x00000000)"
)
NOISE = (
    "[{:12.6f}] mlx5_core 0000:03:00.0: Port module event: module 0, Cable unplugged, link down, state {}\n"
)
EVENT_KEYS = {
    "time", "uptime_s", "severity", "source", "kind", "code", "subcode", "pci_bus_id", "link", "unit",
    "fatal",
    "caused_by",
    "blames",
}  # fmt: skip


def log(tmp_path, text, name="kern.log"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_json_has_the_promised_keys(tmp_path, capsys):
    name = log(tmp_path, f"[  10.5] {DOWN}\n[  10.6] {ECHO}\n[  10.7] usb 1-1: new device\n")
    assert main(["--explain", name, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "nvltop-explain/1"
    (incident,) = found["incidents"]
    assert {"summary", "origin", "next_step", "events"} <= incident.keys()
    assert (incident["origin"]["pci_bus_id"], incident["origin"]["link"]) == ("00000000:3B:00.0", 7)
    assert incident["origin"]["confidence"] == "likely"
    first, second = incident["events"]
    assert first.keys() >= EVENT_KEYS
    assert (first["code"], first["subcode"], first["blames"], first["fatal"]) == (149, 4, "local", True)
    assert (first["time"], first["uptime_s"], first["source"], first["kind"]) == (None, 10.5, "kernel", "xid")
    assert (second["unit"], second["link"], second["fatal"]) == ("RLW_SRC_TRACK", 3, False)


def test_words_and_no_control_characters(tmp_path, capsys):
    hang = "NVRM: Xid (PCI:0000:3b:00): 43, pid=12, name=a\x1b[2J\u202eb, channel 0x8"
    assert main(["--explain", log(tmp_path, f"[  10.5] {hang}\n")]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "a program" in out.lower()
    assert "Next: " in out


def test_nothing_found(tmp_path, capsys):
    assert main(["--explain", log(tmp_path, NOISE.format(1.0, 1))]) == 0
    assert "No fault" in capsys.readouterr().out
    assert main(["--explain", log(tmp_path, ""), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["incidents"] == []


def test_stdin(monkeypatch, capsys):
    class Stdin:
        buffer = io.BytesIO(f"[  10.5] {DOWN}\n".encode())

    Stdin.buffer.fileno = lambda: 0
    monkeypatch.setattr("sys.stdin", Stdin)
    assert main(["--explain", "-", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["incidents"]) == 1


def test_a_pipe_of_the_shell(capsys):
    read, write = os.pipe()
    os.write(write, f"[  10.5] {DOWN}\n".encode())
    os.close(write)
    assert main(["--explain", f"/dev/fd/{read}", "--json"]) == 1
    os.close(read)


@pytest.mark.parametrize("arguments", [["--csv"], ["--check"], ["--demo"], ["-n", "3"], ["--replay", "x"]])
def test_wrong_usage(arguments, capsys):
    assert main(["--explain", "x", *arguments]) == 2


def test_every_failure_is_3(tmp_path, capsys, monkeypatch):
    assert main(["--explain", str(tmp_path / "missing")]) == 3
    assert main(["--explain", str(tmp_path)]) == 3
    assert main(["--explain", "/dev/zero"]) == 3
    os.mkfifo(tmp_path / "fifo")
    assert main(["--explain", str(tmp_path / "fifo")]) == 3
    for magic in (b"\xfd7zXZ\x00", b"(\xb5/\xfd", b"LPKSHHRH", b"\x1f\x8b\x08damaged"):
        assert main(["--explain", log(tmp_path, magic + b"x" * 100)]) == 3

    def crash(*_):
        raise RuntimeError("broken")

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("nvltop.explain.command.explain", crash)
    assert main(["--explain", log(tmp_path, DOWN)]) == 3


def test_a_bug_report_holds_the_same_lines_twice(tmp_path, capsys):
    report = (
        "nvidia-bug-report.sh Version: 34275561\n"
        "____________________________________________\n"
        f"[  10.500000] {DOWN}\n[  10.600000] {ECHO}\n"
        "____________________________________________\n"
        f"May 18 10:11:12 host kernel: {DOWN}\nMay 18 10:11:12 host kernel: {ECHO}\n"
        f"May 18 10:11:12 host kernel: [  10.500000] {DOWN}\n"
    ).encode()
    name = log(tmp_path, gzip.compress(report[:90]) + gzip.compress(report[90:]), "nvidia-bug-report.log.gz")
    assert main(["--explain", name, "--json"]) == 1
    (incident,) = json.loads(capsys.readouterr().out)["incidents"]
    assert [e["code"] for e in incident["events"]] == [149, 145]
    assert all(e["time"] is not None for e in incident["events"]), "the journal has the time"


def test_a_cut_off_archive_still_shows_what_it_has(tmp_path, capsys):
    noise = "".join(NOISE.format(i, i * 7919 % 1000003) for i in range(20000))
    packed = gzip.compress(f"[  10.5] {DOWN}\n{noise}".encode())
    assert main(["--explain", log(tmp_path, packed[: len(packed) // 2])]) == 3
    captured = capsys.readouterr()
    assert "Xid 149.4" in captured.out
    assert "cut off" in captured.err


def test_a_journal_in_export_form(tmp_path, capsys):
    entry = (
        "__CURSOR=s=1\n__REALTIME_TIMESTAMP=1779099072000000\n_BOOT_ID={}\n_TRANSPORT={}\nSYSLOG_FACILITY=0\n"
        "MESSAGE={}\n\n"
    )
    text = entry.format("a" * 32, "kernel", DOWN) + entry.format("b" * 32, "syslog", ECHO)
    assert main(["--explain", log(tmp_path, text), "--json"]) == 1
    (incident,) = json.loads(capsys.readouterr().out)["incidents"]
    assert len(incident["events"]) == 1
    assert incident["events"][0]["time"] == "2026-05-18T10:11:12.000Z"


def test_fabric_manager_facts(tmp_path, capsys):
    text = (
        "[Feb 25 2025 14:01:17] [INFO] [tid 1] Received an inband message:  Message header details: magic\n"
        "Message payload details:Team setup request: Allocation Size:6 Flags:0 Number of GPUs:8 GPU\n\n"
        "[Feb 25 2025 14:01:18] [INFO] [tid 1] multicast group 0 is allocated.\n"
        "[Feb 25 2025 14:02:18] [INFO] [tid 1] multicast group 1 is allocated.\n"
        "[Feb 25 2025 14:03:18] [INFO] [tid 1] multicast group 0 is freed.\n"
    )
    assert main(["--explain", log(tmp_path, text)]) == 0
    assert (
        "1 multicast group (NVLS) in use at the end of its log, the last team with 8 GPUs"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00" * 1000,
        b"NVRM: Xid (PCI:" * 10000,
        b"[" * 100_000,
        b'{"MESSAGE":' * 5000,
        b"\n" * 10_000,
        b"NVRM: Xid (PCI:0000:3b:00): 99999999999, x\n" * 10,
    ],
)
def test_hostile_files_do_no_harm(tmp_path, capsys, content):
    assert main(["--explain", log(tmp_path, content), "--json"]) in (0, 1)
    json.loads(capsys.readouterr().out)


def test_long_logs_take_little_time_and_memory(tmp_path):
    """The bounds are for 200 MB: 20 s; this log is a tenth of that."""
    block = "".join(NOISE.format(i, i) for i in range(10_000))
    lines = "".join(f"[{i:6d}.5] {DOWN if i % 2 else ECHO}\n" for i in range(100))
    with open(tmp_path / "long.log", "w") as file:
        for _ in range(18):
            file.write(block)
            file.write(lines)
    tracemalloc.start()
    began_s = time.process_time()
    found = explain(Source(str(tmp_path / "long.log")))
    spent_s = time.process_time() - began_s
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.records == 1800
    assert spent_s < 2.0
    assert peak < 32 << 20
