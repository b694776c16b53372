"""How the links of a simulated machine are laid."""

from __future__ import annotations

from collections.abc import Sequence

from nvltop.nvml.simulated.node import LinkEnd

LinkLayout = tuple[tuple[LinkEnd, ...], ...]

UNCONNECTED = LinkEnd("none")


def switched(gpus: int, links: int, switches: int) -> LinkLayout:
    """Join every link to a switch, the links of a GPU spread over all switches."""
    return tuple(
        tuple(LinkEnd("switch", k % switches, g * links // switches + k // switches) for k in range(links))
        for g in range(gpus)
    )


def direct(counts: Sequence[Sequence[int]]) -> LinkLayout:
    """Join GPUs straight to each other, with so many links a pair."""
    ends: list[list[LinkEnd]] = [[] for _ in counts]
    for a, row in enumerate(counts):
        for b in range(a + 1, len(counts)):
            for _ in range(row[b]):
                here, there = len(ends[a]), len(ends[b])
                ends[a].append(LinkEnd("gpu", b, there))
                ends[b].append(LinkEnd("gpu", a, here))
    return tuple(map(tuple, ends))


def all_pairs(gpus: int, links: int) -> list[list[int]]:
    """Return the link counts of GPUs of which each pair is joined alike."""
    return [[links if a != b else 0 for b in range(gpus)] for a in range(gpus)]


def bridged(gpus: int, links: int, *pairs: tuple[int, int]) -> LinkLayout:
    """Join some pairs by all their links, and leave the links of the others unconnected."""
    partner = dict(pairs) | {b: a for a, b in pairs}
    return tuple(
        tuple(LinkEnd("gpu", partner[g], k) if g in partner else UNCONNECTED for k in range(links))
        for g in range(gpus)
    )


def with_unconnected(links: LinkLayout, present: int, active: Sequence[int]) -> LinkLayout:
    """Spread each GPU's ends over the active ones of the links present; the others are unconnected."""
    at = dict(enumerate(active))
    out = []
    for ends in links:
        row = [UNCONNECTED] * present
        for k, end in enumerate(ends):
            row[at[k]] = LinkEnd(end.kind, end.device, at[end.link] if end.kind == "gpu" else end.link)
        out.append(tuple(row))
    return tuple(out)
