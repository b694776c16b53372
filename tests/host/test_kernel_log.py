"""Reader of the kernel log: permissions, lost records and rotated files."""

from __future__ import annotations

import json
import os
import socket
import threading
import time

import pytest

from nvltop.host import kernel_log
from nvltop.host.kernel_log import ACCESS_STEP, Journal, KernelClock, KernelLogReader, records_of
from nvltop.host.log_files import FollowedFile
from nvltop.model import LOG_ACCESS

XID = "NVRM: Xid (PCI:0000:3b:00): 48, pid=9, name=secret-program, DBE"


def kmsg(uptime_s, text, priority=3):
    return f"{priority},7,{uptime_s * 1e6:.0f},-;{text}\n SUBSYSTEM=pci\n"


def test_records_come_one_a_read_and_lost_ones_are_left_out(monkeypatch):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.send(b"one")
    theirs.send(b"two")
    failures = [BrokenPipeError()]
    read = os.read

    def overwritten(fd, size):
        if failures:
            raise failures.pop()
        return read(fd, size)

    monkeypatch.setattr(os, "read", overwritten)
    assert list(records_of(ours.fileno())) == ["one", "two"]
    ours.close()
    theirs.close()


def test_only_faults_of_nvidia_devices_and_never_a_process():
    clock, now_s = KernelClock(), time.monotonic()
    (line,) = clock.lines(kmsg(now_s - 2, XID))
    assert "secret" not in line.text
    assert "pid" not in line.text
    assert line.text.endswith("48, DBE")
    assert line.logged_s == pytest.approx(line.wall_s - 2, abs=0.5)
    assert line.uptime_s == pytest.approx(now_s - 2, abs=0.01)
    assert clock.lines(kmsg(1, XID, priority=12)) == [], "user space wrote it"
    assert clock.lines(kmsg(1, "NVRM: GPU Board Serial Number: 1650423013443")) == []
    assert clock.lines(kmsg(1, "usb 1-1: new device")) == []
    lost = "NVRM: The NVIDIA GPU 0000:b3:00.0\\x0aNVRM: (PCI ID: 10de:1)\\x0aNVRM: fallen off the bus"
    assert len(clock.lines(kmsg(1, lost))) == 2


def test_time_in_suspend_is_added_to_what_came_before():
    now_s = time.monotonic()
    records = [
        kmsg(now_s - 30, XID),
        kmsg(now_s - 20, "PM: Timekeeping suspended for 3600.500 seconds", 6),
        kmsg(now_s - 10, XID),
    ]
    before, after = KernelClock().look_back(records)
    assert before.logged_s == pytest.approx(before.wall_s - 3630.5, abs=0.5)
    assert after.logged_s == pytest.approx(after.wall_s - 10, abs=0.5)


def test_entries_of_the_journal_know_their_boot(monkeypatch):
    monkeypatch.setattr(kernel_log, "boot_id", lambda: "a" * 32)
    journal = Journal()

    def entry(boot, at_s, transport="kernel"):
        return json.dumps(
            {"MESSAGE": XID, "_TRANSPORT": transport, "_BOOT_ID": boot * 32,
             "__REALTIME_TIMESTAMP": str(int(at_s * 1e6))}
        ).encode()  # fmt: skip

    assert [line.boot_s for line in journal.lines(entry("a", 200))] == [None]
    assert [line.boot_s for line in journal.lines(entry("b", 100))] == [100]
    assert [line.boot_s for line in journal.lines(entry("b", 150))] == [100]
    assert journal.lines(entry("a", 1, "syslog")) == []
    assert journal.lines(b'{"MESSAGE": NVRM') == []


def test_a_file_that_is_rotated_cut_and_gone(tmp_path):
    path = tmp_path / "fabricmanager.log"
    followed = FollowedFile(path)
    assert list(followed.lines()) == []
    path.write_text("one\ntwo\npart")
    assert list(followed.lines()) == ["one", "two"]
    with path.open("a") as file:
        file.write("ial\n")
    assert list(followed.lines()) == ["partial"]
    with path.open("a") as file:
        file.write("last\n")
    path.rename(tmp_path / "fabricmanager.log.1")
    path.write_text("new\n")
    assert list(followed.lines()) == ["last", "new"]
    path.write_text("")
    assert list(followed.lines()) == []
    path.write_text("x\n")
    assert list(followed.lines()) == ["x"]
    path.unlink()
    assert list(followed.lines()) == []
    followed.close()


def run(monkeypatch, tmp_path, prepare=lambda: None, count=1):
    """Run a reader until it has sent a number of lines."""
    monkeypatch.setenv("HOST_DEV", str(tmp_path))
    monkeypatch.setenv("HOST_LOG", str(tmp_path))
    monkeypatch.setattr(kernel_log, "JOURNALCTL", ())
    prepare()
    sent, stop = [], threading.Event()

    def send(line):
        sent.append(line)
        if len(sent) >= count:
            stop.set()

    thread = threading.Thread(target=KernelLogReader(send, stop).run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    return sent


def test_without_permission_it_says_what_gives_access(monkeypatch, tmp_path):
    (line,) = run(monkeypatch, tmp_path)
    assert (line.source, line.text) == (LOG_ACCESS, ACCESS_STEP)
    assert "systemd-journal" in line.text
    assert "CAP_SYSLOG" in line.text


def test_the_fabric_managers_log_is_read_as_well(monkeypatch, tmp_path):
    text = "[Jul 23 2024 07:53:55] [ERROR] [tid 8] detected NVSwitch fatal error 20034 on fid 0\n"
    (tmp_path / "fabricmanager.log").write_text(f"{text}[Jul 23 2024 07:53:56] [INFO] [tid 8] hello\n")
    sent = run(monkeypatch, tmp_path, count=2)
    assert [line.source for line in sent] == [LOG_ACCESS, "fabric-manager"]
    assert sent[1].level == "ERROR"


def test_the_journal_is_asked_if_the_device_may_not_be_read(monkeypatch, tmp_path):
    entry = json.dumps(
        {"MESSAGE": XID, "_TRANSPORT": "kernel", "_BOOT_ID": "b" * 32, "__REALTIME_TIMESTAMP": "1"}
    )
    program = tmp_path / "journalctl"
    program.write_text(f"#!/bin/sh\nenv > {tmp_path}/env\necho '{entry}'\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("LD_PRELOAD", "")
    sent = run(
        monkeypatch, tmp_path, lambda: monkeypatch.setattr(kernel_log, "JOURNALCTL", (str(program),)), count=2
    )
    assert [line.source for line in sent] == [LOG_ACCESS, "kernel"]
    assert sent[0].text == ""
    assert "HOST_DEV" not in (tmp_path / "env").read_text()
