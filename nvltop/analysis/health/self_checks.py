"""Rules that check the plausibility of the driver's numbers: gpu-total-only, implausible-rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nvltop.analysis.health.claim import INFO_ONLY, UNKNOWN_ONLY, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.analysis.link_states import lacks_rates, rates_of, summarize
from nvltop.analysis.rates import IMPLAUSIBLE_RATE
from nvltop.model import GpuFrame, Scope, Severity, known, or_none
from nvltop.text import counted, ranges

MAX_END_DIFFERENCE: Final = 0.10
"""Difference between TX of one end and RX of the other above which they disagree, as a share of the larger.

The two are read milliseconds apart, over spans of the same length."""
MIN_COMPARED_SHARE: Final = 0.02
"""Share of the speed below which the traffic is too low for a comparison."""
MIN_DISAGREEING_READINGS: Final = 8
"""Consecutive readings in which the two ends must disagree; starting or stopping traffic causes one."""
COMPARE_STEP: Final = "Compare with `nvidia-smi nvlink -gt d`, and report it with the driver version"


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check the rates of all links for plausibility."""
    by_uuid = {g.gpu.uuid: g for g in rule_input.gpus}
    claims = []
    direct = 0
    for g in rule_input.gpus:
        if g.nvlink.scope is Scope.GPU:
            claims.append(_total_only(g))
        if lacks_rates(g.links):
            by_link = enumerate(zip(*rates_of(g.links), strict=True))
            odd = [link for link, directions in by_link if IMPLAUSIBLE_RATE in directions]
            claims += [_implausible(rule_input, g, odd)] if odd else []
        if to_gpus := summarize(g.links).gpu_links:
            claims += _ends_of_gpu(list(_ends(rule_input, g, by_uuid)))
            direct += sum(g.links[i].remote.gpu in by_uuid for i in to_gpus)
    if direct:
        return claims, f"sanity check: both ends of {counted(direct // 2, 'direct link')} count the same"
    return claims, "sanity check: no rate above the link's speed" if any(
        g.links for g in rule_input.gpus
    ) else None


def _ends(rule_input: RuleInput, g: GpuFrame, by_uuid: Mapping[str, GpuFrame]) -> Iterator[Claim]:
    """Compare what a link sends with what its other end receives."""
    end_comparisons = rule_input.history.end_comparisons
    for link in (g.links[i] for i in summarize(g.links).gpu_links):
        remote = by_uuid.get(link.remote.gpu or "")
        number = link.remote.link
        if remote is None or not known(number) or number >= len(remote.links) or not g.span_s:
            continue
        sent, received = link.tx_bytes_per_s, remote.links[number].rx_bytes_per_s
        speed = link.speed_bytes_per_s
        if not (known(sent) and known(received) and known(speed)):
            continue
        key = (g.gpu.uuid, link.index)
        compared_s, times = end_comparisons.get(key, (0.0, 0))
        if g.span_s[1] > compared_s:
            most = max(sent, received)
            # Pauses of the traffic show neither agreement nor disagreement.
            if most > MIN_COMPARED_SHARE * speed:
                times = times + 1 if abs(sent - received) > MAX_END_DIFFERENCE * most else 0
            end_comparisons[key] = (g.span_s[1], times)
        if times >= MIN_DISAGREEING_READINGS:
            yield Claim(
                rule="implausible-rate",
                gpu=g.gpu.uuid,
                link=link.index,
                identity=f"{g.gpu.uuid} ends",
                headline=f"{gpu_name(g)} link {link.index}: ends disagree, bad counter",
                summary=f"{gpu_name(g)} link {link.index} sends {sent / 1e9:.1f} GB/s, but its other end,"
                f" {gpu_name(remote)} link {number}, receives {received / 1e9:.1f} GB/s:"
                " one of the counters is wrong",
                escalations=UNKNOWN_ONLY,
                evidence={"tx_bytes_per_s": sent, "rx_bytes_per_s": received, "looks": times},
                next_step=COMPARE_STEP,
            )


def _ends_of_gpu(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claim about the first of a GPU's links whose ends disagree, which names the others."""
    if len(claims) < 2:
        return list(claims)
    first, links = claims[0], [c.link for c in claims]
    others = ranges((c.link for c in claims[1:] if c.link is not None), ", ")
    return [
        replace(
            first,
            link=None,
            headline=f"{first.headline.partition(' link ')[0]}: ends of {len(links)} links disagree",
            summary=f"{first.summary}; the ends of link{'s' * (len(links) > 2)} {others} disagree as well",
            evidence={**first.evidence, "links": links},
        )
    ]


def _total_only(g: GpuFrame) -> Claim:
    """Claim that the driver reports the traffic of a GPU, but not of each link."""
    return Claim(
        rule="gpu-total-only",
        gpu=g.gpu.uuid,
        headline=f"{gpu_name(g)}: only total traffic, not per link",
        summary=f"The driver reports only the total traffic of {gpu_name(g)}, not that of each link",
        escalations=INFO_ONLY,
        evidence={"scope": "gpu"},
        next_step="A newer driver may count per link",
    )


def _implausible(rule_input: RuleInput, g: GpuFrame, links: Sequence[int]) -> Claim:
    """Claim that counters rise faster than their links can carry; a wrong unit is one fault of all links."""
    one, number = len(links) == 1, ranges(links, ", ")
    which = f"link {number}" if one else f"links {number}" if len(number) <= 10 else f"{len(links)} links"
    speed = or_none(g.links[links[0]].speed_bytes_per_s)
    return Claim(
        rule="implausible-rate",
        gpu=g.gpu.uuid,
        link=links[0] if one else None,
        identity=f"{g.gpu.uuid} rate",
        headline=f"{gpu_name(g)} {which}: implausible counter{'' if one else 's'}",
        summary=f"The counter of {gpu_name(g)} link {number} rises faster than the link can carry,"
        " so no rate is shown"
        if one
        else f"The counters of {gpu_name(g)} links {number} rise faster than the links can carry,"
        " so no rates are shown",
        escalations=(Escalation(Severity.UNKNOWN, after_s=2.0, readings=3),),
        read_s=rule_input.read_s(g, "links"),
        evidence=rule_input.evidence(g, "links", links=list(links), speed_bytes_per_s=speed),
        next_step=COMPARE_STEP,
    )


RULE_GROUP: Final = RuleGroup("our numbers", ("gpu-total-only", "implausible-rate"), evaluate)
