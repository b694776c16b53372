"""The order of severities, and the tables that must cover them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from nvltop.model import Severity
from nvltop.tui.render.header import SEVERITY_ROLES
from nvltop.tui.render.view_state import FINDING_MARKS

severities = st.sampled_from(Severity)


@given(severities, severities)
def test_order_is_total_and_not_that_of_the_words(one, other):
    assert (one < other) + (one == other) + (one > other) == 1
    assert (one <= other) == (not one > other)
    assert (one >= other) == (not one < other)
    assert (one < other) == (one.rank < other.rank)


def test_worst_first():
    words = [str(s) for s in Severity.worst_first()]
    assert words == ["critical", "warning", "notice", "unknown", "info"]
    assert max(Severity) is Severity.CRITICAL
    assert [s.value for s in Severity if s.is_problem] == ["notice", "warning", "critical"]


@given(severities)
def test_a_severity_is_written_as_its_word(severity):
    assert json.loads(json.dumps({severity: severity})) == {severity.value: severity.value}
    assert f"{severity}" == str(severity) == severity.value == severity
    assert Severity(severity.value) is severity


def test_every_severity_is_drawn():
    assert set(SEVERITY_ROLES) == set(Severity)
    assert set(FINDING_MARKS) == set(Severity) - {Severity.INFO}
