"""Share of the time in communication compared with the true one, or a reason why it is unknown."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nvltop.analysis.activity.communication import (
    BURSTS_TOO_SHORT,
    NEVER_PAUSES,
    Communication,
    measure_communication,
)
from nvltop.analysis.activity.traffic_series import TOO_MANY_GAPS
from nvltop.model import known

from .patterns import accumulated, cells, plain

MOST = 130.0


def found(flow, seconds=240.0, start=0.1):
    return measure_communication(cells(flow, start, 0.25, round(seconds * 4), 0.01), MOST)


@settings(max_examples=25, derandomize=True)
@given(
    period=st.floats(2.0, 20.0), duty=st.floats(0.3, 0.8), jitter=st.floats(0, 0.03), start=st.floats(0, 1)
)
def test_the_share_is_that_of_the_bursts(period, duty, jitter, start):
    assume(period * (1 - duty) > 0.6)  # else no cell need be silent
    answer = found(plain(period, duty, jitter), start=start)
    assert known(answer)
    # The window holds no whole number of steps.
    assert answer.share == pytest.approx(duty, abs=0.01 + 0.25 * period / 240.0)
    assert answer.rate == pytest.approx(100.0, rel=0.05)


def test_small_bursts_last_as_long_as_big_ones():
    answer = found(accumulated(8.0, 4, 0.4))
    assert known(answer)
    assert answer.share == pytest.approx(0.35, abs=0.01)


def test_bursts_shorter_than_the_readings_have_no_share():
    assert found(plain(2.0, 0.1)) == BURSTS_TOO_SHORT


@pytest.mark.parametrize("period", [0.5, 0.55, 0.575, 0.6])
@pytest.mark.parametrize("duty", [0.37, 0.5, 0.6])
def test_bursts_whose_pauses_no_reading_contains_have_no_share_or_the_true_one(period, duty):
    """Readings of 0.25 s: the bursts run together, and their shares were up to 28 points too high."""
    answer = found(plain(period, duty, 0.01), seconds=60.0)
    assert not known(answer) or answer.share == pytest.approx(duty, abs=0.06)


def test_bursts_that_are_short_but_rare_are_a_small_share():
    answer = found(plain(20.0, 0.01))
    assert known(answer)
    assert answer.share == pytest.approx(0.01, abs=0.005)


def test_traffic_without_a_pause_is_one_exchange_only_at_the_limit():
    assert measure_communication([120.0] * 100, MOST) == Communication(1.0, 120.0)
    assert measure_communication([40.0] * 100, MOST) == NEVER_PAUSES


def test_communication_needs_traffic():
    assert measure_communication([0.0] * 100, MOST) == Communication(0.0, 0.0)
    assert measure_communication([math.nan] * 50 + [1.0] * 50, MOST) == TOO_MANY_GAPS
