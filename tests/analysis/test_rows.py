"""What is worked out of columns of links is what looking at each link gives."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.errors import SATURATED, ErrorSummary
from nvltop.analysis.link_states import (
    NVSWITCH,
    LazyLinks,
    LinkStateSummary,
    byte_totals_of,
    errors_by_link,
    mean_rates_of,
    remotes_of,
    summarize,
)
from nvltop.model import (
    Counter,
    ErrorCount,
    LinkCounters,
    LinkState,
    LinkStates,
    Missing,
    Remote,
    RemoteKind,
    Scope,
    known,
)

REMOTES = st.sampled_from(
    [
        Remote(),
        Remote(RemoteKind.SWITCH),
        Remote(RemoteKind.GPU, gpu="GPU-1"),
        Remote(RemoteKind.GPU, gpu="GPU-2"),
        Remote(RemoteKind.GPU),
    ]
)
STATES = st.sampled_from([*LinkState, Missing("timed out")])
SPEEDS = st.sampled_from([0.0, 25e9, 50e9, Missing("not supported")])
COUNTS = st.builds(
    ErrorCount,
    total=st.sampled_from([0, 3, 65535, Missing("not supported")]),
    since_start=st.just(0),
    per_min=st.just(0.0),
    last_change_s=st.none(),
    minutes=st.sampled_from([0, 0, 4]),
    reset_s=st.sampled_from([None, None, 2.0]),
)


@st.composite
def rows(draw) -> LazyLinks:
    links = draw(st.lists(st.tuples(REMOTES, STATES, SPEEDS), max_size=6))
    remotes, states, speeds = (tuple(link[i] for link in links) for i in range(3))
    states_read = draw(st.sampled_from([LinkStates(states, speeds), None])) if links else None
    counted = draw(
        st.dictionaries(st.integers(0, len(links)), st.dictionaries(st.sampled_from("ab"), COUNTS))
    )
    return LazyLinks(remotes, LinkStateSummary.of(remotes, states_read), None, (), counted)


@given(rows())
def test_the_summary_of_states_agrees_with_the_links(links):
    now = summarize(links)
    for state in LinkState:
        assert sorted(now.in_state(state)) == [k.index for k in links if k.state is state]
    assert sorted(now.active) == [k.index for k in links if k.active]
    assert now.active_speeds == {s for k in links if k.active and known(s := k.speed_bytes_per_s)}
    leads = {
        k.remote.gpu or NVSWITCH for k in links if k.active and (k.remote.gpu or k.remote.kind == NVSWITCH)
    }
    assert now.peers == leads
    assert list(now.gpu_links) == [k.index for k in links if k.remote.gpu]


@given(rows())
def test_lazy_links_and_links_give_equal_results(links):
    made = tuple(links)
    assert summarize(made) == summarize(links)
    assert errors_by_link(made) == {k.index: errors_by_link(links).get(k.index, {}) for k in links}
    assert list(remotes_of(made)) == list(remotes_of(links))
    for from_links, from_columns in zip(byte_totals_of(made), byte_totals_of(links), strict=True):
        assert [known(a) for a in from_links] == [known(b) for b in from_columns]
        assert [a for a in from_links if known(a)] == [b for b in from_columns if known(b)]


@given(rows(), st.sampled_from([Scope.LINK, Scope.GPU]), st.data())
def test_mean_rates_are_those_of_the_links(links, scope, data):
    count = len(links)
    means = data.draw(st.lists(st.just(5e9) | st.just(math.nan), min_size=2 * count, max_size=2 * count))
    counters = LinkCounters(Counter.DATA, scope, (0,) * count, (0,) * count)
    window: Any = data.draw(st.sampled_from([None, SimpleNamespace(by_counter=means)]))
    shown = replace(links, counters=counters, rates=(1e9,) * (2 * count), window=window)
    tx, rx = mean_rates_of(shown)
    assert list(tx) == [k.mean_tx_bytes_per_s for k in shown]
    assert list(rx) == [k.mean_rx_bytes_per_s for k in shown]


@given(rows())
def test_the_summary_of_counters_agrees_with_the_links(links):
    counted = ErrorSummary.of(errors_by_link(tuple(links)))
    counts = {k.index: list(k.errors.values()) for k in links}
    assert counted.kinds == {kind for k in links for kind in k.errors}
    assert counted.read == any(known(c.total) for of_link in counts.values() for c in of_link)
    assert list(counted.links) == [
        i
        for i, of_link in counts.items()
        if any(
            c.minutes or c.reset_s is not None or (known(c.total) and c.total in SATURATED) for c in of_link
        )
    ]
