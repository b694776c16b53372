"""Items survive the way to JSON and back; nothing else passes as an item."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop import model
from nvltop.frozen import fields_of
from nvltop.model import (
    Counter,
    Event,
    Gauges,
    Inventory,
    LinkCounters,
    LinkErrors,
    LinkState,
    LinkStates,
    Listening,
    Maybe,
    Missing,
    Reading,
    Scope,
    Tick,
)
from nvltop.text import clean
from nvltop.wire.codec import decode, encode
from nvltop.wire.names import CLASSES
from nvltop.wire.schema import CodecError, hints_of

T = TypeVar("T")
st.register_type_strategy(float, st.floats(0, 1e24))
st.register_type_strategy(int, st.integers(0, 2**74))
st.register_type_strategy(str, st.text(max_size=20).map(clean))


def short(kind: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """Keep tuples of any length short: items of items of ten each take longer to make than to check."""
    members = get_args(kind)
    if members[1:] == (Ellipsis,):
        return st.lists(st.from_type(members[0]), max_size=3).map(tuple)
    return st.tuples(*map(st.from_type, members))


st.register_type_strategy(tuple, short)


def from_fields(cls: Any) -> st.SearchStrategy[Any]:
    """Fill all fields: Hypothesis finds no parameters in an `__init__` that is not compiled yet."""
    hints = get_type_hints(cls)
    return st.builds(cls, **{f.name: st.from_type(hints[f.name]) for f in fields(cls)})


for its in vars(model).values():
    if isinstance(its, type) and is_dataclass(its):
        st.register_type_strategy(its, from_fields)


def maybe(kind: type[T]) -> st.SearchStrategy[Maybe[T]]:
    return st.from_type(kind) | st.from_type(Missing)


pair = st.tuples(maybe(int), maybe(int))
st.register_type_strategy(
    LinkCounters,
    st.builds(
        lambda counter, scoped, stamp: LinkCounters(
            counter,
            scoped[0],
            tuple(a for a, _ in scoped[1]),
            tuple(b for _, b in scoped[1]),
            stamp * 2 * len(scoped[1]),
        ),
        st.from_type(Counter),
        st.tuples(st.just(Scope.LINK), st.lists(pair, max_size=4))
        | st.tuples(st.just(Scope.GPU), st.tuples(pair)),
        st.sampled_from([(), (-5,), (1790000000000000,)]),
    ),
)
st.register_type_strategy(
    LinkStates,
    st.lists(st.tuples(maybe(LinkState), maybe(float)), max_size=4).map(
        lambda both: LinkStates(tuple(a for a, _ in both), tuple(b for _, b in both))
    ),
)

items = st.one_of(*(st.from_type(kind) for kind in (Inventory, Reading, Event, Listening, Tick)))


@settings(max_examples=150)
@given(items)
def test_round_trip(item):
    assert decode(json.loads(json.dumps(encode(item), allow_nan=False))) == item


def test_listening_is_an_event_of_schema_1():
    item = Listening(1.5, 1.79e9, 8)
    assert encode(item)[:6] == ["e", 1.5, 1.79e9, None, "listening", 8]
    assert decode(encode(item)) == item


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=200)
@given(json_values)
def test_garbage_is_refused_with_one_error(value):
    with pytest.raises(CodecError):
        decode(value)


@settings(max_examples=200)
@given(items, st.data())
def test_a_spoilt_item_is_an_item_or_a_codec_error(item, data):
    value = encode(item)
    at = value
    while isinstance(at, list) and at and data.draw(st.booleans()):
        i = data.draw(st.integers(0, len(at) - 1))
        if isinstance(at[i], list) and at[i]:
            at = at[i]
        else:
            at[i] = data.draw(json_values)
            break
    message = ""
    try:
        decode(value)
    except CodecError as error:
        message = str(error)
    assert "\n" not in message


def test_the_error_names_the_field():
    value = encode(Event(1.0, 2.0, None, "xid", 74))
    value[5] = "74"
    with pytest.raises(CodecError, match=r"Event\.code"):
        decode(value)


def reading(data):
    return Reading("GPU-1", 1.0, 1.5, 1.79e9, data)


@pytest.mark.parametrize(
    "spoilt",
    [
        Tick(-1.0, 0.0, 1.0),
        Tick(1.0, 0.0, 1e25),
        Event(1.0, 2.0, None, "xid", -74),
        Event(1.0, 2.0, None, "x" * 5000, 74),
        reading(LinkCounters(Counter.DATA, Scope.LINK, (-1,), (0,))),
        reading(LinkCounters(Counter.DATA, Scope.LINK, (0,) * 1025, ())),
        reading(LinkCounters(Counter.DATA, Scope.LINK, (0, 0), (0,))),
        reading(LinkCounters(Counter.DATA, Scope.LINK, (0, 0), (0, 0), (1, 2, 3))),
        reading(LinkCounters(Counter.DATA, Scope.GPU, (), ())),
        reading(LinkCounters(Counter.DATA, Scope.GPU, (0, 0), (0, 0))),
        reading(LinkStates((LinkState.UP,), ())),
        reading(LinkErrors({f"kind {i}": (0,) for i in range(65)})),
        reading(Gauges(power_w=-0.5)),
    ],
)
def test_numbers_below_nothing_and_endless_lists_are_refused(spoilt):
    with pytest.raises(CodecError):
        decode(encode(spoilt))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "true", '"5"', "[]", "null"])
def test_only_numbers_are_numbers(text):
    value = json.loads(f'["t",{text},1.0,1.0,"running",[],""]')
    with pytest.raises(CodecError, match=r"^Tick\.mono_s: not a number in range$"):
        decode(value)


numbers = st.integers(-2, 2) | st.integers(2**79, 2**81) | st.booleans() | st.floats() | st.just({"?": "why"})


def taken(values):
    """The counts that a list stands for; None if it is refused."""
    value = encode(reading(LinkErrors({"crc": ()})))
    value[5][1]["crc"] = values
    try:
        return decode(value).data.counts["crc"]
    except CodecError:
        return None


@given(st.lists(numbers, max_size=5))
def test_a_list_is_taken_or_refused_as_its_members_are(values):
    members = [taken([v]) for v in values]
    assert taken(values) == (None if None in members else tuple(v for (v,) in members))


def test_what_is_not_finite_is_never_written():
    with pytest.raises(ValueError, match="not finite"):
        encode(reading(Gauges(power_w=float("nan"))))


def test_it_may_be_colder_than_freezing():
    cold = reading(Gauges(temperature_c=-3.0))
    assert decode(encode(cold)) == cold


def test_texts_are_cleaned():
    dirty = reading(Gauges(power_w=Missing("\x1b[2J\u202e")))
    assert decode(encode(dirty)) == reading(Gauges(power_w=Missing(r"\x1b[2J\u202e")))


def test_deep_nesting_is_refused():
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(CodecError):
        decode(["i", *value])


def test_annotations_stand_for_the_types_that_typing_finds():
    for cls in CLASSES:
        expected = get_type_hints(cls)
        assert hints_of(cls) == {name: expected[name] for name in fields_of(cls)}
