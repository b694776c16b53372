"""The answer to "is NVLink my bottleneck?" in words: a headline and a sentence for each judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from nvltop.formatting import age
from nvltop.model import MAX_HEADLINE, Job, Judgement, Limit, Maybe, Missing, Overlap, known

READING: Final = "a reading"
NEARLY_ALL: Final = 0.97
LIMIT_STATES: Final = ("limits", "limits-part", "may-limit")
"""States in which NVLink is, or may be, what the job waits for."""
OTHER: Final = {"pcie": "PCIe limits the job", "nic": "A NIC limits the job"}


def percent(share: float) -> str:
    """`61%`; `<1%` for what is little."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def seconds(value: float) -> str:
    """`2.0 s`, `13 s`; more digits below a second."""
    return f"{value:.2g} s" if value < 1 else f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def fitting(texts: Sequence[str], suffix: str = "") -> str:
    """Return the first text that fits a headline with the suffix; else the last one, cut."""
    room = MAX_HEADLINE - len(suffix)
    return next((t for t in texts if len(t) <= room), texts[-1][:room].rstrip()) + suffix


def of_time(j: Judgement, short: bool = False) -> str:
    """`of each 2.0 s step`, or `of the time` where there is no step."""
    if j.step_s is None:
        return "of the time"
    return "of each step" if short else f"of each {seconds(j.step_s)} step"


MOSTLY_AT_LIMIT: Final = 0.75
"""Share of the time with traffic from which all of it counts as being at the limit."""


def limit_share(j: Judgement) -> float:
    """Return the share of the time that NVLink takes or may take: the exposed part, where it is known."""
    near = j.at_limit if known(j.at_limit) else 0.0
    if known(j.busy) and near >= MOSTLY_AT_LIMIT * j.busy:
        near = j.busy  # the edges of a burst belong to it
    if j.state in ("limits", "limits-part") and known(j.overlap) and j.overlap.confidence != "possible":
        return max(near * j.overlap.exposed, near if j.state == "limits" and near >= 0.8 else 0.0)
    return near


def headline(j: Judgement, index_of: Mapping[str, int], suffix: str = "", where: str = "") -> str:
    """Return at most `HEADLINE` columns; `suffix` counts the other jobs, `where` names the job's GPUs."""
    first = j.limits[0] if j.limits else None
    if (
        first
        and first.kind in ("pcie", "nic", "rank", "heat")
        and j.state in ("below", "light", "hidden", "unclear")
    ):
        return fitting(_other(first), suffix)
    texts = _texts(j)
    ends = [index_of[uuid] for uuid in (j.gpu, j.remote) if uuid and uuid in index_of]
    if len(ends) == 2 and j.state in LIMIT_STATES:
        pair = f"GPUs {min(ends)} and {max(ends)}: "
        return fitting([f"{pair}{t}" for t in texts] + texts, suffix)
    if where and not j.gpu:
        return fitting([f"{where}: {t}" for t in texts] + texts, suffix)
    if j.gpu and j.gpu in index_of and j.state in LIMIT_STATES:
        texts = [f"GPU {index_of[j.gpu]}: {t}" for t in texts] + texts
    return fitting(texts, suffix)


def _texts(j: Judgement) -> list[str]:
    """Return the headline of a state, the longest first."""
    long, short = of_time(j), of_time(j, short=True)
    if j.state in LIMIT_STATES:
        verb = "may limit" if j.state == "may-limit" else "limits"
        if j.step_s is None:
            share = percent(limit_share(j))
            return [f"NVLink {verb} {what}{share} of the time" for what in ("the job ", "")]
        return [f"NVLink {verb} {percent(limit_share(j))} {t}" for t in (long, short)]
    if j.state == "hidden":
        return ["NVLink traffic is hidden behind compute", "NVLink traffic is hidden"]
    if j.state == "below" and known(j.busy) and known(j.level):
        return [f"NVLink busy {percent(j.busy)} {t} at {percent(j.level)} of max" for t in (long, short)]
    if j.state in ("light", "below"):
        if j.state == "below":
            return [
                f"NVLink below its limit: {percent(j.mean)} of NCCL max"
                if known(j.mean)
                else "NVLink is busy"
            ]
        if known(j.mean):
            return [f"NVLink traffic is light: {percent(j.mean)} of NCCL max"]
        return ["NVLink traffic is light"]
    if j.state == "silent":
        quiet = f"No NVLink traffic for {age(j.silent_s)}"
        return [f"{quiet} (step was {seconds(j.step_s)})", quiet] if j.step_s else [quiet]
    if j.state == "unclear":
        if known(j.at_limit) and known(j.at_limit_most):
            span = f"{j.at_limit:.0%} to {percent(j.at_limit_most)}"
            return [*(f"NVLink may limit {span} {t}" for t in (long, short)), f"NVLink may limit {span}"]
        if known(j.mean):
            return [f"Measuring: NVLink at {percent(j.mean)} of NCCL max"]
        return ["NVLink carries traffic; its limit is unknown"]
    if j.state == "no-traffic":
        return ["GPUs busy, no NVLink traffic"]
    return (
        ["NVLink traffic is unknown"]
        if j.state == "unknown"
        else ["Idle: GPUs and NVLink carry next to nothing"]
    )


def _other(limit: Limit) -> list[str]:
    """Return the headline of something else that bounds the job."""
    if limit.kind == "rank":
        who = limit.evidence.removeprefix("the job waits for ")
        return [f"The job waits for {who}, not for NVLink", f"The job waits for {who}"]
    if limit.kind in OTHER:
        amount = limit.evidence.partition(" carries ")[2]
        return [f"{OTHER[limit.kind]}: {amount}", OTHER[limit.kind]]
    return [limit.evidence, limit.evidence.rpartition(" by ")[0] + " by heat"]


def summary(j: Judgement, index_of: Mapping[str, int], jobs: Mapping[str, Job]) -> str:
    """Return the whole answer, one or two sentences."""
    text = _answer(j, index_of)
    others = [limit.evidence for limit in j.limits if limit.kind != "nvlink"]
    if others:
        text += f". {'Also seen' if j.state in LIMIT_STATES else 'Seen'}: {'; '.join(others)}"
    job = jobs.get(j.job or "")
    if job and known(job.unlinked) and job.unlinked and len(job.gpus) > 1:
        a, b = (index_of.get(u, "?") for u in job.unlinked[0])
        more = f" and {len(job.unlinked) - 1} more pairs" if len(job.unlinked) > 1 else ""
        text += f". No NVLink joins GPU {a} and {b}{more}: part of the job's traffic goes over PCIe"
    return text


def _answer(j: Judgement, index_of: Mapping[str, int]) -> str:
    if j.state == "unknown":
        return f"Cannot tell: NVLink traffic is unknown ({j.why})"
    if j.state == "idle":
        quiet = f"; no NVLink traffic for {age(j.silent_s)}" if j.silent_s else ""
        return f"The GPUs are idle and NVLink carries next to nothing{quiet}"
    if j.state == "no-traffic":
        return "GPUs are busy and NVLink carries next to nothing: they have nothing to send, or use PCIe"
    if j.state == "silent":
        return _silent(j)
    if j.state == "unclear":
        return _unclear(j)
    if j.state == "light":
        return f"NVLink is not the bottleneck: {_used(j)}{_at_most(j)}"
    text = f"{_used(j)}{_where(j, index_of)}"
    if j.state == "below":
        return (
            f"{text}, below the limit: latency, small messages, a slow rank or NICs hold it back,"
            f" or it comes in bursts much shorter than {READING}"
        )
    if j.state == "hidden":
        return f"{text}, while computing goes on{_compared(j)}: the traffic is hidden"
    if j.nvls:
        text += "; an NVLS all-reduce ends there, a ring reaches more"
    return f"{text}; {_bound(j)}"


def _used(j: Judgement) -> str:
    """`61% of each 2.0 s step moves data at 96% of NCCL max`."""
    level = f" at {percent(j.level)} of NCCL max" if known(j.level) else ""
    if known(j.busy):
        return f"{percent(j.busy)} {of_time(j)} moves data{level}"
    mean = f" {percent(j.mean)} of NCCL max on the mean" if known(j.mean) else " data"
    return f"NVLink moves{mean}, in bursts shorter than {READING}"


def _at_most(j: Judgement) -> str:
    if known(j.at_limit_most) and j.at_limit_most >= 0.005:
        return f", at its limit {percent(j.at_limit_most)} of the time at most"
    return ""


def _where(j: Judgement, index_of: Mapping[str, int]) -> str:
    """Say which GPU, links and direction, where not all are alike."""
    parts = []
    if j.gpu and j.gpu in index_of:
        parts.append(f"on GPU {index_of[j.gpu]}")
    if j.remote and j.remote in index_of:
        parts.append(f"over its links to GPU {index_of[j.remote]}")
    if j.direction != "both":
        parts.append(f"{j.direction.upper()} only")
    return f" ({', '.join(parts)})" if parts else ""


def _bound(j: Judgement) -> str:
    """Say what the communication costs, in the user's terms."""
    busy = j.busy if known(j.busy) else j.at_limit if known(j.at_limit) else 0.0
    overlap = j.overlap
    if known(overlap):
        seen = _compared(j).removeprefix(": ")
        shown = f"{seen}: the communication is {_exposure(overlap)}"
        if overlap.confidence == "possible":
            return f"{_range(j, busy)} (probably near the first: {seen})"
        if j.step_s is None:
            return f"{shown}, it costs about {percent(busy * overlap.exposed)} of the time"
        left = seconds(j.step_s * (1 - busy * overlap.exposed))
        return f"{shown}; without it a step would take about {left}"
    return _range(j, busy)


def _range(j: Judgement, busy: float) -> str:
    if busy >= NEARLY_ALL:
        return "hardly any time is left for anything else"
    if j.step_s is None:
        return (
            f"without that communication the job would take between {percent(max(0.0, 1 - busy))}"
            " (nothing overlaps) and 100% (all of it overlaps) of its time"
        )
    return (
        f"without that communication a step would take between {seconds(j.step_s * (1 - busy))}"
        f" (nothing overlaps) and {seconds(j.step_s)} (all of it overlaps)"
    )


def _compared(j: Judgement) -> str:
    """`: tensor cores 4% while the links are busy, 71% otherwise`."""
    o = j.overlap
    if isinstance(o, Missing):
        return ""
    return f": {o.unit} {percent(o.busy)} while the links are busy, {percent(o.otherwise)} otherwise"


def _exposure(o: Overlap) -> str:
    if o.exposed >= 0.85:
        return "exposed"
    return f"{percent(o.exposed)} exposed"


class BusBandwidth(NamedTuple):
    """What nccl-tests would report as bus bandwidth of an all-reduce that moves what was seen, in bytes/s.

    A ring moves the bus bandwidth itself over each GPU's links. NVLS lets the switches add up: a GPU then
    moves (n + 1) / n of the data instead of 2 (n - 1) / n, so the same traffic is an all-reduce that is
    2 (n - 1) / (n + 1) times as fast: 1.56 for 8 GPUs. The counters cannot tell which it is.
    """

    ring: float
    nvls: float | None
    """None on boards that cannot do it, and for fewer than three GPUs."""


def bus_bandwidth(j: Judgement) -> Maybe[BusBandwidth]:
    """Return the two readings of what a job's GPUs reach while they communicate."""
    rate, n = j.reached_bytes_per_s, len(j.gpus)
    if isinstance(rate, Missing):
        return rate
    if n < 2 or not rate:
        return Missing("no exchange between GPUs of this node is seen")
    if j.direction != "both":
        return Missing("the traffic goes one way, as no all-reduce does")
    return BusBandwidth(rate, rate * 2 * (n - 1) / (n + 1) if j.nvls_capable and n > 2 else None)


def reached_rate(j: Judgement) -> str:
    """`342 of 357 GB/s a GPU (busbw 342 if ring, 532 if NVLS all-reduce)`; empty if nothing is known."""
    busbw, most = bus_bandwidth(j), j.practical_bytes_per_s
    of = f" of {most / 1e9:.0f}" if known(most) else ""
    if isinstance(busbw, Missing):
        if j.direction == "both" or isinstance(j.reached_bytes_per_s, Missing):
            return ""
        return f"{j.reached_bytes_per_s / 1e9:.0f}{of} GB/s a GPU, {j.direction.upper()} only"
    nvls = f", {busbw.nvls / 1e9:.0f} if NVLS" if busbw.nvls else ""
    return f"{busbw.ring / 1e9:.0f}{of} GB/s a GPU (busbw {busbw.ring / 1e9:.0f} if ring{nvls} all-reduce)"


def _silent(j: Judgement) -> str:
    step = f" (step was {seconds(j.step_s)})" if j.step_s else ""
    before = ""
    if known(j.busy):
        before = f"; before, {percent(j.busy)} {of_time(j)} moved data"
    return (
        f"No NVLink traffic for {age(j.silent_s)}{step} while the GPUs are busy: a hang, an evaluation,"
        f" a checkpoint, or a long computation{before}"
    )


def _unclear(j: Judgement) -> str:
    if known(j.at_limit) and known(j.at_limit_most):
        mean = f"{percent(j.mean)} of NCCL max on the mean, " if known(j.mean) else ""
        return (
            f"Cannot tell: NVLink carries {mean}in bursts shorter than {READING}: it was at its limit"
            f" between {j.at_limit:.0%} and {percent(j.at_limit_most)} of the time"
        )
    mean = f"; so far NVLink carries {percent(j.mean)} of NCCL max" if known(j.mean) else ""
    return f"Cannot tell yet: {j.why}{mean}"
