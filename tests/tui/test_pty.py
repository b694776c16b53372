"""The real program in a real terminal: what it draws, how it ends, what it leaves behind."""

from __future__ import annotations

import array
import fcntl
import os
import re
import resource
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from nvltop.tui.shell.terminal_guard import EXIT_TIMEOUT_S
from tests.realterminal import PATIENCE_S

RECORDING = Path(__file__).parents[1] / "data" / "recordings" / "recording-v100-link-down.nvltop"
HELD_BYTES = 60_000
"""What a stalled terminal may hold, and what comes when it goes on."""
WAITS_S = 5.0
"""Time after which a program that reads no key waits for something else, seconds."""
PICTURES = 8
EVERY_READING = (
    sys.executable,
    "-c",
    "import sys, nvltop.cli.run as run, nvltop.tui.shell.frame_scheduler as frames;"
    "run.FRAME_INTERVAL_S = frames.FRAME_INTERVAL_S = 0.0;"
    "import nvltop.cli; sys.exit(nvltop.cli.main(sys.argv[1:]))",
)
"""The program, which draws each reading: for tests that wait for several frames."""


def test_a_session(terminal):
    t = terminal("--demo", columns=160, lines=45, command=EVERY_READING)
    for word in ("TB/s", "NV18", "CPU[", "144/144 links up", "F10Quit", "SIMULATED"):
        t.until(word)
    # Bytes that are not keys: a character in two pieces, and numbers beyond all characters.
    for piece in (b"\xc3", b"\xa9", b"\x1b[1114112u", b"\x1b[99999999999999999999u", b"\xff"):
        os.write(t.master, piece)
        t.until_drawn(1)
    t.type("h")
    t.until("of a core drawing")
    text = t.until("pictures/s")
    assert re.search(r"CPU \d+\.\d% of a core drawing", text)
    assert re.search(r"[\d.]+ pictures/s", text)
    t.until_quiet(0.1)
    t.type("\x1b")
    t.until("F10Quit")
    for tab, word in (("1", "NV18"), ("2", "Open"), ("6", "COMMAND")):
        _check_that_a_redraw_changes_nothing(t, tab, word)
    assert len(os.listdir(f"/proc/{t.process.pid}/task")) == 1, "a thread takes part"
    with open(f"/proc/{t.process.pid}/task/{t.process.pid}/children") as children:
        worker = int(children.read().split()[0])
    begun = time.monotonic()
    t.type("q")
    assert t.ended() == 0
    assert time.monotonic() - begun < WAITS_S
    assert t.restored()
    end = time.monotonic() + PATIENCE_S
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < end:
        select.select([], [], [], 0.02)
    assert not os.path.exists(f"/proc/{worker}")


def _check_that_a_redraw_changes_nothing(t, tab: str, word: str) -> None:
    """Compare what was written directly with what Textual draws."""
    t.type(tab)
    t.until(word)
    t.until_quiet(0.1)
    begin = len(t.received)
    t.until_drawn(PICTURES)
    assert b"\x1b[1;1H" not in t.received[begin:], "Textual drew it"
    t.type("Z")
    t.until("PAUSED")
    t.until_quiet(0.4)
    shown, begin = t.cells(), len(t.received)
    t.type("\x0c")
    t.until_quiet(0.4)
    assert len(t.received) - begin > 160 * 45
    assert t.cells() == shown
    t.type("Z")


def test_textual_draws_and_reads_keys_by_itself_if_it_has_to(terminal):
    t = terminal("--demo", "rtx3090-pair", environ={"NVLTOP_DIRECT": "0"}, answer_s=0.03, keep=True)
    t.until("NVLTOP_DIRECT=0")
    t.until("NV4")
    t.type("2")
    t.until("Open")
    t.type("\x0c")
    t.until_drawn(2)
    t.type("q")
    assert t.ended() == 0
    assert t.left_for_the_shell(0.1) == b""
    assert t.restored()


def test_a_terminal_that_goes_away_ends_it_even_if_hup_is_ignored(terminal):
    t = terminal("--demo", "hgx-h100-4", ignore_hup=True)
    t.until("72/72")
    os.close(t.master)
    t.process.wait(PATIENCE_S)
    t.master = os.open(os.devnull, os.O_RDONLY)


def test_a_requested_report_opens_no_screen_in_a_terminal(terminal):
    t = terminal("--once", "--demo", "hgx-a100-4", "--interval", "0.2")
    assert t.ended() == 0
    assert b"\x1b" not in t.received
    assert b"A100" in t.received


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


def test_a_poor_terminal_gets_ascii_without_colours_and_only_the_terminal_does(
    terminal, monkeypatch, tmp_path
):
    """No size, no colours, a locale without UTF-8, and stderr in a file."""
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_CTYPE", raising=False)
    t = terminal("--demo", "-C", columns=80, lines=24, has_size=False, lang="C", stderr=tmp_path / "errors")
    t.until("144/144")
    t.until("F10Quit")
    t.until("TB/s")
    t.type("q")
    assert t.ended() == 0
    assert t.restored()
    colours = re.findall(rb"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m", t.received)
    assert colours == []
    assert t.received.isascii()
    assert (tmp_path / "errors").read_bytes() == b""


def test_a_recording_is_shown_as_one(terminal):
    t = terminal("--replay", str(RECORDING))
    t.until("REPLAY")
    t.until("NV2")
    t.type("q")
    assert t.ended() == 0
    assert t.restored()


def test_a_dumb_terminal_gets_a_hint_what_to_use_instead(terminal):
    t = terminal("--demo", term="dumb")
    assert t.ended() == 1
    assert b"--once" in t.received
    assert b"\x1b" not in t.received


def test_a_terminal_that_stalls_gets_no_old_frames_and_cannot_keep_it_alive(terminal):
    t = terminal(
        "--demo", "--interval", "0.1", columns=200, lines=60, keep=True, command=EVERY_READING
    )  # fmt: skip
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
    assert t.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    # It takes bytes again.
    t.until_quiet(0.1)
    assert t.restored()


QUEUE_FULL = (
    sys.executable,
    "-c",
    "import os, sys; from nvltop.tui.shell.tty_driver import TtyDriver as driver; send = driver.write\n"
    "def write(self, data):\n"
    "    if self.output.is_full: open(os.environ['MARK'], 'w').close()\n"
    "    send(self, data)\n"
    "driver.write = write\n"
    "import nvltop.cli; sys.exit(nvltop.cli.main(sys.argv[1:]))",
)
"""The program, which makes the file $MARK when it has something to write and too much is unsent."""


def test_a_terminal_that_stalls_while_keys_are_typed_cannot_keep_it_alive(terminal, tmp_path):
    mark = tmp_path / "full"
    t = terminal(
        "--demo", columns=200, lines=60, keep=True, command=QUEUE_FULL, environ={"MARK": str(mark)}
    )  # fmt: skip
    t.until("144/144")
    t.type("/")
    t.until("earch")
    end = time.monotonic() + PATIENCE_S
    while select.select([], [t.slave], [], 0)[1]:
        t.type("\x0c")  # the whole screen is drawn, and nobody reads
        assert _wait_until_keys_are_read(t, end)
    # Textual draws the screen again, whether or not anybody reads: soon more than is kept.
    while not mark.exists():
        assert time.monotonic() < end, "it was never too much"
        t.type("\x0c")
        assert _wait_until_keys_are_read(t, end), "it waits for the terminal"
    for key in "0123456789" * 2:
        t.type(key)
        assert _wait_until_keys_are_read(t, time.monotonic() + WAITS_S), "it waits for the terminal"
    begun = time.monotonic()
    t.process.terminate()
    assert t.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert time.monotonic() - begun < EXIT_TIMEOUT_S, "it had to be forced"


def _wait_until_keys_are_read(t, end_s: float) -> bool:
    """Return whether the program has read all keys by a time."""
    unread = array.array("i", [1])
    while unread[0] and time.monotonic() < end_s:
        select.select([], [], [], 0.002)
        fcntl.ioctl(t.slave, termios.FIONREAD, unread)
    return not unread[0]


def test_stopped_by_force_and_back_it_gives_the_terminal_back_as_it_was_found(terminal):
    t = terminal("--demo", "hgx-h100-4")
    t.until("72/72")
    t.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, t.process.pid, os.WSTOPPED)
    t.screen.reset()
    t.process.send_signal(signal.SIGCONT)
    t.until("NV6")
    t.type("q")
    assert t.ended() == 0
    assert t.restored()


def test_without_a_shell_that_would_continue_it_it_is_not_suspended(terminal):
    t = terminal("--demo", "rtx3090-pair")
    t.until("NV4")
    t.screen.reset()
    t.type("\x1a")
    for word in ("F10Quit", "NV4"):
        t.until(word)
    t.type("q")
    assert t.ended() == 0
    assert t.restored()


def test_suspended_and_back_the_whole_screen_is_drawn_again(terminal):
    t = terminal(command=("bash", "--norc", "--noprofile", "-i"))
    # The shell waits for a program that started nvltop, as for `uv run`.
    t.type(f"sh -c '{sys.executable} -m nvltop --demo; true'\n")
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


def test_keys_that_come_in_one_go_do_no_harm(terminal):
    palette, page_down, enter, escape, sort = "\x10", "\x1b[6~", "\r", "\x1b", "\x1b[17~"
    t = terminal("--demo", "rtx3090-pair", command=EVERY_READING)
    t.until("NV4")

    def returns_to_main() -> bool:
        """Leave all that is open; a busy program reads Escape and the key after it as one key."""
        for _ in range(3):
            t.type(escape)
            t.until_quiet(0.15)
        t.type("1")
        return t.shows("NV4", 3.0)

    for keys in (
        palette + page_down + escape + sort + palette + enter + enter,
        "5" + palette + "u" + enter * 3,
        "S" + page_down + palette + palette + enter * 3,
        "/" + "x" * 3000 + enter,
    ):
        t.type(keys)
        t.until_drawn(4)
        assert t.process.poll() is None, keys
        assert any(returns_to_main() for _ in range(5)), t.screen.display
    t.process.terminate()
    assert t.ended() == 128 + signal.SIGTERM


def test_sizes_and_the_mouse(terminal):
    """The size is the terminal's, whatever the environment says, and the mouse reports clicks only."""
    t = terminal(
        "--demo", "rtx3090-pair", columns=100, lines=30, command=EVERY_READING,
        environ={"COLUMNS": "160", "LINES": "50"},
    )  # fmt: skip
    t.until("NV4")
    t.until("F10Quit")
    assert t.screen.display[29].startswith("F1Help")
    modes = {int(mode) for mode in re.findall(rb"\x1b\[\?(\d+)h", t.received)}
    assert modes & {1000, 1002, 1003, 1005, 1006, 1015, 1016, 2048} == {1000, 1006}
    # Ctrl-L switches the modes on again: a terminal may have been reset.
    before = t.received.count(b"\x1b[?1000h\x1b[?1006h")
    t.type("\x0c")
    t.until_quiet(0.2)
    assert t.received.count(b"\x1b[?1000h\x1b[?1006h") > before
    x = t.screen.display[4].index("Health") + 2
    t.type(f"\x1b[<0;{x};5M\x1b[<0;{x};5m")
    t.until("fine")
    for columns, lines in ((80, 20), (60, 12)):
        t.resize(columns, lines)
        t.until_line(lines - 1, "F1Help")
    t.until_line(4, " Health ")
    # The details of the Health tab are higher than the tab; they are not drawn over the tab row.
    t.until_drawn(PICTURES)
    assert t.screen.display[4].startswith(" Health ")


def test_a_recording_that_ends_for_want_of_room_is_reported_after_the_screen(terminal, tmp_path):
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    # Under the limit, Python would leave truncated files of compiled modules.
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}
    t = terminal("--demo", "--record", str(tmp_path / "run"), prepare=little_room, environ=environ)
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


def test_a_driver_that_is_slow_to_answer_gets_the_waiting_screen(terminal):
    t = terminal("0", command=(sys.executable, "-c", SILENT))
    t.until("waiting for the NVIDIA driver")
    t.type("q")
    assert t.ended() == 0
    assert t.restored()
