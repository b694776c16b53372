"""Sending a signal to a process, but not to another process that has got its pid since."""

from __future__ import annotations

import os
import signal

from nvltop.host.procfs import read_stat


def send_signal(pid: int, start_ticks: int, number: int) -> str:
    """Send a signal; return why it could not be sent, or an empty string.

    The process is identified by its start time in ticks since boot (field 22 of /proc/PID/stat), which does
    not change when the clock is set. A pidfd refers to the process while the start times are compared.
    Without pidfds (before Linux 5.3) the pid could be reused between the comparison and the signal.
    """
    try:
        fd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
    except ProcessLookupError:
        return f"process {pid} has ended"
    except OSError:
        fd = -1
    try:
        if read_stat(pid).start_ticks != start_ticks:
            return f"process {pid} has ended, and another process has its pid"
        if fd >= 0 and hasattr(signal, "pidfd_send_signal"):
            signal.pidfd_send_signal(fd, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, FileNotFoundError):
        return f"process {pid} has ended"
    except PermissionError:
        return f"not permitted to signal process {pid}: it belongs to another user"
    except (OSError, ValueError):
        return f"process {pid}: /proc does not show which process it is"
    finally:
        if fd >= 0:
            os.close(fd)
    return ""
