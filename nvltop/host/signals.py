"""Sends a signal to the process that is meant, and to no other that has its number by now."""

from __future__ import annotations

import os
import signal

from nvltop.host.procfs import read_stat


def send_signal(pid: int, start_ticks: int, number: int) -> str:
    """Send a signal; returns why it could not be sent, empty if it was.

    A process is known by when it started, in the kernel's ticks since boot (field 22 of /proc/PID/stat),
    which do not move when the clock is set. A pidfd holds on to it while that is compared; without one
    (before Linux 5.3) a moment stays in which the number could change hands.
    """
    try:
        fd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
    except ProcessLookupError:
        return f"process {pid} has ended"
    except OSError:
        fd = -1
    try:
        if read_stat(pid).start_ticks != start_ticks:
            return f"process {pid} has ended, another one has its number"
        if fd >= 0 and hasattr(signal, "pidfd_send_signal"):
            signal.pidfd_send_signal(fd, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, FileNotFoundError):
        return f"process {pid} has ended"
    except PermissionError:
        return f"not permitted to signal process {pid}: it belongs to another user"
    except (OSError, ValueError):
        return f"process {pid}: /proc does not tell which process it is"
    finally:
        if fd >= 0:
            os.close(fd)
    return ""
