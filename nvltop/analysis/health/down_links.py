"""Links that are down and should be up, and at which of their ends the fault is.

A link between two GPUs is down at both ends. If one GPU has lost its links to several peers and each peer
has lost one, the fault is at that GPU and not at the peers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from nvltop.analysis.health.board import ends_in_switches, optional_bridge
from nvltop.analysis.health.rule import RuleInput, active_link_count
from nvltop.analysis.link_states import NO_LINKS, summarize
from nvltop.frozen import frozen
from nvltop.model import GpuFrame, LinkState, RemoteKind, known

MIN_STATE_READINGS: Final = 3
"""Consecutive readings of the link states that must agree before a claim becomes a finding.

The states flicker while links train (NVIDIA/NVSentinel issue 1701)."""
MIN_SWITCH_FAULT_GPUS: Final = 3
"""Number of GPUs with lost links from which the NVSwitch is at fault, if all these links lead to it."""
LINK_TRAINING_S: Final = 30.0
"""Time after a link first came up, seconds, in which other links may still be training."""
BOOT_TRAINING_S: Final = 120.0
"""Time after the boot, seconds, in which links may still be training."""


@frozen
class DownLinks:
    """The links of one GPU that are down and should be up."""

    gpu: GpuFrame
    links: tuple[int, ...]
    """Indices of those links, as far as they are known."""
    missing: int
    """Number of links that should be up and are down; `links` is shorter if it is unknown which ones."""
    expected: int
    """Number of links that the GPU had before, or that its peers have."""
    went_down: bool
    """Whether they went down while nvltop was running, and not before it started."""
    readings: int
    """Number of consecutive readings in which all of `links` have been down."""

    @property
    def all_down(self) -> bool:
        """Whether the GPU has no active link left."""
        return active_link_count(self.gpu) == 0 and not summarize(self.gpu.links).in_state(LinkState.UNKNOWN)


def links_may_be_training(rule_input: RuleInput) -> bool:
    """Return whether links that are not up yet may still be training."""
    new, boot = rule_input.history.last_new_link_s, rule_input.inventory.booted_s
    if new is not None and rule_input.tick.mono_s - new < LINK_TRAINING_S:
        return True
    return known(boot) and 0 <= rule_input.tick.wall_s - boot < BOOT_TRAINING_S


def gpus_with_link_states(rule_input: RuleInput) -> list[GpuFrame]:
    """Return the GPUs whose link states are meaningful: with MIG, links are off by design."""
    return [g for g in rule_input.linked_gpus if g.gpu.mig is not True and "states" in g.age_s]


def find_down_links(rule_input: RuleInput) -> list[DownLinks]:
    """Return the GPUs with links that are down and should be up."""
    gpus = gpus_with_link_states(rule_input)
    settled = not links_may_be_training(rule_input)
    most: dict[object, int] = {}
    for g in gpus:
        most[g.gpu.name] = max(most.get(g.gpu.name, 0), active_link_count(g))
    return [d for g in gpus if (d := _down_links_of(rule_input, g, gpus, most[g.gpu.name], settled))]


def _down_links_of(
    rule_input: RuleInput, g: GpuFrame, gpus: Sequence[GpuFrame], most: int, settled: bool
) -> DownLinks | None:
    """Return the links of a GPU that should be up; others of its model have up to `most` active links."""
    uuid = g.gpu.uuid
    down = summarize(g.links).in_state(LinkState.DOWN)
    before = rule_input.history.ever_active.get(uuid, NO_LINKS)
    went_down = down & before
    never_up = NO_LINKS
    expected, missing = len(before), len(went_down)
    # A link that could not be read may be up.
    may_be_up = active_link_count(g) + len(summarize(g.links).in_state(LinkState.UNKNOWN))
    if settled and not optional_bridge(g.gpu) and most > may_be_up:
        # Peers may have lost links, too, so the GPU with the most links shows what is normal.
        complete = [p for p in gpus if p.gpu.name == g.gpu.name and active_link_count(p) == most]
        never_up = (down & NO_LINKS.union(*[summarize(p.links).active for p in complete])) - went_down
        if most - may_be_up > missing:
            expected, missing = most, most - may_be_up
    # If some links are up, the links that peers use are the missing ones only if their number matches.
    known_links = (
        went_down | never_up
        if len(went_down | never_up) == missing or not active_link_count(g)
        else went_down
    )
    if not missing:
        return None
    readings_down = rule_input.history.readings_down.get(uuid, {})
    steady = frozenset(k for k in known_links if readings_down.get(k, 0) >= MIN_STATE_READINGS)
    reported = steady or known_links
    if steady and len(steady) < len(known_links):
        missing -= len(known_links) - len(steady)
    readings = min((readings_down.get(k, 0) for k in reported), default=0)
    return DownLinks(g, tuple(sorted(reported)), missing, expected, bool(went_down), readings)


def fault_origins(rule_input: RuleInput, found: Sequence[DownLinks]) -> Mapping[str, str]:
    """Return the GPU at which the fault is, for each GPU that only has the other ends of its links."""
    down_links = {d.gpu.gpu.uuid: d for d in found if not ends_in_switches(d.gpu.gpu)}
    origins: dict[str, str] = {}
    for group in _groups_between(rule_input, down_links):
        root = _central_gpu([down_links[uuid] for uuid in group])
        if root:
            origins |= {uuid: root for uuid in group if uuid != root}
    return origins


def common_switch(rule_input: RuleInput, found: Sequence[DownLinks]) -> str | None:
    """Return the PCI bus id of the NVSwitch to which all down links lead; None if there is none."""
    if len(found) < MIN_SWITCH_FAULT_GPUS:
        return None
    ends = {rule_input.history.link_ends.get((d.gpu.gpu.uuid, link)) for d in found for link in d.links}
    buses = {end.pci_bus_id if end and end.kind is RemoteKind.SWITCH else None for end in ends}
    bus = buses.pop() if len(buses) == 1 else None
    return bus if isinstance(bus, str) and all(d.readings >= MIN_STATE_READINGS for d in found) else None


def _groups_between(rule_input: RuleInput, down_links: Mapping[str, DownLinks]) -> Iterator[list[str]]:
    """Yield groups of GPUs between which links are down.

    All GPUs are one group if the driver does not report where links lead.
    """
    neighbours: dict[str, set[str]] = {uuid: set() for uuid in down_links}
    for uuid, d in down_links.items():
        for link in d.links:
            end = rule_input.history.link_ends.get((uuid, link))
            other = end.gpu if end else None
            if other is not None and other in down_links and other != uuid:
                neighbours[uuid].add(other)
                neighbours[other].add(uuid)
    if not any(neighbours.values()):
        yield list(down_links)
        return
    seen: set[str] = set()
    for first in down_links:
        group, todo = [], [first]
        while todo:
            uuid = todo.pop()
            if uuid not in seen:
                seen.add(uuid)
                group.append(uuid)
                todo += neighbours[uuid]
        if group:
            yield group


def _central_gpu(group: Sequence[DownLinks]) -> str | None:
    """Return the GPU to which all down links of a group lead; None if there is none."""
    if len(group) < 2:
        return None
    first, second, *_ = sorted(group, key=lambda d: -d.missing)
    if len(group) == 2 and first.missing == second.missing:
        # Both ends of a single link show the same; the end that counted more errors is suspected.
        return min(group, key=lambda d: (-_error_count(d.gpu), d.gpu.gpu.index)).gpu.gpu.uuid
    rest = sum(d.missing for d in group) - first.missing
    return first.gpu.gpu.uuid if first.missing == rest else None


def _error_count(g: GpuFrame) -> int:
    count = g.nvlink.errors_since_start
    return count if known(count) else 0
