"""What limits a job besides NVLink, as far as counters and gauges show it, with evidence.

Pure. Certain limits come first: a GPU that is slowed by heat slows all other GPUs of the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from nvltop.analysis.activity.gauge_history import (
    MIN_SAMPLES,
    GaugeHistory,
)
from nvltop.model import Judgement, Limit, Maybe, Missing, Straggler, known
from nvltop.model.clock_reasons import HW_THERMAL, POWER_BRAKE, SW_POWER_CAP, SW_THERMAL

MOSTLY_THROTTLED: Final = 0.5
"""Share of the time with a reduced clock above which that is the first limit of the job."""
MIN_THROTTLED: Final = 0.1
"""Share of the time with a reduced clock above which it is reported."""
FULL_SHARE: Final = 0.8
"""Mean share of the speed above which a PCIe link or a NIC port limits a job."""
MIN_IDLE_TOGETHER: Final = 0.2
"""Share of the time in which all GPUs are idle above which the host may limit the job."""
IDLE_PERCENT: Final = 20.0
"""Utilisation below which a GPU is idle, in percent."""

LIMIT_UNKNOWN: Final = Missing("cannot be determined from the counters")
OVERLAP_UNKNOWN: Final = Missing("NVLink may limit it: whether computing hides the traffic is not known")
NO_TRAFFIC_NOW: Final = Missing("there is no traffic now")


class JobGpu(NamedTuple):
    """One GPU of a job."""

    uuid: str
    name: str
    """Name on screen, such as `GPU 3`."""
    gauges: GaugeHistory
    pcie_bytes_per_s: float
    """Speed of its PCIe link in one direction; 0 if unknown."""


class OtherLimits(NamedTuple):
    """The limits of a job besides NVLink."""

    before: tuple[Limit, ...]
    """Limits that rank before NVLink, because they are certain or slow all ranks."""
    after: tuple[Limit, ...]
    """Limits that rank after NVLink."""


NO_OTHER_LIMITS: Final = OtherLimits((), ())


def find_other_limits(
    members: Sequence[JobGpu], straggler: Straggler | None, network: Maybe[float]
) -> OtherLimits:
    """Return the observed limits of a job besides NVLink.

    `network` is the share of the line rate that the busiest NIC port carries.
    """
    before: list[Limit] = []
    after: list[Limit] = []
    for reasons, kind, how in (
        (SW_THERMAL | HW_THERMAL, "heat", "slowed by heat"),
        (POWER_BRAKE, "power", "slowed by the power brake"),
    ):
        throttled = _throttled(members, reasons, kind, how)
        if throttled:
            (before if known(throttled.share) and throttled.share > MOSTLY_THROTTLED else after).append(
                throttled
            )
    if straggler:
        name = next((m.name for m in members if m.uuid == straggler.gpu), "a GPU")
        before.append(Limit("rank", Missing("not known"), f"the job waits for {name}"))
    if known(network) and network >= FULL_SHARE:
        before.append(Limit("nic", network, f"a NIC port carries {network:.0%} of its line rate"))
    busiest, share = None, 0.0
    for m in members:
        if known(used := m.gauges.pcie) and used > share:
            busiest, share = m, used
    if busiest and share >= FULL_SHARE:
        top = busiest.pcie_bytes_per_s / 1e9
        carried = f"PCIe of {busiest.name} carries {share * top:.0f} of {top:.0f} GB/s"
        before.append(Limit("pcie", share, carried))
    capped = min((m.gauges.throttled_share(SW_POWER_CAP) for m in members), default=0.0)
    if capped > MOSTLY_THROTTLED:
        after.append(Limit("power", capped, f"all GPUs are at their power limit {capped:.0%} of the time"))
    idle = share_idle_together([m.gauges for m in members])
    if idle >= MIN_IDLE_TOGETHER:
        after.append(Limit("host", idle, f"all GPUs idle together {idle:.0%} of the time"))
    return OtherLimits(tuple(before), tuple(after))


def _throttled(members: Sequence[JobGpu], reasons: int, kind: str, how: str) -> Limit | None:
    """Return a limit if the clock of a GPU was reduced for any of `reasons` in much of the time."""
    shares = [(m.gauges.throttled_share(reasons), m.name) for m in members]
    share, name = max(shares, default=(0.0, ""))
    if share < MIN_THROTTLED:
        return None
    return Limit(kind, share, f"{name} is {how} {share:.0%} of the time")


def share_idle_together(samples: Sequence[GaugeHistory]) -> float:
    """Return the share of the samples in which all GPUs were idle; 0 if there are too few."""
    columns = [s.utils for s in samples]
    count = min((len(c) for c in columns), default=0)
    if count < MIN_SAMPLES:
        return 0.0
    busiest: Iterable[float] = map(max, zip(*(c[-count:] for c in columns), strict=True))
    return sum(util < IDLE_PERCENT for util in busiest) / count


def rank_limits(found: Judgement, other_limits: OtherLimits) -> tuple[Limit, ...]:
    """Return all limits of a job including NVLink, in the order of their rank."""
    own: tuple[Limit, ...] = ()
    if found.state in ("limits", "limits-part", "may-limit"):
        may = " may be" if found.state == "may-limit" else " is"
        own = (Limit("nvlink", found.at_limit, f"NVLink{may} what its transfers wait for"),)
    return other_limits.before + own + other_limits.after


def first_limit(found: Judgement, other_limits: OtherLimits) -> Maybe[str]:
    """Return the first limit of a job; see `Activity.limit`."""
    if found.state in ("silent", "no-traffic", "idle"):
        return NO_TRAFFIC_NOW
    if other_limits.before:
        return other_limits.before[0].kind
    if found.state in ("limits", "limits-part"):
        return "nvlink"
    if found.state == "may-limit":
        return OVERLAP_UNKNOWN
    if found.state in ("unclear", "unknown"):
        return LIMIT_UNKNOWN
    return other_limits.after[0].kind if other_limits.after else "none"
