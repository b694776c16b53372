"""The links of one GPU as columns, of which a `Link` is made when somebody looks at it.

A node has up to a thousand links and a screen shows some twenty: what a frame costs must grow with
what is seen of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

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
)

LINK_DOWN = Missing("link is down")
UNREAD_PART = Missing("part of the time could not be read")
NOT_PER_LINK = Missing("the driver tells only the GPU's total")

UNLIMITED = float("inf")
SWITCH = "switch"
"""Where links lead that do not lead straight to a GPU."""
NO_LINKS: frozenset[int] = frozenset()

Errors = Mapping[int, Mapping[str, ErrorCount]]


@dataclass(frozen=True, slots=True)
class Lit:
    """What the states of a GPU's links come to; worked out once a reading."""

    states: tuple[Maybe[LinkState], ...]
    """Of each link."""
    speeds: tuple[Maybe[float], ...]
    """Of each link, bytes/s one direction."""
    up: Maybe[int]
    speed_bytes_per_s: Maybe[float]
    """Of all links that are up."""
    carrying: tuple[int, ...]
    """Links that are not known to be down, which are those whose traffic is summed."""
    most_bytes_per_s: float
    """What these can carry, as far as that is known."""
    fastest_bytes_per_s: float
    """The speed of the fastest link; infinite if none is known."""
    by_state: Mapping[LinkState, frozenset[int]]
    """The links in each state that any is in; what could not be read is unknown."""
    active: frozenset[int]
    """Links that are trained."""
    active_speeds: frozenset[float]
    """The speeds that these tell, which are one and the same on most boards."""
    ends: frozenset[str]
    """Where these lead: GPUs by UUID, and `SWITCH`."""
    direct: tuple[int, ...]
    """Links that lead straight to a GPU, trained or not."""
    toward: tuple[tuple[str, tuple[int, ...], float], ...] = ()
    """Of active links that lead straight to GPUs of this node: the GPU's UUID, the links, and their speed in
    bytes/s, one direction; without those of unknown speed."""
    _limits: dict[tuple[Scope, int], Sequence[float]] = field(default_factory=dict, init=False, compare=False)

    @classmethod
    def of(cls, remotes: Sequence[Remote], told: LinkStates | None) -> Lit:
        """Work it out for links that lead there."""
        count = len(remotes)
        given = told.states if told else ()
        # One answer for all is the reason why none could be read.
        alike = given[0] if len(given) == 1 else NOT_READ
        states = tuple(given[i] if i < len(given) else alike for i in range(count))
        told_speeds = told.speed_bytes_per_s if told else ()
        speeds = tuple(told_speeds[i] if i < len(told_speeds) else NOT_READ for i in range(count))
        by_state: dict[LinkState, set[int]] = {}
        for i, state in enumerate(states):
            by_state.setdefault(LinkState.UNKNOWN if isinstance(state, Missing) else state, set()).add(i)
        active = frozenset(i for state, links in by_state.items() if state.active for i in links)
        lit = [speeds[i] for i in sorted(active)]
        dark = None if lit else first_missing(states)
        unread = first_missing(lit) or dark
        carrying = tuple(i for i, s in enumerate(states) if s is not LinkState.DOWN)
        return cls(
            states,
            speeds,
            dark or len(lit),
            unread or float(sum(s for s in lit if known(s))),
            carrying,
            sum(s for i in carrying if known(s := speeds[i])),
            max((s for s in told_speeds if known(s)), default=UNLIMITED),
            {state: frozenset(links) for state, links in by_state.items()},
            active,
            frozenset(s for s in lit if known(s)),
            frozenset(
                remotes[i].gpu or SWITCH
                for i in active
                if remotes[i].gpu or remotes[i].kind is RemoteKind.SWITCH
            ),
            tuple(i for i, remote in enumerate(remotes) if remote.gpu),
            _toward(remotes, speeds, active),
        )

    def where(self, state: LinkState) -> frozenset[int]:
        """Return the links in a state."""
        return self.by_state.get(state, NO_LINKS)

    def limits(self, data: LinkCounters) -> Sequence[float]:
        """Return what each counter can move per second, TX and RX; what is not known limits nothing."""
        key = data.scope, len(data.tx_bytes)
        if key not in self._limits:
            self._limits[key] = self._work_out_limits(*key)
        return self._limits[key]

    def _work_out_limits(self, scope: Scope, count: int) -> Sequence[float]:
        if scope is Scope.GPU:
            return [sum(s for s in self.speeds if known(s)) or UNLIMITED] * 2
        one_way = [s if known(s) else self.fastest_bytes_per_s for s in self.speeds[:count]]
        one_way += [self.fastest_bytes_per_s] * (count - len(one_way))
        return one_way * 2


def _toward(
    remotes: Sequence[Remote], speeds: Sequence[Maybe[float]], active: frozenset[int]
) -> tuple[tuple[str, tuple[int, ...], float], ...]:
    """Group active links by the GPU that they lead to; see `Lit.toward`."""
    links: dict[str, list[int]] = {}
    total: dict[str, float] = {}
    for i in sorted(active):
        uuid, speed = remotes[i].gpu, speeds[i]
        if uuid and known(speed):
            links.setdefault(uuid, []).append(i)
            total[uuid] = total.get(uuid, 0.0) + speed
    return tuple((uuid, tuple(own), total[uuid]) for uuid, own in links.items())


@dataclass(frozen=True, slots=True, eq=False)
class LinkRows(Sequence[Link]):
    """The links of one GPU at one moment."""

    remotes: tuple[Remote, ...]
    lit: Lit
    counters: LinkCounters | None
    rates: tuple[Maybe[float], ...]
    """Bytes/s of each counter: TX of all links, then RX."""
    errors: Errors
    means: Sequence[float] = ()
    """Mean of each counter over the window of the GPU's means, NaN where it is unknown."""
    _made: dict[int, Link] = field(default_factory=dict, init=False)

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
        link = self._made.get(i)
        if link is None:
            link = self._made[i] = self._link(i)
        return link

    def _link(self, i: int) -> Link:
        state = self.lit.states[i]
        tx, rx, tx_total, rx_total = self._traffic(i)
        mean_tx, mean_rx = self._mean(i, tx), self._mean(len(self.means) // 2 + i, rx)
        if state is LinkState.DOWN:
            # What the counters of a link that is down say differs by driver: an error, or no change.
            tx = rx = mean_tx = mean_rx = LINK_DOWN
            tx_total, rx_total = (t if known(t) else LINK_DOWN for t in (tx_total, rx_total))
        return Link(
            index=i,
            state=LinkState.UNKNOWN if isinstance(state, Missing) else state,
            state_reason=state.reason if isinstance(state, Missing) else "",
            speed_bytes_per_s=self.lit.speeds[i],
            remote=self.remotes[i],
            tx_bytes_per_s=tx,
            rx_bytes_per_s=rx,
            tx_bytes_total=tx_total,
            rx_bytes_total=rx_total,
            errors=self.errors.get(i, {}),
            mean_tx_bytes_per_s=mean_tx,
            mean_rx_bytes_per_s=mean_rx,
        )

    def _mean(self, column: int, newest: Maybe[float]) -> Maybe[float]:
        """Return the mean of a counter; where there is none, what the newest reading gives."""
        if len(self.means) != len(self.rates) or self.counters is None or self.counters.scope is Scope.GPU:
            return newest
        value = self.means[column]
        return value if value == value else newest if isinstance(newest, Missing) else UNREAD_PART

    def _traffic(self, i: int) -> tuple[Maybe[float], Maybe[float], Maybe[int], Maybe[int]]:
        counters = self.counters
        if counters is None:
            return NOT_READ, NOT_READ, NOT_READ, NOT_READ
        if counters.scope is Scope.GPU:
            return NOT_PER_LINK, NOT_PER_LINK, NOT_PER_LINK, NOT_PER_LINK
        n = len(counters.tx_bytes)
        if i >= n:
            return NOT_READ, NOT_READ, NOT_READ, NOT_READ
        tx, rx = (self.rates[i], self.rates[n + i]) if len(self.rates) == 2 * n else (NOT_READ, NOT_READ)
        return tx, rx, counters.tx_bytes[i], counters.rx_bytes[i]


def lit(links: Sequence[Link]) -> Lit:
    """Return what the states of links come to, without making links of those that are rows."""
    if isinstance(links, LinkRows):
        return links.lit
    states = tuple(Missing(k.state_reason) if k.state_reason else k.state for k in links)
    speeds = tuple(k.speed_bytes_per_s for k in links)
    return Lit.of([k.remote for k in links], LinkStates(states, speeds))


def errors(links: Sequence[Link]) -> Errors:
    """Return the error counters of links by index, likewise."""
    return links.errors if isinstance(links, LinkRows) else {k.index: k.errors for k in links}


def rates(links: Sequence[Link]) -> tuple[list[Maybe[float]], list[Maybe[float]]]:
    """Return TX and RX of each link in bytes/s, without making links of those that are rows."""
    if not isinstance(links, LinkRows):
        return [k.tx_bytes_per_s for k in links], [k.rx_bytes_per_s for k in links]
    if links.counters is None or links.counters.scope is Scope.GPU:
        return [NOT_READ] * len(links), [NOT_READ] * len(links)
    return by_link(links, links.rates)


def by_link(
    links: Sequence[Link], rates: Sequence[Maybe[float]]
) -> tuple[list[Maybe[float]], list[Maybe[float]]]:
    """Split rates by counter (TX of every link, then RX) into TX and RX by link, of those not down."""
    n, read = len(links), len(rates) // 2
    down = lit(links).where(LinkState.DOWN)
    ways = []
    for first in (0, read):
        way = [*rates[first : first + min(n, read)], *[NOT_READ] * (n - read)]
        for i in down:
            way[i] = LINK_DOWN
        ways.append(way)
    return ways[0], ways[1]
