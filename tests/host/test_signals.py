"""Signals reach the intended process and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from nvltop.host import signals
from nvltop.host.procfs import read_stat


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("pidfd", [True, False])
def test_the_signal_reaches_the_process(child, monkeypatch, pidfd):
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    started = read_stat(child.pid).start_ticks
    assert signals.send_signal(child.pid, started, signal.SIGTERM) == ""
    assert child.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize("pidfd", [True, False])
def test_another_process_with_the_pid_gets_no_signal(child, monkeypatch, pidfd):
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    started = read_stat(child.pid).start_ticks
    why = signals.send_signal(child.pid, started - 1, signal.SIGKILL)
    assert why == f"process {child.pid} has ended, and another process has its pid"
    assert child.poll() is None


def test_a_process_that_has_ended(child):
    started = read_stat(child.pid).start_ticks
    child.kill()
    child.wait()
    assert signals.send_signal(child.pid, started, signal.SIGTERM) == f"process {child.pid} has ended"


def test_a_process_of_another_user_has_a_clear_message(child, monkeypatch):
    def refuse(*args):
        raise PermissionError

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse, raising=False)
    monkeypatch.setattr(os, "kill", refuse)
    started = read_stat(child.pid).start_ticks
    assert "not permitted" in signals.send_signal(child.pid, started, signal.SIGTERM)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_real_process_of_another_user():
    code = (
        "import os, sys; os.setuid(65534); from nvltop.host import signals;"
        "print(signals.send_signal(int(sys.argv[1]), int(sys.argv[2]), 0))"
    )
    before = len(os.listdir("/proc/self/fd"))
    run = subprocess.run(
        [sys.executable, "-c", code, str(os.getpid()), str(read_stat(os.getpid()).start_ticks)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if run.returncode:
        pytest.skip("the other user cannot read this installation")
    assert "not permitted" in run.stdout
    assert len(os.listdir("/proc/self/fd")) == before
