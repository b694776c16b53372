"""What bounds a job besides NVLink, as far as counters and gauges show it, each with its evidence.

Pure. What is certain comes first: a GPU that is held back by heat holds back all others as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from nvltop.analysis.activity.gauge_history import (
    ENOUGH,
    HW_THERMAL,
    POWER_BRAKE,
    SW_POWER_CAP,
    SW_THERMAL,
    GaugeHistory,
)
from nvltop.model import Judgement, Limit, Maybe, Missing, Straggler, known

MOSTLY: Final = 0.5
"""Share of the readings with a clock held back from which that bounds the job before all else."""
SOMETIMES: Final = 0.1
"""And from which it is worth reporting."""
FULL: Final = 0.8
"""Share of what PCIe or a port of a NIC can carry, on the mean."""
TOGETHER: Final = 0.2
"""Share of the time in which all GPUs idle from which the host may bound the job."""
BUSY_LITTLE: Final = 20.0
"""Utilisation in percent below which a GPU idles."""

UNKNOWN: Final = Missing("the counters do not tell")
OVERLAP: Final = Missing("NVLink may limit it: whether computing hides the traffic is not known")
STOPPED: Final = Missing("it moves nothing now")


class JobGpu(NamedTuple):
    """One GPU of a job."""

    uuid: str
    name: str
    """`GPU 3`."""
    samples: GaugeHistory
    pcie_bytes_per_s: float
    """What its PCIe link can carry in one direction; 0 if unknown."""


class OtherLimits(NamedTuple):
    """What bounds a job besides NVLink."""

    before: tuple[Limit, ...]
    """What counts for more than NVLink: it is certain, or holds all ranks back."""
    after: tuple[Limit, ...]
    """What counts for less."""


NO_OTHER_LIMITS: Final = OtherLimits((), ())


def find_other_limits(
    members: Sequence[JobGpu], straggler: Straggler | None, network: Maybe[float]
) -> OtherLimits:
    """Return everything besides NVLink that is seen to bound a job.

    `network` is the share that the busiest port of the NICs carries of what it can.
    """
    before: list[Limit] = []
    after: list[Limit] = []
    for reasons, kind, how in (
        (SW_THERMAL | HW_THERMAL, "heat", "slowed by heat"),
        (POWER_BRAKE, "power", "slowed by the power brake"),
    ):
        held = _held(members, reasons, kind, how)
        if held:
            (before if known(held.share) and held.share > MOSTLY else after).append(held)
    if straggler:
        name = next((m.name for m in members if m.uuid == straggler.gpu), "a GPU")
        before.append(Limit("rank", Missing("not known"), f"the job waits for {name}"))
    if known(network) and network >= FULL:
        before.append(Limit("nic", network, f"a NIC port carries {network:.0%} of its line rate"))
    busiest, share = None, 0.0
    for m in members:
        if known(used := m.samples.pcie) and used > share:
            busiest, share = m, used
    if busiest and share >= FULL:
        top = busiest.pcie_bytes_per_s / 1e9
        carried = f"PCIe of {busiest.name} carries {share * top:.0f} of {top:.0f} GB/s"
        before.append(Limit("pcie", share, carried))
    capped = min((m.samples.held_share(SW_POWER_CAP) for m in members), default=0.0)
    if capped > MOSTLY:
        after.append(Limit("power", capped, f"all GPUs are at their power limit {capped:.0%} of the time"))
    idle = idle_together([m.samples for m in members])
    if idle >= TOGETHER:
        after.append(Limit("host", idle, f"all GPUs idle together {idle:.0%} of the time"))
    return OtherLimits(tuple(before), tuple(after))


def _held(members: Sequence[JobGpu], reasons: int, kind: str, how: str) -> Limit | None:
    """Return a limit if a GPU's clock was held back for some reasons in much of the time."""
    shares = [(m.samples.held_share(reasons), m.name) for m in members]
    share, name = max(shares, default=(0.0, ""))
    if share < SOMETIMES:
        return None
    return Limit(kind, share, f"{name} is {how} {share:.0%} of the time")


def idle_together(samples: Sequence[GaugeHistory]) -> float:
    """Return the share of the readings in which no GPU was busy; 0 if they were not read."""
    columns = [s.utils for s in samples]
    count = min((len(c) for c in columns), default=0)
    if count < ENOUGH:
        return 0.0
    idle = [max(c[-k] for c in columns) < BUSY_LITTLE for k in range(1, count + 1)]
    return sum(idle) / count


def rank_limits(found: Judgement, other_limits: OtherLimits) -> tuple[Limit, ...]:
    """Return everything that bounds a job, NVLink among it, the first first."""
    own: tuple[Limit, ...] = ()
    if found.state in ("limits", "limits-part", "may-limit"):
        may = " may be" if found.state == "may-limit" else " is"
        own = (Limit("nvlink", found.at_limit, f"NVLink{may} what its transfers wait for"),)
    return other_limits.before + own + other_limits.after


def first_limit(found: Judgement, other_limits: OtherLimits) -> Maybe[str]:
    """Return what bounds a job first: see `Activity.limit`."""
    if found.state in ("silent", "no-traffic", "idle"):
        return STOPPED
    if other_limits.before:
        return other_limits.before[0].kind
    if found.state in ("limits", "limits-part"):
        return "nvlink"
    if found.state == "may-limit":
        return OVERLAP
    if found.state in ("unclear", "unknown"):
        return UNKNOWN
    return other_limits.after[0].kind if other_limits.after else "none"
