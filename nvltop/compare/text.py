"""A comparison as text for people: what matters, then information, then what is equal in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from nvltop.comparison.collector import Comparison, Difference
from nvltop.comparison.sides import Side
from nvltop.formatting import UNKNOWN
from nvltop.model import Severity
from nvltop.model.error_kinds import error_kind
from nvltop.report.timeline import ranges

MAX_INFORMATION: Final = 40
"""Lines of information printed; the others are counted."""
_GPU: Final = re.compile(r"GPU ()(\d+)")
_LINK: Final = re.compile(r"(GPU \d+ )link (\d+)")
WORDS: Final = {
    "driver_version": "driver",
    "cuda_driver_version": "CUDA",
    "nvml_version": "NVML",
    "gpu": "GPU",
    "name": "model",
    "vbios": "VBIOS",
    "nvlink_firmware": "NVLink firmware",
    "board_part_number": "part number",
    "numa_node": "NUMA node",
    "power_limit_w": "power limit",
    "mig": "MIG",
    "persistence": "persistence mode",
    "sm_clock_mhz": "SM clock",
    "util_percent": "utilisation",
    "PCIe gen": "PCIe generation",
    "PCIe gen_max": "highest PCIe generation",
    "PCIe width_max": "highest PCIe width",
    "fabric clique_id": "fabric clique",
    "NVLink links_present": "NVLinks present",
}
"""What people read in the place of a JSON key."""
PER_HOUR_S: Final = 600.0
"""Seconds between the sides from which an increase is given per hour as well."""


def to_text(comparison: Comparison) -> str:
    """Return the comparison as text."""
    c = comparison
    lines = [_side("A", c.before), _side("B", c.after), f"{_node(c)}{_apart(c.over_s)}"]
    matters = _joined([d for d in c.differences if d.matters])
    information = _joined([d for d in c.differences if not d.matters])
    lines += [
        "",
        _counted(matters),
    ]
    lines += [
        f"  {d.severity:8}  {line}" for d, line in zip(matters, _aligned(matters, c.over_s), strict=True)
    ]
    if information:
        lines += ["", f"Information ({len(information)}):"]
        lines += [f"  {line}" for line in _aligned(information[:MAX_INFORMATION], c.over_s)]
        if len(information) > MAX_INFORMATION:
            lines.append(f"  and {len(information) - MAX_INFORMATION} more; --json has them all")
    if c.equal:
        lines += ["", f"Equal: {', '.join(map(_equal, c.equal))}."]
    return "\n".join(lines)


def _joined(differences: Iterable[Difference]) -> list[Difference]:
    """Return the differences with those that several links or GPUs have alike as one: `GPUs 0-7`."""
    return _joined_by(_GPU, "GPU", _joined_by(_LINK, "link", differences))


def _joined_by(pattern: re.Pattern[str], noun: str, differences: Iterable[Difference]) -> list[Difference]:
    found: dict[Difference, list[int]] = {}
    for d in differences:
        match = pattern.fullmatch(d.where)
        key = replace(d, where=f"{match[1]}{noun}") if match else d
        found.setdefault(key, []).extend([int(match[2])] if match else [])
    return [
        replace(d, where=f"{d.where}{'s' if len(numbers) > 1 else ''} {ranges(sorted(numbers))}")
        if numbers
        else d
        for d, numbers in found.items()
    ]


def words(what: str) -> str:
    """Return the name of a value in words, as on the screen."""
    group, _, kind = what.partition(": ")
    if group == "errors":
        return error_kind(kind).plural
    return group if group == "finding" else WORDS.get(what, what)


def _counted(found: Iterable[Difference]) -> str:
    unread = [d.severity is Severity.UNKNOWN for d in found]
    differ = unread.count(False)
    parts = [f"{differ} difference{'s that matter' if differ > 1 else ' that matters'}"] * bool(differ)
    if any(unread):
        parts.append("what only one side could read")
    text = ", and ".join(parts)
    return f"{text[0].upper()}{text[1:]}:" if parts else "Nothing that matters differs."


def _equal(text: str) -> str:
    """Return what is equal in words: `driver_version`, or `util_percent (8)`."""
    what, _, count = text.partition(" (")
    return f"{words(what)} ({count}" if count else words(what)


def _side(letter: str, side: Side) -> str:
    node: dict[str, Any] = dict(side.report.get("node") or {})
    when = "time unknown" if side.time_s is None else _clock(side.time_s)
    host = "" if side.redacted or not node.get("hostname") else f", {node['hostname']}"
    gpus = f"{len(side.gpus)} × {side.gpus[0]['name']}" if side.gpus else "no GPU"
    driver = f", driver {node['driver_version']}" if node.get("driver_version") else ""
    return f"{letter}: {side.name} ({when}{host}, {gpus}{driver})"


def _node(c: Comparison) -> str:
    words = {True: "The same node", False: "Different nodes", None: "It is unknown whether this is one node"}
    return f"{words[c.pairing.same_node]}: {c.pairing.reason}"


def _apart(over_s: float | None) -> str:
    if over_s is None:
        return ""
    earlier = "" if over_s >= 0 else "; B is the earlier side"
    return f"; {duration(abs(over_s))} apart{earlier}"


def duration(seconds: float) -> str:
    """Return a duration in at most two units, such as `3 d 2 h` or `45 s`."""
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for (size, unit), (smaller, less) in pairwise(units):
        if seconds >= size:
            rest = int(seconds % size // smaller)
            return f"{int(seconds // size)} {unit}" + (f" {rest} {less}" if rest else "")
    return f"{seconds:.0f} s"


def _aligned(differences: Iterable[Difference], over_s: float | None) -> list[str]:
    rows = [(d.where, words(d.what), _change(d, over_s)) for d in differences]
    widths = [max((len(row[i]) for row in rows), default=0) for i in (0, 1)]
    return [f"{where:{widths[0]}}  {what:{widths[1]}}  {change}".rstrip() for where, what, change in rows]


def _change(d: Difference, over_s: float | None) -> str:
    if d.what.startswith("finding:"):
        return f"{'new' if d.before is None else 'gone'}: {d.note}{_since(d)}"
    change = f"{_value(d.what, d.before)} → {_value(d.what, d.after)}"
    if d.before is None and d.after is None:
        return d.note
    notes = [d.note] if d.note else []
    if d.increase is not None:
        rate = ""
        if over_s and abs(over_s) >= PER_HOUR_S:
            rate = f", {d.increase / abs(over_s) * 3600:.3g} per hour"
        notes.append(f"+{d.increase}{rate}")
    if d.began_s is not None:
        notes.append(f"first at {_clock(d.began_s)}")
    return change + (f" ({'; '.join(notes)})" if notes else "")


def _since(d: Difference) -> str:
    return "" if d.began_s is None else f" (since {_clock(d.began_s)})"


def _clock(wall_s: float) -> str:
    return f"{datetime.fromtimestamp(wall_s):%Y-%m-%d %H:%M:%S}"


def _value(what: str, value: Any) -> str:
    if value is None or (what == "link state" and value == "unknown"):
        return UNKNOWN
    if isinstance(value, bool):
        return "on" if value else "off"
    if what.startswith(("NVLink TX", "NVLink RX")) or what.endswith(" speed"):
        return f"{value / 1e9:.1f} GB/s"
    if what.endswith("_bytes"):
        return f"{value / 2**30:.1f} GiB"
    for suffix, unit in (("_w", "W"), ("_mhz", "MHz"), ("_c", "°C"), ("_percent", "%")):
        if what.endswith(suffix):
            return f"{value:.0f} {unit}"
    return f"{value:g}" if isinstance(value, float) else str(value)
