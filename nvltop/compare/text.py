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
from nvltop.report.timeline import ranges

MAX_INFORMATION: Final = 40
"""Lines of information printed; the others are counted."""
ANY_GPU: Final = "GPU"
_GPU: Final = re.compile(r"GPU (\d+)")
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
        _counted(len(matters)),
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
        lines += ["", f"Equal: {', '.join(c.equal)}."]
    return "\n".join(lines)


def _joined(differences: Iterable[Difference]) -> list[Difference]:
    """Return the differences with those that several GPUs have alike as one: `GPUs 0-7`."""
    gpus: dict[Difference, list[int]] = {}
    for d in differences:
        match = _GPU.fullmatch(d.where)
        gpus.setdefault(replace(d, where=ANY_GPU) if match else d, []).extend(
            [int(match[1])] if match else []
        )
    return [
        replace(d, where=f"GPU{'s' if len(found) > 1 else ''} {ranges(sorted(found))}") if found else d
        for d, found in gpus.items()
    ]


def _counted(count: int) -> str:
    if not count:
        return "Nothing that matters differs."
    return f"{count} difference{'s that matter' if count > 1 else ' that matters'}:"


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
    rows = [(d.where, d.what, _change(d, over_s)) for d in differences]
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
    if value is None:
        return "?"
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
