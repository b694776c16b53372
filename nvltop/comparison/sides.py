"""The two sides of a comparison, and which GPU of one is which GPU of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any, Final, TypeAlias

from nvltop.formatting import duration
from nvltop.frozen import frozen
from nvltop.median import median

Report: TypeAlias = "Mapping[str, Any]"
"""A report in the schema `nvltop/1`, or an object in it."""

REMOTE_KEYS: Final = ("pci_bus_id", "gpu", "link", "kind")
"""What a report says of the remote end of a link; null where it could not be read."""
MIN_COUNTED: Final = 1_000_000
"""Bytes that a link's counter must have counted before its growth says that two reports are of one node."""


@frozen
class ObservedRate:
    """The traffic of a GPU in one direction."""

    bytes_per_s: float
    over_s: float
    """Time over which it was observed, seconds."""
    kind: str
    """`median` or `mean`."""
    whole_steps: bool = False
    """Whether that time consists of complete steps of a job."""

    def __str__(self) -> str:
        return f"{self.kind} of {duration(self.over_s)}"


@frozen
class Side:
    """One side of a comparison."""

    name: str
    """As the user named it."""
    report: Report
    """The state of the node, in the schema `nvltop/1`."""
    time_s: float | None
    """Unix time of the state; None if the report does not say."""
    redacted: bool = False
    """Whether names and UUIDs in the report are placeholders."""
    rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Readings of what was recorded, bytes/s, by `GPU index TX` or `GPU index RX`; empty without any."""
    rated_s: float = 0.0
    """Time over which `rates` were read, seconds."""
    rose_s: Mapping[tuple[int, int, str], float] = field(default_factory=dict)
    """Unix time at which an error counter rose first, by GPU, link and kind; only of a recording."""
    warning: str = ""
    """What of the file was skipped or lost, in one line; empty if nothing was."""

    @property
    def gpus(self) -> list[Report]:
        """The GPUs of the report."""
        return list(self.report.get("gpus") or ())

    @property
    def nics(self) -> list[Report]:
        """The ports of the NICs of the report."""
        return list(self.report.get("nics") or ())

    def rate(self, gpu: Report, direction: str) -> ObservedRate | None:
        """Return the median of the rates of a GPU, else its mean in the report; None without either."""
        recorded = self.rates.get(f"{gpu['index']} {direction.upper()}")
        if recorded:
            return ObservedRate(median(recorded), self.rated_s, "median")
        nvlink: Report = gpu.get("nvlink") or {}
        mean = nvlink.get(f"mean_{direction}_bytes_per_s")
        if mean is not None:
            over_s, whole_steps = nvlink.get("mean_over_s") or 0.0, nvlink.get("mean_is_step")
            return ObservedRate(mean, over_s, "mean", bool(whole_steps))
        newest = nvlink.get(f"{direction}_bytes_per_s")
        return None if newest is None else ObservedRate(newest, nvlink.get("rates_over_s") or 0.0, "mean")


@frozen
class Pairing:
    """The GPUs of two sides that correspond, and whether the sides are of one node."""

    same_node: bool | None
    """None if it cannot be determined."""
    reason: str
    """Why the node is the same, is not, or cannot be identified."""
    gpus: tuple[tuple[Report, Report], ...]
    only_before: tuple[Report, ...]
    only_after: tuple[Report, ...]
    reversed: bool = False
    """Whether the second side is the earlier one."""

    @property
    def comparable_counts(self) -> bool:
        """Whether the counters of the two sides are those of the same devices."""
        return self.same_node is True


def pair(before: Side, after: Side) -> Pairing:
    """Match the GPUs of two sides: by UUID if the sides share any, else by PCI bus id, else by number."""
    same, reason = _same_node(before, after)
    key = _common_key(before, after)
    theirs = {gpu[key]: gpu for gpu in after.gpus}
    ours = {gpu[key]: gpu for gpu in before.gpus}
    return Pairing(
        same,
        reason,
        tuple((gpu, theirs[name]) for name, gpu in ours.items() if name in theirs),
        tuple(gpu for name, gpu in ours.items() if name not in theirs),
        tuple(gpu for name, gpu in theirs.items() if name not in ours),
        before.time_s is not None and after.time_s is not None and after.time_s < before.time_s,
    )


def _common_key(before: Side, after: Side) -> str:
    for key in ("uuid", "pci_bus_id"):
        if key == "uuid" and (before.redacted or after.redacted):
            continue
        sets = [{gpu.get(key) for gpu in side.gpus} for side in (before, after)]
        if None not in sets[0] | sets[1] and sets[0] & sets[1]:
            return key
    return "index"


def _same_node(before: Side, after: Side) -> tuple[bool | None, str]:
    """Return whether two sides are of one node, and why."""
    simulated = [(side.report.get("node") or {}).get("demo") or None for side in (before, after)]
    if simulated[0] != simulated[1]:
        return False, "one of them is simulated" if None in simulated else "the simulated nodes differ"
    if not (before.redacted or after.redacted):
        uuids = [{gpu.get("uuid") for gpu in side.gpus} for side in (before, after)]
        if uuids[0] & uuids[1] - {None}:
            return True, "the GPUs have the same UUIDs"
        if all(uuids):
            return False, "the GPUs have different UUIDs"
        hosts = [(side.report.get("node") or {}).get("hostname") for side in (before, after)]
        if all(hosts):
            same = hosts[0] == hosts[1]
            return same, "the host names are the same" if same else "the host names differ"
    layouts = [[(gpu.get("pci_bus_id"), gpu.get("name")) for gpu in side.gpus] for side in (before, after)]
    if layouts[0] != layouts[1]:
        # A node keeps the bus ids of its GPUs; a GPU that fell off the bus is missing, and the others stay.
        if not set(layouts[0]) & set(layouts[1]):
            return False, "the GPUs have different models or PCI bus ids"
        return None, "names are redacted, and the GPUs are not all the same"
    grew = _counters_grew(before, after)
    if grew:
        return True, "the counters of all links continue those of the earlier side"
    return None, "names are redacted, and the counters do not continue those of the earlier side"


def _counters_grew(before: Side, after: Side) -> bool:
    """Return whether every traffic counter of the later side is at least that of the earlier one."""
    if before.time_s is None or after.time_s is None:
        return False
    first, second = (before, after) if before.time_s <= after.time_s else (after, before)
    counted = 0
    for earlier, later in zip(first.gpus, second.gpus, strict=True):
        for one, other in zip(earlier.get("links") or (), later.get("links") or (), strict=False):
            for key in ("tx_bytes_total", "rx_bytes_total"):
                a, b = one.get(key), other.get(key)
                if a is None or b is None:
                    continue
                if b < a:
                    return False
                counted += a >= MIN_COUNTED
    return counted > 0


def remotes_differ(a: Report, b: Report) -> bool | None:
    """Return whether two links have different remote ends; None if one of them could not be read in full."""
    ends = _remote(a), _remote(b)
    buses, gpus, numbers, kinds = ([end.get(key) for end in ends] for key in REMOTE_KEYS)
    if None not in kinds and kinds[0] != kinds[1]:
        return True
    device: bool | None = False
    if buses[0] is None or buses[0] != buses[1]:  # one bus id is one device, whatever its number is now
        on_both = [ids for ids in (gpus, buses) if None not in ids]
        on_any = [ids for ids in (gpus, buses, kinds) if ids != [None, None]]
        device = _differ((on_both or on_any or [kinds])[0])
    number = _differ(numbers)
    return True if device or number else None if None in (device, number) else False


def _differ(values: Sequence[object]) -> bool | None:
    return False if values[0] == values[1] else None if None in values else True


def less_read(a: Report, b: Report) -> int:
    """Return which of two links has the remote end that was read less: 0 or 1."""
    unread = [[_remote(link).get(key) for key in REMOTE_KEYS].count(None) for link in (a, b)]
    return 0 if unread[0] > unread[1] else 1


def _remote(link: Report) -> Report:
    remote: Report = link.get("remote") or {}
    return {**remote, "kind": None} if remote.get("kind") == "unknown" else remote


def remote_text(link: Report) -> str:
    """Return the remote end of a link as text, such as `GPU 3 link 7`."""
    remote: Report = link.get("remote") or {}
    parts = [str(remote.get("kind", "unknown"))]
    if remote.get("gpu") is not None:
        parts = [f"GPU {remote['gpu']}"]
    elif remote.get("pci_bus_id"):
        parts.append(str(remote["pci_bus_id"]))
    if remote.get("link") is not None:
        parts.append(f"link {remote['link']}")
    return " ".join(parts)


def time_s(text: object) -> float | None:
    """Return the Unix time of a time in a report; None if it is not one."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
