"""Rules about NVLink bridges, with which a machine may or may not be equipped: bridge-partial, no-bridge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.health.board import links_per_bridge, optional_bridge, sold_with_bridge
from nvltop.analysis.health.claim import Claim, Escalation
from nvltop.analysis.health.down_links import MIN_STATE_READINGS, gpus_with_link_states
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names, short_gpu_names
from nvltop.analysis.health.rule import RuleInput, active_link_count
from nvltop.analysis.link_capacity import PCIE_BUSY_SHARE, pcie_speed
from nvltop.analysis.link_states import summarize
from nvltop.analysis.verdict import GPU_BUSY_PERCENT
from nvltop.model import GpuFrame, LinkState, Severity, known

NO_BRIDGE_TRAFFIC_S: Final = 5.0
"""PCIe traffic of cards without NVLink, seconds, after which a missing bridge is reported."""


def partial_bridge(rule_input: RuleInput, g: GpuFrame, partial: dict[str, str]) -> Iterator[Claim]:
    """Claim that only some links of a bridge are up.

    `partial` maps the GPU at the other end of such a bridge to the GPU that is claimed already.
    """
    present, up = len(g.links), active_link_count(g)
    each = links_per_bridge(g.gpu, present)
    went_down = summarize(g.links).in_state(LinkState.DOWN) & rule_input.history.ever_active.get(
        g.gpu.uuid, frozenset()
    )
    if summarize(g.links).in_state(LinkState.UNKNOWN) or up in (0, present) or up % each == 0:
        return
    complete = min((up // each + 1) * each, present)
    root = g.gpu.uuid if went_down else partial.get(g.gpu.uuid)
    for end in summarize(g.links).peers:
        partial.setdefault(end, g.gpu.uuid)
    yield Claim(
        rule="bridge-partial",
        gpu=g.gpu.uuid,
        headline=f"{gpu_name(g)}: bridge gives {up} of {complete} links",
        summary=f"The NVLink bridge of {gpu_name(g)} gives {up} of {complete} links:"
        " it may not be seated well",
        escalations=(Escalation(Severity.WARNING, readings=MIN_STATE_READINGS),),
        read_s=rule_input.read_s(g, "states"),
        evidence=rule_input.evidence(g, "states", links_up=up, links_per_bridge=each),
        next_step="Switch the machine off, reseat the bridge and clean its contacts",
        cause=("link-down" if went_down else "bridge-partial", root) if root else None,
    )


def missing_bridges(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that cards that could have a bridge have none and use PCIe instead."""
    cards = [g for g in gpus_with_link_states(rule_input) if optional_bridge(g.gpu)]
    by_model: dict[object, list[GpuFrame]] = {}
    for g in cards:
        if summarize(g.links).in_state(LinkState.DOWN) == frozenset(
            range(len(g.links))
        ) and not _was_ever_active(rule_input, g):
            by_model.setdefault(g.gpu.name, []).append(g)
    for model, unlinked in by_model.items():
        share = rule_input.history.pcie_share
        busy = [
            g
            for g in unlinked
            if known(u := g.gauges.util_percent)
            and u >= GPU_BUSY_PERCENT
            and share.get(g.gpu.uuid, 0.0) >= PCIE_BUSY_SHARE
        ]
        if len(busy) < 2:
            continue
        top = max(busy, key=lambda g: share[g.gpu.uuid] * pcie_speed(g))
        rate = share[top.gpu.uuid] * pcie_speed(top) / 1e9
        # A card may have no bridge by choice, unless it is sold for bridges or cards like it have one.
        expected = sold_with_bridge(top.gpu) or any(
            g.gpu.name == model and active_link_count(g) for g in cards
        )
        yield Claim(
            rule="no-bridge",
            gpu=None,
            headline=f"{short_gpu_names(busy)}: no NVLink, {rate:.3g} GB/s over PCIe",
            summary=f"There is no NVLink between {gpu_names(busy)}: the bridge is missing, not seated or not"
            f" trained (by design only if none was fitted), so their traffic goes over PCIe,"
            f" {rate:.3g} GB/s now",
            escalations=(
                Escalation(
                    Severity.NOTICE if expected else Severity.INFO,
                    after_s=NO_BRIDGE_TRAFFIC_S,
                    readings=MIN_STATE_READINGS,
                ),
            ),
            read_s=rule_input.read_s(top, "gauges"),
            evidence=rule_input.evidence(
                top,
                "pcie",
                gpus=[g.gpu.index for g in busy],
                links_present=sum(len(g.links) for g in busy),
                links_up=0,
                pcie_bytes_per_s=round(rate * 1e9),
            ),
            next_step="If a bridge is fitted: switch the machine off, reseat it and clean its contacts,"
            " then see `nvidia-smi nvlink -s`",
        )


def _was_ever_active(rule_input: RuleInput, g: GpuFrame) -> bool:
    return bool(rule_input.history.ever_active.get(g.gpu.uuid))
