"""Rules about network interfaces: ports that are down or slow among their like, GPUs without a near one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from nvltop.analysis.health.claim import INFO_ONLY, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_names, short_gpu_names
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.analysis.nics import GONE, slot
from nvltop.model import MAX_HEADLINE, Missing, NicFrame, Severity, known

MIN_PORTS_UP: Final = 3
"""So many ports of a kind must be up before one that is not is out of line."""
MAX_DOWN_SHARE: Final = 0.25
"""Share of a kind that may be down and still be the exception; above it, ports are left unused."""
MIN_FASTER_PORTS: Final = 2
MAX_NIC_NAME_CHARS: Final = 16
"""Characters of a device name in a headline; names of the kernel have 15."""
NIC_GONE: Final = (Escalation(Severity.CRITICAL, after_s=2.0),)
"""Nothing is read of it any more, so no readings can be counted."""
PORT_WENT_DOWN: Final = (Escalation(Severity.CRITICAL, readings=3),)
PORT_WITHOUT_RDMA_WENT_DOWN: Final = (Escalation(Severity.WARNING, readings=3),)
CHECK_CABLE_STEP: Final = "Check cable and transceiver and the port of the switch, see `ibstat` and `dmesg`"
RESEAT_CABLE_STEP: Final = (
    "Reseat cable and transceiver, and see `mlxlink` or `ethtool` for what the ends agreed on"
)


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Judge the ports of all NICs, and where they hang."""
    listed = rule_input.inventory.nics
    # Management functions of NVSwitches have no cable; what their state says is a matter of the fabric.
    rule_input = replace(rule_input, nics=tuple(f for f in rule_input.nics if not f.nic.role))
    if isinstance(listed, Missing):
        return (), listed
    if not listed and not rule_input.nics:
        return (), None
    if not rule_input.nics:
        return (), Missing("no port read yet")
    if all(f.stale for f in rule_input.nics):
        if rule_input.tick.not_reading:
            return (), Missing("nvltop's own reader is not running")
        return (), Missing("ports are no longer read: an adapter or its driver may hang")
    kinds = _Kinds(rule_input)
    claims = [
        claim
        for f in rule_input.nics
        for claim in (*_down(rule_input, f, kinds), *_slow(rule_input, f, kinds))
    ]
    claims += _far(rule_input)
    ports = [f for f in rule_input.nics if f.nic.rdma] or list(rule_input.nics)
    up = sum(f.active for f in ports)
    return claims, f"{up} of {len(ports)} {'RDMA ' if ports[0].nic.rdma else ''}ports are up"


def _down(rule_input: RuleInput, f: NicFrame, kinds: _Kinds) -> Iterator[Claim]:
    """A port that has been up, or that all of its kind but this one are."""
    key = f.nic.device, f.port.port
    if f.port.state == GONE:
        yield _claim(
            rule_input, f, f"{_short(f)} is gone", f"NIC {f.nic.device} is gone from the machine", NIC_GONE
        )
    elif f.active or isinstance(f.port.state, Missing):
        return
    elif key in rule_input.history.ever_active_ports:
        escalations = PORT_WENT_DOWN if f.nic.rdma else PORT_WITHOUT_RDMA_WENT_DOWN
        yield _claim(
            rule_input, f, f"{_short(f)} {_brief(f, 'went down')}", f"{_named(f)} {_word(f, 'went down')}",
            escalations,
            state=f.port.state, physical=f.port.physical,
        )  # fmt: skip
    else:
        kind = kinds.like(f)
        up = sum(other.active for other in kind)
        if not f.nic.rdma or up < MIN_PORTS_UP or len(kind) - up > MAX_DOWN_SHARE * len(kind):
            return
        off = f.port.physical == "Disabled"
        down = "is switched off" if off else "is down"
        word = _word(f, down)
        yield _claim(
            rule_input, f,
            _fitting(f"{_short(f)} {_brief(f, down)}", f" ({up} of its kind up)"),
            f"{_named(f)} {word}, while {up} of its kind are up",
            (Escalation(Severity.NOTICE if off or not kinds.alone(f) else Severity.WARNING, readings=3),),
            confidence="likely", state=f.port.state, physical=f.port.physical, up=up, kind=len(kind),
        )  # fmt: skip


def _slow(rule_input: RuleInput, f: NicFrame, kinds: _Kinds) -> Iterator[Claim]:
    """A port that runs at less than most of its kind."""
    rate = f.port.rate_bytes_per_s
    if not f.active or not f.nic.rdma or isinstance(rate, Missing):
        return
    rates = Counter(r for other in kinds.like(f) if other.active and known(r := other.port.rate_bytes_per_s))
    usual, count = max(rates.items(), key=lambda item: (item[1], item[0]))
    if usual <= rate or count < MIN_FASTER_PORTS:
        return
    yield _claim(
        rule_input, f,
        f"{_short(f)}: {rate * 8e-9:g} Gb/s, others {usual * 8e-9:g}",
        f"{_named(f)} runs at {rate * 8e-9:g} Gb/s, {count} of its kind at {usual * 8e-9:g} Gb/s",
        (Escalation(Severity.WARNING, readings=3),),
        rule="nic-slow", next_step=RESEAT_CABLE_STEP, confidence="likely",
        gbit_per_s=rate * 8e-9, usual_gbit_per_s=usual * 8e-9,
    )  # fmt: skip


def _far(rule_input: RuleInput) -> Iterator[Claim]:
    """GPUs whose nearest NIC is behind another processor."""
    layout = rule_input.history.nic_proximity(rule_input.inventory)
    far = [g for g in rule_input.gpus if g.gpu.uuid in layout.far]
    if far:
        yield Claim(
            rule="nic-far",
            gpu=far[0].gpu.uuid if len(far) == 1 else None,
            headline=f"{short_gpu_names(far)}: no NIC on the same NUMA node",
            summary=f"{gpu_names(far)} {'has' if len(far) == 1 else 'have'} no NIC on the same NUMA node",
            escalations=INFO_ONLY,
            evidence={"gpus": [g.gpu.index for g in far], "nics": layout.nics},
            next_step="If this is not by design, compare the slots of the NICs with `nvidia-smi topo -m`",
        )


def _claim(
    rule_input: RuleInput,
    f: NicFrame,
    headline: str,
    summary: str,
    escalations: tuple[Escalation, ...],
    *,
    rule: str = "nic-down",
    next_step: str = CHECK_CABLE_STEP,
    confidence: str = "certain",
    **seen: object,
) -> Claim:
    return Claim(
        rule=rule,
        gpu=None,
        nic=f.nic.device,
        link=f.port.port if f.port.port > 1 else None,
        headline=headline,
        summary=summary,
        escalations=escalations,
        read_s=round(rule_input.tick.mono_s - f.age_s, 3),
        evidence={**seen, "age_s": round(f.age_s, 1)},
        next_step=next_step,
        confidence=confidence,
    )


def _word(f: NicFrame, down: str) -> str:
    """Say what a port is that is not active: without a link, or with one and not set up."""
    waiting = f.port.state in ("init", "armed")
    return f"has a link but no subnet manager has set it up ({f.port.state})" if waiting else down


def _named(f: NicFrame) -> str:
    port = f" port {f.port.port}" if f.port.port > 1 else ""
    return f"NIC {f.nic.device}{port}"


def _short(f: NicFrame) -> str:
    """Name a port in a headline: names longer than `MAX_NIC_NAME_CHARS` lose their middle."""
    name = f"{f.nic.device}:{f.port.port}" if f.port.port > 1 else f.nic.device
    cut = name if len(name) <= MAX_NIC_NAME_CHARS else f"{name[:7]}..{name[-7:]}"
    return f"NIC {cut}"


def _fitting(headline: str, more: str) -> str:
    """Add what there is room for in a headline."""
    return headline + more if len(headline + more) <= MAX_HEADLINE else headline


def _brief(f: NicFrame, down: str) -> str:
    return "has no subnet manager" if f.port.state in ("init", "armed") else down


class _Kinds:
    """Which ports are alike: of the same model with as many ports, and as near to a GPU."""

    def __init__(self, rule_input: RuleInput) -> None:
        slots = Counter(slot(f.nic) for f in rule_input.nics if not f.nic.virtual)
        near = rule_input.history.nic_proximity(rule_input.inventory).nearest
        self._of = {id(f): (f.nic.model, f.nic.virtual, f.nic.bond, f.port.link_layer,
                            slots[slot(f.nic)], near.get(f.nic.device)) for f in rule_input.nics}  # fmt: skip
        self._ports: dict[object, list[NicFrame]] = {}
        for f in rule_input.nics:
            if f.port.state != GONE:
                self._ports.setdefault(self._of[id(f)], []).append(f)
        self._slots = slots

    def like(self, f: NicFrame) -> list[NicFrame]:
        """Return the ports that are like this one, itself among them."""
        return self._ports.get(self._of[id(f)], [])

    def alone(self, f: NicFrame) -> bool:
        """Whether its card has no other port, which could be meant to stay unused."""
        return self._slots[slot(f.nic)] <= 1


RULE_GROUP: Final = RuleGroup("NICs", ("nic-down", "nic-slow", "nic-far"), evaluate, per_gpu=False)
