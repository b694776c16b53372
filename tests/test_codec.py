"""Items survive the way to JSON and back; nothing else passes as an item."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.codec import CodecError, decode, encode
from nvltop.model import Event, Inventory, Reading, Tick

st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(int, st.integers(-(2**63), 2**64))
st.register_type_strategy(str, st.text(max_size=20))

items = st.one_of(*(st.from_type(kind) for kind in (Inventory, Reading, Event, Tick)))


@settings(max_examples=150, deadline=None)
@given(items)
def test_round_trip(item):
    assert decode(json.loads(json.dumps(encode(item), allow_nan=False))) == item


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(json_values)
def test_garbage_is_refused_with_one_error(value):
    with pytest.raises(CodecError):
        decode(value)


@settings(max_examples=200, deadline=None)
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
    try:
        decode(value)
    except CodecError as error:
        assert "\n" not in str(error)


def test_the_error_names_the_field():
    value = encode(Event(1.0, 2.0, None, "xid", 74))
    value[5] = "74"
    with pytest.raises(CodecError, match=r"Event\.code"):
        decode(value)
