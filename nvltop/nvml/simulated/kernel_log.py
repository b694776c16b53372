"""What the drivers of a simulated machine write into the kernel log: real lines, read by the real decoder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from nvltop.host.kernel_log import kernel_lines
from nvltop.kernel_log.records import KERNEL, Record
from nvltop.model import LogLine
from nvltop.nvml.simulated.faults import XID_EVENT, XID_LOST, XID_NVLINK, XID_NVLINK5, XID_PEER5
from nvltop.nvml.simulated.library import Library
from nvltop.nvml.simulated.machine import Machine

ZEROS = "0x00000000 0x00000000 0x00000000 0x00000000"
LOCAL_FAULT = 4
"""Sub-code of Xid 149 that blames the signal of this link."""


class SimulatedKernelLog:
    """Sends the lines of the scenario's faults at their times."""

    def __init__(self, library: Library, send: Callable[[LogLine], None], stop: threading.Event) -> None:
        self._library, self._send, self._stop = library, send, stop

    def run(self) -> None:
        """Wait for each line's time and send it, until the stop event is set."""
        for at_s, text in messages(self._library.machine):
            if self._stop.wait(max(0.0, at_s - self._library.t)):
                return
            now_s = time.time()
            for line in kernel_lines(Record(text, KERNEL, now_s, time.monotonic())):
                self._send(line)


def messages(machine: Machine) -> Iterator[tuple[float, str]]:
    """Yield the messages of a scenario with their times, in order."""
    link = machine.faulty_link[1] if machine.faulty_link else 0
    node = machine.node
    for event in machine.faults.events():
        if event.type == XID_EVENT:
            where = f"{node.domain:04x}:{node.buses[event.gpu]:02x}:00"
            yield event.t, f"NVRM: Xid (PCI:{where}): {event.data}, {_text(event.data, event.gpu, link)}"


def _text(code: int, gpu: int, link: int) -> str:
    process = f"pid={4100 + gpu}, name=python3, "
    if code == XID_LOST:
        return "GPU has fallen off the bus."
    if code == XID_NVLINK5:
        word = 0x5C6 | LOCAL_FAULT << 20 | link << 13
        return f"NETIR_LINK_EVT Fatal XC0 i0 Link {link:02d} ({word:#010x} 0x00000000 {ZEROS})"
    if code == XID_PEER5:
        return f"{process}RLW_SRC_TRACK Nonfatal XC1 i0 Link {link:02d} (0x040868e2 0x00000008 {ZEROS})"
    if code == XID_NVLINK:
        return f"{process}NVLink: fatal error detected on link {link}(0x200000, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0)"
    return f"{process}Ch 00000008"
