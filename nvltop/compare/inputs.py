"""Read one side of a comparison: a snapshot, a recording, `--json` output, or this machine now."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from nvltop.analysis.monitor import Monitor
from nvltop.compare.sides import Report, Side
from nvltop.config.settings import Settings
from nvltop.headless.replay import fold_recording
from nvltop.headless.session import HeadlessSession, RunError
from nvltop.headless.status_line import StatusLine
from nvltop.model import Frame, ItemSource, known
from nvltop.record.archive import read_member
from nvltop.record.format import RecordingError
from nvltop.record.positions import Position, parse_position
from nvltop.report.json import to_json

LIVE: Final = "live"
LIVE_S: Final = 5.0
"""Seconds for which the live side is observed, enough for rates and for rules without a long delay."""
SNAPSHOT_REPORT: Final = "snapshot.json"
MAX_JSON_BYTES: Final = 256 << 20
"""Size from which JSON input is refused; a report of 16 GPUs takes 0.4 MB."""
SCHEMA: Final = "nvltop/1"
PLACEHOLDER: Final = re.compile(r"GPU-a\d+")
"""UUID of a GPU in a redacted report."""


def read_file(argument: str, settings: Settings) -> Side:
    """Read a side from a file or folder, with `@TIME` a recording at that time. Raises `RunError`."""
    path, position = _split(argument)
    name = os.path.basename(argument.rstrip("/")) or argument
    report = _json_report(path)
    if report is not None and position and not _is_snapshot(path):
        raise RunError(f"{argument}: JSON output has one time only; name it without @{position.text}", 2)
    if report is None or position:
        return _of_recording(name, path, position, settings)
    recorded: dict[str, list[float]] = {}
    if _is_snapshot(path):
        recorded = _fold(str(path), None, settings)[1]
    return _side(name, report, recorded)


def read_live(worker: ItemSource, settings: Settings, seconds: float = LIVE_S) -> Side:
    """Observe this machine. Raises `RunError` if the driver cannot be used."""
    session = HeadlessSession(worker, settings)
    rates: dict[str, list[float]] = defaultdict(list)
    with session.line:
        for _ in session.steps_for(seconds):
            _add_rates(rates, session.monitor.frame())
    return _side(LIVE, _report(session.monitor), rates)


def _split(argument: str) -> tuple[Path, Position | None]:
    """Split `FILE@TIME`; a file whose name contains the @ wins if it exists."""
    file, at, time = argument.rpartition("@")
    if not at or os.path.lexists(argument):
        return Path(argument), None
    try:
        return Path(file), parse_position(time)
    except ValueError as error:
        raise RunError(f"{argument}: {error}", 2) from None


def _is_snapshot(path: Path) -> bool:
    return path.is_dir() or path.name.endswith((".tar.gz", ".tgz", ".tar"))


def _json_report(path: Path) -> Report | None:
    """Return the newest report of a snapshot or of `--json` output; None for another kind of file."""
    try:
        if _is_snapshot(path):
            return _parse(path, read_member(path, SNAPSHOT_REPORT))
        with open(path, "rb") as file:
            if file.read(1) != b"{" or b'"schema":' not in file.read(64):
                return None
            file.seek(0)
            text = file.read(MAX_JSON_BYTES + 1)
    except RecordingError as error:
        raise RunError(str(error)) from None
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from None
    if len(text) > MAX_JSON_BYTES:
        raise RunError(f"{path}: larger than {MAX_JSON_BYTES >> 20} MiB")
    return _parse(path, text)


def _parse(path: Path, text: bytes) -> Report | None:
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


def _of_recording(name: str, path: Path, position: Position | None, settings: Settings) -> Side:
    report, rates = _fold(str(path), position, settings)
    return _side(name, report, rates)


def _fold(path: str, position: Position | None, settings: Settings) -> tuple[Report, dict[str, list[float]]]:
    """Return the report at a position of a recording (None: its end), and the rates up to it."""
    rates: dict[str, list[float]] = defaultdict(list)
    monitor: Monitor | None = None
    end_s: float | None = None
    last_s = _last_s(path, settings) if position and position.from_end else None
    with StatusLine() as line:
        for monitor, _, tick in fold_recording(path, settings, line):
            if position is not None and end_s is None:
                end_s = position.wall_s(tick.wall_s, last_s)
            if end_s is not None and tick.wall_s > end_s:
                break
            _add_rates(rates, monitor.frame())
    assert monitor is not None
    return _report(monitor), dict(rates)


def _last_s(path: str, settings: Settings) -> float:
    """Return the Unix time of the last tick of a recording."""
    last_s = 0.0
    with StatusLine() as line:
        for _, _, tick in fold_recording(path, settings, line):
            last_s = tick.wall_s
    return last_s


def _add_rates(rates: dict[str, list[float]], frame: Frame) -> None:
    for gpu in frame.gpus:
        for direction, rate in (("TX", gpu.nvlink.tx_bytes_per_s), ("RX", gpu.nvlink.rx_bytes_per_s)):
            if known(rate) and not gpu.stale:
                rates[f"{gpu.gpu.index} {direction}"].append(rate)


def _report(monitor: Monitor) -> Report:
    # Through text: enumerations become their words, as in a file.
    report: dict[str, Any] = json.loads(json.dumps(to_json(monitor.frame())))
    return report


def _side(name: str, report: Report, rates: dict[str, list[float]]) -> Side:
    if not isinstance(report.get("gpus"), list):
        raise RunError(f"{name}: not a complete report")
    redacted = any(PLACEHOLDER.fullmatch(str(gpu.get("uuid"))) for gpu in report["gpus"])
    return Side(name, report, _time_s(report.get("time")), redacted, rates)


def _time_s(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
