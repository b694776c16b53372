"""Sums of the rates of one GPU's links: of all of them, and by the GPU at their other end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nvltop.analysis.activity.traffic_series import PeerTraffic
from nvltop.analysis.link_capacity import NO_LINK_UP
from nvltop.analysis.link_states import LinkStateSummary
from nvltop.analysis.rates import IMPLAUSIBLE_RATE, MAX_PLAUSIBLE_SHARE
from nvltop.model import NOT_READ, LinkCounters, LinkState, Maybe, Missing, Scope, known, split_tx_rx, total


def totals(
    counters: LinkCounters | None,
    states: LinkStateSummary,
    rates: Sequence[Maybe[float]],
    implausible: Mapping[int, float],
) -> tuple[Maybe[float], Maybe[float]]:
    """Return TX and RX in bytes/s of the links that are not known to be down; missing if one is unknown.

    A link that is known to be down but has counted traffic has just gone down or come up; it is included.
    `rates` are those of `counters`, and `implausible` the ones above what their link can carry, by position.
    """
    if counters is None:
        return NOT_READ, NOT_READ
    if counters.scope is Scope.GPU:
        return (rates[0], rates[1]) if len(rates) == 2 else (NOT_READ, NOT_READ)
    if not states.carrying:
        return NO_LINK_UP, NO_LINK_UP
    n = counters.links
    if len(rates) != 2 * n:
        return NOT_READ, NOT_READ
    if implausible:
        # One link may exceed its speed while the sum of all links does not.
        rates = [implausible.get(i, rate) for i, rate in enumerate(rates)]
    tx, rx = split_tx_rx(rates)
    limit = states.carrying_bytes_per_s
    if not len(states.carrying) == len(states.states) == n:
        down = states.in_state(LinkState.DOWN)
        moved = [i for i in down if i < n and known(tx[i]) and known(rx[i]) and (tx[i] or rx[i])]
        limit += sum(speed for i in moved if known(speed := states.speeds[i]))
        tx, rx = ([each[i] for i in (*states.carrying, *moved) if i < n] for each in (tx, rx))
    return _plausible_sum(tx, limit), _plausible_sum(rx, limit)


def _plausible_sum(rates: Sequence[Maybe[float]], limit: float) -> Maybe[float]:
    rate = total(rates)
    if isinstance(rate, Missing) or not limit or rate <= MAX_PLAUSIBLE_SHARE * limit:
        return rate
    return IMPLAUSIBLE_RATE


def peer_traffic(
    counters: LinkCounters | None, states: LinkStateSummary, rates: Sequence[Maybe[float]]
) -> tuple[PeerTraffic, ...]:
    """Return the traffic by peer GPU on boards without NVSwitches; only peers with all links known."""
    groups = states.links_by_gpu
    if counters is None or counters.scope is not Scope.LINK or not groups:
        return ()
    tx_rates, rx_rates = split_tx_rx(rates)
    found = []
    for uuid, links, speed in groups:
        if links[-1] < len(tx_rates):
            tx, rx = total([tx_rates[i] for i in links]), total([rx_rates[i] for i in links])
            if known(tx) and known(rx):
                found.append(PeerTraffic(uuid, tx, rx, speed))
    return tuple(found)
