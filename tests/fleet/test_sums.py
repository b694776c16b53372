"""Sums of members with unknown values, and matchers that cannot change a query."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.export import activity, gpus, links, node
from nvltop.export.metric_set import MetricSpec
from nvltop.fleet import select
from nvltop.fleet.domains import domains, natural
from nvltop.fleet.errors import LinkErrors
from nvltop.fleet.members import Members
from nvltop.fleet.model import PartialSum
from nvltop.fleet.nodes import Member, Values, answering, short_names, silent
from nvltop.fleet.phrases import rate_sum
from nvltop.fleet.queries import NODE_LABELS, VALUE_LABEL, promql
from nvltop.fleet.source import Answer, Query, Sample
from nvltop.model import Missing, known

RATES = st.floats(0, 1e13)
PARTS = st.one_of(
    st.builds(PartialSum, RATES, st.integers(0, 8)),
    st.builds(PartialSum, st.just(Missing("silent")), st.integers(0, 8)),
)


@given(st.lists(PARTS))
def test_a_sum_counts_each_unknown_member_and_adds_nothing_for_it(parts):
    total = PartialSum.of(parts)
    values = [part.value for part in parts if known(part.value)]
    assert total.unknown == sum(not known(p.value) or p.unknown > 0 for p in parts)
    if values:
        assert total.value == math.fsum(values)
    else:
        assert not known(total.value)
    if total.unknown:
        assert not known(total.complete)
        assert "unknown" in rate_sum(total) or rate_sum(total) == "?"


@given(
    gpus=st.integers(1, 8),
    rated=st.integers(0, 8),
    read=st.integers(0, 8),
    given_values=st.sets(st.sampled_from(("tx", "rx", "links_up", "links", "limit", "rated", "links_read"))),
)
def test_a_node_without_all_its_gpus_is_never_complete(gpus, rated, read, given_values):
    every = {"tx": 1e12, "rx": 2e12, "links_up": 72.0, "links": 72.0, "limit": 3e12}
    every |= {"rated": min(rated, gpus), "links_read": min(read, gpus)}
    numbers = {name: value for name, value in every.items() if name in given_values}
    numbers |= {"gpus": gpus, "scraped": 100.0, "age": 1.0, "begun": gpus}
    member = Member("a", {"instance": "a"}, 100.0, gpus)
    node = answering(member, "a", Values(numbers), LinkErrors().of_node("a", gpus), 101.0)
    complete = numbers.get("rated", 0) >= gpus
    assert known(node.tx.complete) == ("tx" in numbers and complete)
    assert known(node.rx.complete) == ("rx" in numbers and complete)
    young = answering(
        member,
        "a",
        Values({name: value for name, value in numbers.items() if name != "begun"}),
        LinkErrors().of_node("a", gpus),
        101.0,
    )
    assert not known(young.tx.value)
    assert not known(young.rx.value)
    if "links_up" not in numbers or numbers.get("links_read", 0) < gpus:
        assert not known(node.links_up.complete)
        assert not known(node.limit_share)
    assert not known(node.errors.complete)
    without_gpus = {name: value for name, value in numbers.items() if name != "gpus"}
    bare = answering(member, "a", Values(without_gpus), LinkErrors().of_node("a", None), 101.0)
    for part in (bare.tx, bare.rx, bare.links_up, bare.errors):
        assert not known(part.complete)
    gone = silent(Member("b", {"instance": "b"}, 50.0), "b", Missing("silent since 10:00"))
    (domain,) = domains([node, gone])
    assert domain.tx.unknown >= 1
    assert domain.gpus == PartialSum(float(gpus), 1)


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 4)), st.integers(1, 4))
def test_errors_of_gpus_that_were_not_compared_are_unknown(counted, gpus):
    samples = [Sample({"instance": n, VALUE_LABEL: "counted"}, c) for n, c in counted.items()]
    errors = LinkErrors.of(samples, Missing("no data"))
    for name in "abc":
        part = errors.of_node(name, gpus)
        assert known(part.complete) == (counted.get(name, 0) >= gpus)


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


@given(st.lists(st.tuples(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), TEXT), min_size=1, max_size=4))
def test_matchers_survive_writing_and_parsing(pairs):
    matchers = tuple(select.Matcher(name, "=", value) for name, value in pairs if name != "__name__")
    if matchers:
        assert select.parse(",".join(map(str, matchers))) == matchers


@pytest.mark.parametrize(
    "text",
    [
        "",
        "job",
        "job=x",
        'job="x"} or up',
        'job="x" or b="y"',
        '__name__="up"',
        'job="\\d"',
        'a="b" c="d"',
        '"',
        "{",
    ],
)
def test_what_is_not_a_matcher_is_refused(text):
    with pytest.raises(select.SelectError):
        select.parse(text)


def without_strings(text: str) -> str:
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)


@given(TEXT)
def test_a_value_stays_inside_its_quotes(value):
    texts = [promql(Query("nodes", 60.0), (select.Matcher("job", "=", v),)) for v in (value, "x")]
    assert len(set(map(without_strings, texts))) == 1


NAMES = """nodes events past xids seen scrapes fabric windows errors node_errors history gpus gpu_history
links link_history dcgm_nodes dcgm_gpus dcgm_history dcgm_gpu_history"""


@pytest.mark.parametrize("recorded", [False, True])
def test_every_query_restricts_every_metric(recorded):
    where = (select.Matcher("job", "=", "x"),)
    for name in NAMES.split():
        text = promql(Query(name, 60.0, 3600.0, recorded=recorded), where)
        metrics = re.findall(r'\b((?:nvltop_|nvltop:|DCGM_FI_)[\w:]+)(?=[^"\w:])(\{job="x"\})?', text)
        assert metrics
        assert all(matched for _, matched in metrics), (name, text)


def test_the_links_of_a_gpu_are_not_asked_of_a_metric_without_gpus():
    where = (select.Matcher("instance", "=", "a"), select.Matcher("gpu", "=", "1"))
    for name in ("links", "link_history"):
        text = promql(Query(name, 60.0, 3600.0, where))
        assert 'nvltop_gpus{instance="a"} offset' in text
        assert text.count("nvltop_gpus{") == text.count('nvltop_gpus{instance="a"}')


def exported() -> set[str]:
    """Return the names of the metrics of the exporter."""
    found = set()
    for module in (activity, gpus, links, node):
        values = [
            v for thing in vars(module).values() for v in (thing if isinstance(thing, tuple) else (thing,))
        ]
        specs = [getattr(value, "metric", value) for value in values]
        found |= {spec.full_name for spec in specs if isinstance(spec, MetricSpec)}
    return found


def test_every_metric_in_a_query_is_exported():
    text = " ".join(promql(Query(name, 60.0, 3600.0)) for name in NAMES.split())
    assert set(re.findall(r"\bnvltop_\w+", text)) - {VALUE_LABEL} <= exported()


def test_names_sort_by_their_numbers():
    assert sorted(["t10", "t2", "t1a", "t1"], key=natural) == ["t1", "t1a", "t2", "t10"]
    assert set(NODE_LABELS) >= {"Hostname", "hostname"}


def test_a_node_at_another_address_replaces_its_old_row_but_clones_do_not():
    def seen(instance: str, first_s: float, last_s: float) -> list[Sample]:
        labels = {"job": "n", "instance": instance, "Hostname": "host"}
        return [Sample(labels | {VALUE_LABEL: name}, v) for name, v in (("last", last_s), ("first", first_s))]

    members = Members()
    samples = seen("a:1", 100.0, 500.0) + seen("b:1", 510.0, 1000.0) + seen("c:1", 100.0, 1000.0)
    members.see_past(Answer(tuple(samples)), 1000.0)
    old, new, clone = members.listed(1000.0)
    assert members.replaced(old, [new, clone])
    assert not members.replaced(old, [clone])
    names = short_names([old, new, clone])
    assert sorted(names.values()) == ["host a:1", "host b:1", "host c:1"]
    assert list(short_names([new]).values()) == ["host"]
