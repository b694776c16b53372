"""Rules about NICs: nic-down, nic-slow, nic-far.

Ports are compared with ports of the same kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from nvltop.analysis.health.claim import INFO_ONLY, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_names, short_gpu_names
from nvltop.analysis.health.rule import READER_NOT_RUNNING, RuleGroup, RuleInput, RuleResult
from nvltop.analysis.nics import PORT_GONE, pci_slot
from nvltop.model import MAX_HEADLINE, Missing, NicFrame, Severity, known

MIN_PORTS_UP: Final = 3
"""Number of ports of a kind that must be up before a port that is down counts as an exception."""
MAX_DOWN_SHARE: Final = 0.25
"""Share of the ports of a kind above which down ports are not exceptions but left unused on purpose."""
MIN_FASTER_PORTS: Final = 2
"""Number of ports that must run at the usual rate before a slower port is reported."""
MAX_NIC_NAME_CHARS: Final = 16
"""Length above which a device name is shortened in a headline; Linux allows 15 characters."""
NIC_GONE: Final = (Escalation(Severity.CRITICAL, after_s=2.0),)
"""For a NIC that is gone: it is not read any more, so no readings can be counted."""
PORT_WENT_DOWN: Final = (Escalation(Severity.CRITICAL, readings=3),)
"""For an RDMA port that was up."""
PORT_WITHOUT_RDMA_WENT_DOWN: Final = (Escalation(Severity.WARNING, readings=3),)
"""For another port that was up."""
CHECK_CABLE_STEP: Final = "Check cable and transceiver and the port of the switch, see `ibstat` and `dmesg`"
RESEAT_CABLE_STEP: Final = (
    "Reseat cable and transceiver, and see `mlxlink` or `ethtool` for what the ends agreed on"
)


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check the ports of all NICs, and how near they are to the GPUs."""
    listed = rule_input.inventory.nics
    # Management functions of NVSwitches have no cable; their state is checked with the fabric.
    rule_input = replace(rule_input, nics=tuple(f for f in rule_input.nics if not f.nic.role))
    if isinstance(listed, Missing):
        return (), listed
    if not listed and not rule_input.nics:
        return (), None
    if not rule_input.nics:
        return (), Missing("no port read yet")
    if all(f.stale for f in rule_input.nics):
        if rule_input.tick.not_reading:
            return (), READER_NOT_RUNNING
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
    """Claim that a port is down that was up before, or that should be up like others of its kind."""
    key = f.nic.device, f.port.port
    if f.port.state == PORT_GONE:
        yield _claim(
            rule_input,
            f,
            f"{_short_name(f)} is gone",
            f"NIC {f.nic.device} is gone from the machine",
            NIC_GONE,
        )
    elif f.active or isinstance(f.port.state, Missing):
        return
    elif key in rule_input.history.ever_active_ports:
        escalations = PORT_WENT_DOWN if f.nic.rdma else PORT_WITHOUT_RDMA_WENT_DOWN
        yield _claim(
            rule_input, f,
            f"{_short_name(f)} {_short_state(f, 'went down')}",
            f"{_port_name(f)} {_state_text(f, 'went down')}",
            escalations,
            state=f.port.state, physical=f.port.physical,
        )  # fmt: skip
    else:
        kind = kinds.comparable(f)
        up = sum(other.active for other in kind)
        if not f.nic.rdma or up < MIN_PORTS_UP or len(kind) - up > MAX_DOWN_SHARE * len(kind):
            return
        off = f.port.physical == "Disabled"
        down = "is switched off" if off else "is down"
        word = _state_text(f, down)
        severity = Severity.NOTICE if off or not kinds.is_single_port(f) else Severity.WARNING
        yield _claim(
            rule_input, f,
            _fitting(f"{_short_name(f)} {_short_state(f, down)}", f" ({up} of its kind up)"),
            f"{_port_name(f)} {word}, while {up} of its kind are up",
            (Escalation(severity, readings=3),),
            confidence="likely", state=f.port.state, physical=f.port.physical, up=up, kind=len(kind),
        )  # fmt: skip


def _slow(rule_input: RuleInput, f: NicFrame, kinds: _Kinds) -> Iterator[Claim]:
    """Claim that a port runs at a lower rate than most ports of its kind."""
    rate = f.port.rate_bytes_per_s
    if not f.active or not f.nic.rdma or isinstance(rate, Missing):
        return
    rates = Counter(
        r for other in kinds.comparable(f) if other.active and known(r := other.port.rate_bytes_per_s)
    )
    usual, count = max(rates.items(), key=lambda item: (item[1], item[0]))
    if usual <= rate or count < MIN_FASTER_PORTS:
        return
    yield _claim(
        rule_input, f,
        f"{_short_name(f)}: {rate * 8e-9:g} Gb/s, others {usual * 8e-9:g}",
        f"{_port_name(f)} runs at {rate * 8e-9:g} Gb/s, {count} of its kind at {usual * 8e-9:g} Gb/s",
        (Escalation(Severity.WARNING, readings=3),),
        rule="nic-slow", next_step=RESEAT_CABLE_STEP, confidence="likely",
        gbit_per_s=rate * 8e-9, usual_gbit_per_s=usual * 8e-9,
    )  # fmt: skip


def _far(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that GPUs have no NIC on their NUMA node."""
    proximity = rule_input.history.nic_proximity(rule_input.inventory)
    far = [g for g in rule_input.gpus if g.gpu.uuid in proximity.far]
    if far:
        yield Claim(
            rule="nic-far",
            gpu=far[0].gpu.uuid if len(far) == 1 else None,
            headline=f"{short_gpu_names(far)}: no NIC on the same NUMA node",
            summary=f"{gpu_names(far)} {'has' if len(far) == 1 else 'have'} no NIC on the same NUMA node",
            escalations=INFO_ONLY,
            evidence={"gpus": [g.gpu.index for g in far], "nics": proximity.nics},
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


def _state_text(f: NicFrame, down: str) -> str:
    """Return what is wrong with a port that is not active: `down`, or that it has not been set up."""
    waiting = f.port.state in ("init", "armed")
    return f"has a link but no subnet manager has set it up ({f.port.state})" if waiting else down


def _port_name(f: NicFrame) -> str:
    """Return the name of a port: `NIC mlx5_0`, or `NIC mlx5_0 port 2`."""
    port = f" port {f.port.port}" if f.port.port > 1 else ""
    return f"NIC {f.nic.device}{port}"


def _short_name(f: NicFrame) -> str:
    """Return the name of a port for a headline, shortened in the middle if necessary."""
    name = f"{f.nic.device}:{f.port.port}" if f.port.port > 1 else f.nic.device
    cut = name if len(name) <= MAX_NIC_NAME_CHARS else f"{name[:7]}..{name[-7:]}"
    return f"NIC {cut}"


def _fitting(headline: str, more: str) -> str:
    """Return the headline with `more` appended if there is room for it."""
    return headline + more if len(headline + more) <= MAX_HEADLINE else headline


def _short_state(f: NicFrame, down: str) -> str:
    """Return the text of `_state_text` for a headline."""
    return "has no subnet manager" if f.port.state in ("init", "armed") else down


class _Kinds:
    """Groups of comparable ports: of the same model with as many ports, and as near to a GPU."""

    def __init__(self, rule_input: RuleInput) -> None:
        slots = Counter(pci_slot(f.nic) for f in rule_input.nics if not f.nic.virtual)
        near = rule_input.history.nic_proximity(rule_input.inventory).nearest
        self._of = {
            id(f): (
                f.nic.model,
                f.nic.virtual,
                f.nic.bond,
                f.port.link_layer,
                slots[pci_slot(f.nic)],
                near.get(f.nic.device),
            )
            for f in rule_input.nics
        }
        self._ports: dict[object, list[NicFrame]] = {}
        for f in rule_input.nics:
            if f.port.state != PORT_GONE:
                self._ports.setdefault(self._of[id(f)], []).append(f)
        self._slots = slots

    def comparable(self, f: NicFrame) -> list[NicFrame]:
        """Return the ports comparable to this one, including itself."""
        return self._ports.get(self._of[id(f)], [])

    def is_single_port(self, f: NicFrame) -> bool:
        """Return whether the adapter has no other port; one of several may be unused on purpose."""
        return self._slots[pci_slot(f.nic)] <= 1


def _depends_on(rule_input: RuleInput) -> tuple[object, ...] | None:
    """Return what the result depends on."""
    if any(f.stale for f in rule_input.nics):
        return None
    return (
        rule_input.inventory,
        len(rule_input.history.ever_active_ports),
        *[
            (f.nic, f.port.state, f.port.physical, f.port.rate_bytes_per_s, f.port.link_layer)
            for f in rule_input.nics
        ],
    )


RULE_GROUP: Final = RuleGroup(
    "NICs", ("nic-down", "nic-slow", "nic-far"), evaluate, per_gpu=False, depends_on=_depends_on
)
