"""Rule about PCIe links: pcie-degraded.

The limit of a link is the lower of the limits of the card (from NVML) and of its slot (from the port above
it in sysfs). A card in a slot with fewer lanes works as intended, and reseating it changes nothing.
"""

from __future__ import annotations

from typing import Final

from nvltop.analysis.health.claim import Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.analysis.verdict import GPU_BUSY_PERCENT
from nvltop.frozen import frozen
from nvltop.model import NOT_READ, Gpu, GpuFrame, Missing, Severity, known

PCIE_GEN_RISE_S: Final = 4.0
"""Time under load, seconds, after which the generation must have risen; that takes milliseconds."""
MAX_COMPUTE_PSTATE: Final = 2
"""Highest P-state under compute load: data center GPUs use P0, GeForce cards P2."""
OLDEST_SLOT_GEN: Final = 2
"""PCIe generation up to which no machine with a card of generation 3 or later has slots."""
RESEAT_CARD_STEP: Final = "Reseat the card or its riser, and check the slot's settings in the BIOS"
SLOT_LIMIT_STEP: Final = "See `lspci -vv` for the slot's own limit (LnkCap of the port above the card). "
MODULE_STEP: Final = (
    "Look for PCIe (AER) errors in `dmesg`, then power-cycle the machine; if it stays, ask the vendor"
)


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check the PCIe links: their width always, their generation under load (idle GPUs lower it)."""
    claims: list[Claim] = []
    under_load, checked, limited = [], [], []
    for g in rule_input.gpus:
        link = PcieLink.of(rule_input, g)
        if link is None:
            continue
        checked.append(g)
        if link.under_load:
            under_load.append(g)
        if limit := link.slot_limit:
            limited.append(f"{gpu_name(g)} at {limit}, which is all its slot has")
        if link.narrow or link.slow:
            claims.append(_degraded(rule_input, link))
    if not checked:
        on_chip = all(_on_chip(g.gpu) for g in rule_input.gpus)
        return claims, None if on_chip else Missing("PCIe width and generation are not reported")
    speed = "full speed under load" if under_load else "speed not checked: no GPU is under load"
    return claims, "; ".join((f"PCIe links of {gpu_names(checked)} at full width, {speed}", *limited))


@frozen
class PcieLink:
    """The PCIe link of one GPU, and its limits."""

    gpu: GpuFrame
    width: int
    gen: int
    width_limit: int
    """Largest width that both the card and, if its limit is known, the slot support."""
    gen_limit: int
    card_width: int
    card_gen: int
    slot_known: bool
    """Whether the limits of the slot are known."""
    under_load: bool
    """Whether the GPU is busy, in a P-state of compute load."""

    @classmethod
    def of(cls, rule_input: RuleInput, g: GpuFrame) -> PcieLink | None:
        """Return the PCIe link of a GPU; None if it cannot be read or is meaningless (C2C boards, vGPUs)."""
        gen, width = g.gauges.pcie_gen, g.gauges.pcie_width
        gen_max, width_max = g.gpu.pcie_gen_max, g.gpu.pcie_width_max
        if not (known(gen) and known(width) and known(gen_max) and known(width_max)):
            return None
        if _on_chip(g.gpu) or g.state != "ok" or g.gpu.virtualization == "vgpu":
            return None
        place = rule_input.history.nic_proximity(rule_input.inventory).ports.get(g.gpu.uuid)
        slot_width, slot_gen = (place.port_width, place.port_gen) if place else (NOT_READ, NOT_READ)
        # Ports in a virtual machine are emulated, and a port narrower than its link is wrong.
        slot_valid = known(slot_width) and slot_width >= width and not rule_input.board.virtual
        return cls(
            gpu=g,
            width=width,
            gen=gen,
            width_limit=min(width_max, slot_width) if slot_valid and known(slot_width) else width_max,
            gen_limit=min(gen_max, slot_gen)
            if slot_valid and known(slot_gen) and slot_gen >= gen
            else gen_max,
            card_width=width_max,
            card_gen=gen_max,
            slot_known=slot_valid,
            under_load=_under_load(g),
        )

    @property
    def narrow(self) -> bool:
        """Whether the link has fewer lanes than it could have."""
        return self.width < self.width_limit

    @property
    def slow(self) -> bool:
        """Whether the generation is too low for a GPU under load."""
        return self.under_load and self.gen < self.gen_limit

    def degraded_values(self, gen: int, width: int) -> str:
        """Return those of `gen` and `width` that are too low on this link: `gen1`, `x8`, or `gen1 x8`."""
        return " ".join([f"gen{gen}"] * self.slow + [f"x{width}"] * self.narrow)

    @property
    def slot_limit(self) -> str:
        """Return the limit that the slot sets below that of the card: `x8`, `gen3`, or `gen3 x8`."""
        if not self.slot_known:
            return ""
        gen = self.under_load and self.gen == self.gen_limit < self.card_gen
        width = self.width == self.width_limit < self.card_width
        return " ".join([f"gen{self.gen}"] * gen + [f"x{self.width}"] * width)


def _degraded(rule_input: RuleInput, link: PcieLink) -> Claim:
    g, card = link.gpu, rule_input.board.pcie_cards
    now, best = (
        link.degraded_values(link.gen, link.width),
        link.degraded_values(link.gen_limit, link.width_limit),
    )
    load = " under load" if link.slow else ""
    # Only sysfs shows whether a slot has fewer lanes than its card. Modules have no slot, and no machine with
    # a card of generation 3 or later has slots of OLDEST_SLOT_GEN.
    too_narrow = link.narrow and (link.slot_known or not card)
    too_slow = link.slow and (link.slot_known or not card or link.gen <= OLDEST_SLOT_GEN < link.gen_limit)
    escalations = []
    if not too_narrow and (link.narrow or not too_slow):
        escalations.append(
            Escalation(Severity.NOTICE, after_s=0.0 if link.narrow else PCIE_GEN_RISE_S, readings=3)
        )
    if too_narrow or too_slow:
        escalations.append(
            Escalation(Severity.WARNING, after_s=0.0 if too_narrow else PCIE_GEN_RISE_S, readings=3)
        )
    who = (
        "card and slot support" if link.slot_known else "the card supports" if card else "the module supports"
    )
    unknown = "; the slot's own limit cannot be read here" if card and not link.slot_known else ""
    return Claim(
        rule="pcie-degraded",
        gpu=g.gpu.uuid,
        headline=f"{gpu_name(g)} PCIe {now} instead of {best}{load}",
        summary=f"The PCIe link of {gpu_name(g)} runs at {now} instead of {best}{load}:"
        f" {who} {best}{unknown}",
        escalations=tuple(escalations),
        read_s=rule_input.read_s(g, "gauges"),
        evidence=rule_input.evidence(
            g,
            "gauges",
            gen=link.gen,
            gen_max=link.gen_limit,
            width=link.width,
            width_max=link.width_limit,
            slot_limit="sysfs" if link.slot_known else "unknown",
        ),
        next_step=(RESEAT_CARD_STEP if link.slot_known else SLOT_LIMIT_STEP + RESEAT_CARD_STEP)
        if card
        else MODULE_STEP,
        source="NVIDIA/open-gpu-kernel-modules issue 731",
        confidence="certain" if too_narrow or too_slow else "possible",
    )


def _under_load(g: GpuFrame) -> bool:
    """Return whether a GPU is busy, in a P-state of compute load."""
    pstate, util = g.gauges.pstate, g.gauges.util_percent
    return known(pstate) and pstate <= MAX_COMPUTE_PSTATE and known(util) and util >= GPU_BUSY_PERCENT


def _on_chip(gpu: Gpu) -> bool:
    """Return whether the GPU is attached to its CPU by C2C and not by PCIe (GB10, GH200, GB200)."""
    return (known(gpu.c2c.links) and gpu.c2c.links > 0) or (known(gpu.name) and "GB10" in gpu.name)


def _depends_on(rule_input: RuleInput) -> tuple[object, ...]:
    """Return what the result depends on."""
    return (
        rule_input.inventory,
        *[(g.state, g.gauges.pcie_gen, g.gauges.pcie_width, _under_load(g)) for g in rule_input.gpus],
    )


RULE_GROUP: Final = RuleGroup(
    "PCIe links", ("pcie-degraded",), evaluate, PCIE_GEN_RISE_S, depends_on=_depends_on
)
