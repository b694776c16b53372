"""Shares of the time in which clocks were throttled, from the driver's cumulative times."""

from __future__ import annotations

import pytest

from nvltop.analysis.throttling import WINDOW_S, ThrottleTimes
from nvltop.model import NOT_READ, NOT_SUPPORTED, Gauges, Missing, Throttling


def times(power_cap, brake=NOT_SUPPORTED):
    return Gauges(power_cap_s=power_cap, sw_thermal_s=0.0, hw_thermal_s=0.0, power_brake_s=brake)


def test_before_any_reading_nothing_is_known():
    assert ThrottleTimes().shares == Throttling()


def test_one_reading_gives_no_share_but_names_what_the_board_does_not_count():
    kept = ThrottleTimes()
    kept.add(100.0, times(5000.0))
    assert kept.shares == Throttling(NOT_READ, NOT_READ, NOT_READ, NOT_READ, NOT_SUPPORTED)


def test_the_share_is_over_the_last_seconds():
    kept, total = ThrottleTimes(), 5000.0
    for k in range(40):
        total += 0.25 if k < 20 else 0.75
        kept.add(100.0 + k, times(total))
    shares = kept.shares
    assert shares.over_s == WINDOW_S
    assert shares.power_cap == pytest.approx(0.75)
    assert shares.sw_thermal == 0.0


def test_what_could_not_be_read_for_a_while_has_a_share_from_the_second_reading_on():
    kept = ThrottleTimes()
    for k, total in enumerate([10.0, Missing("timed out"), 11.0, 11.5]):
        kept.add(100.0 + k, times(total))
        if k == 2:
            assert kept.shares.power_cap == NOT_READ
    assert (kept.shares.power_cap, kept.shares.over_s) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("now", "share"),
    [
        (11.03, 1.0),  # the two times are not read at quite the same instant
        (12.0, Missing("implausible value")),
        (3.0, Missing("the driver's count was reset")),
        (Missing("timed out"), Missing("timed out")),
    ],
)
def test_what_cannot_be_is_not_shown(now, share):
    kept = ThrottleTimes()
    kept.add(100.0, times(10.0))
    kept.add(101.0, times(now))
    assert kept.shares.power_cap == share


def test_counts_that_stand_still_show_no_throttling():
    kept = ThrottleTimes()
    for k in range(3):
        kept.add(100.0 + k, Gauges(power_cap_s=5.0, sw_thermal_s=0.0, hw_thermal_s=1.5, power_brake_s=0.0))
    assert kept.shares == Throttling(2.0, 0.0, 0.0, 0.0, 0.0)
    kept = ThrottleTimes()
    for k in range(3):
        kept.add(100.0 + k, times(5.0))
    assert kept.shares == Throttling(2.0, 0.0, 0.0, 0.0, NOT_SUPPORTED)
