"""The closed forms of the simulated traffic are the integrals of its rates."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.nvml.simulated.traffic import Bursts, Steady, Until

bursts = st.builds(
    Bursts,
    low=st.floats(0, 1e9),
    high=st.floats(1e9, 5e10),
    period_s=st.floats(0.5, 5),
    duty=st.floats(0.1, 0.9),
    phase_s=st.floats(0, 3),
    noise=st.floats(0, 0.05),
    frequency=st.floats(1, 20),
)


@settings(max_examples=60, deadline=None)
@given(bursts, st.floats(0, 200), st.floats(0.05, 3))
def test_integral_is_the_sum_of_the_rates(flow, start, length):
    n = 4000
    step = length / n
    summed = sum(flow.rate(start + (k + 0.5) * step) for k in range(n)) * step
    # The edges of the bursts cost the sum up to a step each.
    edges = (length / flow.period_s + 2) * 2 * step * flow.high
    assert flow.moved(start + length) - flow.moved(start) == pytest.approx(summed, rel=1e-4, abs=edges)


@given(bursts, st.floats(0, 1e6), st.floats(0, 10))
def test_counters_never_run_back(flow, t, dt):
    assert flow.moved(t + dt) >= flow.moved(t) - 1


def test_stopped_traffic_stays_where_it_was():
    flow = Until(Steady(10.0), 5.0)
    assert flow.moved(100.0) == 50.0
    assert flow.rate(5.0) == 0.0
