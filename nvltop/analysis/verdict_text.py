"""The text of judgements: a headline and a summary that answer "is NVLink my bottleneck?"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from nvltop.analysis.activity.decision import HALF_THE_TIME, MOSTLY_AT_LIMIT, STATE_SLACK
from nvltop.formatting import age, in_seconds
from nvltop.model import MAX_HEADLINE, Job, Judgement, Limit, Missing, Overlap, known
from nvltop.text import counted, shortened

NEARLY_ALWAYS: Final = 0.97
"""Share of the time with traffic above which there is hardly any time left for anything else."""
BUSY_AT_LIMIT: Final = 0.75
"""Share of the time with traffic above which all of it counts as at the limit."""
FULLY_EXPOSED: Final = 0.85
"""Exposed share of the communication above which it is called exposed, without the share."""
LIMIT_STATES: Final = ("limits", "limits-part", "may-limit")
"""States in which NVLink limits or may limit the job."""
OTHER_LIMITS: Final = {"pcie": "PCIe limits the job", "nic": "A NIC limits the job"}
"""Headline of limits whose evidence is an amount, by kind."""


def percent(share: float) -> str:
    """Format a share, as `61%`; a share below half a percent as `<1%`."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def fit_headline(texts: Sequence[str], suffix: str = "") -> str:
    """Return the first text that fits into a headline with `suffix`, else the last one cut with a mark."""
    room = MAX_HEADLINE - len(suffix)
    return next((t for t in texts if len(t) <= room), shortened(texts[-1], room)) + suffix


def time_phrase(j: Judgement, short: bool = False) -> str:
    """Return `of each 2.0 s step`, or `of the time` if there is no step."""
    if j.step_s is None:
        return "of the time"
    return "of each step" if short else f"of each {in_seconds(j.step_s)} step"


def limit_share(j: Judgement) -> float:
    """Return the share of the time that NVLink limits or may limit: the exposed part, if known."""
    near = _near_share(j)
    if j.state in ("limits", "limits-part") and known(j.overlap) and j.overlap.confidence != "possible":
        return near if _limits_in_full(j, near) else near * j.overlap.exposed
    return near


def _near_share(j: Judgement) -> float:
    """Return the share of the time at the limit; the edges of a burst belong to the burst."""
    near = j.at_limit if known(j.at_limit) else 0.0
    return j.busy if known(j.busy) and near >= BUSY_AT_LIMIT * j.busy else near


def _limits_in_full(j: Judgement, near: float) -> bool:
    """Return whether NVLink limits the job although computing goes on during most of its traffic.

    `near` is the share of the time at the limit.
    """
    if j.state != "limits" or isinstance(j.overlap, Missing):
        return False
    # A job keeps its state while the shares are within the slack of it.
    return near >= MOSTLY_AT_LIMIT or near * j.overlap.exposed < HALF_THE_TIME - STATE_SLACK


def of_nccl_max(j: Judgement, share: float, named: bool = False) -> str:
    """Return `96% of NCCL max`, and of what if that is not the same for all links of the job.

    If `named`, the text says elsewhere which GPU it is.
    """
    place = "" if named else place_phrase(j)
    return f"{percent(share)} of NCCL max{place and f' on {place}'}"


def place_phrase(j: Judgement) -> str:
    """Return the links that the numbers of a job refer to, if they are not those of each of its GPUs."""
    return "the busiest pair" if j.links == "pair" else "the busiest GPU" if j.gpu else ""


def headline(j: Judgement, index_of: Mapping[str, int], suffix: str = "", where: str = "") -> str:
    """Return the headline of a judgement in at most `MAX_HEADLINE` columns.

    `suffix` counts the other jobs, and `where` names the GPUs of the job.
    """
    first = j.limits[0] if j.limits else None
    if (
        first
        and first.kind in ("pcie", "nic", "rank", "heat")
        and j.state in ("below", "light", "hidden", "unclear")
    ):
        return fit_headline(_other_limit(first), suffix)
    texts = _headlines(j)
    ends = [index_of[uuid] for uuid in (j.gpu, j.remote) if uuid and uuid in index_of]
    if len(ends) == 2 and j.state in LIMIT_STATES:
        pair = f"GPUs {min(ends)} and {max(ends)}: "
        return fit_headline([f"{pair}{t}" for t in texts] + texts, suffix)
    if where and not j.gpu:
        return fit_headline([f"{where}: {t}" for t in texts] + texts, suffix)
    if j.gpu and j.gpu in index_of and j.state in LIMIT_STATES:
        texts = [f"GPU {index_of[j.gpu]}: {t}" for t in texts] + texts
    return fit_headline(texts, suffix)


def _headlines(j: Judgement) -> list[str]:
    """Return the possible headlines of a judgement, longest first."""
    long, short = time_phrase(j), time_phrase(j, short=True)
    if j.state in LIMIT_STATES:
        verb = "may limit" if j.state == "may-limit" else "limits"
        if j.step_s is None:
            share = percent(limit_share(j))
            return [f"NVLink {verb} {what}{share} of the time" for what in ("the job ", "")]
        return [f"NVLink {verb} {percent(limit_share(j))} {t}" for t in (long, short)]
    if j.state == "hidden":
        return ["NVLink traffic is hidden behind compute", "NVLink traffic is hidden"]
    if j.state == "below" and known(j.busy) and known(j.level):
        subjects = ("NVLink",) if j.links == "gpu" else ("Busiest pair", "Pair")
        busy, level = percent(j.busy), percent(j.level)
        whole = [f"{what} busy {busy} {t} at {level} of max" for what in subjects for t in (long, short)]
        return [*whole, f"{subjects[-1]} busy {busy} {short}"]
    if j.state in ("light", "below"):
        quiet = "NVLink traffic is light" if j.state == "light" else "NVLink below its limit"
        if known(j.mean):
            pair = "pair at " if j.links == "pair" else ""
            return [*(f"{quiet}: {pair}{percent(j.mean)} of {what}" for what in ("NCCL max", "max")), quiet]
        return [quiet if j.state == "light" else "NVLink is busy"]
    if j.state == "silent":
        quiet = f"No NVLink traffic for {age(j.silent_s)}"
        return [f"{quiet} (step was {in_seconds(j.step_s)})", quiet] if j.step_s else [quiet]
    if j.state == "unclear":
        if known(j.at_limit) and known(j.at_limit_most):
            span = f"{j.at_limit:.0%} to {percent(j.at_limit_most)}"
            return [*(f"NVLink may limit {span} {t}" for t in (long, short)), f"NVLink may limit {span}"]
        if known(j.mean):
            long, short = ("busiest pair", "pair") if j.links == "pair" else ("NVLink", "NVLink")
            mean = percent(j.mean)
            return [f"Measuring: {long} at {mean} of NCCL max", f"Measuring: {short} at {mean} of max"]
        return ["NVLink carries traffic; its limit is unknown", "NVLink's limit is unknown"]
    if j.state == "no-traffic":
        return ["GPUs busy, no NVLink traffic"]
    return (
        ["NVLink traffic is unknown"]
        if j.state == "unknown"
        else ["Idle: GPUs and NVLink carry next to nothing", "Idle: next to no traffic"]
    )


def _other_limit(limit: Limit) -> list[str]:
    """Return the possible headlines for a limit other than NVLink, longest first."""
    if limit.kind == "rank":
        who = limit.evidence.removeprefix("the job waits for ")
        return [f"The job waits for {who}, not for NVLink", f"The job waits for {who}"]
    if limit.kind in OTHER_LIMITS:
        amount = limit.evidence.partition(" carries ")[2]
        return [f"{OTHER_LIMITS[limit.kind]}: {amount}", OTHER_LIMITS[limit.kind]]
    return [limit.evidence, limit.evidence.rpartition(" by ")[0] + " by heat"]


def summary(j: Judgement, index_of: Mapping[str, int], jobs: Mapping[str, Job]) -> str:
    """Return the summary of a judgement, one or two sentences."""
    text = _assessment(j, index_of)
    others = [limit.evidence for limit in j.limits if limit.kind != "nvlink"]
    if others:
        text += f". {'Also seen' if j.state in LIMIT_STATES else 'Seen'}: {'; '.join(others)}"
    job = jobs.get(j.job or "")
    if job and known(job.unlinked) and job.unlinked and len(job.gpus) > 1:
        a, b = (index_of.get(u, "?") for u in job.unlinked[0])
        more = f" and {counted(len(job.unlinked) - 1, 'more pair')}" if len(job.unlinked) > 1 else ""
        text += f". No NVLink joins GPU {a} and {b}{more}: what these exchange directly goes over PCIe"
    return text


def _assessment(j: Judgement, index_of: Mapping[str, int]) -> str:
    """Return the sentence about NVLink."""
    if j.state == "unknown":
        return f"NVLink traffic is unknown ({j.why})"
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
        return f"NVLink is not the bottleneck: {_usage(j)}{_upper_bound(j)}"
    text = f"{_usage(j, j.gpu in index_of)}{_where(j, index_of)}"
    if j.state == "below":
        return (
            f"{text}, below the limit: latency, small messages, a slow rank or NICs hold it back,"
            f" or it comes in bursts much shorter than a reading"
        )
    if j.state == "hidden":
        return f"{text}, while computing goes on{_overlap(j)}: the traffic is hidden"
    if j.nvls:
        text += "; an NVLS all-reduce ends there, a ring reaches more"
    return f"{text}; {_cost(j)}"


def _usage(j: Judgement, named: bool = False) -> str:
    """Return a clause such as `61% of each 2.0 s step moves data at 96% of NCCL max`."""
    level = f" at {of_nccl_max(j, j.level, named and _is_named(j))}" if known(j.level) else ""
    if known(j.busy):
        return f"{percent(j.busy)} {time_phrase(j)} moves data{level}"
    mean = f" {of_nccl_max(j, j.mean)} on the mean" if known(j.mean) else " data"
    return f"NVLink moves{mean}, in bursts shorter than a reading"


def _is_named(j: Judgement) -> bool:
    """Return whether the GPU, and the other end of its most used links, say what the numbers refer to."""
    return bool(j.gpu and (j.remote or j.links == "gpu"))


def _upper_bound(j: Judgement) -> str:
    """Return a clause with the upper bound of the time at the limit, if it is not 0."""
    if known(j.at_limit_most) and j.at_limit_most >= 0.005:
        return f", at its limit {percent(j.at_limit_most)} of the time at most"
    return ""


def _where(j: Judgement, index_of: Mapping[str, int]) -> str:
    """Return the GPU, links and direction in parentheses, if not all are alike."""
    parts = []
    if j.gpu and j.gpu in index_of:
        parts.append(f"on GPU {index_of[j.gpu]}")
    if j.remote and j.remote in index_of:
        parts.append(f"over its links to GPU {index_of[j.remote]}")
    if j.direction != "both":
        parts.append(one_way_phrase(j))
    return f" ({', '.join(parts)})" if parts else ""


def one_way_phrase(j: Judgement) -> str:
    """Return `TX only`, `RX only`, or `one way` if some GPUs send and others receive."""
    return "one way" if j.direction == "one-way" else f"{j.direction.upper()} only"


def _cost(j: Judgement) -> str:
    """Return a clause that states what the communication costs the job."""
    busy = j.busy if known(j.busy) else j.at_limit if known(j.at_limit) else 0.0
    overlap = j.overlap
    if known(overlap):
        seen = _overlap(j).removeprefix(": ")
        shown = f"{seen}: the communication is {_exposed(overlap)}"
        if overlap.confidence == "possible":
            return f"{_cost_range(j, busy)} (probably near the first: {seen})"
        if _limits_in_full(j, _near_share(j)) and overlap.exposed < FULLY_EXPOSED:
            return f"computing goes on meanwhile ({seen}), but the job cannot be faster than its traffic"
        if j.step_s is None:
            return f"{shown}, it costs about {percent(busy * overlap.exposed)} of the time"
        left = in_seconds(j.step_s * (1 - busy * overlap.exposed))
        return f"{shown}; without it a step would take about {left}"
    return _cost_range(j, busy)


def _cost_range(j: Judgement, busy: float) -> str:
    """Return a clause with the bounds of the cost, where the overlap is not known."""
    if busy >= NEARLY_ALWAYS:
        return "hardly any time is left for anything else"
    if j.step_s is None:
        return (
            f"without that communication the job would take between {percent(max(0.0, 1 - busy))}"
            " (nothing overlaps) and 100% (all of it overlaps) of its time"
        )
    return (
        f"without that communication a step would take between {in_seconds(j.step_s * (1 - busy))}"
        f" (nothing overlaps) and {in_seconds(j.step_s)} (all of it overlaps)"
    )


def _overlap(j: Judgement) -> str:
    """Return a clause such as `: tensor cores 4% while the links are busy, 71% otherwise`."""
    o = j.overlap
    if isinstance(o, Missing):
        return ""
    return f": {o.unit} {percent(o.busy)} while the links are busy, {percent(o.otherwise)} otherwise"


def _exposed(o: Overlap) -> str:
    """Return how much of the communication is exposed."""
    if o.exposed >= FULLY_EXPOSED:
        return "exposed"
    return f"{percent(o.exposed)} exposed"


def _silent(j: Judgement) -> str:
    """Return the sentence about a job that stopped moving data while its GPUs are busy."""
    step = f" (step was {in_seconds(j.step_s)})" if j.step_s else ""
    before = ""
    if known(j.busy):
        before = f"; before, {percent(j.busy)} {time_phrase(j)} moved data"
    return (
        f"No NVLink traffic for {age(j.silent_s)}{step} while the GPUs are busy: a hang, an evaluation,"
        f" a checkpoint, or a long computation{before}"
    )


def _unclear(j: Judgement) -> str:
    """Return the sentence about a job for which the bottleneck is not known."""
    if known(j.at_limit) and known(j.at_limit_most):
        mean = f"{of_nccl_max(j, j.mean)} on the mean, " if known(j.mean) else ""
        return (
            f"The bottleneck cannot be determined: NVLink carries {mean}in bursts shorter than a reading, and"
            f" was at its limit between {j.at_limit:.0%} and {percent(j.at_limit_most)} of the time"
        )
    mean = f"; so far NVLink carries {of_nccl_max(j, j.mean)}" if known(j.mean) else ""
    return f"The bottleneck cannot be determined yet: {j.why}{mean}"
