"""Rules about error counters: increases count, lifetime totals do not (but for one that has run full)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from nvltop.analysis.errors import FULL
from nvltop.analysis.health.claim import DCGM, INFO_ONLY, NVLTOP, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name
from nvltop.analysis.health.outliers import Outlier
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.analysis.link_states import errors as counters
from nvltop.formatting import age, count
from nvltop.model import ErrorCount, GpuFrame, Link, Missing, Severity, known
from nvltop.model.error_kinds import error_kind

LEGACY_KINDS: Final = ("replay", "recovery")
CRC_KINDS: Final = ("crc", "crc_flit", "crc_data")
NVLINK5_KINDS: Final = (
    "malformed_packet",
    "buffer_overrun",
    "rcv",
    "rcv_remote",
    "rcv_general",
    "local_link_integrity",
    "link_recovery",
    "symbol",
)
CHRONIC_KINDS: Final = ("rcv", "link_recovery", "plr_retry_blocks", "replay", "recovery")
"""As in nvidia-resiliency-ext's NVLinkWindowHealthCheck: fields 208, 215, 295; older, replay and recovery."""
CHRONIC_MINUTES: Final = 15
CHRONIC_CRITICAL_MINUTES: Final = 25
"""Of the last 30; ours, as there is no published second step."""
MAX_WARNING_MINUTES: Final = 3
"""Of the last 10; more make an error rule critical."""
CRITICAL_CRC_PER_S: Final = 100
"""DcgmGPUHardwareLimits.h: CRC errors only matter at such rates."""
TEN_MINUTES_MASK: Final = (1 << 10) - 1
RESET_SHOWN_S: Final = 600.0

FINISH_JOB_STEP: Final = (
    "Let the job finish, watch for Xid 74 in `dmesg`, then drain the GPU and run NVIDIA's field diagnostic"
)
KEEP_WATCHING_STEP: Final = "It still carries traffic; keep watching, and see whether the rate grows"
CHECK_TRAY_STEP: Final = FINISH_JOB_STEP + "; on a rack (NVL72) look at the cable and the tray first"


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Judge all error counters of all links."""
    gpus = rule_input.linked_gpus
    if not gpus:
        return (), None
    counted = [rule_input.history.error_summary(g) for g in gpus]
    claims = [
        claim for g, seen in zip(gpus, counted, strict=True) for claim in _gpu(rule_input, g, seen.links)
    ]
    by_uuid = {g.gpu.uuid: g for g in gpus}
    claims += [_outlier(rule_input, by_uuid[o.gpu], o) for o in rule_input.history.outliers.find(gpus)]
    kinds = frozenset[str]().union(*[seen.kinds for seen in counted])
    if not kinds:
        unread = next(
            (g.nvlink.errors_total for g in gpus if isinstance(g.nvlink.errors_total, Missing)), None
        )
        return claims, unread or Missing("no error counter read yet")
    unread_here = [g for g, seen in zip(gpus, counted, strict=True) if not seen.read]
    if unread_here:
        why = unread_here[0].nvlink.errors_total
        return claims, why if isinstance(why, Missing) else Missing("error counters could not be read")
    return claims, f"no increase of {len(kinds)} kinds of counters on {sum(len(g.links) for g in gpus)} links"


def _gpu(rule_input: RuleInput, g: GpuFrame, links: Sequence[int]) -> Iterator[Claim]:
    """Judge the links whose counters stand out."""
    resets = []
    for link in (g.links[i] for i in links if i < len(g.links)):
        yield from _link(rule_input, g, link)
        resets += [e.reset_s for e in link.errors.values() if e.reset_s is not None]
    if resets and min(resets) < RESET_SHOWN_S:
        yield Claim(
            rule="counter-reset",
            gpu=g.gpu.uuid,
            headline=f"{gpu_name(g)}: error counters were reset",
            summary=f"The error counters of {gpu_name(g)} were reset; nvltop counts on from there",
            escalations=INFO_ONLY,
            read_s=rule_input.read_s(g, "errors"),
            evidence=rule_input.evidence(g, "errors", reset_ago_s=round(min(resets), 1)),
            source="a counter that went down",
        )


def _link(rule_input: RuleInput, g: GpuFrame, link: Link) -> Iterator[Claim]:
    for kind, error in link.errors.items():
        if known(error.total) and error.total in FULL:
            yield _full(rule_input, g, link, kind, error.total)
    if not any(e.minutes for e in link.errors.values()):
        return
    yield from _windows(rule_input, g, link, "link-errors-legacy", LEGACY_KINDS, FINISH_JOB_STEP)
    yield from _windows(rule_input, g, link, "link-errors-nvl5", NVLINK5_KINDS, CHECK_TRAY_STEP)
    yield from _crc(rule_input, g, link)
    failed = link.errors.get("link_recovery_failed")
    if failed and known(failed.since_start) and failed.since_start:
        yield Claim(
            rule="recovery-failed",
            gpu=g.gpu.uuid,
            link=link.index,
            headline=f"{gpu_name(g)} link {link.index}: recovery FAILED",
            summary=f"{gpu_name(g)} link {link.index} tried to recover and failed",
            escalations=(Escalation(Severity.CRITICAL),),
            read_s=rule_input.read_s(g, "errors"),
            evidence=_evidence(rule_input, g, {"link_recovery_failed": failed}),
            next_step="Drain the GPU and reset it; if it happens again, ask for NVIDIA's field diagnostic",
            source=f"{DCGM} (field 214)",
        )
    yield from _chronic(rule_input, g, link)


def _of(link: Link, kinds: tuple[str, ...]) -> dict[str, ErrorCount]:
    """Return the counters of these kinds that have moved in the last half hour."""
    return {kind: link.errors[kind] for kind in kinds if kind in link.errors and link.errors[kind].minutes}


def _minutes(errors: Mapping[str, ErrorCount]) -> int:
    """Return the bit mask of the minutes in which any of them moved; bit 0 is the current one."""
    mask = 0
    for error in errors.values():
        mask |= error.minutes
    return mask


def _evidence(
    rule_input: RuleInput, g: GpuFrame, errors: Mapping[str, ErrorCount], **seen: object
) -> dict[str, object]:
    counted: dict[str, object] = {}
    for kind, error in errors.items():
        if known(error.total) and known(error.per_min):
            counted[kind] = {"before": error.total - int(error.per_min), "after": error.total}
            counted["window_s"] = 60
    return rule_input.evidence(g, "errors", **counted, **seen)


def _said(errors: Mapping[str, ErrorCount]) -> str:
    """`12 replays and 3 recoveries`, over the last minute."""
    parts = [
        f"{error.per_min:.0f} {_noun(kind, error.per_min)}"
        for kind, error in errors.items()
        if known(error.per_min) and error.per_min
    ]
    return " and ".join(parts)


def _noun(kind: str, number: float) -> str:
    return error_kind(kind).noun if number == 1 else error_kind(kind).plural


def _short(errors: Mapping[str, ErrorCount], minutes: int) -> str:
    """`12 replays/min`, or the minutes with errors where the last one had none; for headlines."""
    counts = {kind: e.per_min for kind, e in errors.items() if known(e.per_min) and e.per_min}
    if not counts:
        return f"errors in {minutes} of 10 min"
    kind = max(counts, key=lambda k: counts[k])
    more = " and more" if len(counts) > 1 else ""
    return f"{count(int(counts[kind]), 0)} {error_kind(kind).headline}/min{more}"


def _windows(
    rule_input: RuleInput, g: GpuFrame, link: Link, rule: str, kinds: tuple[str, ...], next_step: str
) -> Iterator[Claim]:
    """Any increase in a minute is a warning; more than three such minutes of ten are critical."""
    errors = _of(link, kinds)
    minutes = (_minutes(errors) & TEN_MINUTES_MASK).bit_count()
    if not minutes:
        return
    said = _said(errors)
    what = f"had {said} in the last minute" if said else f"had errors in {minutes} of the last 10 minutes"
    more = f", and errors in {minutes} of the last 10" if said and minutes > MAX_WARNING_MINUTES else ""
    yield Claim(
        rule=rule,
        gpu=g.gpu.uuid,
        link=link.index,
        headline=f"{gpu_name(g)} link {link.index}: {_short(errors, minutes)}",
        summary=f"{gpu_name(g)} link {link.index} {what}{more} (healthy: 0)",
        escalations=(Escalation(Severity.CRITICAL if minutes > MAX_WARNING_MINUTES else Severity.WARNING),),
        read_s=rule_input.read_s(g, "errors"),
        evidence=_evidence(rule_input, g, errors, bad_minutes_of_10=minutes),
        next_step=next_step,
        source=DCGM,
    )


def _crc(rule_input: RuleInput, g: GpuFrame, link: Link) -> Iterator[Claim]:
    errors = _of(link, CRC_KINDS)
    counts = [e.per_min for e in errors.values() if known(e.per_min)]
    per_min = sum(counts)
    if not per_min:
        return
    peak = max((e.peak_per_s for e in errors.values()), default=0.0)
    many = peak >= CRITICAL_CRC_PER_S
    tail = (
        "too many for it to work well"
        if many
        else "it still carries traffic"
        if link.active
        else "it is down"
    )
    yield Claim(
        rule="link-crc",
        gpu=g.gpu.uuid,
        link=link.index,
        headline=f"{gpu_name(g)} link {link.index}: {_short(errors, 1)}",
        summary=f"{gpu_name(g)} link {link.index} had {_said(errors)} in the last minute; {tail}",
        escalations=(Escalation(Severity.CRITICAL if many else Severity.WARNING),),
        read_s=rule_input.read_s(g, "errors"),
        evidence=_evidence(rule_input, g, errors, peak_per_s=round(peak, 1)),
        next_step=FINISH_JOB_STEP if many else KEEP_WATCHING_STEP,
        source=DCGM,
    )


def _chronic(rule_input: RuleInput, g: GpuFrame, link: Link) -> Iterator[Claim]:
    errors = _of(link, CHRONIC_KINDS)
    minutes = _minutes(errors).bit_count()
    if minutes <= CHRONIC_MINUTES:
        return
    yield Claim(
        rule="link-chronic",
        gpu=g.gpu.uuid,
        link=link.index,
        headline=f"{gpu_name(g)} link {link.index}: errors in {minutes} of 30 min",
        summary=f"{gpu_name(g)} link {link.index} had errors in {minutes} of the last 30 minutes;"
        " links like this have failed within days",
        escalations=(
            Escalation(Severity.CRITICAL if minutes > CHRONIC_CRITICAL_MINUTES else Severity.WARNING),
        ),
        read_s=rule_input.read_s(g, "errors"),
        evidence=_evidence(rule_input, g, errors, bad_minutes_of_30=minutes),
        next_step="Plan to take the GPU out at the next drain, and ask for NVIDIA's field diagnostic",
        source="nvidia-resiliency-ext (more than 15 of 30 one-minute windows)",
    )


def _full(rule_input: RuleInput, g: GpuFrame, link: Link, kind: str, total: int) -> Claim:
    return Claim(
        rule="counter-saturated",
        gpu=g.gpu.uuid,
        link=link.index,
        headline=f"{gpu_name(g)} link {link.index}: error counter is full",
        summary=f"The {kind} counter of {gpu_name(g)} link {link.index} is at its maximum, {total}: it no"
        " longer counts, and this link has had many errors",
        escalations=(Escalation(Severity.WARNING, readings=2),),
        read_s=rule_input.read_s(g, "errors"),
        evidence=rule_input.evidence(g, "errors", counter=kind, total=total),
        next_step="Reset the counters (`nvidia-smi nvlink -r 0`, as root) and see whether they rise again",
        source=NVLTOP,
    )


def _outlier(rule_input: RuleInput, g: GpuFrame, found: Outlier) -> Claim:
    _, link, kind, total, rest = found
    since = rule_input.up_since
    over = (
        f" in the {age(rule_input.tick.wall_s - since[0])} since {since[1]}" if since else " in its lifetime"
    )
    error = counters(g.links)[link][kind]
    rising = known(error.since_start) and error.since_start > 0
    watched = f", {error.since_start} of them while nvltop watched" if rising else ""
    return Claim(
        rule="link-outlier",
        gpu=g.gpu.uuid,
        link=link,
        headline=f"{gpu_name(g)} link {link}: {count(total, 0)} {error_kind(kind).plural}",
        summary=f"{gpu_name(g)} link {link} stands out: {total} {error_kind(kind).plural}{over}{watched},"
        f" the other links {f'at most {rest}' if rest else '0'}",
        escalations=(Escalation(Severity.NOTICE, readings=1),),
        read_s=rule_input.read_s(g, "errors"),
        evidence=rule_input.evidence(g, "errors", counter=kind, total=total, most_of_others=rest),
        next_step="Watch whether the count rises (tab Errors); if it does, plan a field diagnostic",
        confidence="likely",
    )


RULE_GROUP: Final = RuleGroup(
    "link errors",
    (
        "link-errors-legacy",
        "link-errors-nvl5",
        "link-crc",
        "recovery-failed",
        "link-chronic",
        "counter-saturated",
        "counter-reset",
        "link-outlier",
    ),
    evaluate,
)
