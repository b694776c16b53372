"""Read one side of a comparison from a file: a snapshot, a recording, or `--json` output."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from nvltop.analysis.monitor import Monitor
from nvltop.comparison.sides import Report, Side, time_s
from nvltop.model import Frame, LinkErrors, Reading, Tick, known, time_of
from nvltop.record.archive import read_file as read_regular_file
from nvltop.record.archive import read_member
from nvltop.record.chunks import Progress
from nvltop.record.cut import find_cut
from nvltop.record.format import RecordingError
from nvltop.record.positions import Position, parse_position
from nvltop.record.reader import open_recording
from nvltop.report.json import SCHEMA, to_json

SNAPSHOT_REPORT: Final = "snapshot.json"
MAX_JSON_BYTES: Final = 256 << 20
"""Size from which JSON input is refused; a report of 16 GPUs takes 0.4 MB."""
PLACEHOLDER: Final = re.compile(r"GPU-a\d+")
"""UUID of a GPU in a redacted report."""
OUTSIDE_S: Final = 60.0
"""Seconds after the end of a recording from which a time is not in it."""
LAST_TICK: Final = Position("the end", 0.0, from_end=True)


class SourceError(Exception):
    """The reason why a file cannot be compared, in one line."""

    def __init__(self, message: str, usage: bool = False) -> None:
        """Take the reason; `usage` says that the argument itself is wrong."""
        super().__init__(message)
        self.usage = usage


ProgressOf = Callable[[str], Progress]
"""Returns the progress callback of a file."""


def no_progress(path: str) -> Progress:
    """Return a callback that shows nothing."""
    return lambda done, total: None


def read_file(
    argument: str, progress: ProgressOf = no_progress, brief: bool = False, after_s: float | None = None
) -> Side:
    """Read a side from a file or folder, with `@TIME` a recording at that time. Raises `SourceError`.

    `brief` reads only the last segment of a recording before that time: states and counters are those of that
    time, without rates over time and without findings that need a longer past. The first increase of each
    error counter after the Unix time `after_s` is dated.
    """
    path, position = _split(argument)
    name = os.path.basename(argument.rstrip("/")) or argument
    try:
        report = _json_report(path)
        if report is not None and position and not _is_snapshot(path):
            raise SourceError(
                f"{argument}: JSON output has one time only; name it without @{position.text}", usage=True
            )
        if report is None or position:
            return _of_recording(name, path, _Fold(path, position, progress, brief, after_s))
        if _is_snapshot(path) and not brief:
            fold = _Fold(path, None, progress, after_s=after_s)
            return replace(_side(name, report, fold.rates, fold.rated_s), rose_s=_by_index(fold))
        return _side(name, report, {})
    except RecordingError as error:
        raise SourceError(str(error)) from None


def side_of(
    name: str, frame: Frame, rates: dict[str, list[float]] | None = None, rated_s: float = 0.0
) -> Side:
    """Return a frame as a side, with the rates of the last `rated_s` seconds."""
    # Through text: enumerations become their words, as in a file.
    return _side(name, json.loads(json.dumps(to_json(frame))), rates or {}, rated_s)


def add_rates(rates: dict[str, list[float]], frame: Frame) -> None:
    """Add the rates of the GPUs of a frame to those before it."""
    for gpu in frame.gpus:
        for direction, rate in (("TX", gpu.nvlink.tx_bytes_per_s), ("RX", gpu.nvlink.rx_bytes_per_s)):
            if known(rate) and not gpu.stale:
                rates[f"{gpu.gpu.index} {direction}"].append(rate)


def _split(argument: str) -> tuple[Path, Position | None]:
    """Split `FILE@TIME`; a file whose name contains the @ wins if it exists."""
    file, at, time = argument.rpartition("@")
    if not at or os.path.lexists(argument):
        return Path(argument), None
    try:
        return Path(file), parse_position(time)
    except ValueError as error:
        raise SourceError(f"{argument}: {error}", usage=True) from None


def _is_snapshot(path: Path) -> bool:
    return path.is_dir() or path.name.endswith((".tar.gz", ".tgz", ".tar"))


def _json_report(path: Path) -> Report | None:
    """Return the newest report of a snapshot or of `--json` output; None for another kind of file."""
    if _is_snapshot(path):
        return _parse(read_member(path, SNAPSHOT_REPORT))
    text = read_regular_file(path, MAX_JSON_BYTES, b"{", b'"schema":')
    return None if text is None else _parse(text)


def _parse(text: bytes) -> Report | None:
    """Return the last complete report; None if the schema is that of a recording."""
    for line in reversed(text.strip().split(b"\n") if b"\n{" in text else [text]):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue  # cut off, or one line of an indented report
        if isinstance(found, dict) and found.get("schema") == SCHEMA:
            return found
        return None
    return None


def _of_recording(name: str, path: Path, fold: _Fold) -> Side:
    side = side_of(name, fold.monitor.frame(), fold.rates, fold.rated_s)
    return replace(side, warning=fold.warning, rose_s=_by_index(fold))


def _by_index(fold: _Fold) -> dict[tuple[int, int, str], float]:
    """Return when counters rose first, by the index of their GPU."""
    index_of = {g.gpu.uuid: g.gpu.index for g in fold.monitor.frame().gpus}
    return {
        (index_of[uuid], link, kind): wall_s
        for (uuid, link, kind), wall_s in fold.rose_s.items()
        if uuid in index_of
    }


class _Fold:
    """A recording up to a position (None: its end): the state of the node there, and the rates until then."""

    def __init__(
        self,
        path: Path,
        position: Position | None,
        progress: ProgressOf,
        brief: bool = False,
        after_s: float | None = None,
    ) -> None:
        self.monitor = Monitor()
        self.rates: dict[str, list[float]] = defaultdict(list)
        self.rated_s = 0.0
        """Time over which the rates were read, seconds."""
        self.rose_s: dict[tuple[str, int, str], float] = {}
        """Unix time of the first increase of each counter after `after_s`, by UUID, link and kind."""
        self._errors: dict[str, LinkErrors] = {}
        """Newest counters, by UUID."""
        cut = None
        if position or brief:
            at = position or LAST_TICK
            cut = find_cut(path, at, at)
        first: Tick | None = None
        ticked: Tick | None = None
        with open_recording(path, progress(str(path)), cut.offset if cut and brief else 0) as recording:
            for item in recording:
                if cut and position and time_of(item) > cut.to_s:
                    break
                self.monitor.update(item)
                if isinstance(item, Reading) and isinstance(item.data, LinkErrors):
                    self._date_increases(item, item.data, after_s or 0.0)
                if isinstance(item, Tick):
                    first, ticked = first or item, item
                    if not brief:
                        add_rates(self.rates, self.monitor.frame())
            else:
                if ticked and cut and position and cut.to_s > ticked.mono_s + OUTSIDE_S:
                    end = datetime.fromtimestamp(ticked.wall_s).isoformat(" ", "seconds")
                    raise RecordingError(f"{path}: the recording ends at {end}, before {position.text}")
        self.warning = recording.warning or ""
        self.rated_s = ticked.mono_s - first.mono_s if ticked and first else 0.0
        if ticked is None:
            when = (
                f"there is nothing before {position.text}" if position else "it ends before its first second"
            )
            raise RecordingError(f"{path}: {when}")

    def _date_increases(self, reading: Reading, errors: LinkErrors, after_s: float) -> None:
        """Date the first increase of each counter after a time."""
        gpu = reading.gpu or ""
        before, self._errors[gpu] = self._errors.get(gpu), errors
        if before is None or reading.wall_s <= after_s or before.counts == errors.counts:
            return
        for kind, counts in errors.counts.items():
            for link, (a, b) in enumerate(zip(before.counts.get(kind, ()), counts, strict=False)):
                if known(a) and known(b) and b > a:
                    self.rose_s.setdefault((gpu, link, kind), reading.wall_s)


def _side(name: str, report: Report, rates: dict[str, list[float]], rated_s: float = 0.0) -> Side:
    if not isinstance(report.get("gpus"), list):
        raise SourceError(f"{name}: not a complete report")
    redacted = any(PLACEHOLDER.fullmatch(str(gpu.get("uuid"))) for gpu in report["gpus"])
    return Side(name, report, time_s(report.get("time")), redacted, rates, rated_s)
