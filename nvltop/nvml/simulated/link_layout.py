"""Link layouts of simulated machines."""

from __future__ import annotations

from collections.abc import Sequence

from nvltop.nvml.simulated.node import LinkEnd

LinkLayout = tuple[tuple[LinkEnd, ...], ...]
"""Remote ends of the links of each GPU, by link index."""

UNCONNECTED = LinkEnd("none")


def switched(gpus: int, links: int, switches: int) -> LinkLayout:
    """Connect every link to a switch, with each GPU's links spread over all switches."""
    return tuple(
        tuple(LinkEnd("switch", k % switches, g * links // switches + k // switches) for k in range(links))
        for g in range(gpus)
    )


def direct(counts: Sequence[Sequence[int]]) -> LinkLayout:
    """Connect GPUs directly; `counts` is the matrix of the number of links between each pair."""
    ends: list[list[LinkEnd]] = [[] for _ in counts]
    for a, row in enumerate(counts):
        for b in range(a + 1, len(counts)):
            for _ in range(row[b]):
                here, there = len(ends[a]), len(ends[b])
                ends[a].append(LinkEnd("gpu", b, there))
                ends[b].append(LinkEnd("gpu", a, here))
    return tuple(map(tuple, ends))


def all_pairs(gpus: int, links: int) -> list[list[int]]:
    """Return the matrix in which every pair of GPUs has the same number of links."""
    return [[links if a != b else 0 for b in range(gpus)] for a in range(gpus)]


def bridged(gpus: int, links: int, *pairs: tuple[int, int]) -> LinkLayout:
    """Connect pairs of GPUs by all their links; the links of other GPUs are unconnected."""
    partner = dict(pairs) | {b: a for a, b in pairs}
    return tuple(
        tuple(LinkEnd("gpu", partner[g], k) if g in partner else UNCONNECTED for k in range(links))
        for g in range(gpus)
    )


def with_unconnected(links: LinkLayout, present: int, active: Sequence[int]) -> LinkLayout:
    """Move each GPU's links to the `active` indices among `present` links; the others are unconnected."""
    new_index = dict(enumerate(active))
    layout = []
    for ends in links:
        row = [UNCONNECTED] * present
        for k, end in enumerate(ends):
            link = new_index[end.link] if end.kind == "gpu" else end.link
            row[new_index[k]] = LinkEnd(end.kind, end.device, link)
        layout.append(tuple(row))
    return tuple(layout)
