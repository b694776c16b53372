"""Which links are down that should be up, and at which end of a broken wire the fault is.

A wire that joins two GPUs directly is dark at both ends. If one GPU has dark ends towards several peers,
which have one each, the fault is there and not at the peers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nvltop.analysis.health.board import ends_in_switches, optional_bridge
from nvltop.analysis.health.rule import RuleInput, active_link_count
from nvltop.analysis.link_states import NO_LINKS, lit
from nvltop.model import GpuFrame, LinkState, RemoteKind, known

MIN_STATE_READINGS: Final = 3
"""Readings of the states that must agree: they flicker while links train (NVIDIA/NVSentinel#1701)."""
MIN_SWITCH_FAULT_GPUS: Final = 3
"""GPUs that must have lost links to one NVSwitch, and only those, for the fault to be at the switch."""
LINK_TRAINING_S: Final = 30.0
"""Seconds after a link came up for the first time in which others may follow."""
BOOT_TRAINING_S: Final = 120.0
"""Seconds after the boot in which links may still train."""


@dataclass(frozen=True, slots=True)
class DownLinks:
    """The links of one GPU that are down and should be up."""

    gpu: GpuFrame
    links: tuple[int, ...]
    """Their numbers, as far as they are known."""
    missing: int
    """How many links are missing; more than `links` where nobody knows which of them should be up."""
    expected: int
    """Links that the GPU had before, or that its peers have."""
    went_down: bool
    """They went down while nvltop watched; otherwise they were down at its start."""
    readings: int
    """In how many readings in a row they were down."""

    @property
    def all_down(self) -> bool:
        """Whether no link of the GPU is left."""
        return active_link_count(self.gpu) == 0


def links_may_be_training(rule_input: RuleInput) -> bool:
    """Whether links that are not up yet may still be training."""
    new, boot = rule_input.history.last_new_link_s, rule_input.inventory.booted_s
    if new is not None and rule_input.tick.mono_s - new < LINK_TRAINING_S:
        return True
    return known(boot) and 0 <= rule_input.tick.wall_s - boot < BOOT_TRAINING_S


def gpus_with_link_states(rule_input: RuleInput) -> list[GpuFrame]:
    """Return the GPUs whose link states mean something: under MIG, links are off by design."""
    return [g for g in rule_input.linked_gpus if g.gpu.mig is not True and "states" in g.age_s]


def find_down_links(rule_input: RuleInput) -> list[DownLinks]:
    """Return the GPUs with links that are down and should be up."""
    gpus = gpus_with_link_states(rule_input)
    settled = not links_may_be_training(rule_input)
    return [d for g in gpus if (d := _of(rule_input, g, gpus, settled))]


def _of(rule_input: RuleInput, g: GpuFrame, gpus: Sequence[GpuFrame], settled: bool) -> DownLinks | None:
    uuid = g.gpu.uuid
    down = lit(g.links).where(LinkState.DOWN)
    before = rule_input.history.ever_active.get(uuid, NO_LINKS)
    fell = down & before
    absent = NO_LINKS
    usual, missing = len(before), len(fell)
    if settled and not optional_bridge(g.gpu):
        # Peers that lost links while we watched say nothing of what is normal; the most that any has does.
        alike = [p for p in gpus if p.gpu.name == g.gpu.name]
        most = max(active_link_count(p) for p in alike)
        if most > active_link_count(g):
            whole = [p for p in alike if active_link_count(p) == most]
            absent = (down & NO_LINKS.union(*[lit(p.links).active for p in whole])) - fell
            if most - active_link_count(g) > missing:
                usual, missing = most, most - active_link_count(g)
    # With some links up, those that the peers use are the missing ones only if the number fits.
    known_links = fell | absent if len(fell | absent) == missing or not active_link_count(g) else fell
    if not missing:
        return None
    times = rule_input.history.readings_down.get(uuid, {})
    steady = frozenset(k for k in known_links if times.get(k, 0) >= MIN_STATE_READINGS)
    shown = steady or known_links
    if steady and len(steady) < len(known_links):
        missing -= len(known_links) - len(steady)
    readings = min((times.get(k, 0) for k in shown), default=0)
    return DownLinks(g, tuple(sorted(shown)), missing, usual, bool(fell), readings)


def fault_origins(rule_input: RuleInput, found: Sequence[DownLinks]) -> Mapping[str, str]:
    """Return at which GPU the fault is, for each GPU that only has the other end of its dark wires."""
    at = {d.gpu.gpu.uuid: d for d in found if not ends_in_switches(d.gpu.gpu)}
    origins: dict[str, str] = {}
    for group in _joined(rule_input, at):
        root = _root([at[uuid] for uuid in group])
        if root:
            origins |= {uuid: root for uuid in group if uuid != root}
    return origins


def common_switch(rule_input: RuleInput, found: Sequence[DownLinks]) -> str | None:
    """Return the PCI bus id of the NVSwitch that the dark links of several GPUs all lead to, if they do."""
    if len(found) < MIN_SWITCH_FAULT_GPUS:
        return None
    ends = {rule_input.history.link_ends.get((d.gpu.gpu.uuid, link)) for d in found for link in d.links}
    buses = {end.pci_bus_id if end and end.kind is RemoteKind.SWITCH else None for end in ends}
    bus = buses.pop() if len(buses) == 1 else None
    return bus if isinstance(bus, str) and all(d.readings >= MIN_STATE_READINGS for d in found) else None


def _joined(rule_input: RuleInput, at: Mapping[str, DownLinks]) -> Iterator[list[str]]:
    """Yield the groups of GPUs that dark wires join; all of them where the driver hides where links lead."""
    leads: dict[str, set[str]] = {uuid: set() for uuid in at}
    for uuid, d in at.items():
        for link in d.links:
            end = rule_input.history.link_ends.get((uuid, link))
            other = end.gpu if end else None
            if other is not None and other in at and other != uuid:
                leads[uuid].add(other)
                leads[other].add(uuid)
    if not any(leads.values()):
        yield list(at)
        return
    seen: set[str] = set()
    for first in at:
        group, todo = [], [first]
        while todo:
            uuid = todo.pop()
            if uuid not in seen:
                seen.add(uuid)
                group.append(uuid)
                todo += leads[uuid]
        if group:
            yield group


def _root(group: Sequence[DownLinks]) -> str | None:
    """Return the GPU at the centre of a star of dark wires; None if there is no such one."""
    if len(group) < 2:
        return None
    first, second, *_ = sorted(group, key=lambda d: -d.missing)
    if len(group) == 2 and first.missing == second.missing:
        # One wire looks alike from both ends; the end that counted errors is suspected first.
        return min(group, key=lambda d: (-_errors(d.gpu), d.gpu.gpu.index)).gpu.gpu.uuid
    rest = sum(d.missing for d in group) - first.missing
    return first.gpu.gpu.uuid if first.missing == rest else None


def _errors(g: GpuFrame) -> int:
    count = g.nvlink.errors_since_start
    return count if known(count) else 0
