"""Columns of field values equal the entries that `pynvml` returns."""

from __future__ import annotations

import ctypes
import struct
from types import SimpleNamespace

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.model import Missing
from nvltop.model.missing import FUNCTION_NOT_FOUND
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.driver import Driver, reason
from nvltop.nvml.fields import FieldRequest

MEMBERS = {1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}
"""Members of nvmlValue_t by nvmlValueType_t; doubles have tests of their own."""

entries = st.tuples(
    st.sampled_from([0, 0, 0, 3, 15, 4711]),
    st.sampled_from([*MEMBERS, 2, 3, 99]),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**63 - 1),
)


def read(asked, last=None, **functions):
    """Return what is read from a driver with only these functions."""
    before, pynvml.nvmlLib = pynvml.nvmlLib, SimpleNamespace(**functions)
    try:
        return asked.read(Driver(CallTracker()), None, 0, last)
    finally:
        pynvml.nvmlLib = before


@given(st.lists(entries, min_size=1, max_size=5))
def test_columns_equal_the_entries(answers):
    expected: list[int | Missing] = []

    def fill(handle, count, asked):
        assert [(e.fieldId, e.scopeId) for e in asked] == [(138, k) for k in range(count)]
        for entry, (code, kind, bits, stamp) in zip(asked, answers, strict=True):
            entry.nvmlReturn, entry.valueType, entry.timestamp = code, kind, stamp
            entry.value.ullVal = bits
            if code:
                expected.append(reason(code))
            elif kind in MEMBERS:
                number = getattr(entry.value, MEMBERS[kind])
                expected.append(number if number >= 0 else Missing(f"implausible value {number}"))
            else:
                expected.append(Missing(f"unknown value type {kind}"))
        return 0

    got = read(FieldRequest(*((138, k) for k in range(len(answers)))), nvmlDeviceGetFieldValues=fill)
    assert got.values == expected
    assert memoryview(got.stamps_us).cast("q").tolist() == [stamp for *_, stamp in answers]
    if got.packed is not None:
        assert [*memoryview(got.packed).cast("Q")] == expected


few = st.tuples(
    st.sampled_from([0, 3]), st.sampled_from([0, 3, 6]), st.sampled_from([0, 1 << 62]), st.integers(0, 1)
)


@given(st.lists(st.tuples(few, few), min_size=1, max_size=3), st.booleans())
def test_an_earlier_result_is_returned_only_for_the_same_values(pairs, repeat):
    """Also if an entry of zeros is a number once, and is not filled in the next time."""

    def result(request, answers, last=None):
        def fill(handle, count, asked):
            for entry, (code, kind, bits, stamp) in zip(asked, answers, strict=True):
                entry.nvmlReturn, entry.valueType, entry.timestamp = code, kind, stamp
                entry.value.ullVal = bits
            return 0

        return read(request, last, nvmlDeviceGetFieldValues=fill)

    def new_request():
        return FieldRequest(*((138, k) for k in range(len(pairs))))

    before, after = zip(*pairs, strict=True)
    request = new_request()
    last = result(request, before)
    again = result(request, before if repeat else after, last)
    assert again.values == result(new_request(), before if repeat else after).values
    assert again is last or not repeat or any(kind == 0 and not code for code, kind, *_ in before)


IMPLAUSIBLE = Missing("implausible value")


@pytest.mark.parametrize(
    ("returned", "value"),
    [(350.7, 350), (-1.0, IMPLAUSIBLE), (1e300, IMPLAUSIBLE), (float("nan"), IMPLAUSIBLE)],
)
def test_a_double_is_an_integer_or_missing(returned, value):
    def fill(handle, count, asked):
        asked[0].valueType, asked[0].value.dVal = 0, returned
        return 0

    assert read(FieldRequest((138, 0)), nvmlDeviceGetFieldValues=fill).values == [value]


def test_an_entry_that_is_not_filled_in_is_neither_its_last_value_nor_zero():
    asked = FieldRequest((138, 0))
    values = iter([7, None])

    def fill(handle, count, entries):
        value = next(values)
        if value is not None:
            entries[0].valueType, entries[0].value.ullVal = 3, value
        return 0

    assert [read(asked, nvmlDeviceGetFieldValues=fill).values for _ in range(2)] == [
        [7],
        [Missing("the driver returned no value")],
    ]


def test_a_zero_that_the_driver_filled_in_is_zero():
    def fill(handle, count, entries):
        entries[0].timestamp = 1_790_000_000_000_000
        entries[1].valueType = 3
        return 0

    assert read(FieldRequest((138, 0), (138, 1)), nvmlDeviceGetFieldValues=fill).values == [0, 0]


def test_a_driver_without_field_values_is_too_old():
    assert read(FieldRequest((138, 0))) == FUNCTION_NOT_FOUND


def test_a_call_that_fails_has_one_reason():
    assert read(FieldRequest((138, 0), (138, 1)), nvmlDeviceGetFieldValues=lambda *_: 15) == reason(15)


@pytest.mark.parametrize(
    ("member", "code"),
    [("timestamp", "q"), ("valueType", "I"), ("nvmlReturn", "I"), *(("value", c) for c in "dIQQqiH")],
)
def test_columns_are_aligned(member, code):
    """An entry is read as an array of numbers: its size and the offset are multiples of the number's size."""
    size = struct.calcsize(code)
    assert ctypes.sizeof(pynvml.c_nvmlFieldValue_t) % size == 0
    assert getattr(pynvml.c_nvmlFieldValue_t, member).offset % size == 0
    assert getattr(pynvml.c_nvmlFieldValue_t, member).size >= size
