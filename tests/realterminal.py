"""The real program in a real terminal (a pty, and pyte as its screen)."""

from __future__ import annotations

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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

PATIENCE_S = 20.0
ANSWERS = {b"\x1b[?2026$p": b"\x1b[?2026;2$y", b"\x1b[?2048$p": b"\x1b[?2048;2$y"}
"""What terminals answer that know these modes (DECRPM: 2 is "not set")."""


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
        answer_s: float | None = None,
        keep: bool = False,
        environ: Mapping[str, str] | None = None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """Start the program; queries are answered after `answer_s`, if that is given.

        With `keep` the terminal outlives the program, as it does in a shell.
        """
        self.master, slave = pty.openpty()
        self.slave = os.dup(slave) if keep else -1
        self._answer_s = answer_s
        self._due: list[tuple[float, bytes]] = []
        self._asked = 0
        if has_size:
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.received = b""

        def begin() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if ignore_hup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            prepare()

        own = {"TERM": term, "COLORTERM": "truecolor", "LANG": lang}
        environment = {**os.environ, **own, **(environ or {})}
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdin=slave, stdout=slave, stderr=stderr.open("wb") if stderr else slave,
            preexec_fn=begin, env=environment,
        )  # fmt: skip
        os.close(slave)

    def read(self, seconds: float = 0.2) -> None:
        now = time.monotonic()
        for due, answer in [one for one in self._due if one[0] <= now]:
            os.write(self.master, answer)
            self._due.remove((due, answer))
        seconds = min([seconds, *(due - now for due, _ in self._due)])
        if select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 1 << 16)
            except OSError:
                return
            self.received += data
            self._answer()
            # pyte does not know these two queries and would print their tails.
            self.stream.feed(re.sub(rb"\x1b\[[?>=][0-9;]*[$a-zA-Z]+", b"", data))

    def _answer(self) -> None:
        if self._answer_s is None:
            return
        for found in re.finditer(rb"\x1b\[\?\d+\$p", self.received[self._asked :]):
            self._due.append((time.monotonic() + self._answer_s, ANSWERS[found[0]]))
        self._asked = max(self._asked, self.received.rfind(b"$p") + 2)

    def until(self, words: str) -> str:
        shown = self.shows(words, PATIENCE_S)
        text = "\n".join(self.screen.display)
        assert shown, f"{words!r} never came:\n{text}"
        return text

    def shows(self, words: str, patience_s: float) -> bool:
        """Read until words are on the screen, or return False after a time."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            self.read()
            if words in "\n".join(self.screen.display):
                return True
        return False

    def until_line(self, y: int, words: str) -> None:
        """Read until a line begins with words."""
        end = time.monotonic() + PATIENCE_S
        while not self.screen.display[y].startswith(words):
            assert time.monotonic() < end, "\n".join(self.screen.display)
            self.read()

    def until_drawn(self, times: int) -> None:
        """Read until output has come a number of times."""
        end = time.monotonic() + PATIENCE_S
        while times and time.monotonic() < end:
            before = len(self.received)
            self.read()
            times -= len(self.received) > before
        assert not times, "nothing is drawn any more"

    def until_quiet(self, seconds: float) -> None:
        """Read until no output has come for a number of seconds."""
        before, end = -1, time.monotonic() + PATIENCE_S
        while before != len(self.received):
            assert time.monotonic() < end, "the output never stops:\n" + "\n".join(self.screen.display)
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

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the terminal and erase the screen: what is then on it is drawn for that size."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)
        self.screen.erase_in_display(2)

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

    def send_in(self, seconds: float, data: bytes) -> None:
        """Have the terminal send something later, while it is read."""
        self._due.append((time.monotonic() + seconds, data))

    def restored(self) -> bool:
        """Whether every mode that was changed was put back, and the keyboard with its echo."""
        changes = re.findall(rb"\x1b\[\?([\d;]+)([hl])", self.received)
        last = {mode: way for modes, way in changes for mode in modes.split(b";")}
        wrong = [mode for mode, way in last.items() if (way == b"h") != (mode in (b"7", b"25"))]
        keyboard = self.received.count(b"\x1b[<u") - len(re.findall(rb"\x1b\[>\d+u", self.received))
        return not wrong and not keyboard and self.is_cooked()

    def is_cooked(self) -> bool:
        """Whether the line discipline echoes and collects lines, as shells want it."""
        wanted = termios.ECHO | termios.ICANON
        return bool(termios.tcgetattr(self.master)[3] & wanted == wanted)

    def left_for_the_shell(self, seconds: float) -> bytes:
        """Return what the program did not read of what the terminal sends until `seconds` from now."""
        end = time.monotonic() + seconds
        while self._due or time.monotonic() < end:
            self.read(0.02)
        found = termios.tcgetattr(self.slave)
        raw = [*found[:3], found[3] & ~termios.ICANON, *found[4:]]
        termios.tcsetattr(self.slave, termios.TCSANOW, raw)
        try:
            return os.read(self.slave, 4096) if select.select([self.slave], [], [], 0)[0] else b""
        finally:
            termios.tcsetattr(self.slave, termios.TCSANOW, found)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in filter(lambda fd: fd >= 0, (self.master, self.slave)):
            os.close(fd)
        self.master = self.slave = -1
