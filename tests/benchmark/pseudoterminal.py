"""A pseudo-terminal that keeps all that a program writes, with the time it came."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pyte

CHUNK = 1 << 16
PAUSE_S = 0.03
"""Output after such a pause is another frame."""
QUERIES = re.compile(rb"\x1b\[[?>=][0-9;]*[$a-zA-Z]+")
"""What pyte does not know and would print the tail of."""


class PseudoTerminal:
    """A program in a terminal of a given size. All times are seconds since it was started."""

    def __init__(self, command: Sequence[str], size: str, environment: Mapping[str, str]) -> None:
        self.columns, self.lines = map(int, size.split("x"))
        self.chunks: list[tuple[float, bytes]] = []
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", self.lines, self.columns, 0, 0))

        def prepare() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self._begun_s = time.monotonic()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=prepare, env=environment
        )
        os.close(slave)

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._begun_s

    def read_for(self, seconds: float) -> None:
        """Collect output for a number of seconds."""
        end = self.now_s + seconds
        while (left := end - self.now_s) > 0:
            if not self._read(left):
                return

    def answer_to(self, key: bytes, answer: bytes, patience_s: float = 2.0) -> float | None:
        """Type a key; return how long it takes until the answer, a pattern, has come."""
        begun, seen = self.now_s, len(self.chunks)
        os.write(self._master, key)
        while self.now_s - begun < patience_s and self._read(patience_s):
            if re.search(answer, b"".join(data for _, data in self.chunks[seen:])):
                return self.now_s - begun
        return None

    def _read(self, patience_s: float) -> bool:
        if select.select([self._master], [], [], patience_s)[0]:
            try:
                self.chunks.append((self.now_s, os.read(self._master, CHUNK)))
            except OSError:
                return False
        return True

    def close(self, quit_key: bytes) -> None:
        """Leave the program by its key; one that stays is ended."""
        os.write(self._master, quit_key)
        end = self.now_s + 5.0
        while self.process.poll() is None and self.now_s < end and self._read(0.05):
            pass
        try:
            self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def shows(self, pattern: str, within_s: float = 10.0) -> float | None:
        """Return when a pattern was first on the screen."""
        screen = pyte.Screen(self.columns, self.lines)
        stream = pyte.ByteStream(screen)
        for at_s, data in self.chunks:
            if at_s > within_s:
                break
            stream.feed(QUERIES.sub(b"", data))
            if re.search(pattern, "\n".join(screen.display)):
                return at_s
        return None

    def frames(self, begin_s: float, end_s: float) -> list[tuple[float, int]]:
        """Return when each frame began in a span of time, and its bytes."""
        chunks = [(at_s, len(data)) for at_s, data in self.chunks if begin_s <= at_s < end_s]
        frames: list[tuple[float, int]] = []
        last_s = float("-inf")
        for at_s, size in chunks:
            if at_s - last_s > PAUSE_S:
                frames.append((at_s, 0))
            frames[-1] = frames[-1][0], frames[-1][1] + size
            last_s = at_s
        return frames


def late_share(frames: Sequence[tuple[float, int]], interval_s: float) -> float | None:
    """Return the share of frames that came more than half an interval late."""
    gaps = [b - a for (a, _), (b, _) in pairwise(frames)]
    return sum(gap > 1.5 * interval_s for gap in gaps) / len(gaps) if gaps else None
