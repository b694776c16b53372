"""The terminal is given back on every way out, and what it still sends does not reach the shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nvltop.tui.shell.terminal_guard import END_SIGNALS

MOMENTS_S = (0.2, 0.4, 0.55, 0.7)
"""Of a start, which takes some half a second here: before the terminal is touched, meanwhile and after."""


@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1"])
def test_signals_end_it_with_the_terminal_restored(terminal, name):
    number = signal.Signals[f"SIG{name}"]
    t = terminal("--demo", "rtx3090-pair", keep=True)
    t.until("NV4")
    t.process.send_signal(number)
    assert t.ended() == 128 + number
    assert t.restored()


def test_every_signal_that_ends_a_process_is_handled():
    names = {number.name for number in END_SIGNALS}
    assert names >= {"SIGTERM", "SIGHUP", "SIGQUIT", "SIGINT", "SIGABRT", "SIGUSR1", "SIGUSR2", "SIGXCPU"}
    assert not names & {"SIGKILL", "SIGSTOP", "SIGTSTP", "SIGCONT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"}


def test_an_end_that_it_cannot_notice_restores_the_terminal_as_well(terminal):
    t = terminal("--demo", "rtx3090-pair", keep=True)
    t.until("NV4")
    t.process.send_signal(signal.SIGKILL)
    assert t.ended() == -signal.SIGKILL
    end = time.monotonic() + 20.0
    while not t.restored() and time.monotonic() < end:
        t.read(0.05)
    assert t.restored()


def test_a_signal_in_the_first_moments_leaves_the_terminal_as_it_was(terminal):
    for moment_s in MOMENTS_S:
        t = terminal("--demo", "rtx3090-pair", keep=True)
        end = time.monotonic() + moment_s
        while (left := end - time.monotonic()) > 0:
            t.read(left)
        t.process.terminate()
        assert t.ended() in (-signal.SIGTERM, 128 + signal.SIGTERM)
        assert t.restored(), (moment_s, t.received)
        t.close()


def test_late_answers_do_not_reach_the_shell(terminal):
    t = terminal("--demo", "no-driver", answer_s=0.3, keep=True)
    assert t.ended() == 3
    assert t.left_for_the_shell(0.1) == b""
    assert t.restored()


@pytest.mark.parametrize("answer_s", [0.03, 0.3])
def test_the_end_after_some_frames(terminal, answer_s):
    t = terminal("--demo", "rtx3090-pair", "-n", "2", lines=30, answer_s=answer_s, keep=True)
    assert t.ended() == 0
    assert t.left_for_the_shell(0.1) == b""
    assert t.restored()
    # Without an alternate screen the prompt comes below the picture: the last line, one on, and only then
    # the way back to where other terminals had their prompt.
    after = t.received[t.received.rindex(b"\x1b[0m") :]
    assert after.startswith(b"\x1b[0m\x1b[999;1H\r\r\n\x1b[K\x1b[?1049l")


def test_a_report_of_the_mouse_under_way_does_not_reach_the_shell(terminal):
    # Before and after the terminal has answered the first query.
    for frames in (0, 4):
        t = terminal("--demo", "rtx3090-pair", answer_s=0.2, keep=True)
        t.until("NV4")
        t.until_drawn(frames)
        t.type("q")
        # While the terminal still reports, since it has not been asked to stop for long.
        t.send_in(0.15, b"\x1b[<64;5;5M")
        assert t.ended() == 0
        assert t.left_for_the_shell(0.1) == b""


def test_a_forced_end_of_a_busy_loop_restores_the_terminal(terminal, tmp_path):
    slow = "import time, os, nvltop.tui.render.header as h; real = h.header; "
    stop = str(tmp_path / "stop")
    slow += f"h.header = lambda *a: time.sleep(9) if os.path.exists({stop!r}) else real(*a); "
    code = f"{slow} import sys, nvltop.cli; sys.exit(nvltop.cli.main(['--demo', 'rtx3090-pair']))"
    t = terminal(command=(sys.executable, "-c", code), keep=True)
    t.until("NV4")
    Path(stop).touch()
    t.until_quiet(1.0)
    t.process.terminate()
    assert t.ended() == 128 + signal.SIGTERM
    assert t.restored()


@pytest.mark.parametrize(
    "fail",
    [
        "import threading; real = threading.Thread.start\n"
        "def start(thread):\n"
        "    if thread.name.startswith('textual'): raise RuntimeError('cannot start new thread')\n"
        "    real(thread)\n"
        "threading.Thread.start = start\n",
        "import nvltop.tui.shell.terminal_output as d\n"
        "def write(output, text): raise OSError(5, 'broken')\n"
        "import threading; threading.Timer(1.0, setattr, [d.TerminalOutput, 'write', write]).start()\n",
        "import asyncio; real = asyncio.run\n"
        "def run(main):\n"
        "    real(main)\n"
        "    raise RuntimeError\n"
        "asyncio.run = run\n",
    ],
    ids=["no-thread", "no-output", "after-the-loop"],
)
def test_a_failure_of_the_screen_itself_restores_the_terminal(terminal, tmp_path, fail):
    code = f"{fail}\nimport sys, nvltop.cli; sys.exit(nvltop.cli.main(['--demo', 'rtx3090-pair', '-n', '9']))"
    t = terminal(command=(sys.executable, "-c", code), environ={"XDG_STATE_HOME": str(tmp_path)}, keep=True)
    t.ended()
    assert t.restored()


SLOW_EXIT = """
import sys, time
from nvltop.tui.shell import terminal_guard

class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.3)

slow = Slow()
terminal_guard.EXIT_TIMEOUT_S = 0.1
terminal_guard.TerminalGuard(0).end_in_time(5, lambda: None)
sys.exit(4)
"""


def test_a_slow_exit_keeps_its_code():
    """Python frees `slow` when it has already reset the handlers of signals."""
    primary, secondary = os.openpty()
    assert subprocess.run([sys.executable, "-c", SLOW_EXIT], stdin=secondary).returncode == 4
    os.close(primary)
    os.close(secondary)
