"""Links as `nvidia-smi nvlink -s` prints them, and their errors as `nvlink -e` does.

Tabs, words and their order are those of nvidia-smi, for people and scripts that know its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.uptime import counted_s
from nvltop.formatting import GB, age, duration
from nvltop.model import ErrorCount, GpuFrame, Link, LinkState, Maybe, Missing, known
from nvltop.model.error_kinds import in_order
from nvltop.report.nvidia_smi.topo import NA, or_na
from nvltop.text import ranges

NO_NVLINK: Final = "Device does not have or support Nvlink"
ALL_INACTIVE: Final = "NVML: Unable to retrieve Nvlink information as all links are inActive"
MIG: Final = "Nvlink queries are not supported for Devices in MIG mode"

MAX_NAMED_KINDS: Final = 6
"""Most kinds of errors that a line about several links names."""


def gpu_line(g: GpuFrame) -> str:
    """Return `GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-…)`."""
    return f"GPU {g.gpu.index}: {or_na(g.gpu.name)} (UUID: {g.gpu.uuid})"


def instead_of_links(g: GpuFrame) -> str:
    """Return the sentence printed for a GPU without links to list; empty if it has some."""
    if known(g.gpu.mig) and g.gpu.mig:
        return MIG
    if not g.links:
        present = g.nvlink.links_present
        return f"{NA} ({present.reason})" if isinstance(present, Missing) else NO_NVLINK
    return ALL_INACTIVE if all(link.state is LinkState.DOWN for link in g.links) else ""


def status(link: Link) -> str:
    """Return `<tab> Link 0: 26.562 GB/s`, or `<inactive>` instead of the speed."""
    speed = link.speed_bytes_per_s
    if link.state is LinkState.DOWN:
        text = "<inactive>"
    elif link.state is LinkState.UNKNOWN or isinstance(speed, Missing):
        text = NA
    else:
        text = f"{speed / GB:g} GB/s"
    return f"\t Link {link.index}: {text}"


def errors(g: GpuFrame) -> list[str]:
    """Return a line for each counter of each link; links whose counters are all 0 share a line."""
    alike: dict[tuple[str, str], list[int]] = {}
    lines = []
    for link in g.links:
        counted = [(kind.smi_name, link.errors[kind.id]) for kind in in_order(link.errors)]
        values = {or_na(error.total) for _, error in counted}
        if values in ({"0"}, {NA}):
            alike.setdefault((_names([name for name, _ in counted]), values.pop()), []).append(link.index)
        elif counted:
            lines += [
                *(f"\t Link {link.index}: {name}: {_count(error, g.uptime_s)}" for name, error in counted),
                "",
            ]
    shared = [f"\t {_links(indices)}: {names}: {value}" for (names, value), indices in alike.items()]
    return lines + shared if shared else lines[:-1]


def _count(error: ErrorCount, uptime_s: Maybe[float]) -> str:
    """Return a count and its history: `505 (+3, 2s ago; in 12 days)`."""
    text = or_na(error.total)
    notes = []
    if error.last_change_s is not None and known(error.since_start):
        notes.append(f"+{error.since_start}, {age(error.last_change_s)} ago")
    over_s = counted_s(error, uptime_s)
    if known(over_s) and known(error.total) and error.total:
        seen, last_hour = error.since_start, error.last_hour
        earlier = known(seen) and known(last_hour) and seen > last_hour
        notes.append(f"in {duration(over_s)}" + f", {last_hour} in the last hour" * earlier)
    return f"{text} ({'; '.join(notes)})" if notes else text


def _names(names: Sequence[str]) -> str:
    """Return `Replay/Recovery/CRC Errors`, or the number of kinds if there are many."""
    if len(names) > MAX_NAMED_KINDS:
        return f"all {len(names)} error counters"
    return "/".join(name.removesuffix(" Errors") for name in names) + " Errors"


def _links(indices: Sequence[int]) -> str:
    """Return `Links 0-2, 4-17`."""
    return f"Link{'s' * (len(indices) > 1)} {ranges(indices, ', ')}"
