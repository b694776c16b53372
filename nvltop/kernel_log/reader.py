"""Reader of log lines: joins records that span several lines, and separates the boots of a log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from nvltop.kernel_log import driver, fabric
from nvltop.kernel_log.decode import bus_id, decode, is_detail
from nvltop.kernel_log.records import DRIVERS, FABRIC_MANAGER, IMEX, KERNEL, Record, continues, frame
from nvltop.model import LogEvent, LogFault

BOOT: Final = re.compile(r"-- (?:Reboot|Boot ([0-9a-f]{32})) --")
"""Line that journalctl writes between the lines of two boots."""
MAX_LINE: Final = 16384
"""Characters of a line that are examined."""
MAX_OPEN: Final = 64
"""Limit of the NVSwitches whose last SXid is stored, to recognise its second and third line."""
DETAIL_S: Final = 2.0
"""Seconds after the first line of an SXid within which its second and third line are expected."""


class LogReader:
    """Turns the lines of a log into events; `feed` takes them in order."""

    def __init__(self, newest_s: float) -> None:
        """Take the Unix time after which no line was written."""
        self._newest_s = newest_s
        self._lost: tuple[Record, str | None] | None = None
        """First line about a GPU that cannot be used, until the line with the reason."""
        self._sxids: dict[str, tuple[LogFault, Record]] = {}
        self._fabric: Record | None = None
        """Fabric manager record that may continue in the next line."""
        self._boot: str | None = None
        self._boots = 0
        self._uptime_s: float | None = None
        self.facts: list[tuple[Record, fabric.FabricFact]] = []
        """Facts from fabric manager records that are not faults; the caller removes them."""
        self.records = 0
        """Records of the drivers, the fabric manager and IMEX so far."""

    def feed(self, line: str) -> Iterable[LogEvent]:
        """Return the events that a line completes."""
        line = line[:MAX_LINE]
        if self._fabric is not None and continues(line):
            if len(self._fabric.text) < fabric.MAX_TEXT:
                self._fabric = self._fabric._replace(text=f"{self._fabric.text} {line.strip()}")
            return ()
        if line.startswith("-- "):
            if boot := BOOT.match(line):
                self._next_boot(boot[1])
            return ()
        record = frame(line, self._newest_s)
        return () if record is None else self.take(record)

    def take(self, record: Record) -> Iterable[LogEvent]:
        """Return the events that a record completes."""
        before = () if self._fabric is None else tuple(self._flush())
        if record.source == KERNEL:
            text = record.text
            if "\n" not in text:
                event = self._kernel(record)
                return before if event is None else (*before, event)
            # The driver prints several lines in one message.
            lines = [record._replace(text=line.strip()) for line in text.splitlines()]
            return (*before, *filter(None, map(self._kernel, lines)))
        if record.source in (FABRIC_MANAGER, IMEX):
            self._fabric = record
        return before

    def close(self) -> Iterator[LogEvent]:
        """Yield the events of records that were incomplete at the end of the log."""
        yield from self._flush()

    def _next_boot(self, name: str | None) -> None:
        self._boots += 1
        self._boot = name or f"boot {self._boots}"
        self._uptime_s = None
        self._sxids.clear()

    def _flush(self) -> Iterator[LogEvent]:
        record, self._fabric = self._fabric, None
        if record is None:
            return
        self.records += 1
        if (fact := fabric.fact(record)) is not None:
            self.facts.append((record, fact))
        elif (fault := fabric.decode(record)) is not None:
            yield LogEvent(fault, record.source, record.wall_s, None, record.boot)

    def _kernel(self, record: Record) -> LogEvent | None:
        text = record.text
        if not text.startswith(DRIVERS):
            if text.startswith("Linux version ") and record.boot is None:
                self._next_boot(None)
            return None
        self.records += 1
        if "Xid" not in text:
            if (head := driver.LOST_HEAD.match(text)) is not None:
                self._lost = record, bus_id(head[1])
                return None
            if self._lost is not None and driver.LOST_TAIL.search(text):
                first, where = self._lost
                self._lost = None
                return self._event(first, driver.lost(where))
        fault = decode(text)
        if fault is None:
            return None
        if fault.kind != "sxid":
            return self._event(record, fault)
        if self._belongs(fault, record):
            return None
        event = self._event(record, fault)
        if len(self._sxids) < MAX_OPEN:
            self._sxids[fault.pci_bus_id or ""] = fault, record
        return event

    def _belongs(self, fault: LogFault, record: Record) -> bool:
        """Return whether a line is the second or third one of an SXid that was reported already."""
        if not is_detail(fault):
            return False
        before = self._sxids.get(fault.pci_bus_id or "")
        return before is not None and before[0].code == fault.code and _near(before[1], record)

    def _event(self, record: Record, fault: LogFault) -> LogEvent:
        if record.uptime_s is not None and record.boot is None:
            if self._uptime_s is not None and record.uptime_s < self._uptime_s - 60:
                self._next_boot(None)
            self._uptime_s = record.uptime_s
        boot = record.boot if record.boot is not None else self._boot
        return LogEvent(fault, record.source, record.wall_s, record.uptime_s, boot)


def _near(first: Record, second: Record) -> bool:
    for a, b in ((first.uptime_s, second.uptime_s), (first.wall_s, second.wall_s)):
        if a is not None and b is not None:
            return abs(b - a) <= DETAIL_S
    return True


def placed(event: LogEvent, offset_s: float) -> LogEvent:
    """Return an event with its Unix time, `offset_s` being the Unix time at which its clock began."""
    if event.wall_s is not None or event.uptime_s is None:
        return event
    return event._replace(wall_s=event.uptime_s + offset_s)
