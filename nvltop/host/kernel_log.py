"""Reader of the kernel log, as far as this user may: /dev/kmsg, else the journal, else nothing.

Only records about NVIDIA devices are passed on. Nothing here needs root or starts a program that has more
rights than nvltop.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from nvltop.host.log_files import FollowedFile
from nvltop.host.safe_read import error_reason
from nvltop.host.sysfs import proc_root
from nvltop.kernel_log import decode, driver, fabric
from nvltop.kernel_log.records import (
    DRIVERS,
    FABRIC_MANAGER,
    IMEX,
    KERNEL,
    Record,
    continues,
    frame,
    from_json,
)
from nvltop.model import LOG_ACCESS, LogLine
from nvltop.text import clean

JOURNALCTL: Final = ("/usr/bin/journalctl", "/bin/journalctl")
JOURNAL_ARGUMENTS: Final = (
    "--quiet", "--no-pager", "--output=json", "--since=-7d", "--lines=all", "--follow",
    "--output-fields=MESSAGE,_BOOT_ID,_TRANSPORT,SYSLOG_FACILITY,_SOURCE_MONOTONIC_TIMESTAMP",
    "_TRANSPORT=kernel",
)  # fmt: skip
"""One look at the last week, then following: `-k` alone would show this boot only."""
CLEAN_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
ACCESS_STEP: Final = (
    "kernel log not readable: add this user to the group systemd-journal or adm, or give nvltop CAP_SYSLOG"
)
FILES_S: Final = 5.0
"""Seconds between two looks at the files of the fabric manager and IMEX."""
RETRY_S: Final = 60.0
"""Seconds after which a source that failed is tried again."""
RECORD: Final = 1 << 16
MAX_LINES: Final = 1000
"""Lines that are passed on at the start, the newest ones, and later within `FLOOD_S`."""
FLOOD_S: Final = 60.0
OF_INTEREST: Final = (*DRIVERS, "imekeeping suspended")
"""Each record that is passed on, or matched by `SUSPENDED`, contains one of these texts."""
SUSPENDED: Final = re.compile(r"[Tt]imekeeping suspended for (\d+\.?\d*) seconds")
PR_SET_PDEATHSIG: Final = 1

Send = Callable[[LogLine], None]


def dev_root() -> Path:
    """Return where the host's /dev is; `HOST_DEV` says so in containers."""
    return Path(os.environ.get("HOST_DEV") or "/dev")


def log_root() -> Path:
    """Return where the host's /var/log is; `HOST_LOG` says so in containers."""
    return Path(os.environ.get("HOST_LOG") or "/var/log")


class KernelLogReader:
    """Reads the logs on a thread of its own until it is stopped."""

    def __init__(self, send: Send, stop: threading.Event) -> None:
        self._send, self._stop = send, stop
        self._files = (
            (FollowedFile(log_root() / "fabricmanager.log"), FABRIC_MANAGER),
            (FollowedFile(log_root() / "nvidia-imex.log"), IMEX),
        )
        self._files_due_s = 0.0
        self._access: str | None = None
        self._second_s, self._sent = 0.0, 0

    def run(self) -> None:
        """Read until the stop event is set; whatever fails here, the rest of nvltop goes on."""
        try:
            self._run()
        except Exception as error:  # a log may hold anything
            self._report(f"kernel log not read: {error_reason(error)}")

    def _run(self) -> None:
        """Read the best source that there is; try again later where there is none."""
        while not self._stop.is_set():
            if not self._read_kmsg() and not self._read_journal():
                self._report(ACCESS_STEP)
            until_s = time.monotonic() + RETRY_S
            while time.monotonic() < until_s and not self._stop.is_set():
                self._read_files()
                self._stop.wait(FILES_S)

    def _report(self, text: str) -> None:
        """Send what access there is, when it changes."""
        if text != self._access:
            self._access = text
            self._send(LogLine(time.monotonic(), time.time(), LOG_ACCESS, text))

    def _pass_on(self, lines: Iterable[LogLine]) -> None:
        """Send lines, but no flood of them: who began a fault is in its first lines."""
        for line in lines:
            if line.mono_s - self._second_s >= FLOOD_S:
                self._second_s, self._sent = line.mono_s, 0
            self._sent += 1
            if self._sent <= MAX_LINES:
                self._send(line)

    def _read_kmsg(self) -> bool:
        """Read /dev/kmsg until it fails; return whether it could be read."""
        try:
            fd = os.open(dev_root() / "kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return self._follow(fd)
        finally:
            os.close(fd)

    def _follow(self, fd: int) -> bool:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        clock = KernelClock()
        try:
            # The buffer of a large machine holds 16 MiB; few of its records are about the driver.
            records = [text for text in records_of(fd) if any(word in text for word in OF_INTEREST)]
        except OSError:
            return False
        self._report("")
        self._pass_on(clock.look_back(records)[-MAX_LINES:])
        while not self._stop.is_set():
            self._read_files()
            poll.poll(1000 * FILES_S)
            try:
                for record in records_of(fd):
                    self._pass_on(clock.lines(record))
            except OSError:
                return True
        return True

    def _read_journal(self) -> bool:
        """Follow the journal until it ends; return whether it had anything to read."""
        program = next((path for path in JOURNALCTL if os.access(path, os.X_OK)), None)
        if program is None:
            return False
        try:
            process = subprocess.Popen(
                [program, *JOURNAL_ARGUMENTS],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=CLEAN_ENVIRONMENT,
                close_fds=True,
                preexec_fn=_die_with_parent,
            )
        except OSError:
            return False
        try:
            return self._follow_journal(process)
        finally:
            process.kill()
            process.wait()

    def _follow_journal(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.stdout is not None
        fd = process.stdout.fileno()
        os.set_blocking(fd, False)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        journal, rest, readable = Journal(), b"", False
        while not self._stop.is_set():
            self._read_files()
            if not poll.poll(1000 * FILES_S):
                continue
            try:
                data = os.read(fd, RECORD)
            except BlockingIOError:
                continue
            if not data:
                return readable
            readable = True
            self._report("")
            *whole, rest = (rest + data).split(b"\n")
            for raw in whole:
                self._pass_on(journal.lines(raw))
            rest = rest if len(rest) < 16 * RECORD else b""
        return True

    def _read_files(self) -> None:
        now_s = time.monotonic()
        if now_s < self._files_due_s:
            return
        self._files_due_s = now_s + FILES_S
        for file, source in self._files:
            self._pass_on(log_lines(file.lines(), source))


def _die_with_parent() -> None:
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


_LIBC: Final = ctypes.CDLL(None)


def records_of(fd: int) -> Iterator[str]:
    """Yield the records that can be read now, one per read; records that were overwritten are left out."""
    while True:
        try:
            data = os.read(fd, RECORD)
        except BlockingIOError:
            return
        except BrokenPipeError:
            continue
        if not data:
            return
        yield data.decode(errors="replace")


class KernelClock:
    """Turns the kernel's clock, which stands still in suspend, into Unix time."""

    def look_back(self, records: list[str]) -> list[LogLine]:
        """Return the lines of the records that were there at the start, oldest first."""
        found: list[list[LogLine]] = []
        suspended_s = 0.0
        for text in reversed(records):
            record = framed(text)
            if record is None or record.uptime_s is None:
                continue
            if match := SUSPENDED.search(record.text):
                # All records before this one are older by the time in suspend.
                suspended_s += float(match[1])
            found.append(self._lines(record, suspended_s))
        return [line for lines in reversed(found) for line in lines]

    def lines(self, text: str) -> list[LogLine]:
        """Return the lines of a record that was written just now."""
        record = framed(text)
        return [] if record is None else self._lines(record, 0.0)

    def _lines(self, record: Record, suspended_s: float) -> list[LogLine]:
        if record.uptime_s is None or not record.text.startswith(DRIVERS):
            return []
        age_s = max(0.0, time.monotonic() - record.uptime_s) + suspended_s
        return kernel_lines(record._replace(wall_s=time.time() - age_s))


def framed(text: str) -> Record | None:
    """Return the record of what one read of /dev/kmsg gave; lines with fields of the device follow it."""
    return frame(text.partition("\n")[0], 0.0)


def kernel_lines(record: Record, boot_s: float | None = None) -> list[LogLine]:
    """Return the lines of a kernel record that are about a fault; a record may have several."""
    found = []
    for text in record.text.splitlines():
        text = text.strip()
        lost = driver.LOST_HEAD.match(text) or driver.LOST_TAIL.search(text)
        if decode.decode(text) is None and not lost:
            continue
        text = clean(decode.without_process(text))
        found.append(
            LogLine(time.monotonic(), time.time(), KERNEL, text, record.wall_s, record.uptime_s, "", boot_s)
        )
    return found


class Journal:
    """Turns entries of `journalctl -o json` into lines, and distinguishes the boots."""

    def __init__(self) -> None:
        self._boot = boot_id()
        self._boots: dict[str, float] = {}
        """Unix time of the first entry of interest of each earlier boot."""

    def lines(self, raw: bytes) -> list[LogLine]:
        """Return the lines of an entry."""
        if b"NVRM" not in raw and b"nvidia-nvswitch" not in raw:
            return []
        record = from_json(raw.decode(errors="replace"))
        if record is None or record.source != KERNEL or not record.text.startswith(DRIVERS):
            return []
        boot_s = None
        if record.boot is not None and record.boot != self._boot and record.wall_s is not None:
            boot_s = self._boots.setdefault(record.boot, record.wall_s)
        return kernel_lines(record, boot_s)


def boot_id() -> str | None:
    """Return the id of the current boot as the journal writes it, None if it cannot be read."""
    try:
        return (proc_root() / "sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    except OSError:
        return None


def log_lines(lines: Iterator[str], source: str) -> Iterator[LogLine]:
    """Yield the records of a fabric manager or IMEX log that show a fault or a fact."""
    record: Record | None = None
    for line in lines:
        if record is not None and continues(line):
            record = record._replace(text=f"{record.text} {line.strip()}"[: fabric.MAX_TEXT])
            continue
        if record is not None:
            yield from _of_interest(record)
        framed = frame(line, time.time())
        record = framed._replace(source=source) if framed and framed.level else None
    if record is not None:
        yield from _of_interest(record)


def _of_interest(record: Record) -> Iterator[LogLine]:
    if fabric.fact(record) is not None or fabric.decode(record) is not None:
        yield LogLine(
            time.monotonic(),
            time.time(),
            record.source,
            clean(record.text),
            record.wall_s,
            None,
            record.level,
        )
