"""Times as users write them, in a recording."""

from __future__ import annotations

import contextlib
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.record.positions import parse_position

START_S = datetime(2026, 11, 28, 13, 30, 20, 500_000).timestamp()
END_S = START_S + 7200.0


@pytest.mark.parametrize(
    ("text", "wall_s"),
    [
        ("+90s", START_S + 90),
        ("+90", START_S + 90),
        ("+1.5m", START_S + 90),
        ("+1:30", START_S + 90),
        ("+1:01:30", START_S + 3690),
        ("-5m", END_S - 300),
        ("-250ms", END_S - 0.25),
        ("14:02", datetime(2026, 11, 28, 14, 2).timestamp()),
        ("14:02:11", datetime(2026, 11, 28, 14, 2, 11).timestamp()),
        ("13:30:20", datetime(2026, 11, 28, 13, 30, 20).timestamp()),
        ("00:10", datetime(2026, 11, 29, 0, 10).timestamp()),
        ("2026-11-28T14:02:11", datetime(2026, 11, 28, 14, 2, 11).timestamp()),
        ("2026-11-28 14:02", datetime(2026, 11, 28, 14, 2).timestamp()),
        ("1970-01-01T01:00:00Z", 3600.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
    ],
)
def test_position(text, wall_s):
    assert parse_position(text).wall_s(START_S, END_S) == pytest.approx(wall_s)


@pytest.mark.parametrize(
    "text", ["", "5m", "24:00", "14:60", "14:02:60", "+-5", "yesterday", "+1e5", "-99999999999d"]
)
def test_invalid_time(text):
    with pytest.raises(ValueError, match="invalid time"):
        parse_position(text)


def test_position_from_an_unknown_end():
    with pytest.raises(ValueError, match="end of the recording"):
        parse_position("-5m").wall_s(START_S)


@given(st.integers(0, 86399))
def test_a_time_of_day_is_the_first_one_after_the_start(second):
    text = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    found = datetime.fromtimestamp(parse_position(text).wall_s(START_S))
    assert f"{found:%H:%M:%S}" == text
    assert -1 < found.timestamp() - START_S <= 90000


@given(st.text(max_size=20))
def test_any_text_is_a_time_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert parse_position(text).wall_s(START_S, END_S) is not None
