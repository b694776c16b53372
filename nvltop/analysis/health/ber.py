"""Rule about bit error rates: link-ber.

A rate above NVIDIA's limit counts if the link carries traffic or if the rate has grown since the start.
"""

from __future__ import annotations

from typing import Final

from nvltop.analysis.health.claim import DCGM, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.model import LinkBer, Missing, Severity, known
from nvltop.text import counted

MAX_BER: Final = (1, 12)
"""Effective bit error rate above which a link is bad: 1e-12 as mantissa and negative exponent.

Source: DCGM, DcgmUtilities.cpp."""
NO_ERRORS_BER: Final = (15, 255)
"""Value that the driver reports for a link without errors: 15e-255."""
MIN_TRAFFIC_SHARE: Final = 0.001
"""Share of its speed above which a link counts as carrying traffic."""


def decode(packed: int) -> tuple[int, int]:
    """Return mantissa and negative exponent of a packed rate (nvml.h: bits 11:8 and 7:0)."""
    return packed >> 8 & 0xF, packed & 0xFF


def is_higher(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Return whether rate `a` is higher than rate `b`, compared exactly in integers."""
    if a == NO_ERRORS_BER or not a[0]:
        return False
    if b == NO_ERRORS_BER or not b[0]:
        return True
    exponent = max(a[1], b[1])
    return a[0] * int(10 ** (exponent - a[1])) > b[0] * int(10 ** (exponent - b[1]))


def format_ber(ber: tuple[int, int]) -> str:
    """Return a rate as text: `2e-12`, or `0` for a link without errors."""
    return "0" if ber == NO_ERRORS_BER or not ber[0] else f"{ber[0]}e-{ber[1]}"


def ber_as_float(packed: int) -> float:
    """Return a packed rate as a float, for export; comparisons use `is_higher`."""
    mantissa, exponent = ber = decode(packed)
    return 0.0 if ber == NO_ERRORS_BER else mantissa * 10.0**-exponent


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check the effective bit error rate of every link that has one."""
    gpus = [(g, ber) for g in rule_input.linked_gpus if (ber := g.ber) is not None and _has_rate(ber)]
    if not gpus:
        return (), None
    claims = []
    for g, ber in gpus:
        first = rule_input.history.first_ber.setdefault(g.gpu.uuid, ber)
        for link in g.links:
            now = _rate_of(ber, link.index)
            before = _rate_of(first, link.index)
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
    links = sum(len(b.effective) for _, b in gpus)
    return (
        claims,
        f"effective BER of {counted(links, 'link')} below {format_ber(MAX_BER)}",
    )


def _has_rate(ber: LinkBer) -> bool:
    return any(known(packed) for packed in ber.effective)


def _rate_of(ber: LinkBer, link: int) -> tuple[int, int] | Missing:
    packed = ber.effective[link] if link < len(ber.effective) else Missing("not read yet")
    return packed if isinstance(packed, Missing) else decode(packed)


RULE_GROUP: Final = RuleGroup("bit error rates", ("link-ber",), evaluate)
