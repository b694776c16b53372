"""Rule about bit error rates: link-ber.

A rate above NVIDIA's limit counts if the link carries traffic or if the rate has grown since the start.
"""

from __future__ import annotations

from typing import Final

from nvltop.analysis.health.ber_rates import MAX_BER, format_ber, is_higher, rate_of
from nvltop.analysis.health.claim import DCGM, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.model import Severity, known
from nvltop.text import counted

MIN_TRAFFIC_SHARE: Final = 0.001
"""Share of its speed above which a link counts as carrying traffic."""


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check the effective bit error rate of every link that has one."""
    claims, below, unjudged = [], 0, 0
    for g in rule_input.linked_gpus:
        ber = g.ber
        if ber is None:
            continue
        rates = rule_input.history.compared_ber(g.gpu.uuid, ber)
        below += rates.below
        if not rates.below and not rates.high:
            continue
        first = rule_input.history.first_ber.setdefault(g.gpu.uuid, ber)
        for link in g.links if rates.high else ():
            now, before = rates.high.get(link.index), rate_of(first, link.index)
            if now is None:
                continue
            speed, traffic = link.speed_bytes_per_s, (link.tx_bytes_per_s, link.rx_bytes_per_s)
            busy = known(speed) and any(known(r) and r > MIN_TRAFFIC_SHARE * speed for r in traffic)
            grown = known(before) and is_higher(now, before)
            if not busy and not grown:
                unjudged += 1
                continue
            claims.append(
                Claim(
                    rule="link-ber",
                    gpu=g.gpu.uuid,
                    link=link.index,
                    headline=f"{gpu_name(g)} link {link.index}: BER {format_ber(now)}"
                    f" > {format_ber(MAX_BER)}",
                    summary=f"The effective bit error rate of {gpu_name(g)} link {link.index} is"
                    f" {format_ber(now)}, above NVIDIA's limit of {format_ber(MAX_BER)}",
                    escalations=(Escalation(Severity.CRITICAL),),
                    read_s=rule_input.read_s(g, "ber"),
                    evidence=rule_input.evidence(
                        g,
                        "ber",
                        effective_ber=format_ber(now),
                        at_start=format_ber(before) if known(before) else None,
                    ),
                    next_step="Drain the GPU and ask for NVIDIA's field diagnostic",
                    source=DCGM,
                )
            )
    if not claims and not below and not unjudged:
        return (), None
    summary = f"effective BER of {counted(below, 'link')} below {format_ber(MAX_BER)}"
    return claims, f"{summary}, {unjudged} above it without traffic" if unjudged else summary


RULE_GROUP: Final = RuleGroup("bit error rates", ("link-ber",), evaluate)
