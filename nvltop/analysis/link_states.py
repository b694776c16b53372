"""The links of one GPU in columns, from which a `Link` is created when it is used.

A node has up to a thousand links and a screen shows about twenty of them, so the cost of a frame must
depend on the number of links shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import overload

from nvltop.analysis.nan import has_nan
from nvltop.analysis.window_means import Window
from nvltop.frozen import frozen
from nvltop.model import (
    NOT_READ,
    ErrorCount,
    Link,
    LinkCounters,
    LinkState,
    LinkStates,
    Maybe,
    Missing,
    Remote,
    RemoteKind,
    Scope,
    first_missing,
    known,
    split_tx_rx,
    total,
)
from nvltop.model.missing import all_known

LINK_DOWN = Missing("link is down")
UNREAD_PART = Missing("part of the time could not be read")
NOT_PER_LINK = Missing("the driver reports only the GPU's total")

UNLIMITED = float("inf")
"""Limit in bytes/s of a counter whose link speed is unknown."""
NVSWITCH = "switch"
"""Peer of a link that leads to an NVSwitch; other peers are the UUIDs of GPUs."""
NO_LINKS: frozenset[int] = frozenset()

ErrorsByLink = Mapping[int, Mapping[str, ErrorCount]]


@frozen
class LinkStateSummary:
    """Summary of the link states of one GPU, computed once per reading."""

    states: tuple[Maybe[LinkState], ...]
    """State of each link."""
    speeds: tuple[Maybe[float], ...]
    """Speed of each link in bytes/s, one direction."""
    active_count: Maybe[int]
    """Number of active links."""
    speed_bytes_per_s: Maybe[float]
    """Sum of the speeds of the active links, one direction."""
    carrying: tuple[int, ...]
    """Indices of the links that are not known to be down: their traffic is summed."""
    carrying_bytes_per_s: float
    """Sum of the known speeds of these links, one direction."""
    fastest_bytes_per_s: float
    """Speed of the fastest link; infinite if none is known."""
    by_state: Mapping[LinkState, frozenset[int]]
    """Indices of the links in each state; a state that could not be read is `LinkState.UNKNOWN`."""
    active: frozenset[int]
    """Indices of the active (trained) links."""
    active_speeds: frozenset[float]
    """Known speeds of the active links; a single one on most boards."""
    peers: frozenset[str]
    """Peers of the active links: UUIDs of GPUs, and `NVSWITCH`."""
    gpu_links: tuple[int, ...]
    """Indices of the links that lead directly to a GPU, active or not."""
    links_by_gpu: tuple[tuple[str, tuple[int, ...], float], ...] = ()
    """For each GPU of this node that active links lead to directly: its UUID, the indices of these links, and
    the sum of their speeds in bytes/s, one direction. Links of unknown speed are left out."""
    _limits: dict[tuple[bool, int], Sequence[float]] = field(default_factory=dict, init=False, compare=False)

    @classmethod
    def of(cls, remotes: Sequence[Remote], reading: LinkStates | None) -> LinkStateSummary:
        """Return the summary of a reading, given the remote end of each link."""
        count = len(remotes)
        read = reading.states if reading else ()
        # A single state for all links is the reason why none could be read.
        default = read[0] if len(read) == 1 else NOT_READ
        states = tuple(read[i] if i < len(read) else default for i in range(count))
        read_speeds = reading.speed_bytes_per_s if reading else ()
        speeds = tuple(read_speeds[i] if i < len(read_speeds) else NOT_READ for i in range(count))
        by_state: dict[LinkState, set[int]] = {}
        for i, state in enumerate(states):
            by_state.setdefault(LinkState.UNKNOWN if isinstance(state, Missing) else state, set()).add(i)
        active = frozenset(i for state, links in by_state.items() if state.active for i in links)
        active_speeds = [speeds[i] for i in sorted(active)]
        unknown = None if active else first_missing(states)
        carrying = tuple(i for i, s in enumerate(states) if s is not LinkState.DOWN)
        return cls(
            states=states,
            speeds=speeds,
            active_count=unknown or len(active),
            speed_bytes_per_s=unknown or (total(active_speeds) if active else 0.0),
            carrying=carrying,
            carrying_bytes_per_s=sum(s for i in carrying if known(s := speeds[i])),
            fastest_bytes_per_s=max((s for s in read_speeds if known(s)), default=UNLIMITED),
            by_state={state: frozenset(links) for state, links in by_state.items()},
            active=active,
            active_speeds=frozenset(s for s in active_speeds if known(s)),
            peers=frozenset(
                remotes[i].gpu or NVSWITCH
                for i in active
                if remotes[i].gpu or remotes[i].kind is RemoteKind.SWITCH
            ),
            gpu_links=tuple(i for i, remote in enumerate(remotes) if remote.gpu),
            links_by_gpu=_links_by_gpu(remotes, speeds, active),
        )

    def in_state(self, state: LinkState) -> frozenset[int]:
        """Return the indices of the links in a state."""
        return self.by_state.get(state, NO_LINKS)

    def limits(self, scope: Scope, links: int) -> Sequence[float]:
        """Return the limit of each counter in bytes/s, TX of every link, then RX; infinite if unknown."""
        key = scope is Scope.GPU, links
        limits = self._limits.get(key)
        if limits is None:
            limits = self._limits[key] = self._compute_limits(*key)
        return limits

    def _compute_limits(self, whole_gpu: bool, count: int) -> Sequence[float]:
        if whole_gpu:
            return [sum(s for s in self.speeds if known(s)) or UNLIMITED] * 2
        one_way = [s if known(s) else self.fastest_bytes_per_s for s in self.speeds[:count]]
        one_way += [self.fastest_bytes_per_s] * (count - len(one_way))
        return one_way * 2


def _links_by_gpu(
    remotes: Sequence[Remote], speeds: Sequence[Maybe[float]], active: frozenset[int]
) -> tuple[tuple[str, tuple[int, ...], float], ...]:
    """Group active links by the GPU that they lead to; see `LinkStateSummary.links_by_gpu`."""
    links: dict[str, list[int]] = {}
    speed_sum: dict[str, float] = {}
    for i in sorted(active):
        uuid, speed = remotes[i].gpu, speeds[i]
        if uuid and known(speed):
            links.setdefault(uuid, []).append(i)
            speed_sum[uuid] = speed_sum.get(uuid, 0.0) + speed
    return tuple((uuid, tuple(own), speed_sum[uuid]) for uuid, own in links.items())


@frozen
class LazyLinks(Sequence[Link]):
    """The links of one GPU at one moment; each `Link` is created at its first use."""

    remotes: tuple[Remote, ...]
    summary: LinkStateSummary
    counters: LinkCounters | None
    rates: tuple[Maybe[float], ...]
    """Rate of each counter in bytes/s: TX of every link, then RX."""
    errors: ErrorsByLink
    window: Window | None = None
    """The GPU's averaging window."""
    _created: dict[int, Link] = field(default_factory=dict, init=False)

    @property
    def means(self) -> Sequence[float]:
        """Mean rate of each counter over the averaging window, NaN where it is unknown."""
        return self.window.by_counter if self.window else ()

    def __len__(self) -> int:
        return len(self.remotes)

    @overload
    def __getitem__(self, index: int) -> Link: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Link, ...]: ...

    def __getitem__(self, index: int | slice) -> Link | tuple[Link, ...]:
        if isinstance(index, slice):
            return tuple(self._at(i) for i in range(*index.indices(len(self))))
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(index)
        return self._at(i)

    def __iter__(self) -> Iterator[Link]:
        return map(self._at, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def _at(self, i: int) -> Link:
        link = self._created.get(i)
        if link is None:
            link = self._created[i] = self._link(i)
        return link

    def _link(self, i: int) -> Link:
        state = self.summary.states[i]
        tx, rx, tx_total, rx_total = self._traffic(i)
        means = self.means
        mean_tx, mean_rx = self._mean(means, i, tx), self._mean(means, len(means) // 2 + i, rx)
        if state is LinkState.DOWN:
            # By driver, the counters of a link that is down return an error or do not change.
            tx = rx = mean_tx = mean_rx = LINK_DOWN
            tx_total, rx_total = (t if known(t) else LINK_DOWN for t in (tx_total, rx_total))
        return Link(
            index=i,
            state=LinkState.UNKNOWN if isinstance(state, Missing) else state,
            state_reason=state.reason if isinstance(state, Missing) else "",
            speed_bytes_per_s=self.summary.speeds[i],
            remote=self.remotes[i],
            tx_bytes_per_s=tx,
            rx_bytes_per_s=rx,
            tx_bytes_total=tx_total,
            rx_bytes_total=rx_total,
            errors=self.errors.get(i, {}),
            mean_tx_bytes_per_s=mean_tx,
            mean_rx_bytes_per_s=mean_rx,
        )

    def _mean(self, means: Sequence[float], column: int, newest: Maybe[float]) -> Maybe[float]:
        """Return the mean of a counter; without a mean, the newest rate or the reason for its absence."""
        if len(means) != len(self.rates) or self.counters is None or self.counters.scope is Scope.GPU:
            return newest
        value = means[column]
        return value if value == value else newest if isinstance(newest, Missing) else UNREAD_PART

    def _traffic(self, i: int) -> tuple[Maybe[float], Maybe[float], Maybe[int], Maybe[int]]:
        counters = self.counters
        if counters is None:
            return NOT_READ, NOT_READ, NOT_READ, NOT_READ
        if counters.scope is Scope.GPU:
            return NOT_PER_LINK, NOT_PER_LINK, NOT_PER_LINK, NOT_PER_LINK
        n = counters.links
        if i >= n:
            return NOT_READ, NOT_READ, NOT_READ, NOT_READ
        tx, rx = (self.rates[i], self.rates[n + i]) if len(self.rates) == 2 * n else (NOT_READ, NOT_READ)
        return tx, rx, counters.tx_bytes[i], counters.rx_bytes[i]


def summarize(links: Sequence[Link]) -> LinkStateSummary:
    """Return the summary of the states of links, without creating `Link`s that are not there yet."""
    if isinstance(links, LazyLinks):
        return links.summary
    states = tuple(Missing(k.state_reason) if k.state_reason else k.state for k in links)
    speeds = tuple(k.speed_bytes_per_s for k in links)
    return LinkStateSummary.of([k.remote for k in links], LinkStates(states, speeds))


def errors_by_link(links: Sequence[Link]) -> ErrorsByLink:
    """Return the error counters by link index and kind, without creating `Link`s."""
    return links.errors if isinstance(links, LazyLinks) else {k.index: k.errors for k in links}


def remotes_of(links: Sequence[Link]) -> Sequence[Remote]:
    """Return the remote end of each link, without creating `Link`s."""
    return links.remotes if isinstance(links, LazyLinks) else [k.remote for k in links]


def byte_totals_of(links: Sequence[Link]) -> tuple[Sequence[Maybe[int]], Sequence[Maybe[int]]]:
    """Return the TX and RX counters of each link as they were read, in bytes, without creating `Link`s."""
    if not isinstance(links, LazyLinks):
        return [k.tx_bytes_total for k in links], [k.rx_bytes_total for k in links]
    counters, count = links.counters, len(links)
    if counters is None or counters.scope is Scope.GPU:
        return [NOT_READ] * count, [NOT_READ] * count
    unread = [NOT_READ] * (count - counters.links)
    return [*counters.tx_bytes[:count], *unread], [*counters.rx_bytes[:count], *unread]


def rates_of(links: Sequence[Link]) -> tuple[Sequence[Maybe[float]], Sequence[Maybe[float]]]:
    """Return the TX and RX rates of each link in bytes/s, without creating `Link`s."""
    if not isinstance(links, LazyLinks):
        return [k.tx_bytes_per_s for k in links], [k.rx_bytes_per_s for k in links]
    if links.counters is None or links.counters.scope is Scope.GPU:
        return [NOT_READ] * len(links), [NOT_READ] * len(links)
    return rates_by_link(links, links.rates)


def lacks_rates(links: Sequence[Link]) -> bool:
    """Return whether the rate of a link may be unknown for another reason than that the link is down."""
    return not (isinstance(links, LazyLinks) and all_known(links.rates))


def mean_rates_of(links: Sequence[Link]) -> tuple[Sequence[Maybe[float]], Sequence[Maybe[float]]]:
    """Return the mean TX and RX of each link in bytes/s, without creating `Link`s if all are known."""
    count = len(links)
    if isinstance(links, LazyLinks) and links.counters and links.counters.scope is not Scope.GPU:
        means = links.means
        complete = len(means) == len(links.rates) == 2 * count and not has_nan(means)
        if complete and LinkState.DOWN not in links.summary.by_state:
            return means[:count], means[count:]
    return [k.mean_tx_bytes_per_s for k in links], [k.mean_rx_bytes_per_s for k in links]


def rates_by_link(
    links: Sequence[Link], rates: Sequence[Maybe[float]]
) -> tuple[Sequence[Maybe[float]], Sequence[Maybe[float]]]:
    """Split rates by counter into TX and RX by link; links that are down have no rate."""
    down = summarize(links).in_state(LinkState.DOWN)
    count = len(links)
    tx_read, rx_read = split_tx_rx(rates)
    if not down and len(tx_read) == count:
        return tx_read, rx_read
    unread = [NOT_READ] * (count - len(tx_read))
    tx, rx = [*tx_read[:count], *unread], [*rx_read[:count], *unread]
    for i in down:
        tx[i] = rx[i] = LINK_DOWN
    return tx, rx
