"""Sends a signal to the process that is meant, and to no other that has its number by now."""

from __future__ import annotations

import os
import signal

SAME_S = 0.02
"""Two readings of one process's start differ by less (the kernel counts in ticks of 10 ms)."""


def send(pid: int, started_s: float, number: int) -> str:
    """Send a signal; returns why it could not be sent, empty if it was.

    A pidfd holds on to the process while its start is compared; without one (before Linux 5.3) a
    moment stays in which the number could change hands.
    """
    import psutil  # of the screen, only this needs it, and hardly ever

    try:
        fd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
    except ProcessLookupError:
        return f"process {pid} has ended"
    except OSError:
        fd = -1
    try:
        if abs(psutil.Process(pid).create_time() - started_s) > SAME_S:
            return f"process {pid} has ended, another one has its number"
        if fd >= 0 and hasattr(signal, "pidfd_send_signal"):
            signal.pidfd_send_signal(fd, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return f"process {pid} has ended"
    except (PermissionError, psutil.AccessDenied):
        return f"not permitted to signal process {pid}: it belongs to another user"
    finally:
        if fd >= 0:
            os.close(fd)
    return ""
