"""A snapshot: one moment and what led up to it, redacted, as files for a bug report.

What writes the reports is loaded with the first one: most screens that could take one never do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nvltop.analysis.jobs import jobs, partners_of
from nvltop.analysis.rate_history import RateHistory
from nvltop.host.versions import versions
from nvltop.model import Finding, Frame, Severity
from nvltop.record.flight_recorder import FlightRecorder
from nvltop.record.redact import Redactor
from nvltop.report.secrets import without_secrets

SERIES_S: Final = 300.0
"""What the sparklines reach back."""
SERIES_COLUMNS: Final = 60
REPEAT_AFTER_S: Final = 3600.0
"""A rule brings no more than one snapshot in so long."""
SERIES_KEYS: Final = ("tx", "rx", "pcie_tx", "pcie_rx")


def redactor(full: bool) -> Redactor:
    """Return what takes out the names of this machine and its users; with `full`, arguments stay."""
    return Redactor(arguments=without_secrets if full else None)


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """What is to be written."""

    report: str
    files: dict[str, bytes]
    wall_s: float

    def save(self, path: Path) -> Path:
        """Write it; raise `SnapshotError`."""
        from nvltop.snapshot.sections.files import save

        return save(path, self.files, self.wall_s)


def redacted(frame: Frame, redact: Redactor, uuids: bool = False) -> Frame:
    """Return the frame without names; jobs are worked out again, as they are named after what is in them.

    With `uuids`, GPUs keep theirs as what they are looked up by.
    """
    told = redact.but_gpus(frame) if uuids else redact(frame)
    return replace(told, jobs=jobs(told.processes, told.gpus, told.matrix, partners_of(told.jobs)))


def snapshot_files(
    frame: Frame,
    history: RateHistory,
    ring: FlightRecorder,
    screen: str,
    cause: str,
    replayed: bool = False,
) -> SnapshotFiles:
    """Put together the files of a snapshot; `screen` is the picture, `cause` why it is taken.

    Names are taken out of what came from outside, not of the texts made of it: a host may be called `gpu1`.
    """
    from nvltop.report.json import to_json
    from nvltop.snapshot.sections import Change, Snapshot, to_markdown

    redact = ring.redact
    told = redacted(frame, redact)
    step_s, series = _series(frame, told, history)
    why = redact.text(cause)
    report = to_markdown(
        Snapshot(
            frame=told,
            cause=why,
            removed=redact.removed,
            versions={name: redact.text(version) for name, version in versions().items()},
            series=series,
            step_s=step_s,
            changes=[
                Change(frame.tick.wall_s - frame.tick.mono_s + mark.mono_s, mark.gpu or None, mark.text)
                for mark in ring.marks
            ],
            replayed=replayed,
        )
    )
    values = {**to_json(told), "removed": list(redact.removed), "cause": why}
    texts = {
        "report.md": report,
        "snapshot.json": json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False),
        "screen.svg": screen,
    }
    files = {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()}
    files["recording.gz"] = ring.recording()
    return SnapshotFiles(report, files, frame.tick.wall_s)


def _series(
    frame: Frame, told: Frame, history: RateHistory
) -> tuple[float, dict[tuple[str, str], Sequence[float]]]:
    """Return seconds of a column, and the last minutes of each GPU by its redacted UUID."""
    watched_s = max(1.0, frame.tick.wall_s - frame.started_s)
    wanted_s = min(SERIES_S, watched_s)
    series: dict[tuple[str, str], Sequence[float]] = {}
    step_s = 1.0
    for real, shown in zip(frame.gpus, told.gpus, strict=True):
        for way in SERIES_KEYS:
            step, values = history.sum_over([(real.gpu.uuid, None, way)], wanted_s)
            each = max(1, math.ceil(len(values) / SERIES_COLUMNS))
            step_s = float(step * each)
            series[shown.gpu.uuid, way] = _means(values, each)
    return step_s, series


def _means(values: Sequence[float], each: int) -> list[float]:
    """Return the mean of what is known of each `each` values, counted from the newest."""
    first = len(values) % each
    groups = [values[:first]] * bool(first) + [values[i : i + each] for i in range(first, len(values), each)]
    seen = [[v for v in group if not math.isnan(v)] for group in groups]
    return [math.fsum(s) / len(s) if s else math.nan for s in seen]


class CriticalTrigger:
    """Remembers for which rules there has been a snapshot."""

    def __init__(self) -> None:
        self._taken_s: dict[str, float] = {}

    def cause(self, findings: Sequence[Finding], now_s: float) -> str:
        """Return why a snapshot is due, empty if none is; all that is critical at the time is in it."""
        critical = [f for f in findings if f.severity is Severity.CRITICAL]
        due = [f for f in critical if now_s - self._taken_s.get(f.rule, -REPEAT_AFTER_S) >= REPEAT_AFTER_S]
        if due:
            self._taken_s.update(dict.fromkeys((f.rule for f in critical), now_s))
        return f"something critical was found: {due[0].summary}" if due else ""
