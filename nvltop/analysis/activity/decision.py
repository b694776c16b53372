"""From loads to the answer: does NVLink limit this job?

Pure. The thresholds are those of the table in README.md of this folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Final

from nvltop.analysis.activity.link_usage import LinkUsage
from nvltop.analysis.activity.usage_trace import LimitBounds
from nvltop.analysis.verdict import ceiling
from nvltop.model import GpuFrame, Judgement, Maybe, Missing, Overlap, RemoteKind, known

RING: Final = 0.9
"""Share of NCCL max from which a ring is at its limit; LL128 and trees end at 0.92 of it
(nccl src/graph/tuning.cc)."""
CLOSE: Final = 0.85
"""Share from which traffic is near the limit, on boards without NVLS."""
NVLS: Final = {"4.0": 0.80, "5.0": 0.69}
"""Share of NCCL max at which an NVLS all-reduce ends, by generation: `nvlsEfficiency` of nccl
src/graph/tuning.cc (0.85, 0.74) times (channels - 1) / channels."""
NVLS_NEAR: Final = 0.93
"""Share of that from which an NVLS all-reduce is at its limit."""
NVLS_BAND: Final = 0.04
"""How far from it a rate may lie that is the one of NVLS, where no computation hides it."""
MOST_TIME: Final = 0.8
"""Share of the time at the limit from which it bounds the job, whatever overlaps."""
HALF: Final = 0.5
SOME: Final = 0.1
"""Share of the time from which being at the limit matters."""
LITTLE: Final = 0.15
"""Share of the time at the limit, at most, below which NVLink does not limit the job."""
HEAVY: Final = 0.3
"""Share of the time with traffic from which a job communicates much."""
HIDDEN: Final = 0.15
"""Exposed share of the communication below which computing hides it."""
EXPOSED: Final = 0.7
ALIKE: Final = 0.05
"""GPUs whose shares at the limit differ by less are alike, and none of them is named."""
ONE_SIDED: Final = 2.0

NO_FIGURE: Final = "what NCCL reaches on this generation of NVLink is not published"
TOO_SHORT: Final = "the bursts are shorter than the readings"


def has_nvls(g: GpuFrame) -> bool:
    """Whether the board can do NVLS all-reduces: it has NVSwitches, and is a Hopper or later."""
    remotes = g.gpu.remotes
    if isinstance(remotes, Missing) or g.gpu.nvlink_generation not in NVLS:
        return False
    return any(r.kind is not RemoteKind.GPU for r in remotes)


def limit_bounds(g: GpuFrame) -> LimitBounds:
    """Return from which share of NCCL max a GPU's links are at their limit."""
    if isinstance(ceiling(g.gpu.nvlink_generation), Missing):
        return LimitBounds(RING, RING, 0.0)
    if has_nvls(g):
        nvls = NVLS[str(g.gpu.nvlink_generation)]
        return LimitBounds(NVLS_NEAR * nvls, RING, nvls)
    return LimitBounds(CLOSE, RING, 0.0)


@dataclass(frozen=True, slots=True)
class JobUsage:
    """The loads of a job's GPUs as one."""

    load: LinkUsage
    gpu: str | None
    """The GPU that is at its limit for longer than the others."""


def combine_usage(loads: Mapping[str, LinkUsage]) -> JobUsage:
    """Return the load that limits the job: that of all where they are alike, else of the most limited."""
    values = list(loads.values())
    top = max(loads, key=lambda u: (loads[u].near, loads[u].most))
    usual = [median(getattr(v, name) for v in values) for name in ("near", "most", "mean")]
    most = loads[top]
    apart = max(most.near - usual[0], most.most - usual[1])
    # What a GPU moves says that it is used otherwise than the rest; noise of the shares does not.
    if len(values) > 1 and apart > ALIKE and most.mean > 1.1 * usual[2]:
        return JobUsage(most, top)
    names = [f.name for f in fields(LinkUsage)]
    return JobUsage(LinkUsage(*(median(getattr(v, name) for v in values) for name in names)), None)


def decide_state(
    load: LinkUsage, bounds: LimitBounds, overlap: Maybe[Overlap], figure: bool
) -> tuple[str, str]:
    """Return the state of a job with traffic, and why it is unclear."""
    exposed = overlap.exposed if known(overlap) and overlap.confidence != "possible" else None
    sure = load.at >= HALF * load.near or (
        at_nvls_rate(load, bounds) and exposed is not None and exposed >= EXPOSED
    )
    if load.near >= MOST_TIME and sure:
        return "limits", ""
    if load.near >= SOME:
        if exposed is None:
            return "may-limit", ""
        if exposed < HIDDEN:
            return "hidden", ""
        cost = load.near * exposed
        if cost < SOME:
            return "hidden", ""
        if not sure:
            return "may-limit", ""
        return ("limits" if cost >= HALF else "limits-part"), ""
    if load.most < LITTLE:
        surely_busy = load.busy - load.unresolved
        heavy = load.level >= SOME and (surely_busy >= HEAVY or load.mean >= LITTLE)
        return ("below" if heavy else "light"), ""
    if exposed is not None and exposed < HIDDEN:
        return "hidden", ""
    return "unclear", TOO_SHORT if figure else NO_FIGURE


def at_nvls_rate(load: LinkUsage, bounds: LimitBounds) -> bool:
    """Whether the rate is what an NVLS all-reduce reaches."""
    return bool(bounds.nvls) and abs(load.level - bounds.nvls) <= NVLS_BAND


def fill_judgement(
    blank: Judgement,
    shares: JobUsage,
    bounds: LimitBounds,
    overlap: Maybe[Overlap],
    practical: Maybe[float],
) -> Judgement:
    """Fill in a judgement."""
    load = shares.load
    state, why = decide_state(load, bounds, overlap, known(practical))
    busy: Maybe[float] = load.busy
    if load.unresolved > SOME:
        busy = Missing(TOO_SHORT)
    figure = known(practical)
    none = Missing(NO_FIGURE)
    direction = "both"
    if max(load.tx, load.rx) > ONE_SIDED * min(load.tx, load.rx):
        direction = "tx" if load.tx > load.rx else "rx"
    most = load.most if isinstance(busy, Missing) else min(load.most, busy)
    near = min(load.near, most)
    return replace(
        blank,
        state=state,
        why=why,
        busy=busy,
        at_limit=near if figure or near else none,
        at_limit_most=max(near, most) if figure else none,
        level=none if not figure else Missing(TOO_SHORT) if isinstance(busy, Missing) else load.level,
        mean=load.mean if figure else none,
        nvls_capable=bool(bounds.nvls),
        nvls=bool(bounds.nvls) and bounds.near <= load.level < bounds.at,
        gpu=shares.gpu,
        direction=direction,
        overlap=overlap,
        reached_bytes_per_s=max(load.tx, load.rx),
        practical_bytes_per_s=practical,
    )


def practical_rate(members: Sequence[GpuFrame]) -> Maybe[float]:
    """Return NCCL max of one GPU and direction in bytes/s: that of the slowest."""
    speeds: list[float] = []
    for g in members:
        share, speed = g.nvlink.ceiling, g.nvlink.speed_bytes_per_s
        if isinstance(share, Missing):
            return share
        if isinstance(speed, Missing):
            return speed
        speeds.append(share * speed)
    return min(speeds) if speeds else Missing("no NVLink")
