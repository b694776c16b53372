"""Whether the links of a GPU share its traffic as they should.

Links that lead to the same GPU, and all links to NVSwitches, are used alike: one that carries much less
than the others of its kind while they carry traffic is odd. Judged on what the counters moved over a
minute, so that bursts do not matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple

from nvltop.model import GpuFrame, Link, RemoteKind, known

EVERY_S: Final = 15.0
KEPT: Final = 5
LONG_ENOUGH_S: Final = 45.0
LESS: Final = 0.6
"""Share of what its like carry below which a link is odd: one that trained at half width carries half."""
USED: Final = 0.01
"""Share of the speed that they must carry."""
FEW: Final = 0.25
"""Where more than this share of the links is odd, it is how the job uses them."""


class LinkImbalance(NamedTuple):
    """A link that carries less than its like."""

    gpu: str
    """UUID."""
    link: int
    direction: str
    """`tx` or `rx`."""
    bytes_per_s: float
    usual_bytes_per_s: float
    """Median of the others of its kind."""
    seconds: float


class _Totals(NamedTuple):
    read_s: float
    tx: dict[int, int]
    rx: dict[int, int]


@dataclass(slots=True)
class LinkBalance:
    """What the links moved over the last minute."""

    _kept: dict[str, deque[_Totals]] = field(default_factory=dict)
    _found: dict[str, tuple[LinkImbalance, ...]] = field(default_factory=dict)
    """As of the newest totals, by GPU."""

    def update(self, gpus: Sequence[GpuFrame]) -> tuple[LinkImbalance, ...]:
        """Take a moment; returns the links that are odd."""
        for g in gpus:
            kept = self._kept.setdefault(g.gpu.uuid, deque(maxlen=KEPT))
            if g.links and g.span_s and (not kept or g.span_s[1] - kept[-1].read_s >= EVERY_S):
                self._note(g, kept, g.span_s[1])
                self._found[g.gpu.uuid] = tuple(_odds(g, kept))
        return tuple(odd for g in gpus for odd in self._found.get(g.gpu.uuid, ()))

    def _note(self, g: GpuFrame, kept: deque[_Totals], read_s: float) -> None:
        active = [k for k in g.links if k.active]
        tx = {k.index: k.tx_bytes_total for k in active if known(k.tx_bytes_total)}
        rx = {k.index: k.rx_bytes_total for k in active if known(k.rx_bytes_total)}
        before, now = (kept[-1] if kept else None), _Totals(read_s, tx, rx)
        if before and not (
            read_s - before.read_s <= 2 * EVERY_S and _rising(before.tx, tx) and _rising(before.rx, rx)
        ):
            kept.clear()
        kept.append(now)


def _odds(g: GpuFrame, kept: Sequence[_Totals]) -> Iterator[LinkImbalance]:
    first, last = kept[0], kept[-1]
    seconds = last.read_s - first.read_s
    if seconds < LONG_ENOUGH_S:
        return
    for direction, before, after in (("tx", first.tx, last.tx), ("rx", first.rx, last.rx)):
        rates = {i: (after[i] - before[i]) / seconds for i in after}
        for links in _kinds(g.links):
            yield from _odd(g, links, rates, direction, seconds)


def _odd(
    g: GpuFrame, links: Sequence[Link], rates: dict[int, float], direction: str, seconds: float
) -> Iterator[LinkImbalance]:
    read = [k for k in links if k.index in rates]
    found = []
    for k in read:
        others = [rates[o.index] for o in read if o is not k]
        speed = k.speed_bytes_per_s
        if others and known(speed):
            usual = median(others)
            if usual >= USED * speed and rates[k.index] < LESS * usual:
                found.append(LinkImbalance(g.gpu.uuid, k.index, direction, rates[k.index], usual, seconds))
    if len(found) <= max(1, FEW * len(read)):
        yield from found


def _kinds(links: Sequence[Link]) -> list[list[Link]]:
    """Return the active links by where they lead; those whose end is not known are left out."""
    kinds: dict[str, list[Link]] = {}
    for k in links:
        if k.active and (k.remote.gpu or k.remote.kind is RemoteKind.SWITCH):
            kinds.setdefault(k.remote.gpu or "switch", []).append(k)
    return [same for same in kinds.values() if len(same) > 1]


def _rising(before: dict[int, int], after: dict[int, int]) -> bool:
    return before.keys() == after.keys() and all(after[i] >= before[i] for i in after)
