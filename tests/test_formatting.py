"""Formatted numbers fit their columns and are close to their values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.formatting import age, count, duration, gb_per_s, in_seconds, memory, percent, rate
from nvltop.model import Finding, Missing, Severity
from nvltop.report.findings import evidence


@given(st.floats(0, 9.9e13))
def test_rates_fit_their_column_and_are_close(value):
    text = gb_per_s(value, 6)
    assert len(text) == 6
    if "<" not in text:
        assert float(text) * 1e9 == pytest.approx(value, rel=5e-4, abs=5e5)


@given(st.integers(0, 2**63))
def test_counts_fit_four_columns(value):
    assert len(count(value, 4)) == 4


@given(st.floats(0, 1e9))
def test_ages_are_short(seconds):
    assert len(age(seconds)) <= 6


@pytest.mark.parametrize("show", [gb_per_s, rate, percent, count])
def test_an_unknown_value_is_a_question_mark_never_a_zero(show):
    assert show(Missing("not supported")).strip() == "?"


def test_examples():
    assert gb_per_s(178.2e9) == " 178.2"
    assert gb_per_s(350e9) == " 350.0"
    assert gb_per_s(12e6) == " 0.012"
    assert gb_per_s(1e5) == " <.001"
    assert gb_per_s(0).strip() == "0"
    assert rate(1.42e12) == "1.420 TB/s"
    assert percent(0.002).strip() == "<1"
    assert memory(71.2 * 2**30, 80 * 2**30) == "71.2/80G"
    assert count(1234, 4) == "1.2k"
    assert age(0.3) == "0.3s"
    assert age(42) == "42s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(9.94, "9.9s"), (9.96, "10s"), (91.0, "91s"), (119.4, "119s"), (120.0, "2m"), (5399.0, "90m"),
     (5400.0, "2h"), (129_599.0, "36h"), (129_600.0, "2d")],
)  # fmt: skip
def test_where_a_duration_changes_its_unit(seconds, text):
    assert age(seconds) == text


@given(st.floats(10.0, 1e9))
def test_a_duration_has_one_number_and_unit_in_all_texts(seconds):
    number, unit = duration(seconds).split()
    assert age(seconds) == number + unit[0]
    found = Finding("rule", Severity.NOTICE, None, None, "text", evidence={"silent_s": seconds})
    assert evidence(found) == f"silent {duration(seconds)}"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.25, "0.25 s"), (0.0123, "0.012 s"), (2.0, "2 s"), (2.0131, "2 s"), (2.13, "2.1 s"),
     (9.94, "9.9 s"), (9.96, "10 s"), (13.4, "13 s"), (134.2, "134 s")],
)  # fmt: skip
def test_a_step_has_two_significant_digits(number, text):
    assert in_seconds(number) == text
