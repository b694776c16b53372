"""The command runs as it would without nvltop: streams, signals, exit code. No driver is needed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

NVLTOP = [sys.executable, "-m", "nvltop"]
COUNT_SIGNALS = """
import signal, sys, time
seen = []
for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(s, lambda n, f: seen.append(n))
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end and signal.SIGTERM not in seen:
    time.sleep(0.02)
print("seen", *seen, flush=True)
sys.exit(5)
"""


def run(*command: str, **how) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NVLTOP, "--run", "--", *command], capture_output=True, text=True, timeout=30, **how
    )


def test_streams_and_exit_code_are_those_of_the_command():
    ended = run("sh", "-c", "cat; echo err >&2; exit 7", input="typed")
    assert ended.returncode == 7
    assert ended.stdout == "typed"
    assert ended.stderr.startswith("err\n")
    assert "exit code 7" in ended.stderr
    assert "too short to measure" in ended.stderr


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["/nonexistent"], 127, "No such file"),
        (["/etc/passwd"], 126, "Permission denied"),
        ([], 2, "needs a command"),
        (["sh", "-c", "kill -9 $$"], 137, "exit code 137"),
        (["sh", "-c", "echo $0 --check", "--explain"], 0, "exit code 0"),
    ],
)
def test_exit_codes_are_those_of_a_shell(command, code, words):
    ended = run(*command)
    assert ended.returncode == code
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_signals_sent_to_nvltop_reach_the_command():
    arguments = [*NVLTOP, "--run", "--", sys.executable, "-c", COUNT_SIGNALS, "20"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout.readline() == "ready\n"
        started.send_signal(signal.SIGUSR1)
        started.send_signal(signal.SIGINT)
        time.sleep(0.1)  # two pending signals may arrive in any order
        started.send_signal(signal.SIGTERM)
        out, err = started.communicate(timeout=20)
    assert sorted(map(int, out.split()[1:])) == sorted([signal.SIGUSR1, signal.SIGINT, signal.SIGTERM])
    assert started.returncode == 5
    assert "exit code 5" in err


def test_ctrl_c_in_a_terminal_reaches_the_command_once():
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [*NVLTOP, "--run", "--", sys.executable, "-c", COUNT_SIGNALS, "1.2"])
    shown = b""
    while b"ready" not in shown:
        shown += os.read(fd, 1024)
    os.write(fd, b"\x03")
    try:
        while b"exit code" not in shown:
            shown += os.read(fd, 4096)
    finally:
        _, status = os.waitpid(pid, 0)
        os.close(fd)
    assert os.waitstatus_to_exitcode(status) == 5
    assert f"seen {int(signal.SIGINT)}\r\n".encode() in shown
