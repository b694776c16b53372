"""Rules about which GPU pairs may use NVLink, and which do: p2p-dead, p2p-fallback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from nvltop.analysis.health.claim import Claim, Escalation
from nvltop.analysis.health.fabric import not_ready
from nvltop.analysis.health.gpu_names import gpu_names, short_gpu_names
from nvltop.analysis.health.history import LinkedPairs
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult, active_link_count
from nvltop.analysis.link_capacity import NO_TRAFFIC_SHARE, PCIE_BUSY_SHARE
from nvltop.analysis.link_states import NVSWITCH, summarize
from nvltop.analysis.verdict import GPU_BUSY_PERCENT
from nvltop.model import GpuFrame, Missing, Pair, Severity, first_missing, known

P2P_FALLBACK_S: Final = 30.0
"""Time after which PCIe traffic between linked GPUs is reported, seconds."""
CHECK_P2P_STEP: Final = (
    "Check in this order: `nvidia-smi topo -p2p n`, the fabric's state, MIG, the container's devices,"
    ' NCCL_P2P_DISABLE and NCCL_P2P_LEVEL, then NCCL_DEBUG=INFO ("via P2P" or "via SHM"), then ACS and IOMMU'
)


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check the P2P status of linked GPU pairs, and whether their traffic uses NVLink."""
    gpus = [g for g in rule_input.linked_gpus if active_link_count(g) and g.gpu.mig is not True]
    ends = {g.gpu.uuid: summarize(g.links).peers for g in gpus}
    statuses, allowed = rule_input.history.linked_pairs.get(
        (rule_input.inventory, tuple(ends.items())), lambda: _linked_pairs(ends, rule_input.pairs)
    )
    if statuses is None:
        return (), None
    unread = None if len(allowed) == len(statuses) else first_missing(statuses.values())
    claims = [*_fallback(rule_input, gpus, allowed)]
    if unread:
        return claims, unread
    if any(not_ready(g) for g in gpus):
        # Without a fabric CUDA does not even start, so the P2P status adds nothing to that finding.
        return claims, Missing("the NVLink fabric is not ready")
    if statuses and not allowed:
        codes = sorted({str(s) for s in statuses.values()})
        claims.append(
            Claim(
                rule="p2p-dead",
                gpu=None,
                headline=f"No GPU pair may use NVLink (P2P {', '.join(codes)[:12]})",
                summary=f"The NVLinks of {gpu_names(gpus)} are up, but no GPU pair may use them (P2P status"
                f" {', '.join(codes)}): jobs fall back to PCIe without an error",
                escalations=(Escalation(Severity.CRITICAL),),
                evidence={"pairs": len(statuses), "pairs_ok": 0, "codes": codes},
                next_step=CHECK_P2P_STEP,
                source="leptonai/gpud p2p check",
            )
        )
    refused = len(statuses) - len(allowed)
    text = f"{len(allowed) // 2} of {len(statuses) // 2} linked GPU pairs may use NVLink"
    return claims, Missing(f"{text}; {refused // 2} may not") if refused and allowed else text


def _linked_pairs(ends: Mapping[str, frozenset[str]], pairs: Mapping[tuple[str, str], Pair]) -> LinkedPairs:
    """Return the GPU pairs that NVLink joins."""
    switched = {a for a, remotes in ends.items() if NVSWITCH in remotes}
    joined = [
        (a, b)
        for a, remotes in ends.items()
        for b in ends
        if a != b and (b in remotes or (a in switched and b in switched))
    ]
    if not joined:
        return LinkedPairs(None, [])
    statuses = {key: pair.p2p_nvlink for key in joined if (pair := pairs.get(key))}
    return LinkedPairs(statuses, [key for key, status in statuses.items() if status == "OK"])


def _fallback(
    rule_input: RuleInput, gpus: Sequence[GpuFrame], allowed: Sequence[tuple[str, str]]
) -> Iterator[Claim]:
    pcie = rule_input.history.pcie_share
    if not all(known(g.nvlink.recent_share) and g.nvlink.recent_share < NO_TRAFFIC_SHARE for g in gpus):
        return
    over_pcie = [
        g
        for g in gpus
        if known(g.gauges.util_percent)
        and g.gauges.util_percent >= GPU_BUSY_PERCENT
        and pcie.get(g.gpu.uuid, 0.0) >= PCIE_BUSY_SHARE
    ]
    uuids = {g.gpu.uuid for g in over_pcie}
    if any(a in uuids and b in uuids for a, b in allowed):
        busiest = max(over_pcie, key=lambda g: pcie[g.gpu.uuid])
        yield Claim(
            rule="p2p-fallback",
            gpu=None,
            headline=f"{short_gpu_names(over_pcie)} use PCIe although NVLink is up",
            summary=f"{gpu_names(over_pcie)} are busy and communicate over PCIe although NVLink is available",
            escalations=(Escalation(Severity.WARNING, after_s=P2P_FALLBACK_S, readings=3),),
            read_s=rule_input.read_s(busiest, "gauges"),
            evidence=rule_input.evidence(
                busiest,
                "pcie",
                gpus=[g.gpu.index for g in over_pcie],
                pcie_share_of_busiest=round(pcie[busiest.gpu.uuid], 2),
                nvlink_share_at_most=NO_TRAFFIC_SHARE,
            ),
            next_step=CHECK_P2P_STEP,
            source="NVIDIA/nccl PR 602",
            confidence="likely",
        )


RULE_GROUP: Final = RuleGroup("P2P over NVLink", ("p2p-dead", "p2p-fallback"), evaluate, P2P_FALLBACK_S)
