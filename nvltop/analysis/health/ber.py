"""Bit error rates (link-ber): above NVIDIA's limit with traffic, or above it and worse than at the start."""

from __future__ import annotations

from typing import Final

from nvltop.analysis.health.claim import DCGM, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.model import LinkBer, Missing, Severity, known

MAX_BER: Final = (1, 12)
"""1e-12, as mantissa and negative exponent (DCGM, DcgmUtilities.cpp)."""
NO_ERRORS_BER: Final = (15, 255)
"""What a link without errors shows; no rate at all."""
MIN_TRAFFIC_SHARE: Final = 0.001
"""Share of its speed above which a link has traffic."""


def decode(packed: int) -> tuple[int, int]:
    """Return mantissa and negative exponent (nvml.h: bits 11:8 and 7:0)."""
    return packed >> 8 & 0xF, packed & 0xFF


def is_higher(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether rate `a` is higher than rate `b`; compared as whole numbers, as floats would round."""
    if a == NO_ERRORS_BER or not a[0]:
        return False
    if b == NO_ERRORS_BER or not b[0]:
        return True
    least = max(a[1], b[1])
    return a[0] * int(10 ** (least - a[1])) > b[0] * int(10 ** (least - b[1]))


def format_ber(ber: tuple[int, int]) -> str:
    """`2e-12`, or `0` for the floor."""
    return "0" if ber == NO_ERRORS_BER or not ber[0] else f"{ber[0]}e-{ber[1]}"


def ratio(packed: int) -> float:
    """Return the rate as a number, for those who do not compare it."""
    mantissa, exponent = ber = decode(packed)
    return 0.0 if ber == NO_ERRORS_BER else mantissa * 10.0**-exponent


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Judge the effective bit error rate of every link that has one."""
    told = [(g, ber) for g in rule_input.linked_gpus if (ber := g.ber) is not None and _has(ber)]
    if not told:
        return (), None
    claims = []
    for g, ber in told:
        first = rule_input.history.first_ber.setdefault(g.gpu.uuid, ber)
        for link in g.links:
            now = _at(ber, link.index)
            before = _at(first, link.index)
            if isinstance(now, Missing) or not is_higher(now, MAX_BER):
                continue
            speed, rates = link.speed_bytes_per_s, (link.tx_bytes_per_s, link.rx_bytes_per_s)
            busy = known(speed) and any(known(r) and r > MIN_TRAFFIC_SHARE * speed for r in rates)
            grown = known(before) and is_higher(now, before)
            if not busy and not grown:
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
    return (
        claims,
        f"effective BER of {sum(len(b.effective) for _, b in told)} links below {format_ber(MAX_BER)}",
    )


def _has(ber: LinkBer) -> bool:
    return any(known(packed) for packed in ber.effective)


def _at(ber: LinkBer, link: int) -> tuple[int, int] | Missing:
    packed = ber.effective[link] if link < len(ber.effective) else Missing("not read yet")
    return packed if isinstance(packed, Missing) else decode(packed)


RULE_GROUP: Final = RuleGroup("bit error rates", ("link-ber",), evaluate)
