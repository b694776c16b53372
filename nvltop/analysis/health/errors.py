"""Rules about error counters of links.

The rules check increases while nvltop is running, not lifetime totals. There are three exceptions: a counter
at its maximum (counter-saturated), a total far above that of all other links (link-outlier), and far more
errors a day than on the other links (link-error-rate).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from nvltop.analysis.errors import COUNTERS_UNREADABLE, NO_COUNTER_READ, SATURATED
from nvltop.analysis.health.claim import DCGM, INFO_ONLY, NVLTOP, Claim, Escalation
from nvltop.analysis.health.error_phrases import errors_headline, recent_errors, window_phrase
from nvltop.analysis.health.error_rates import FastLink
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names
from nvltop.analysis.health.outliers import Outlier, watched_note
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.analysis.link_states import errors_by_link as counters
from nvltop.analysis.uptime import DAY_S
from nvltop.formatting import age, count, duration, small_number
from nvltop.model import (
    ErrorCount,
    GpuFrame,
    Link,
    Missing,
    Severity,
    first_missing,
    known,
    or_none,
)
from nvltop.model.error_kinds import error_kind
from nvltop.text import counted

LEGACY_KINDS: Final = ("replay", "recovery")
"""Kinds of link-errors-legacy: counters of NVLink 1 to 4."""
CRC_KINDS: Final = ("crc", "crc_flit", "crc_data")
"""Kinds of link-crc."""
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
"""Kinds of link-errors-nvl5."""
CHRONIC_KINDS: Final = ("rcv", "link_recovery", "plr_retry_blocks", "replay", "recovery")
"""Kinds of link-chronic, as in NVLinkWindowHealthCheck of nvidia-resiliency-ext.

These are fields 208, 215 and 295; before NVLink 5, replays and recoveries."""
CHRONIC_MINUTES: Final = 15
"""Minutes with errors, of the last 30, above which a link is chronic (nvidia-resiliency-ext)."""
CHRONIC_CRITICAL_MINUTES: Final = 25
"""Minutes with errors, of the last 30, above which that is critical; our choice, as none is published."""
MAX_WARNING_MINUTES: Final = 3
"""Minutes with errors, of the last 10, above which errors are critical and not a warning."""
CRITICAL_CRC_PER_S: Final = 100
"""CRC errors per second from which they are critical (DcgmGPUHardwareLimits.h)."""
TEN_MINUTES_MASK: Final = (1 << 10) - 1
"""Mask of the last ten minutes in `ErrorCount.minutes`."""
RESET_SHOWN_S: Final = 600.0
"""Time for which a reset of the counters is reported, seconds."""

FINISH_JOB_STEP: Final = (
    "Let the job finish, watch for Xid 74 in `dmesg`, then drain the GPU and run NVIDIA's field diagnostic"
)
KEEP_WATCHING_STEP: Final = "It still carries traffic; keep watching, and see whether the rate grows"
CHECK_TRAY_STEP: Final = FINISH_JOB_STEP + "; on a rack (NVL72) check the cable and the tray first"


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check all error counters of all links."""
    gpus = rule_input.linked_gpus
    if not gpus:
        return (), None
    summaries = [rule_input.history.error_summary(g) for g in gpus]
    claims = [
        claim
        for g, summary in zip(gpus, summaries, strict=True)
        for claim in _gpu(rule_input, g, summary.links)
    ]
    by_uuid = {g.gpu.uuid: g for g in gpus}
    settled = rule_input.history.settled_errors
    outliers = rule_input.history.outliers.find(gpus, settled)
    claims += [_outlier(rule_input, by_uuid[o.gpu], o) for o in outliers]
    reported = {(o.gpu, o.link) for o in outliers}
    claims += [
        _fast(rule_input, by_uuid[f.gpu], f)
        for f in rule_input.history.error_rates.find(gpus, settled, rule_input.tick.mono_s)
        if (f.gpu, f.link) not in reported
    ]
    kinds = frozenset[str]().union(*[summary.kinds for summary in summaries])
    if not kinds:
        return claims, first_missing(g.nvlink.errors_total for g in gpus) or NO_COUNTER_READ
    unread = [g for g, summary in zip(gpus, summaries, strict=True) if not summary.read]
    if unread:
        why = first_missing([unread[0].nvlink.errors_total]) or COUNTERS_UNREADABLE
        if len(unread) == len(gpus):
            return claims, why
        alike = [g for g in unread if g.nvlink.errors_total == unread[0].nvlink.errors_total]
        return claims, Missing(f"{gpu_names(alike)}: {why.reason}")
    if part := next((g.nvlink.errors_unread_part for g in gpus if g.nvlink.errors_unread_part), None):
        alike = [g for g in gpus if g.nvlink.errors_unread_part == part]
        return claims, Missing(f"some counters of {gpu_names(alike)}: {part.reason}")
    links = counted(sum(len(g.links) for g in gpus), "link")
    return claims, f"no increase of {len(kinds)} kinds of counters on {links}"


def _gpu(rule_input: RuleInput, g: GpuFrame, links: Sequence[int]) -> Iterator[Claim]:
    """Check the links of a GPU whose counters have moved or are at their maximum."""
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
    """Check the counters of one link."""
    for kind, error in link.errors.items():
        if known(error.total) and error.total in SATURATED:
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


def _moved(link: Link, kinds: tuple[str, ...]) -> dict[str, ErrorCount]:
    """Return the counters of these kinds that have increased in the last 30 minutes."""
    return {kind: link.errors[kind] for kind in kinds if kind in link.errors and link.errors[kind].minutes}


def _minutes(errors: Mapping[str, ErrorCount]) -> int:
    """Return the bit mask of the minutes in which any counter increased; bit 0 is the current minute."""
    mask = 0
    for error in errors.values():
        mask |= error.minutes
    return mask


def _evidence(
    rule_input: RuleInput, g: GpuFrame, errors: Mapping[str, ErrorCount], **seen: object
) -> dict[str, object]:
    counts: dict[str, object] = {}
    for kind, error in errors.items():
        if known(error.total) and known(error.per_min):
            new = int(error.per_min)
            # After a reset in the window, the lifetime counts at its ends do not differ by the errors in it.
            reset = error.reset_s is not None and error.reset_s <= error.window_s
            counts[kind] = new if reset else {"before": error.total - new, "after": error.total}
            counts["window_s"] = round(error.window_s)
    return rule_input.evidence(g, "errors", **counts, **seen)


def _windows(
    rule_input: RuleInput, g: GpuFrame, link: Link, rule: str, kinds: tuple[str, ...], next_step: str
) -> Iterator[Claim]:
    """Claim a warning for any increase in the last ten minutes, critical from four minutes with errors."""
    errors = _moved(link, kinds)
    minutes = (_minutes(errors) & TEN_MINUTES_MASK).bit_count()
    if not minutes:
        return
    recent = recent_errors(errors)
    what = (
        f"had {recent} in the last {window_phrase(errors)}"
        if recent
        else f"had errors in {minutes} of the last 10 minutes"
    )
    more = f", and errors in {minutes} of the last 10" if recent and minutes > MAX_WARNING_MINUTES else ""
    yield Claim(
        rule=rule,
        gpu=g.gpu.uuid,
        link=link.index,
        headline=errors_headline(g, link, errors, minutes),
        summary=f"{gpu_name(g)} link {link.index} {what}{more} (healthy: 0)",
        escalations=(Escalation(Severity.CRITICAL if minutes > MAX_WARNING_MINUTES else Severity.WARNING),),
        read_s=rule_input.read_s(g, "errors"),
        evidence=_evidence(rule_input, g, errors, bad_minutes_of_10=minutes),
        next_step=next_step,
        source=DCGM,
    )


def _crc(rule_input: RuleInput, g: GpuFrame, link: Link) -> Iterator[Claim]:
    """Claim a warning for CRC errors in the last minute, critical if there were many in one second."""
    errors = _moved(link, CRC_KINDS)
    if not sum(e.per_min for e in errors.values() if known(e.per_min)):
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
        headline=errors_headline(g, link, errors, 1),
        summary=f"{gpu_name(g)} link {link.index} had {recent_errors(errors)} in the last"
        f" {window_phrase(errors)}; {tail}",
        escalations=(Escalation(Severity.CRITICAL if many else Severity.WARNING),),
        read_s=rule_input.read_s(g, "errors"),
        evidence=_evidence(rule_input, g, errors, peak_per_s=round(peak, 1)),
        next_step=FINISH_JOB_STEP if many else KEEP_WATCHING_STEP,
        source=DCGM,
    )


def _chronic(rule_input: RuleInput, g: GpuFrame, link: Link) -> Iterator[Claim]:
    """Claim that a link had errors in more than half of the last 30 minutes."""
    errors = _moved(link, CHRONIC_KINDS)
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
        summary=f"The counter of {error_kind(kind).plural} of {gpu_name(g)} link {link.index} is at its"
        f" maximum, {total}: it no longer counts, and this link has had many errors",
        escalations=(Escalation(Severity.WARNING, readings=2),),
        read_s=rule_input.read_s(g, "errors"),
        evidence=rule_input.evidence(g, "errors", counter=kind, total=total),
        next_step="Reset the counters (`nvidia-smi nvlink -r 0`, as root) and see whether they rise again",
        source=NVLTOP,
    )


def _outlier(rule_input: RuleInput, g: GpuFrame, found: Outlier) -> Claim:
    link, kind, rest = found.link, found.kind, found.rest
    error = counters(g.links)[link][kind]
    total = or_none(error.total) or found.total
    since = rule_input.up_since
    if error.reset_s is not None:
        period = f" in the {age(error.reset_s)} since a reset of the counter"
    elif since:
        period = f" in the {age(rule_input.tick.wall_s - since[0])} since {since[1]}"
    else:
        period = " in its lifetime"
    return Claim(
        rule="link-outlier",
        gpu=g.gpu.uuid,
        link=link,
        headline=f"{gpu_name(g)} link {link}: {count(total, 0)} {error_kind(kind).name(total)}",
        summary=f"{gpu_name(g)} link {link} stands out: {total} {error_kind(kind).name(total)}{period}"
        f"{watched_note(error)}, the other links {f'at most {rest}' if rest else '0'}",
        escalations=(Escalation(Severity.NOTICE, readings=1),),
        read_s=rule_input.read_s(g, "errors"),
        evidence=rule_input.evidence(g, "errors", counter=kind, total=total, most_of_others=rest),
        next_step="Watch whether the count rises (tab Errors); if it does, plan a field diagnostic",
        confidence="likely",
    )


def _fast(rule_input: RuleInput, g: GpuFrame, found: FastLink) -> Claim:
    name, kind = f"{gpu_name(g)} link {found.link}", error_kind(found.kind)
    error = counters(g.links)[found.link][found.kind]
    total = or_none(error.total) or found.total
    per_day = total / found.over_s * DAY_S
    others = f"{small_number(found.others_per_day)} a day" if found.others_per_day else "0"
    return Claim(
        rule="link-error-rate",
        gpu=g.gpu.uuid,
        link=found.link,
        # As in the columns LIFETIME and IN of the tab Errors.
        headline=f"{name}: {count(total, 0)} {kind.short_name(total)} in {age(found.over_s)}",
        summary=f"{name} stands out: {total} {kind.name(total)} in {duration(found.over_s)}"
        f"{watched_note(error)}, {small_number(per_day)} a day, the other links {others} on average",
        escalations=(Escalation(Severity.NOTICE, readings=1),),
        read_s=rule_input.read_s(g, "errors"),
        evidence=rule_input.evidence(
            g,
            "errors",
            counter=found.kind,
            total=total,
            days=round(found.over_s / DAY_S, 1),
            per_day=round(per_day, 3),
            others_per_day=round(found.others_per_day, 3),
        ),
        next_step="Watch whether the count rises (tab Errors); if it does, plan a field diagnostic",
        source="nvltop (Poisson bound and ratio to the other links)",
        confidence="likely",
    )


def _depends_on(rule_input: RuleInput) -> tuple[object, ...] | None:
    """Return what the result depends on; of counters that stand out, that includes ages."""
    history, gpus = rule_input.history, rule_input.linked_gpus
    if history.error_rates.due(rule_input.tick.mono_s) or any(history.error_summary(g).links for g in gpus):
        return None
    return (
        rule_input.inventory,
        *[
            (g.state, g.nvlink.errors_total, g.nvlink.errors_unread_part, counters(g.links))
            for g in rule_input.gpus
        ],
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
        "link-error-rate",
    ),
    evaluate,
    depends_on=_depends_on,
)
