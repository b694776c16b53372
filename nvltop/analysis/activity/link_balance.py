"""Whether the links of a GPU share its traffic evenly.

All links to the same GPU, and all links to NVSwitches, are used alike. A link that carries much less than
the others of its kind is odd. If a link is odd on most GPUs, it is not the link but the NVSwitch behind it:
its plane lags. The rates are means over a minute, so that bursts do not matter.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import field
from operator import ge
from typing import Final, NamedTuple

from nvltop.analysis.link_states import byte_totals_of, remotes_of, summarize
from nvltop.frozen import frozen, mutable
from nvltop.memo import Memo
from nvltop.model import GpuFrame, Missing, Remote, RemoteKind, known

SAMPLE_INTERVAL_S: Final = 15.0
"""Time between two samples of the link counters, seconds."""
MAX_SAMPLES: Final = 5
"""Number of samples kept per GPU."""
MIN_WINDOW_S: Final = 45.0
"""Length of the window below which links are not compared, seconds."""
ODD_SHARE: Final = 0.6
"""Share of the traffic of comparable links below which a link is odd; a link at half width carries 0.5."""
MIN_USE: Final = 0.01
"""Share of the speed below which the traffic of the other links is too small to compare."""
MAX_ODD_LINKS: Final = 0.3
"""Share of odd links above which the imbalance is caused by the job, not by a link.

The largest plane, an NVSwitch of a Hopper board, has 5 of the 18 links of a GPU."""
MIN_PLANE_GPUS: Final = 3
"""Number of GPUs below which odd links are not a plane: one slow link shows at both of its ends."""
MIN_PLANE_SHARE: Final = 0.75
"""Share of the links of an NVSwitch plane that carry traffic and are odd, above which the plane lags."""


class LinkImbalance(NamedTuple):
    """A link that carries less than comparable links."""

    gpu: str
    """UUID."""
    link: int
    direction: str
    """`tx` or `rx`."""
    bytes_per_s: float
    usual_bytes_per_s: float
    """Median of the other links of its kind."""
    seconds: float
    """Length of the window."""
    plane: str = ""
    """Name of the NVSwitch plane that lags, such as `NVSwitch 00000000:05:00.0`, or `link 9` where the remote
    ends are hidden; empty if only this link is odd."""


@frozen
class _Compared:
    """Result of comparing the links of one GPU."""

    odd: tuple[LinkImbalance, ...] = ()
    """Odd links; those to an NVSwitch with its plane, whether or not it lags."""
    carrying: tuple[tuple[Remote, int, str], ...] = ()
    """Remote end, index and direction of the links with traffic."""


class _Totals(NamedTuple):
    """The byte counters of the active links of one GPU, by link."""

    read_s: float
    tx: dict[int, int]
    rx: dict[int, int]


@mutable
class LinkBalance:
    """Compares the traffic of the links of each GPU over the last minute."""

    _samples: dict[str, deque[_Totals]] = field(default_factory=dict)
    _compared: dict[str, _Compared] = field(default_factory=dict)
    """Results as of the newest sample, by GPU."""
    _found: Memo[tuple[LinkImbalance, ...]] = field(default_factory=Memo)

    def update(self, gpus: Sequence[GpuFrame]) -> tuple[LinkImbalance, ...]:
        """Add the counters of a frame, and return the odd links."""
        for g in gpus:
            samples = self._samples.get(g.gpu.uuid)
            if samples is None:
                samples = self._samples[g.gpu.uuid] = deque(maxlen=MAX_SAMPLES)
            read_s = g.span_s[1] if g.span_s and g.links else None
            if read_s is not None and (not samples or read_s - samples[-1].read_s >= SAMPLE_INTERVAL_S):
                self._add(g, samples, read_s)
                self._compared[g.gpu.uuid] = _compare(g, samples)
        compared = tuple([c for g in gpus if (c := self._compared.get(g.gpu.uuid))])
        return self._found.get(compared, lambda: _with_planes(compared))

    @staticmethod
    def _add(g: GpuFrame, samples: deque[_Totals], read_s: float) -> None:
        """Add a sample of a GPU; after a gap or a reset it is the only one."""
        active = summarize(g.links).active
        tx, rx = (
            {i: total for i in active if not isinstance(total := totals[i], Missing)}
            for totals in byte_totals_of(g.links)
        )
        before, now = (samples[-1] if samples else None), _Totals(read_s, tx, rx)
        if before and not (
            read_s - before.read_s <= 2 * SAMPLE_INTERVAL_S
            and _increasing(before.tx, tx)
            and _increasing(before.rx, rx)
        ):
            samples.clear()
        samples.append(now)


def _with_planes(compared: Sequence[_Compared]) -> tuple[LinkImbalance, ...]:
    """Return the odd links of all GPUs, each with its plane if that lags."""
    odd = [o for c in compared for o in c.odd]
    if not odd:
        return ()
    members: dict[tuple[str, str], list[LinkImbalance]] = {}
    for o in odd:
        members.setdefault((o.plane, o.direction), []).append(o)
    shared = {key: links for key, links in members.items() if len({o.gpu for o in links}) >= MIN_PLANE_GPUS}
    # The links of the node are counted only if some plane may lag.
    carrying = (link for c in compared for link in c.carrying) if shared else ()
    with_traffic = Counter((_plane(remote, i), direction) for remote, i, direction in carrying)
    lagging = {key for key, links in shared.items() if len(links) >= MIN_PLANE_SHARE * with_traffic[key]}
    return tuple(o if (o.plane, o.direction) in lagging else o._replace(plane="") for o in odd)


def _compare(g: GpuFrame, samples: Sequence[_Totals]) -> _Compared:
    """Return the odd links of a GPU, and those with traffic."""
    first, last = samples[0], samples[-1]
    seconds = last.read_s - first.read_s
    if seconds < MIN_WINDOW_S:
        return _Compared()
    odd: list[LinkImbalance] = []
    carrying: list[tuple[Remote, int, str]] = []
    kinds = _links_by_kind(g)
    for direction, before, after in (("tx", first.tx, last.tx), ("rx", first.rx, last.rx)):
        rates = {i: (after[i] - before[i]) / seconds for i in after}
        for links in kinds:
            odd += _odd_of_kind(g, links, rates, direction, seconds, carrying)
    return _Compared(tuple(odd), tuple(carrying))


def _odd_of_kind(
    g: GpuFrame,
    links: Sequence[int],
    rates: dict[int, float],
    direction: str,
    seconds: float,
    carrying: list[tuple[Remote, int, str]],
) -> Iterator[LinkImbalance]:
    """Yield the odd links among links of one kind, and add those with traffic to `carrying`."""
    speeds, remotes = summarize(g.links).speeds, remotes_of(g.links)
    read = [i for i in links if i in rates]
    found = []
    for i, usual in zip(read, medians_of_others([rates[i] for i in read]), strict=False):
        speed, rate = speeds[i], rates[i]
        if isinstance(speed, Missing) or usual < MIN_USE * speed:
            continue
        carrying.append((remotes[i], i, direction))
        if rate < ODD_SHARE * usual:
            plane = _plane(remotes[i], i)
            found.append(LinkImbalance(g.gpu.uuid, i, direction, rate, usual, seconds, plane))
    if len(found) <= max(1, MAX_ODD_LINKS * len(read)):
        yield from found


def medians_of_others(values: Sequence[float]) -> list[float]:
    """Return for each value the median of all other values; empty if there is only one value."""
    ranked, half = sorted(values), (len(values) - 2) // 2
    if half < 0:
        return []
    # Without a value, every value from its place on moves down by one.
    low, high = half, half + len(values) % 2
    without_low = (ranked[low + 1] + ranked[high + 1]) / 2
    without_middle = (ranked[low] + ranked[high + 1]) / 2
    without_high = (ranked[low] + ranked[high]) / 2
    return [
        without_low if v <= ranked[low] else without_middle if v <= ranked[high] else without_high
        for v in values
    ]


def _plane(remote: Remote, link: int) -> str:
    """Return the name of the NVSwitch plane of a link, empty for a link to a GPU.

    In a rack, the driver hides the NVSwitches, but link k of each GPU leads to the same one.
    """
    if remote.kind is not RemoteKind.SWITCH:
        return ""
    bus_id = remote.pci_bus_id
    return f"NVSwitch {bus_id}" if known(bus_id) else f"link {link}"


def _links_by_kind(g: GpuFrame) -> list[list[int]]:
    """Return the active links grouped by remote GPU or NVSwitch; links with unknown ends are omitted."""
    kinds: dict[str, list[int]] = {}
    remotes = remotes_of(g.links)
    for i in sorted(summarize(g.links).active):
        if remotes[i].gpu or remotes[i].kind is RemoteKind.SWITCH:
            kinds.setdefault(remotes[i].gpu or "switch", []).append(i)
    return [same for same in kinds.values() if len(same) > 1]


def _increasing(before: dict[int, int], after: dict[int, int]) -> bool:
    """Return whether the same counters were read both times, and none decreased."""
    return before.keys() == after.keys() and all(map(ge, map(after.__getitem__, before), before.values()))
