"""Rules about states and speeds of links.

The rules are link-down, fewer-links, bridge-partial, no-bridge, traffic-disabled, link-speed and
link-sleep. One broken link is one root finding; its effects (`fewer-links` of the same GPU, the other end
of the link) refer to it as their cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nvltop.analysis.health import bridges
from nvltop.analysis.health.board import Interconnect, optional_bridge
from nvltop.analysis.health.claim import DCGM, INFO_ONLY, NVLTOP, Claim, Escalation
from nvltop.analysis.health.down_links import (
    MIN_STATE_READINGS,
    DownLinks,
    common_switch,
    fault_origins,
    find_down_links,
    gpus_with_link_states,
    links_may_be_training,
)
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names
from nvltop.analysis.health.rule import (
    RuleGroup,
    RuleInput,
    RuleResult,
    active_link_count,
)
from nvltop.analysis.link_states import summarize
from nvltop.model import GpuFrame, LinkState, Missing, Severity, first_missing, known
from nvltop.text import counted, noun_for, ranges

SINCE_BEFORE_START: Final = "since before nvltop started"
FULL_SPEED_SHARE: Final = 0.99
"""Share of the speed of the fastest link below which a link is slow."""


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check the states and speeds of all links."""
    gpus = rule_input.linked_gpus
    if not gpus:
        unread = first_missing(g.nvlink.links_present for g in rule_input.gpus if g.gpu.mig is not True)
        return (), unread
    found = find_down_links(rule_input)
    claims = [
        *_down(rule_input, found, fault_origins(rule_input, found)),
        *bridges.missing_bridges(rule_input),
    ]
    fastest = _fastest(rule_input)
    partial: dict[str, str] = {}
    for g in gpus_with_link_states(rule_input):
        if optional_bridge(g.gpu):
            claims += bridges.partial_bridge(rule_input, g, partial)
        claims += [
            *_disabled(rule_input, g),
            *_slow(rule_input, g, fastest.get(g.gpu.name, 0.0)),
            *_asleep(rule_input, g),
        ]
    return claims, _summary(rule_input, gpus)


def _depends_on(rule_input: RuleInput) -> tuple[object, ...] | None:
    """Return what the result depends on; a GPU without any active link may lack a bridge, by its traffic."""
    if not all(summarize(g.links).active for g in rule_input.linked_gpus):
        return None
    ever_active = rule_input.history.ever_active
    return (
        rule_input.inventory,
        links_may_be_training(rule_input),
        *[
            (
                g.state,
                g.nvlink.links_present,
                g.nvlink.links_up,
                summarize(g.links),
                "states" in g.age_s,
                g.fabric.bandwidth_mode,
                ever_active.get(g.gpu.uuid),
            )
            for g in rule_input.gpus
        ],
    )


def _summary(rule_input: RuleInput, gpus: Sequence[GpuFrame]) -> str | Missing:
    """Return what was checked, for the case that no rule found anything."""
    unread = [g for g in gpus if summarize(g.links).in_state(LinkState.UNKNOWN)]
    why = next((k.state_reason for g in unread for k in g.links if k.state is LinkState.UNKNOWN), "")
    if why:
        return Missing(why)
    present, up = sum(len(g.links) for g in gpus), sum(active_link_count(g) for g in gpus)
    if up == present:
        return f"{up} of {present} links up, all at full speed"
    if rule_input.board.interconnect is not Interconnect.BRIDGE and links_may_be_training(rule_input):
        return Missing(f"{up} of {present} links up, the others may still be training")
    if not up:
        bridge = " (no bridge, or not trained)" if all(optional_bridge(g.gpu) for g in gpus) else ""
        return f"none of {present} NVLink ports is connected{bridge}"
    return f"{up} of {present} links up, all at full speed; the others are not connected"


def _down(rule_input: RuleInput, found: Sequence[DownLinks], origins: Mapping[str, str]) -> Iterator[Claim]:
    """Claim that links are down that were up before, or that other GPUs of the same model have."""
    switch = common_switch(rule_input, found)
    if switch:
        yield _switch_down(rule_input, switch, found)
    for d in found:
        uuid = d.gpu.gpu.uuid
        root = origins.get(uuid)
        if d.all_down or len(d.links) == d.missing:
            claim = _link_down(rule_input, d, root)
            yield replace(claim, cause=("link-down", None)) if switch else claim
        if not d.went_down:
            yield _fewer(rule_input, d, root or (uuid if d.all_down or len(d.links) == d.missing else None))


def _switch_down(rule_input: RuleInput, switch: str, found: Sequence[DownLinks]) -> Claim:
    gpus = [d.gpu for d in found]
    lost = sum(d.missing for d in found)
    return Claim(
        rule="link-down",
        gpu=None,
        identity=f"NVSwitch {switch}",
        headline=f"NVSwitch {switch[-10:]}: links of {len(found)} GPUs DOWN",
        summary=f"All links that are down on {gpu_names(gpus)} ({lost}) lead to the NVSwitch {switch}:"
        " the fault is at the switch",
        escalations=(Escalation(Severity.CRITICAL),),
        read_s=rule_input.read_s(gpus[0], "states"),
        evidence=rule_input.evidence(
            gpus[0], "states", switch=switch, gpus=[g.gpu.index for g in gpus], links_down=lost
        ),
        next_step="Look for SXid lines of that NVSwitch in `dmesg`, then restart the machine. "
        + rule_input.board.fabric_next_step,
        confidence="likely",
        lost_share=max(d.missing / d.expected for d in found),
    )


def _link_down(rule_input: RuleInput, d: DownLinks, root: str | None) -> Claim:
    g, up = d.gpu, active_link_count(d.gpu)
    one = len(d.links) == 1
    number = ranges(d.links, ", ")
    to = _to(rule_input, d)
    since = "went down" if d.went_down else f"{'is' if one else 'are'} down {SINCE_BEFORE_START}"
    if d.all_down:
        one = d.missing == 1
        headline = f"{gpu_name(g)} has lost {'its only NVLink' if one else f'all {d.missing} NVLinks'}"
        summary = (
            f"{gpu_name(g)} has lost {'its only NVLink' if one else f'all its {d.missing} NVLinks'}"
            f"{'' if d.went_down else f' ({SINCE_BEFORE_START})'}:"
            " it reaches the other GPUs over PCIe at best"
        )
    else:
        which = (
            f"link {number}" if one else f"links {number}" if len(number) <= 10 else f"{len(d.links)} links"
        )
        headline = f"{gpu_name(g)} {which} DOWN ({up} of {d.expected} up)"
        summary = (
            f"{gpu_name(g)} link{'' if one else 's'} {number}{to} {since}:"
            f" {up} of {d.expected} links are left ({up / d.expected - 1:.0%} bandwidth)"
        )
    if root:
        summary += f", the other end of the fault at {_name(rule_input, root)}"
    return Claim(
        rule="link-down",
        gpu=g.gpu.uuid,
        link=d.links[0] if one else None,
        identity=g.gpu.uuid,
        headline=headline,
        summary=summary,
        escalations=(
            Escalation(
                Severity.CRITICAL, readings=1 if d.readings >= MIN_STATE_READINGS else MIN_STATE_READINGS
            ),
        ),
        read_s=rule_input.read_s(g, "states"),
        evidence=rule_input.evidence(
            g, "states", links=list(d.links), links_up_before=d.expected, links_up_after=up
        ),
        next_step=rule_input.board.link_next_step,
        source=DCGM,
        cause=("link-down", root) if root else None,
        lost_share=d.missing / d.expected,
    )


def _fewer(rule_input: RuleInput, d: DownLinks, root: str | None) -> Claim:
    """Claim that a GPU has had fewer links than others of its model since before nvltop started."""
    g, up = d.gpu, active_link_count(d.gpu)
    return Claim(
        rule="fewer-links",
        gpu=g.gpu.uuid,
        headline=f"{gpu_name(g)}: {up} of {d.expected} NVLinks up (others {d.expected})",
        summary=f"{gpu_name(g)} has {up or 'none'} of {d.expected} NVLinks up {SINCE_BEFORE_START},"
        f" other GPUs of the same model have {d.expected}",
        escalations=(Escalation(Severity.WARNING, readings=MIN_STATE_READINGS),),
        read_s=rule_input.read_s(g, "states"),
        evidence=rule_input.evidence(g, "states", links_up=up, links_up_of_peers=d.expected),
        next_step="Compare `nvidia-smi nvlink -s` of both GPUs. " + rule_input.board.fabric_next_step,
        source=NVLTOP,
        cause=("link-down", root) if root else None,
        lost_share=d.missing / d.expected,
    )


def _to(rule_input: RuleInput, d: DownLinks) -> str:
    """Return ` (to GPU 5)` if the links lead directly to GPUs, otherwise nothing."""
    ends = {
        rule_input.history.link_ends[d.gpu.gpu.uuid, k].gpu
        for k in d.links
        if (d.gpu.gpu.uuid, k) in rule_input.history.link_ends
    }
    there = [other for other in rule_input.gpus if other.gpu.uuid in ends]
    return f" (to {gpu_names(there)})" if there else ""


def _name(rule_input: RuleInput, uuid: str) -> str:
    return next((gpu_name(g) for g in rule_input.gpus if g.gpu.uuid == uuid), "another GPU")


def _disabled(rule_input: RuleInput, g: GpuFrame) -> Iterator[Claim]:
    """Claim that links are trained but must not carry traffic."""
    disabled = sorted(summarize(g.links).in_state(LinkState.TRAFFIC_DISABLED))
    if not disabled:
        return
    all_disabled = len(disabled) == len(summarize(g.links).active)
    for link in [None] if all_disabled else disabled:
        what = f"All NVLinks of {gpu_name(g)} are" if link is None else f"{gpu_name(g)} link {link} is"
        where = f"{gpu_name(g)}: all links" if link is None else f"{gpu_name(g)} link {link}:"
        yield Claim(
            rule="traffic-disabled",
            gpu=g.gpu.uuid,
            link=link,
            headline=f"{where} up, traffic disabled",
            summary=f"{what} trained but not allowed to carry traffic",
            escalations=(
                Escalation(
                    Severity.CRITICAL if all_disabled else Severity.WARNING, readings=MIN_STATE_READINGS
                ),
            ),
            read_s=rule_input.read_s(g, "states"),
            evidence=rule_input.evidence(g, "states", links=disabled),
            next_step="Check the partition of this GPU. " + rule_input.board.fabric_next_step,
            source="NVML field 165",
            lost_share=len(disabled) / len(g.links),
        )


def _fastest(rule_input: RuleInput) -> dict[object, float]:
    """Return the speed of the fastest link of each model, bytes/s one direction."""
    fastest: dict[object, float] = {}
    for g in rule_input.linked_gpus:
        if g.gpu.mig is not True:
            fastest[g.gpu.name] = max(fastest.get(g.gpu.name, 0.0), *summarize(g.links).active_speeds, 0.0)
    return fastest


def _slow(rule_input: RuleInput, g: GpuFrame, fastest: float) -> Iterator[Claim]:
    """Claim that a link is slower than the fastest one of the same model, or all are by configuration."""
    slow = {speed for speed in summarize(g.links).active_speeds if 0 < speed < FULL_SPEED_SHARE * fastest}
    for link in g.links if slow else ():
        speed = link.speed_bytes_per_s
        if link.active and known(speed) and speed in slow:
            yield Claim(
                rule="link-speed",
                gpu=g.gpu.uuid,
                link=link.index,
                headline=f"{gpu_name(g)} link {link.index}: {speed / 1e9:.1f} GB/s,"
                f" others {fastest / 1e9:.1f}",
                summary=f"{gpu_name(g)} link {link.index} runs at {speed / 1e9:.1f} GB/s per direction,"
                f" other links of its kind at {fastest / 1e9:.1f} GB/s",
                escalations=(Escalation(Severity.WARNING, readings=MIN_STATE_READINGS),),
                read_s=rule_input.read_s(g, "states"),
                evidence=rule_input.evidence(
                    g, "states", speed_bytes_per_s=speed, fastest_bytes_per_s=fastest
                ),
                next_step="Check the bandwidth mode (`nvidia-smi nvlink -gBwMode`), then reset the GPU",
            )
    mode = g.fabric.bandwidth_mode
    if known(mode) and mode != "full":
        yield Claim(
            rule="link-speed",
            gpu=g.gpu.uuid,
            headline=f"{gpu_name(g)}: NVLink bandwidth mode '{mode}'",
            summary=f"The NVLink bandwidth mode of {gpu_name(g)} is '{mode}', not 'full'",
            escalations=INFO_ONLY,
            evidence=rule_input.evidence(g, "fabric", bandwidth_mode=mode),
            next_step="An administrator can set it with `nvidia-smi nvlink -sBwMode FULL`",
        )


def _asleep(rule_input: RuleInput, g: GpuFrame) -> Iterator[Claim]:
    """Claim that links are asleep, as information."""
    # Sleeping links are not down: on an idle node all links may sleep.
    asleep = sorted(summarize(g.links).in_state(LinkState.SLEEP))
    if asleep:
        yield Claim(
            rule="link-sleep",
            gpu=g.gpu.uuid,
            headline=f"{gpu_name(g)}: {counted(len(asleep), 'link')} asleep (power saving)",
            summary=f"Asleep to save power: {counted(len(asleep), 'link')} of {gpu_name(g)}; traffic wakes"
            f" {noun_for(len(asleep), 'it', 'them')}",
            escalations=INFO_ONLY,
            read_s=rule_input.read_s(g, "states"),
            evidence=rule_input.evidence(g, "states", links=asleep),
        )


RULE_GROUP: Final = RuleGroup(
    "links",
    (
        "link-down",
        "fewer-links",
        "bridge-partial",
        "no-bridge",
        "traffic-disabled",
        "link-speed",
        "link-sleep",
    ),
    evaluate,
    depends_on=_depends_on,
)
