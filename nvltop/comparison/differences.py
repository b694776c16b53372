"""The differences between two sides, from driver and topology to errors, traffic and findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from nvltop.analysis.uptime import RESET_TOLERANCE_S
from nvltop.comparison.collector import Collector, Comparison, Difference
from nvltop.comparison.improvement import TOPOLOGY
from nvltop.comparison.sides import (
    Pairing,
    Report,
    Side,
    less_read,
    pair,
    remote_text,
    remotes_differ,
    time_s,
)
from nvltop.formatting import UNKNOWN, duration
from nvltop.model import Severity
from nvltop.model.error_kinds import INFORMATIVE

SIDES: Final = "before", "after"
TRAFFIC_SHARE: Final = 0.1
"""Share of the earlier median by which the traffic of a GPU must differ to matter."""
MIN_RATE: Final = 1e9
"""Bytes/s below which both rates count as no traffic: idle GPUs exchange some."""
MIN_OBSERVED_S: Final = 60.0
"""Time from which on two medians of the traffic are comparable: in less, a part of a step says too much."""
BUSY_PERCENT: Final = 10.0
"""GPU utilization from which a low PCIe generation is not power saving."""


def compare(before: Side, after: Side) -> Comparison:
    """Compare two sides."""
    pairing = pair(before, after)
    c = Collector(pairing.reversed)
    _node(c, before, after, pairing)
    for one, other in pairing.gpus:
        _gpu(c, one, other, pairing, _Counters(pairing, before, after, one, other))
        _traffic(c, before, after, one, other)
    _topology(c, before.report, after.report)
    _nics(c, before, after, pairing)
    _findings(c, before.report, after.report)
    ranked = sorted(c.found, key=lambda d: d.severity, reverse=True)
    equal = tuple(f"{what} ({count})" if count > 1 else what for what, count in c.same.items())
    return Comparison(before, after, pairing, tuple(ranked), equal)


def _name(gpu: Report) -> str:
    return f"GPU {gpu['index']}"


def _node(c: Collector, before: Side, after: Side, pairing: Pairing) -> None:
    a, b = before.report.get("node") or {}, after.report.get("node") or {}
    for key in ("driver_version", "cuda_driver_version", "nvml_version"):
        c.value("node", key, a, b, key, Severity.NOTICE if key == "driver_version" else Severity.INFO)
    for gpu in pairing.only_before:
        c.found.append(
            Difference(
                _name(gpu),
                "gpu",
                "present",
                "absent",
                Severity.CRITICAL if pairing.same_node else Severity.NOTICE,
            )
        )
    for gpu in pairing.only_after:
        c.found.append(Difference(_name(gpu), "gpu", "absent", "present", Severity.NOTICE))
    moved = [(a["index"], b["index"]) for a, b in pairing.gpus if a["index"] != b["index"]]
    if moved:
        order = ", ".join(f"{i} is now {j}" for i, j in moved)
        c.found.append(Difference("node", "gpu order", None, None, Severity.NOTICE, f"GPU {order}"))


INFORMATION: Final = (
    "name",
    "numa_node",
    "power_limit_w",
    "mig",
    "persistence",
    "virtualization",
    "sm_clock_mhz",
    "util_percent",
)
"""Values of a GPU whose differences are information."""
FIRMWARE: Final = ("vbios", "nvlink_firmware", "board_part_number")
FABRIC: Final = ("state", "status", "health", "clique_id")


class _Counters:
    """What the error counters of one GPU need to be compared: resets, and when they rose first."""

    def __init__(self, pairing: Pairing, before: Side, after: Side, a: Report, b: Report) -> None:
        later, side = (a, before) if pairing.reversed else (b, after)
        self._rose_s, self._index = side.rose_s, later["index"]
        uptime_s = later.get("uptime_s")
        self.reset = ""
        """Note about a driver that initialised the GPU in between; empty without one."""
        apart_s = abs(after.time_s - before.time_s) if before.time_s and after.time_s else 0.0
        if pairing.same_node and uptime_s is not None and uptime_s < apart_s - RESET_TOLERANCE_S:
            self.reset = f"reset: the driver initialised the GPU {duration(uptime_s)} before the later side"

    def began_s(self, link: int, kind: str) -> float | None:
        """Return the Unix time at which a counter rose first, if the later side is a recording."""
        return self._rose_s.get((self._index, link, kind))


def _gpu(c: Collector, a: Report, b: Report, pairing: Pairing, counters: _Counters) -> None:
    where = _name(b)
    if counters.reset:
        c.found.append(Difference(where, "counters", None, None, Severity.INFO, counters.reset))
    c.value(where, "state", a, b, "state", Severity.CRITICAL)
    for key in FIRMWARE:
        if key in a or key in b:
            c.value(where, key, a, b, key, Severity.NOTICE)
    for key in INFORMATION:
        if key in a or key in b:
            c.value(where, key, a, b, key, Severity.INFO)
    _pcie(c, where, a, b)
    fabric = a.get("fabric") or {}, b.get("fabric") or {}
    for key in FABRIC:
        c.value(where, f"fabric {key}", *fabric, key, Severity.WARNING)
    nvlink = a.get("nvlink") or {}, b.get("nvlink") or {}
    for key in ("links_present", "generation"):
        c.value(where, f"NVLink {key}", *nvlink, key, Severity.NOTICE)
    theirs = {link["index"]: link for link in b.get("links") or ()}
    for link in a.get("links") or ():
        if other := theirs.get(link["index"]):
            _link(c, f"{where} link {link['index']}", link, other, pairing, counters)


def _pcie(c: Collector, where: str, a: Report, b: Report) -> None:
    pcie = a.get("pcie") or {}, b.get("pcie") or {}
    for key in ("width", "gen_max", "width_max"):
        c.value(where, f"PCIe {key}", *pcie, key, Severity.WARNING)
    busy = all((gpu.get("util_percent") or 0.0) >= BUSY_PERCENT for gpu in (a, b))
    c.value(where, "PCIe gen", *pcie, "gen", Severity.WARNING if busy else Severity.INFO)


def _link(c: Collector, where: str, a: Report, b: Report, pairing: Pairing, counters: _Counters) -> None:
    states = a.get("state"), b.get("state")
    if "unknown" in states and states[0] != states[1]:
        side = 0 if states[0] == "unknown" else 1
        note = _unread(SIDES[side], (a, b)[side].get("state_reason"))
        c.found.append(Difference(where, "link state", *states, Severity.UNKNOWN, note))
    else:
        lost = states[pairing.reversed] == "up"
        c.value(where, "link state", a, b, "state", Severity.CRITICAL if lost else Severity.WARNING)
    if states == ("up", "up"):
        c.value(where, "link speed", a, b, "speed_bytes_per_s", Severity.WARNING)
    differ = remotes_differ(a, b)
    if differ is False:
        c.equal("remote end")
    else:
        severity, note = (Severity.WARNING, "")
        if differ is None:
            side = less_read(a, b)
            severity, note = Severity.UNKNOWN, _unread(SIDES[side], (a, b)[side].get("state_reason"))
        c.found.append(Difference(where, "remote end", remote_text(a), remote_text(b), severity, note))
    for kind in sorted({*(a.get("errors") or ()), *(b.get("errors") or ())}):
        began_s = counters.began_s(b["index"], kind)
        _errors(c, where, kind, a, b, pairing, bool(counters.reset), began_s)


def _errors(
    c: Collector,
    where: str,
    kind: str,
    a: Report,
    b: Report,
    pairing: Pairing,
    reset: bool = False,
    began_s: float | None = None,
) -> None:
    """Compare the lifetime count of one kind of error."""
    errors: list[Report] = [(of.get("errors") or {}).get(kind) or {} for of in (a, b)]
    before, after = (error.get("total") for error in errors)
    what = f"errors: {kind}"
    alarm = kind not in INFORMATIVE
    if before == after and not (reset and before):
        if before is not None:
            c.equal("error counters")
    elif before is None or after is None:
        side = 0 if before is None else 1
        note = _unread(SIDES[side], (errors[side].get("missing") or {}).get("total"))
        severity = Severity.UNKNOWN if alarm else Severity.INFO
        c.found.append(Difference(where, what, before, after, severity, note))
    elif not pairing.comparable_counts:
        note = "lifetime counts of different nodes" if pairing.same_node is False else pairing.reason
        c.found.append(Difference(where, what, before, after, Severity.INFO, note))
    else:
        earlier, later = (after, before) if pairing.reversed else (before, after)
        if reset or later < earlier:
            severity = Severity.WARNING if alarm and later else Severity.INFO
            note = "the counter was reset in between" + (f"; {later} since" if later else "")
            c.found.append(Difference(where, what, before, after, severity, note, began_s=began_s))
        else:
            severity = Severity.WARNING if alarm else Severity.INFO
            note = "increase from B to A" if pairing.reversed else ""
            c.found.append(Difference(where, what, before, after, severity, note, later - earlier, began_s))


def _topology(c: Collector, a: Report, b: Report) -> None:
    """Compare the cells of the matrix, each pair once; a change of most cells of a GPU is one difference."""
    matrices: list[Report] = [report.get("matrix") or {} for report in (a, b)]
    cells = [dict(_cells(matrix)) for matrix in matrices]
    changed: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for ends, before in cells[0].items():
        after = cells[1].get(ends)
        if after is None:
            continue
        if before == after:
            c.equal("topology cells")
        else:
            side = 0 if before == UNKNOWN else 1 if after == UNKNOWN else None
            note = "" if side is None else _unread(SIDES[side], _reason_of_cell(matrices[side], ends))
            changed.setdefault((before, after, note), []).append(ends)
    for (before, after, note), pairs in changed.items():
        severity = Severity.UNKNOWN if note else c.severity(TOPOLOGY, before, after, Severity.WARNING)
        common = set(pairs[0]).intersection(*pairs[1:])
        if len(pairs) > 1 and common:
            where = f"{common.pop()} to {len(pairs)} others"
            c.found.append(Difference(where, TOPOLOGY, before, after, severity, note))
            continue
        for ends in pairs:
            c.found.append(Difference("-".join(ends), TOPOLOGY, before, after, severity, note))


def _reason_of_cell(matrix: Report, ends: tuple[str, str]) -> str:
    missing: Report = matrix.get("missing") or {}
    return str(missing.get(f"cells:{','.join(ends)}", ""))


def _unread(side: str, reason: object) -> str:
    """Return the note of a value that only the other side has."""
    return f"unknown {side}: {reason}" if reason else f"unknown {side}"


def _cells(matrix: Report) -> Iterator[tuple[tuple[str, str], str]]:
    labels: Sequence[str] = matrix.get("labels") or ()
    rows: Sequence[Sequence[str]] = matrix.get("cells") or ()
    for i, row in enumerate(rows):
        for j, cell in enumerate(row[:i]):
            yield (labels[j], labels[i]), cell


def _nics(c: Collector, before: Side, after: Side, pairing: Pairing) -> None:
    theirs = {(nic["name"], nic["port"]): nic for nic in after.nics}
    for nic in before.nics:
        where = f"NIC {nic['name']} port {nic['port']}"
        other = theirs.pop((nic["name"], nic["port"]), None)
        if other is None:
            c.found.append(
                Difference(
                    where,
                    "port",
                    "present",
                    "absent",
                    Severity.WARNING if pairing.same_node else Severity.INFO,
                )
            )
            continue
        c.value(where, "NIC state", nic, other, "state", Severity.WARNING)
        c.value(where, "NIC speed", nic, other, "speed_bytes_per_s", Severity.WARNING)
        if "firmware" in nic or "firmware" in other:
            c.value(where, "NIC firmware", nic, other, "firmware", Severity.NOTICE)
        for kind in sorted({*(nic.get("errors") or ()), *(other.get("errors") or ())}):
            _errors(c, where, kind, nic, other, pairing)
    for name, port in theirs:
        c.found.append(Difference(f"NIC {name} port {port}", "port", "absent", "present", Severity.INFO))


def _traffic(c: Collector, before: Side, after: Side, a: Report, b: Report) -> None:
    for direction in ("tx", "rx"):
        one, other = before.rate(a, direction), after.rate(b, direction)
        if one is None or other is None or max(one.bytes_per_s, other.bytes_per_s) < MIN_RATE:
            continue
        if abs(other.bytes_per_s - one.bytes_per_s) <= TRAFFIC_SHARE * max(one.bytes_per_s, MIN_RATE):
            c.equal("traffic within 10 %")
            continue
        too_short = any(not rate.whole_steps and rate.over_s < MIN_OBSERVED_S for rate in (one, other))
        note = f"{one} → {other}" if str(one) != str(other) else str(one)
        c.found.append(
            Difference(
                _name(b),
                f"NVLink {direction.upper()}",
                one.bytes_per_s,
                other.bytes_per_s,
                Severity.INFO if too_short else Severity.NOTICE,
                f"{note}; too short to judge" if too_short else note,
            )
        )


def _findings(c: Collector, a: Report, b: Report) -> None:
    found = [{_finding_key(f): f for f in report.get("findings") or ()} for report in (a, b)]
    for key, finding in found[0].items():
        if key in found[1]:
            c.equal("findings")
            continue
        severity = min(_severity(finding), Severity.NOTICE)
        what = f"finding: {finding['rule']}"
        c.found.append(
            Difference(_place(finding), what, finding["severity"], None, severity, finding["summary"])
        )
    for key, finding in found[1].items():
        if key not in found[0]:
            what = f"finding: {finding['rule']}"
            now = finding["severity"]
            c.found.append(
                Difference(
                    _place(finding),
                    what,
                    None,
                    now,
                    _severity(finding),
                    finding["summary"],
                    began_s=time_s(finding.get("since")),
                )
            )


def _severity(finding: Report) -> Severity:
    try:
        return Severity(finding["severity"])
    except ValueError:  # of a later version
        return Severity.UNKNOWN


def _finding_key(finding: Report) -> tuple[Any, ...]:
    return finding["rule"], finding.get("gpu"), finding.get("link"), finding.get("nic")


def _place(finding: Report) -> str:
    if finding.get("nic") is not None:
        port = "" if finding.get("link") is None else f" port {finding['link']}"
        return f"NIC {finding['nic']}{port}"
    if finding.get("gpu") is None:
        return "node"
    link = "" if finding.get("link") is None else f" link {finding['link']}"
    return f"GPU {finding['gpu']}{link}"
