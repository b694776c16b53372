"""Phrases about findings and events, for the screen and reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from nvltop.formatting import age, duration, in_seconds
from nvltop.model import Finding, Frame, Severity
from nvltop.model.error_kinds import LINK_ERROR_KINDS, PORT_ERROR_KINDS

EVIDENCE_NAMES = {"age_s": "data", "window_s": "window", "share_of_speed": "share of speed"}
"""Names of evidence that differ from its keys in JSON."""
NUMBERED = frozenset({"links", "gpus"})
"""Keys of evidence that list numbers of links or GPUs, not how many there are."""
EVIDENCE_UNITS = {"_w": "W", "_c": "C", "_mhz": "MHz"}
"""Units by the end of a key in JSON; times and rates have formats of their own."""
SHORT_S = 10.0
"""Time from which on evidence is rounded as durations in sentences are."""


KIND_NAMES: Final = {kind.id: kind.plural for kind in (*LINK_ERROR_KINDS, *PORT_ERROR_KINDS)}
"""Names of error counters in evidence."""


def about(frame: Frame, finding: Finding) -> str:
    """Return the subject of a finding: `GPU 3 link 7`, `GPU 3`, `mlx5_3` or `node`."""
    return finding.nic or where(frame, finding.gpu, finding.link)


def severity_counts(severities: Iterable[Severity]) -> str:
    """Return the number of problems by severity, from that of each finding: `1 critical, 2 warnings`."""
    counts = Counter(severities)
    return ", ".join(
        f"{counts[s]} {s}{'s' if counts[s] > 1 and s is not Severity.CRITICAL else ''}"
        for s in Severity.worst_first()
        if s.is_problem and counts[s]
    )


def where(frame: Frame, gpu: str | None, link: int | None = None) -> str:
    """Return `GPU 3 link 7`, `GPU 3` or `node`."""
    index = next((g.gpu.index for g in frame.gpus if g.gpu.uuid == gpu), None)
    if gpu is None:
        return "node"
    name = "GPU ?" if index is None else f"GPU {index}"
    return name if link is None else f"{name} link {link}"


def links_of(finding: Finding) -> tuple[int | None, ...]:
    """Return the links of a finding about a GPU: one, several, or None for the entire GPU."""
    several = finding.evidence.get("links")
    if finding.link is None and isinstance(several, (list, tuple)) and several:
        return tuple(several)
    return (finding.link,)


def evidence(finding: Finding) -> str:
    """Return `replays 12 to 24 · window 60 s · data 1.2s old`; empty without evidence."""
    return " · ".join(_piece(key, value) for key, value in finding.evidence.items() if value is not None)


def _piece(key: str, value: object) -> str:
    name = EVIDENCE_NAMES.get(key, key.removesuffix("_s").replace("_", " "))
    if isinstance(value, Mapping) and {"before", "after"} <= value.keys():
        return f"{KIND_NAMES.get(key, name)} {value['before']} to {value['after']}"
    if key in KIND_NAMES:
        return f"{KIND_NAMES[key]} {value}"
    if key == "counter" and isinstance(value, str):
        return f"counter of {KIND_NAMES.get(value, value)}"
    if key == "age_s" and isinstance(value, (int, float)):
        return f"data {age(value)} old"
    if key == "last_unix_s" and isinstance(value, (int, float)):
        return f"last at {clock(value)}"
    if key.endswith("bytes_per_s") and isinstance(value, (int, float)):
        name = key.removesuffix("bytes_per_s").rstrip("_").replace("_", " ") or "rate"
        return f"{name} {value / 1e9:.1f} GB/s"
    if key.endswith("_per_s") and isinstance(value, (int, float)):
        return f"{key.removesuffix('_per_s').replace('_', ' ')} {_number(value)}/s"
    if key.endswith("_s") and isinstance(value, (int, float)):
        # Except for a step, a longer time is rounded as in the sentence above it.
        text = f"{value:g} s" if value < SHORT_S else duration(value)
        return f"{name} {in_seconds(value) if key.endswith('step_s') else text}"
    unit = next((unit for ending, unit in EVIDENCE_UNITS.items() if key.endswith(ending)), "")
    name = name[: -len(unit) - 1] if unit else name
    values = value if isinstance(value, (list, tuple)) else [value]
    if key in NUMBERED and len(values) == 1:
        name = name.removesuffix("s")
    text = ", ".join(_number(v) if isinstance(v, float) else str(v) for v in values) or "none"
    # A number may end the name: "bad minutes of 10: 1".
    colon = ":" if name[-1:].isdigit() else ""
    return f"{name}{colon} {text}{unit and f' {unit}'}"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def clock(wall_s: float | None) -> str:
    """Return `14:02:11`; empty if unknown."""
    if wall_s is None:
        return ""
    when = datetime.fromtimestamp(wall_s)
    return when.strftime("%H:%M:%S")


def basis(finding: Finding) -> str:
    """Return the source and the confidence of a finding: `DCGM health watch · certain`."""
    return " · ".join(part for part in (finding.source, finding.confidence) if part)


def fault_sources(frame: Frame) -> dict[str, str]:
    """Return the GPUs that caused faults which others report as well: a note for each, by UUID."""
    return {
        culprit.gpu: f" (the {'possible' if culprit.sure == 'possible' else 'likely'} source)"
        for culprit in frame.culprits
    }


def to_lines(frame: Frame) -> list[str]:
    """Return the findings as lines of text, each with its evidence and next step."""
    lines = []
    for finding in frame.findings:
        below = "  follows from it: " if finding.caused_by else ""
        lines.append(f"{below}{finding.severity}: {finding.summary}  [{finding.rule}]")
        if finding.caused_by:
            continue
        seen = evidence(finding)
        if seen:
            lines.append(f"  evidence: {seen}")
        if finding.next_step:
            lines.append(f"  next: {finding.next_step}")
    return lines
