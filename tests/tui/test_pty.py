"""The real program in a real terminal: what it draws, how it ends, what it leaves behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import resource
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from realterminal import PATIENCE_S

HELD_BYTES = 60_000
"""What a stalled terminal may hold, and what comes when it goes on."""
PICTURES = 8


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40), (200, 60)])
def test_live_numbers_come_and_q_leaves(terminal, columns, lines):
    t = terminal("--demo", columns=columns, lines=lines)
    for word in ("TB/s", "NV18", "CPU[", "144/144 links up", "F10Quit", "SIMULATED"):
        t.until(word)
    begun = time.monotonic()
    t.type("q")
    assert t.ended() == 0
    assert time.monotonic() - begun < 1.0
    assert t.restored()


@pytest.mark.parametrize(("tab", "word"), [("1", "NV18"), ("2", "Open"), ("5", "COMMAND")])
def test_what_went_straight_to_the_terminal_is_what_a_whole_redraw_shows(terminal, tab, word):
    t = terminal("--demo", columns=160, lines=45)
    t.until("TB/s")
    # Through a screen that lies above the rows, and back.
    t.type("h")
    t.until("WHAT WATCHING COSTS")
    t.until_quiet(0.1)
    t.type("\x1b")
    t.until("F10Quit")
    t.type(tab)
    t.until(word)
    t.until_quiet(0.1)
    t.received = b""
    t.until_drawn(PICTURES)
    assert b"\x1b[1;1H" not in t.received, "Textual drew it"
    t.type("Z")
    t.until("PAUSED")
    t.until_quiet(0.4)
    shown, t.received = t.cells(), b""
    t.type("\x0c")
    t.until_quiet(0.4)
    assert len(t.received) > 160 * 45
    assert t.cells() == shown


def test_what_has_no_room_on_a_low_screen_is_not_drawn_over_what_stands_there(terminal):
    t = terminal("--demo", columns=60, lines=12)
    t.until("144/144")
    t.type("4")
    # The details of the Health tab are higher than the tab.
    t.until_drawn(PICTURES)
    assert t.screen.display[4].startswith(" Health ")


def test_bytes_that_are_no_keys_do_no_harm(terminal):
    t = terminal("--demo")
    t.until("144/144")
    # A character in two pieces, and numbers beyond all characters.
    for piece in (b"\xc3", b"\xa9", b"\x1b[1114112u", b"\x1b[99999999999999999999u", b"\xff"):
        os.write(t.master, piece)
        t.until_drawn(1)
    t.type("h")
    t.until("WHAT WATCHING COSTS")


def test_a_terminal_that_goes_away_ends_it_even_if_hup_is_ignored(terminal):
    t = terminal("--demo", ignore_hup=True)
    t.until("144/144")
    os.close(t.master)
    t.process.wait(5.0)
    t.master = os.open(os.devnull, os.O_RDONLY)


def test_the_help_tells_what_watching_costs(terminal):
    t = terminal("--demo")
    t.until("TB/s")
    t.type("h")
    for word in ("of a core drawing", "pictures/s"):
        text = t.until(word)
    assert re.search(r"CPU \d+\.\d% of a core drawing", text)
    assert re.search(r"[\d.]+ pictures/s", text)


@pytest.mark.parametrize(
    ("flag", "word"), [("--once", b"A100"), ("--json", b"nvltop/1"), ("--csv", b"tx_bytes_per_s")]
)
def test_a_report_that_is_asked_for_in_a_terminal_is_no_screen(terminal, flag, word):
    t = terminal(flag, "--demo", "hgx-a100-4", "--interval", "0.2")
    assert t.ended() == 0
    assert b"\x1b" not in t.received
    assert word in t.received


@pytest.mark.parametrize(
    "fail",
    [
        "import nvltop.tui.render.meters as m; real, left = m.meters, [0] * 8;"
        "m.meters = lambda view: real(view) if left and not left.pop() else 1 // 0",
        "import nvltop.tui.shell.frame_scheduler as t; t.FrameScheduler.data_ready = lambda turns: 1 // 0",
    ],
    ids=["drawing", "reading"],
)
def test_a_failure_of_our_own_gives_the_terminal_back_and_leaves_a_report(
    terminal, tmp_path, monkeypatch, fail
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    code = f"{fail}; import sys, nvltop.cli; sys.exit(nvltop.cli.main(['--demo']))"
    t = terminal(command=(sys.executable, "-c", code))
    assert t.ended() == 1
    assert t.restored()
    [report] = (tmp_path / "nvltop").iterdir()
    shown = t.received[t.received.rfind(b"\x1b[?1049l") :].decode()
    assert "nvltop failed (ZeroDivisionError)" in shown
    assert str(report) in shown
    assert "Traceback" not in shown


def test_no_driver_says_why_and_leaves_the_screen_as_it_was(terminal):
    t = terminal("--demo", "no-driver")
    assert t.ended() == 3
    assert t.received.startswith(b"nvltop: the NVIDIA kernel driver is not loaded")


def test_the_child_is_gone_when_the_program_is(terminal):
    t = terminal("--demo")
    t.until("144/144")
    with open(f"/proc/{t.process.pid}/task/{t.process.pid}/children") as children:
        child = int(children.read().split()[0])
    t.type("q")
    t.ended()
    end = time.monotonic() + 5.0
    while os.path.exists(f"/proc/{child}") and time.monotonic() < end:
        select.select([], [], [], 0.02)
    assert not os.path.exists(f"/proc/{child}")


def test_no_colours_reach_the_terminal_when_none_are_wanted(terminal):
    t = terminal("--demo", "-C")
    t.until("144/144")
    t.type("q")
    t.ended()
    colours = re.findall(rb"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m", t.received)
    assert colours == []


def test_a_terminal_that_reports_no_size_is_taken_for_a_small_one(terminal):
    t = terminal("--demo", columns=80, lines=24, has_size=False)
    t.until("144/144")
    t.until("F10Quit")
    t.type("q")
    assert t.ended() == 0


@pytest.mark.parametrize("locale", ["C", "POSIX", ""])
def test_a_locale_without_utf8_gets_ascii_alone(terminal, monkeypatch, locale):
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_CTYPE", raising=False)
    t = terminal("--demo", lang=locale)
    t.until("TB/s")
    t.type("q")
    assert t.ended() == 0
    assert t.received.isascii()


def test_n_refreshes_and_out(terminal):
    t = terminal("--demo", "-n", "3")
    assert t.ended() == 0
    assert t.restored()


def test_a_recording_is_shown_as_one(terminal, tmp_path):
    file = str(tmp_path / "run.gz")
    command = [
        sys.executable,
        "-m",
        "nvltop",
        "--demo",
        "dgx1-v100",
        "--json",
        "-n",
        "8",
        "--interval",
        "0.25",
    ]
    subprocess.run([*command, "--record", file], stdout=subprocess.DEVNULL, check=True)
    t = terminal("--replay", file)
    t.until("REPLAY")
    t.until("NV2")
    t.type("q")
    assert t.ended() == 0
    assert t.restored()


def test_the_screen_is_on_the_terminal_even_if_stderr_is_a_file(terminal, tmp_path):
    t = terminal("--demo", stderr=tmp_path / "errors")
    t.until("144/144")
    t.type("q")
    assert t.ended() == 0
    assert t.restored()
    assert (tmp_path / "errors").read_bytes() == b""


@pytest.mark.parametrize("term", ["dumb", "Dumb", "unknown", "emacs"])
def test_a_dumb_terminal_is_told_what_to_use_instead(terminal, term):
    t = terminal("--demo", term=term)
    assert t.ended() == 1
    assert b"--once" in t.received
    assert b"\x1b" not in t.received


def test_a_terminal_that_stalls_gets_no_old_frames_and_cannot_keep_it_alive(terminal):
    t = terminal("--demo", "--interval", "0.1", columns=200, lines=60)
    t.until("144/144")
    t.type("2")
    t.until("Open")
    # Nobody reads, and some forty frames of 2 kB are due.
    with pytest.raises(subprocess.TimeoutExpired):
        t.process.wait(4.0)
    held, end = 0, time.monotonic() + 0.4
    while time.monotonic() < end and select.select([t.master], [], [], 0.05)[0]:
        held += len(os.read(t.master, 1 << 16))
    assert held < HELD_BYTES
    with pytest.raises(subprocess.TimeoutExpired):
        t.process.wait(2.5)
    t.process.terminate()
    assert t.process.wait(5.0) == 128 + signal.SIGTERM


def test_a_terminal_that_stalls_while_keys_are_typed_cannot_keep_it_alive(terminal):
    t = terminal("--demo", columns=200, lines=60)
    t.until("144/144")
    t.type("/")
    t.until("earch")
    # Textual draws the line that is typed, whether or not anybody reads, until no key is read any more.
    os.set_blocking(t.master, False)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and select.select([], [t.master], [], 1.0)[1]:
        with contextlib.suppress(BlockingIOError):
            t.type("g")
    t.process.terminate()
    assert t.process.wait(5.0) == 128 + signal.SIGTERM


def test_stopped_by_force_and_back_it_gives_the_terminal_back_as_it_was_found(terminal):
    t = terminal("--demo")
    t.until("144/144")
    t.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, t.process.pid, os.WSTOPPED)
    t.screen.reset()
    t.process.send_signal(signal.SIGCONT)
    t.until("NV18")
    t.type("q")
    assert t.ended() == 0
    assert termios.tcgetattr(t.master)[3] & (termios.ECHO | termios.ICANON) == termios.ECHO | termios.ICANON


def test_suspended_and_back_the_whole_screen_is_drawn_again(terminal):
    t = terminal(command=("bash", "--norc", "--noprofile", "-i"))
    t.type(f"{sys.executable} -m nvltop --demo\n")
    t.until("144/144")
    t.type("\x1a")
    t.until("Stopped")
    t.screen.reset()
    t.type("fg; exit\n")
    # A line that changed may come before the rest; titles never change, and come only with the whole screen.
    for word in ("F10Quit", "CPU[", "UTIL%", "NV18", "LNK"):
        t.until(word)
    t.type("q")
    assert t.ended() == 0


def test_a_slow_line_can_carry_it(terminal):
    t = terminal("--demo", columns=120, lines=40)
    t.until("TB/s")
    # Sparklines that have just begun grow in every column at once: measured once they are under way.
    for seconds in (1.5, 3.0):
        before, begun = len(t.received), time.monotonic()
        while time.monotonic() - begun < seconds:
            t.read(0.1)
    assert (len(t.received) - before) / (time.monotonic() - begun) < 12_000


def test_keys_that_come_in_one_go_do_no_harm(terminal):
    palette, page_down, enter, sort = "\x10", "\x1b[6~", "\r", "\x1b[17~"
    for keys in (
        palette + page_down + "\x1b" + sort + palette + enter + enter,
        "5" + palette + "u" + enter * 3,
        "S" + page_down + palette + palette + enter * 3,
        "/" + "x" * 3000 + enter,
    ):
        t = terminal("--demo", "rtx3090-pair")
        t.until("NV4")
        t.type(keys)
        t.until_drawn(4)
        assert t.process.poll() is None, keys
        t.process.terminate()
        assert t.ended() == 128 + signal.SIGTERM, keys
        t.close()


def test_the_size_of_the_environment_is_not_believed(terminal):
    t = terminal("--demo", "rtx3090-pair", columns=100, lines=30, environ={"COLUMNS": "160", "LINES": "50"})
    t.until("NV4")
    t.until("F10Quit")
    assert t.screen.display[29].startswith("F1Help")
    fcntl.ioctl(t.master, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 80, 0, 0))
    t.screen.resize(20, 80)
    t.until("F10Quit")
    assert t.screen.display[19].startswith("F1Help")


def test_only_the_mouse_modes_that_are_used_are_switched_on_and_ctrl_l_does_so_again(terminal):
    t = terminal("--demo", "rtx3090-pair")
    t.until("NV4")
    modes = {int(mode) for mode in re.findall(rb"\x1b\[\?(\d+)h", t.received)}
    assert modes & {1000, 1002, 1003, 1005, 1006, 1015, 1016, 2048} == {1000, 1006}
    before = t.received.count(b"\x1b[?1000h\x1b[?1006h")
    t.type("\x0c")
    t.until_quiet(0.2)
    assert t.received.count(b"\x1b[?1000h\x1b[?1006h") > before
    # A click on a tab needs no report of movements.
    x = t.screen.display[4].index("Health") + 2
    t.type(f"\x1b[<0;{x};5M\x1b[<0;{x};5m")
    t.until("fine")


def test_a_recording_that_ends_for_want_of_room_is_reported_after_the_screen(terminal, tmp_path):
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    t = terminal("--demo", "--record", str(tmp_path / "run"), prepare=little_room)
    t.until("recording stopped")
    t.type("q")
    assert t.ended() == 1
    last = t.received[t.received.rindex(b"\x1b[?1049l") :].decode()
    assert "nvltop: recording stopped: " in last
    assert last.count("recording stopped") == 1


def test_a_user_without_a_home_or_a_name_sees_the_screen(terminal, tmp_path):
    code = (
        "import os, pwd, sys\n"
        "def unknown(user): raise KeyError(user)\n"
        "pwd.getpwuid = unknown\n"
        "for name in ('HOME', 'USER', 'LOGNAME', 'LNAME', 'USERNAME', 'XDG_CONFIG_HOME', 'XDG_STATE_HOME'):\n"
        "    os.environ.pop(name, None)\n"
        "os.chdir(sys.argv.pop(1))\n"
        "from nvltop.cli import main; sys.exit(main(sys.argv[1:]))\n"
    )
    t = terminal(str(tmp_path), "--demo", "rtx3090-pair", command=(sys.executable, "-c", code))
    t.until("NV4")
    t.type("S")
    t.until("Setup")
    t.type("\x1b[C")
    t.until_drawn(1)
    t.type("\x1b")
    t.until("no home folder")
    t.type("w")
    t.until("snapshot in")
    t.type("q")
    assert t.ended() == 0


SILENT = """
import os, sys, time
from nvltop.model import Tick
from nvltop.config.settings import Settings
from nvltop.tui.shell.run import run


class Silent:
    pipe = os.pipe()
    def fileno(self): return self.pipe[0]
    def drain(self): return []
    def tick(self): return Tick(time.monotonic(), time.time(), 0.25, "starting")
    def set_interval(self, interval_s): pass
    def close(self): pass


begun = time.monotonic()
outcome = run(Silent(), Settings(), begun_s=begun - float(sys.argv[1]))
sys.exit(outcome.code)
"""


@pytest.mark.parametrize("waited", ["0", "9"])
def test_a_driver_that_is_slow_to_answer_gets_the_waiting_screen(terminal, waited):
    t = terminal(waited, command=(sys.executable, "-c", SILENT))
    t.until("waiting for the NVIDIA driver")
    t.type("q")
    assert t.ended() == 0
    assert t.restored()
