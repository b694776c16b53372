"""A snapshot: the present frame and its recent past, redacted, as files for a bug report.

The modules that write the files are imported with the first snapshot, since most runs never take one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from nvltop.analysis.jobs import group_jobs, partners_of
from nvltop.analysis.rate_history import RateHistory
from nvltop.frozen import frozen
from nvltop.host.versions import versions
from nvltop.model import Finding, Frame, Severity
from nvltop.record.archive import RECORDING
from nvltop.record.flight_recorder import FlightRecorder, HeldItems
from nvltop.record.redact import Redactor
from nvltop.report.secrets import without_secrets

SERIES_S: Final = 300.0
"""Time span of the sparklines in seconds."""
SERIES_COLUMNS: Final = 30
"""Most values in a sparkline."""
RECENT_CELL_S: Final = 0.5
"""Time that a column of the sparkline of the newest traffic covers, seconds; longer if reading is slower."""
RECENT_COLUMNS: Final = 40
"""Values in the sparkline of the newest traffic."""
REPEAT_AFTER_S: Final = 3600.0
"""Seconds in which a rule causes at most one snapshot."""
SERIES_KEYS: Final = ("tx", "rx", "pcie_tx", "pcie_rx")


def redactor(full: bool) -> Redactor:
    """Return the redactor of snapshots; with `full` it keeps the arguments of processes, without secrets."""
    return Redactor(arguments=without_secrets if full else None)


@frozen
class SnapshotFiles:
    """The files of a snapshot, except for the recording, which is not made yet."""

    report: str
    files: dict[str, bytes]
    held: HeldItems
    """The items of the recording."""
    wall_s: float

    def save(self, path: Path) -> Path:
        """Write the files to a new folder or archive and return its path; raise `SnapshotError`.

        Making the recording takes some seconds, so call this on a thread where something is drawn.
        """
        from nvltop.snapshot.sections.files import save

        return save(path, {**self.files, RECORDING: self.held.recording()}, self.wall_s)


def redacted(frame: Frame, redact: Redactor, uuids: bool = False) -> Frame:
    """Return the frame redacted; jobs are derived again, because their labels contain names.

    With `uuids`, GPUs keep their UUIDs, by which they are looked up.
    """
    shown = redact.but_gpus(frame) if uuids else redact(frame)
    return replace(shown, jobs=group_jobs(shown.processes, shown.gpus, shown.matrix, partners_of(shown.jobs)))


def snapshot_files(
    frame: Frame,
    history: RateHistory,
    ring: FlightRecorder,
    screen: str,
    cause: str,
    replayed: bool = False,
    nccl_report: Sequence[str] = (),
) -> SnapshotFiles:
    """Return the files of a snapshot; `screen` is the SVG image, `cause` the reason for taking it.

    Names are removed from the values, not from the texts made of them: a host may be named `gpu1`.
    """
    from nvltop.report.json import to_json
    from nvltop.snapshot.sections import Snapshot, to_markdown

    redact = ring.redact
    shown = redacted(frame, redact)
    step_s, series = _series(frame, shown, history)
    recent_step_s, recent = _recent(frame, shown, history)
    cause = redact.text(cause)
    report = to_markdown(
        Snapshot(
            frame=shown,
            cause=cause,
            removed=redact.removed,
            versions={name: redact.text(version) for name, version in versions().items()},
            series=series,
            step_s=step_s,
            recent=recent,
            recent_step_s=recent_step_s,
            nccl_report=[redact.text(line) for line in nccl_report],
            replayed=replayed,
        )
    )
    values = {**to_json(shown), "removed": list(redact.removed), "cause": cause}
    texts = {
        "report.md": report,
        "snapshot.json": json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False),
        "screen.svg": screen,
    }
    files = {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()}
    return SnapshotFiles(report, files, ring.held(), frame.tick.wall_s)


def _series(
    frame: Frame, shown: Frame, history: RateHistory
) -> tuple[float, dict[tuple[str, str], Sequence[float]]]:
    """Return the seconds per value, and the last minutes of each GPU by its redacted UUID."""
    watched_s = max(1.0, frame.tick.wall_s - frame.started_s)
    wanted_s = min(SERIES_S, watched_s)
    series: dict[tuple[str, str], Sequence[float]] = {}
    step_s = 1.0
    for real, alias in zip(frame.gpus, shown.gpus, strict=True):
        for direction in SERIES_KEYS:
            step, values = history.sum_over([(real.gpu.uuid, None, direction)], wanted_s)
            each = max(1, math.ceil(len(values) / SERIES_COLUMNS))
            step_s = float(step * each)
            series[alias.gpu.uuid, direction] = _means(values, each)
    return step_s, series


def _recent(
    frame: Frame, shown: Frame, history: RateHistory
) -> tuple[float, dict[tuple[str, str], Sequence[float]]]:
    """Return the seconds per value, and the newest readings of each GPU by its redacted UUID."""
    cell_s = max(RECENT_CELL_S, frame.tick.interval_s)
    recent: dict[tuple[str, str], Sequence[float]] = {}
    for real, alias in zip(frame.gpus, shown.gpus, strict=True):
        for direction in SERIES_KEYS:
            keys = [(real.gpu.uuid, None, direction)]
            # The newest cells may not have been read yet; without any reading all are unknown.
            until_s = max(history.read_until_s(keys), history.now_s - cell_s * RECENT_COLUMNS)
            newest = history.cell_at(until_s, cell_s) - 1
            recent[alias.gpu.uuid, direction] = history.cell_means(keys, cell_s, newest, RECENT_COLUMNS)
    return cell_s, recent


def _means(values: Sequence[float], each: int) -> list[float]:
    """Return the mean of the known values in each group of `each` values, counted from the newest."""
    first = len(values) % each
    groups = [values[:first]] * bool(first) + [values[i : i + each] for i in range(first, len(values), each)]
    seen = [[v for v in group if not math.isnan(v)] for group in groups]
    return [math.fsum(s) / len(s) if s else math.nan for s in seen]


class CriticalTrigger:
    """Decides when critical findings cause a snapshot."""

    def __init__(self) -> None:
        self._taken_s: dict[str, float] = {}

    def cause(self, findings: Sequence[Finding], now_s: float) -> str:
        """Return why a snapshot is due, empty if none is; it covers every critical finding of that time."""
        critical = [f for f in findings if f.severity is Severity.CRITICAL]
        due = [f for f in critical if now_s - self._taken_s.get(f.rule, -REPEAT_AFTER_S) >= REPEAT_AFTER_S]
        if due:
            self._taken_s.update(dict.fromkeys((f.rule for f in critical), now_s))
        return f"critical finding: {due[0].summary}" if due else ""
