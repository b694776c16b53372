"""The real program in a real terminal: what it draws, how it ends, what it leaves behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyte
import pytest

PATIENCE_S = 20.0
HELD_BYTES = 60_000
"""What a stalled terminal may hold, and what comes when it goes on."""
PICTURES = 8


class Terminal:
    """A pseudo-terminal with the program in it."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 120,
        lines: int = 40,
        ignore_hup: bool = False,
        command: Sequence[str] = (sys.executable, "-m", "nvltop"),
        stderr: Path | None = None,
        term: str = "xterm-256color",
        has_size: bool = True,
        lang: str = "C.UTF-8",
    ) -> None:
        self.master, slave = pty.openpty()
        if has_size:
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.received = b""

        def prepare() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if ignore_hup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)

        # A size in the environment would be believed before the terminal's own.
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        environment |= {"TERM": term, "COLORTERM": "truecolor", "LANG": lang}
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdin=slave, stdout=slave, stderr=stderr.open("wb") if stderr else slave,
            preexec_fn=prepare, env=environment,
        )  # fmt: skip
        os.close(slave)

    def read(self, seconds: float = 0.2) -> None:
        if select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 1 << 16)
            except OSError:
                return
            self.received += data
            # pyte does not know these two queries and would print their tails.
            self.stream.feed(re.sub(rb"\x1b\[[?>=][0-9;]*[$a-zA-Z]+", b"", data))

    def until(self, words: str) -> str:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.read()
            text = "\n".join(self.screen.display)
            if words in text:
                return text
        raise AssertionError(f"{words!r} never came:\n" + "\n".join(self.screen.display))

    def until_drawn(self, times: int) -> None:
        """Read until something has come so many times."""
        end = time.monotonic() + PATIENCE_S
        while times and time.monotonic() < end:
            before = len(self.received)
            self.read()
            times -= len(self.received) > before
        assert not times, "nothing is drawn any more"

    def until_quiet(self, seconds: float) -> None:
        """Read until nothing has come for so long."""
        before = -1
        while before != len(self.received):
            before = len(self.received)
            self.read(seconds)

    def cells(self) -> list[tuple[object, ...]]:
        """Return what is shown, with its styles."""
        buffer = self.screen.buffer
        return [
            (y, x, c.data, c.fg, c.bg, c.bold, c.reverse)
            for y in range(self.screen.lines)
            for x in range(self.screen.columns)
            for c in (buffer[y][x],)
        ]

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.05)
        assert self.process.poll() is not None, "still running"
        while select.select([self.master], [], [], 0)[0]:
            before = len(self.received)
            self.read(0)
            if len(self.received) == before:
                break
        return self.process.returncode

    def restored(self) -> bool:
        """Whether the alternate screen, the mouse and the hidden cursor were given back."""
        modes = (b"1049", b"1000")
        given_back = [(b"\x1b[?%sh" % mode, b"\x1b[?%sl" % mode) for mode in modes]
        given_back.append((b"\x1b[?25l", b"\x1b[?25h"))
        return all(self.received.rfind(off) > self.received.rfind(on) for on, off in given_back)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal() -> Iterator[type[Terminal]]:
    opened = []

    def start(*arguments: str, **options) -> Terminal:
        opened.append(Terminal(*arguments, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40), (200, 60)])
def test_live_numbers_come_and_q_leaves(terminal, columns, lines):
    t = terminal("--demo", columns=columns, lines=lines)
    for word in ("of speed", "NV18", "CPU[", "144/144 links up", "F10Quit", "SIMULATED"):
        t.until(word)
    begun = time.monotonic()
    t.type("q")
    assert t.ended() == 0
    assert time.monotonic() - begun < 1.0
    assert t.restored()


@pytest.mark.parametrize(("tab", "word"), [("1", "NV18"), ("2", "Open"), ("5", "COMMAND")])
def test_what_went_straight_to_the_terminal_is_what_a_whole_redraw_shows(terminal, tab, word):
    t = terminal("--demo", columns=160, lines=45)
    t.until("of speed")
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_signals_end_it_with_the_terminal_restored(terminal, number):
    t = terminal("--demo")
    t.until("144/144")
    t.process.send_signal(number)
    assert t.ended() == 128 + number
    assert t.restored()


def test_a_terminal_that_goes_away_ends_it_even_if_hup_is_ignored(terminal):
    t = terminal("--demo", ignore_hup=True)
    t.until("144/144")
    os.close(t.master)
    t.process.wait(5.0)
    t.master = os.open(os.devnull, os.O_RDONLY)


def test_the_help_tells_what_watching_costs(terminal):
    t = terminal("--demo")
    t.until("of speed")
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
        "import nvltop.tui.paint.meters as m; real, left = m.meters, [0] * 8;"
        "m.meters = lambda view: real(view) if left and not left.pop() else 1 // 0",
        "import nvltop.tui.turns as t; t.Turns.arrived = lambda turns: 1 // 0",
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
    assert b"nvltop: the NVIDIA kernel driver is not loaded" in t.received


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
    t.until("of speed")
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


def test_a_dumb_terminal_is_told_what_to_use_instead(terminal):
    t = terminal("--demo", term="dumb")
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
    t.until("of speed")
    # Sparklines that have just begun grow in every column at once: measured once they are under way.
    for seconds in (1.5, 3.0):
        before, begun = len(t.received), time.monotonic()
        while time.monotonic() - begun < seconds:
            t.read(0.1)
    assert (len(t.received) - before) / (time.monotonic() - begun) < 12_000
