"""Signals reach the process that is meant, and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from nvltop.host import kill


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("pidfd", [True, False])
def test_the_process_that_is_meant(child, monkeypatch, pidfd):
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    started = psutil.Process(child.pid).create_time()
    assert kill.send(child.pid, started, signal.SIGTERM) == ""
    assert child.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize("pidfd", [True, False])
def test_another_process_with_the_number_is_left_alone(child, monkeypatch, pidfd):
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    started = psutil.Process(child.pid).create_time()
    why = kill.send(child.pid, started - 60.0, signal.SIGKILL)
    assert why == f"process {child.pid} has ended, another one has its number"
    assert child.poll() is None


def test_a_process_that_has_ended(child):
    started = psutil.Process(child.pid).create_time()
    child.kill()
    child.wait()
    assert kill.send(child.pid, started, signal.SIGTERM) == f"process {child.pid} has ended"


def test_another_users_process_is_a_clear_word(child, monkeypatch):
    def refuse(*args):
        raise PermissionError

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse, raising=False)
    monkeypatch.setattr(os, "kill", refuse)
    started = psutil.Process(child.pid).create_time()
    assert "not permitted" in kill.send(child.pid, started, signal.SIGTERM)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_real_process_of_another_user():
    code = (
        "import os, sys; os.setuid(65534); from nvltop.host import kill;"
        "print(kill.send(int(sys.argv[1]), float(sys.argv[2]), 0))"
    )
    me = psutil.Process()
    before = len(os.listdir("/proc/self/fd"))
    run = subprocess.run(
        [sys.executable, "-c", code, str(me.pid), repr(me.create_time())],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if run.returncode:
        pytest.skip("the other user cannot read this installation")
    assert "not permitted" in run.stdout
    assert len(os.listdir("/proc/self/fd")) == before
