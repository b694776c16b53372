"""Decide from the link usage of a job's GPUs whether NVLink limits the job.

Pure. README.md of this folder explains the thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Final

from nvltop.analysis.activity.link_usage import LinkUsage
from nvltop.analysis.activity.usage_trace import LimitBounds, UsageTrace
from nvltop.analysis.link_capacity import ceiling
from nvltop.frozen import fields_of, frozen
from nvltop.median import median
from nvltop.model import GpuFrame, Judgement, Maybe, Missing, Overlap, RemoteKind, known

RING_LIMIT: Final = 0.9
"""Share of NCCL max above which a ring is at its limit; LL128 and trees reach 0.92
(nccl src/graph/tuning.cc)."""
LIMIT_WITHOUT_NVLS: Final = 0.85
"""Share of NCCL max above which links count as at their limit on boards without NVLS."""
NVLS_RATES: Final = {"4.0": 0.80, "5.0": 0.69}
"""Share of NCCL max that an NVLS all-reduce reaches, by generation: `nvlsEfficiency` of nccl
src/graph/tuning.cc (0.85, 0.74) times (channels - 1) / channels."""
NVLS_LIMIT: Final = 0.93
"""Share of the NVLS rate above which an NVLS all-reduce is at its limit."""
NVLS_TOLERANCE: Final = 0.04
"""Distance from the NVLS rate below which exposed traffic is taken to be an NVLS all-reduce."""
MOSTLY_AT_LIMIT: Final = 0.8
"""Share of the time at the limit above which NVLink limits the job, whatever the overlap is."""
HALF_THE_TIME: Final = 0.5
"""Share of the time above which NVLink limits the job as a whole, not only a part of its time."""
STATE_SLACK: Final = 0.04
"""Distance from the condition of a state within which a job keeps it: the error of the shares."""
MIN_SHARE: Final = 0.1
"""Share of the time at the limit below which it does not matter."""
MAX_BELOW_SHARE: Final = 0.15
"""Upper bound of the share of the time at the limit below which NVLink does not limit the job."""
LIGHT_LEVEL: Final = 0.105
"""Level below which traffic is light however long it lasts: what is shown as 10 % of NCCL max."""
HEAVY_TRAFFIC: Final = 0.3
"""Share of the time with traffic above which a job is communication-heavy."""
MAX_HIDDEN: Final = 0.15
"""Exposed share of the communication below which computation hides the traffic."""
MOSTLY_EXPOSED: Final = 0.7
"""Exposed share of the communication above which computation does not hide the traffic."""
MAX_SPREAD: Final = 0.05
"""Difference of the shares at the limit below which all GPUs are alike, and none is named."""
MIN_TRAFFIC_RATIO: Final = 1.1
"""Mean traffic over the median of the others above which a GPU is used differently."""
MIN_BALANCE: Final = 0.5
"""Bytes of one direction over those of the other below which the traffic of a GPU goes in one direction."""
MOSTLY_SENT: Final = 1 / (1 + MIN_BALANCE)
"""Share of sent bytes above which such a GPU sends, and of received bytes above which it receives."""

SIMILAR_LIMIT: Final = 0.8
"""Share of the longest time at the limit above which another GPU is limited as much."""
ALL_LINKS: Final = 0.99
"""Share of the rate of all links above which the most used links are all links of the GPU."""

Comparison = Callable[[float, float], bool]

USAGE_VALUES: Final = attrgetter(*fields_of(LinkUsage))
"""Returns the fields of a `LinkUsage` as a tuple."""

NO_PUBLISHED_FIGURE: Final = "what NCCL reaches on this generation of NVLink is not published"
BURSTS_TOO_SHORT: Final = "the bursts are shorter than the readings"


def has_nvls(g: GpuFrame) -> bool:
    """Return whether the board supports NVLS all-reduces: Hopper or later, with NVSwitches."""
    remotes = g.gpu.remotes
    if isinstance(remotes, Missing) or g.gpu.nvlink_generation not in NVLS_RATES:
        return False
    return any(r.kind is not RemoteKind.GPU for r in remotes)


def limit_bounds(g: GpuFrame) -> LimitBounds:
    """Return the shares of NCCL max above which the links of a GPU are at their limit."""
    if isinstance(ceiling(g.gpu.nvlink_generation), Missing):
        return LimitBounds(RING_LIMIT, RING_LIMIT, 0.0)
    if has_nvls(g):
        nvls = NVLS_RATES[str(g.gpu.nvlink_generation)]
        return LimitBounds(NVLS_LIMIT * nvls, RING_LIMIT, nvls)
    return LimitBounds(LIMIT_WITHOUT_NVLS, RING_LIMIT, 0.0)


@frozen
class JobUsage:
    """The link usage of a job as a whole."""

    usage: LinkUsage
    gpu: str | None
    """UUID of the GPU that is at its limit for longer than the others, if there is one."""


@frozen
class MostUsedLinks:
    """The links that the numbers of a job refer to."""

    kind: str
    """`gpu` or `pair`; see `Judgement.links`."""
    limit_bytes_per_s: float
    """Rate in one direction that their shares refer to: NCCL max, or the speed if no figure is published."""


def combine_usage(usages: Mapping[str, LinkUsage]) -> JobUsage:
    """Return the usage that limits the job: the median of GPUs that are alike, else the most limited one."""
    values = list(usages.values())
    # Rounded, so that of two ends of the same links always the first is named.
    top = max(usages, key=lambda u: (round(usages[u].at_limit, 2), round(usages[u].at_limit_most, 2)))
    most, usual = usages[top], LinkUsage(*map(median, zip(*map(USAGE_VALUES, values), strict=True)))
    excess = max(most.at_limit - usual.at_limit, most.at_limit_most - usual.at_limit_most)
    # More traffic shows that a GPU is used differently from the others; noise of the shares does not.
    if len(values) > 1 and excess > MAX_SPREAD and most.mean > MIN_TRAFFIC_RATIO * usual.mean:
        return JobUsage(most, top)
    return JobUsage(usual, None)


def limited_pair(usages: Mapping[str, LinkUsage], traces: Mapping[str, UsageTrace]) -> str | None:
    """Return one end of a pair of GPUs that fill the links between them while the others do not."""
    most = max(v.at_limit for v in usages.values())
    ends = [uuid for uuid, v in usages.items() if v.at_limit >= SIMILAR_LIMIT * most]
    if len(ends) == 2 < len(usages) and most and traces[ends[0]].remote == ends[1]:
        return ends[0]
    return None


def decide_state(
    usage: LinkUsage, bounds: LimitBounds, overlap: Maybe[Overlap], has_figure: bool, before: str = ""
) -> tuple[str, str]:
    """Return the state of a job with traffic, and the reason if the state is `unclear`.

    The state `before` stays while the numbers are within `STATE_SLACK` of it, unless it is `unclear`.
    """
    exposed = overlap.exposed if known(overlap) and overlap.confidence != "possible" else None
    [state] = possible_states(usage, bounds, exposed)
    if before not in (state, "", "unclear"):
        state = before if before in possible_states(usage, bounds, exposed, STATE_SLACK) else state
    why = BURSTS_TOO_SHORT if has_figure else NO_PUBLISHED_FIGURE
    return state, why if state == "unclear" else ""


def possible_states(
    usage: LinkUsage, bounds: LimitBounds, exposed: float | None, slack: float = 0.0
) -> Iterator[str]:
    """Yield the states of a job with traffic if each share may be wrong by `slack`; without slack, one."""
    reaches, misses = _comparisons(slack)
    # Time at the limit is certain if half of it reaches the limit of a ring: a ring below its limit may have
    # the rate of NVLS. Exposed traffic at that rate is taken to be NVLS.
    nvls_distance = math.inf
    if bounds.nvls_rate and exposed is not None:
        nvls_distance = abs(usage.level - bounds.nvls_rate)
    may_be_certain = (
        reaches(usage.at_ring_limit, HALF_THE_TIME * usage.at_limit)
        or reaches(usage.level, bounds.ring_limit)
        or (reaches(exposed or 0.0, MOSTLY_EXPOSED) and nvls_distance - slack <= NVLS_TOLERANCE)
    )
    may_be_doubtful = (
        misses(usage.at_ring_limit, HALF_THE_TIME * usage.at_limit)
        and misses(usage.level, bounds.ring_limit)
        and (misses(exposed or 0.0, MOSTLY_EXPOSED) or nvls_distance + slack > NVLS_TOLERANCE)
    )
    if reaches(usage.at_limit, MOSTLY_AT_LIMIT) and may_be_certain:
        yield "limits"
    if reaches(usage.at_limit, MIN_SHARE) and (misses(usage.at_limit, MOSTLY_AT_LIMIT) or may_be_doubtful):
        if exposed is None:
            yield "may-limit"
        else:
            yield from _states_at_limit(usage, exposed, slack, may_be_certain, may_be_doubtful)
    if misses(usage.at_limit, MIN_SHARE):
        if misses(usage.at_limit_most, MAX_BELOW_SHARE):
            busy = usage.busy - usage.unresolved
            heavy = reaches(busy, HEAVY_TRAFFIC) or reaches(usage.mean, MAX_BELOW_SHARE)
            if heavy and reaches(usage.level, LIGHT_LEVEL):
                yield "below"
            few = misses(busy, HEAVY_TRAFFIC) and misses(usage.mean, MAX_BELOW_SHARE)
            if few or misses(usage.level, LIGHT_LEVEL):
                yield "light"
        if reaches(usage.at_limit_most, MAX_BELOW_SHARE):
            if exposed is not None and misses(exposed, MAX_HIDDEN):
                yield "hidden"
            if exposed is None or reaches(exposed, MAX_HIDDEN):
                yield "unclear"


def _states_at_limit(
    usage: LinkUsage, exposed: float, slack: float, may_be_certain: bool, may_be_doubtful: bool
) -> Iterator[str]:
    """Yield the states of a job whose links are at their limit for a part of the time that matters."""
    reaches, misses = _comparisons(slack)
    longest_cost, cost = usage.at_limit_most * exposed, usage.at_limit * exposed
    if misses(exposed, MAX_HIDDEN) or misses(longest_cost, MIN_SHARE):
        yield "hidden"
    if reaches(exposed, MAX_HIDDEN) and reaches(longest_cost, MIN_SHARE):
        if misses(cost, MIN_SHARE) or may_be_doubtful:
            yield "may-limit"
        if reaches(cost, MIN_SHARE) and may_be_certain:
            if reaches(cost, HALF_THE_TIME):
                yield "limits"
            if misses(cost, HALF_THE_TIME):
                yield "limits-part"


def _comparisons(slack: float) -> tuple[Comparison, Comparison]:
    """Return whether a share may reach a limit, and whether it may miss it, if it is wrong by `slack`."""
    return (lambda share, limit: share + slack >= limit), (lambda share, limit: share - slack < limit)


def busy_share(usage: LinkUsage) -> Maybe[float]:
    """Return the share of the time with traffic, unless too much of it is in bursts of unknown length."""
    return Missing(BURSTS_TOO_SHORT) if usage.unresolved > MIN_SHARE else usage.busy


def fill_judgement(
    blank: Judgement,
    job: JobUsage,
    bounds: LimitBounds,
    overlap: Maybe[Overlap],
    links: MostUsedLinks,
    practical: Maybe[float],
    before: str,
) -> Judgement:
    """Return `blank` with the state and the numbers of a job with traffic; `before` is its last state."""
    usage = job.usage
    state, why = decide_state(usage, bounds, overlap, known(practical), before)
    busy = busy_share(usage)
    has_figure = known(practical)
    no_figure = practical if isinstance(practical, Missing) else Missing(NO_PUBLISHED_FIGURE)
    level: Maybe[float] = Missing(BURSTS_TOO_SHORT) if isinstance(busy, Missing) else usage.level
    reached = level * links.limit_bytes_per_s if known(level) else level
    whole = usage.gpu_rate if known(level) else level
    most = usage.at_limit_most if isinstance(busy, Missing) else min(usage.at_limit_most, busy)
    least = min(usage.at_limit, most)
    return replace(
        blank,
        state=state,
        why=why,
        busy=busy,
        at_limit=least if has_figure or least else no_figure,
        at_limit_most=max(least, most) if has_figure else no_figure,
        level=level if has_figure else no_figure,
        mean=usage.mean if has_figure else no_figure,
        nvls_capable=bool(bounds.nvls_rate),
        nvls=bool(bounds.nvls_rate) and bounds.limit <= usage.level < bounds.ring_limit,
        gpu=job.gpu,
        direction=direction_of(usage),
        overlap=overlap,
        links=links.kind,
        reached_bytes_per_s=reached,
        practical_bytes_per_s=practical,
        gpu_bytes_per_s=reached if links.kind == "gpu" else whole,
    )


def direction_of(usage: LinkUsage) -> str:
    """Return the direction of the traffic; see `Judgement.direction`."""
    if usage.balance >= MIN_BALANCE:
        return "both"
    return "tx" if usage.sent > MOSTLY_SENT else "rx" if usage.sent < 1 - MOSTLY_SENT else "one-way"


def most_used_links(traces: Mapping[str, UsageTrace], gpu: str | None) -> MostUsedLinks:
    """Return the links that the numbers of a job refer to: of `gpu`, or of the median GPU."""
    used = [traces[gpu]] if gpu else list(traces.values())
    limits = [t.limit for t in used]
    pairs = [t for t, limit in zip(used, limits, strict=True) if limit < ALL_LINKS * t.gpu_limit]
    # An even number of GPUs may have pairs with one link and with two: there is none with the mean of them.
    usual = sorted(limits)[(len(limits) - 1) // 2]
    return MostUsedLinks("pair" if 2 * len(pairs) > len(used) else "gpu", usual)


def practical_rate(members: Sequence[GpuFrame], links: MostUsedLinks) -> Maybe[float]:
    """Return NCCL max of the most used links in bytes/s, or why it is not known for a GPU of the job."""
    for g in members:
        for value in (g.nvlink.ceiling, g.nvlink.speed_bytes_per_s):
            if isinstance(value, Missing):
                return value
    return links.limit_bytes_per_s
