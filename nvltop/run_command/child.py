"""The command as a child process: signals sent to nvltop reach it, and its exit code is passed on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from typing import Final

NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
"""Exit codes of shells for a command that cannot be run, and one that does not exist."""
SIGNALED: Final = 128
"""Exit code of shells for a command that a signal ended: this plus the signal's number."""
FORWARDED: Final = frozenset(
    {
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
    }
)
SENT_BY_KERNEL: Final = 128
"""`si_code` SI_KERNEL: the terminal sent the signal, to every process of the foreground group."""


class CommandNotRunError(OSError):
    """The command could not be started; the message is one line for the user."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Child:
    """A running command. Create it in the main thread, before other threads."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start the command with this process's stdin, stdout and stderr. Raises `CommandNotRunError`."""
        # Blocked in every thread, so that the thread below receives them, with the reason for each.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        try:
            self.pid = os.posix_spawnp(
                command[0],
                list(command),
                os.environ,
                setsigmask=before,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores both
            )
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            raise CommandNotRunError(f"{command[0]}: {error.strerror}", code) from None
        self.ended = threading.Event()
        self.exit_code = 0
        """Exit code as a shell reports it; valid once `ended` is set."""
        self._lock = threading.Lock()
        for work, name in ((self._wait, "wait"), (self._forward, "signals")):
            threading.Thread(target=work, name=name, daemon=True).start()

    def _wait(self) -> None:
        # The process stays a zombie until no signal can be sent to its number any more.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            _, status = os.waitpid(self.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            self.exit_code = SIGNALED - code if code < 0 else code
            self.ended.set()

    def _forward(self) -> None:
        while True:
            found = signal.sigwaitinfo(FORWARDED)
            if found.si_code == SENT_BY_KERNEL:
                continue  # the child is in the same process group and has received it, too
            with self._lock:
                if not self.ended.is_set():
                    os.kill(self.pid, found.si_signo)
