"""A watchdog that restores the terminal after SIGKILL or a memory fault, which a process cannot handle.

The watchdog is a shell that reads from a pipe until our end of it closes. Through the pipe it learns whether
the screen is on the terminal. It needs only `printf` and `stty`, takes 1.6 MB of memory, and sleeps while
nvltop runs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import termios
from typing import Any, Final

SHELL_PATH: Final = "/bin/sh"
SEARCH_PATH: Final = "/usr/bin:/bin"
SCRIPT: Final = """\
trap '' HUP INT QUIT TERM
state=free
while read -r line; do state=$line; done
[ "$state" = taken ] || exit 0
printf '%b' "$1"
shift
stty "$@" <&1
"""
INPUT_FLAGS: Final = {"ixon": termios.IXON, "ixoff": termios.IXOFF, "icrnl": termios.ICRNL,
                "inlcr": termios.INLCR, "igncr": termios.IGNCR}  # fmt: skip
LOCAL_FLAGS: Final = {
    "echo": termios.ECHO,
    "icanon": termios.ICANON,
    "iexten": termios.IEXTEN,
    "isig": termios.ISIG,
}
"""Terminal modes that Textual changes, by their names in `stty`."""


class Watchdog:
    """The shell process, and our end of its pipe; does nothing on machines without a shell."""

    def __init__(self, terminal: int, found: list[Any], leave: str) -> None:
        """If this process dies, send `leave` to `terminal` and restore the modes `found`."""
        self._pipe = -1
        words = [name if found[0] & bit else f"-{name}" for name, bit in INPUT_FLAGS.items()]
        words += [name if found[3] & bit else f"-{name}" for name, bit in LOCAL_FLAGS.items()]
        sent = leave.replace("\\", "\\\\").replace("\x1b", "\\033").replace("\r", "\\r").replace("\n", "\\n")
        reading, writing = os.pipe()
        with contextlib.suppress(OSError):
            subprocess.Popen(
                [SHELL_PATH, "-c", SCRIPT, "nvltop-watchdog", sent, *words],
                stdin=reading,
                stdout=terminal,
                stderr=subprocess.DEVNULL,
                env={"PATH": SEARCH_PATH},
                cwd="/",
                start_new_session=True,
            ).returncode = 0  # nobody waits for this process
            self._pipe, writing = writing, -1
        for fd in filter(lambda fd: fd >= 0, (reading, writing)):
            os.close(fd)

    def report(self, taken: bool) -> None:
        """Report whether the screen is on the terminal from now on."""
        if self._pipe >= 0:
            with contextlib.suppress(OSError):
                os.write(self._pipe, b"taken\n" if taken else b"free\n")
