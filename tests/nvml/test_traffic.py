"""The closed forms of simulated traffic equal the integrals of its rates."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.nvml.demo_nodes import SCENARIOS
from nvltop.nvml.simulated.traffic import Bursts, Constant, Cycle, Sine, Stopped, Sum, Switched
from nvltop.nvml.simulated.workload import UNITS, Phase, Workload

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


@settings(max_examples=60)
@given(bursts, st.floats(0, 200), st.floats(0.05, 3))
def test_integral_is_the_sum_of_the_rates(flow, start, length):
    n = 4000
    step = length / n
    summed = sum(flow.rate(start + (k + 0.5) * step) for k in range(n)) * step
    # At each edge of a burst the sum is off by up to one step.
    edges = (length / flow.period_s + 2) * 2 * step * flow.high
    assert flow.integral(start + length) - flow.integral(start) == pytest.approx(summed, rel=1e-4, abs=edges)


ends = st.lists(st.floats(0.05, 2.0), min_size=1, max_size=4)


@st.composite
def levels(draw):
    """Return a cycle of levels with noise, which may stop."""
    lengths = draw(ends)
    parts = tuple((sum(lengths[: k + 1]), draw(st.floats(0, 1))) for k in range(len(lengths)))
    cycle = Cycle(parts, draw(st.floats(0, 3)))
    noisy = Sum(
        Constant(0.2), cycle, Sine(0.01, draw(st.floats(0.3, 9)), draw(st.floats(0, 6))), factors=(1, 0.8, 1)
    )
    return Switched(noisy, draw(st.floats(0, 150)), Constant(draw(st.floats(0, 1))))


@settings(max_examples=60)
@given(levels(), st.floats(0, 200), st.floats(0.05, 3))
def test_the_integral_of_levels_is_the_sum_of_their_rates(flow, start, length):
    n = 4000
    step = length / n
    summed = sum(flow.rate(start + (k + 0.5) * step) for k in range(n)) * step
    edges = (length / flow.first._flows[1][0].parts[-1][0] + 2) * 5 * step
    assert flow.integral(start + length) - flow.integral(start) == pytest.approx(summed, rel=1e-4, abs=edges)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_activity_of_each_unit_is_between_0_and_1(scenario):
    work = Workload(scenario, odd_gpu=3)
    for gpu in (0, 3, 7):
        for unit in Phase._fields:
            activity = work.activity(gpu, unit)
            values = [activity.rate(k * 0.037) for k in range(1200)]
            assert min(values) >= 0
            assert max(values) <= 1
            if scenario == "idle" or (scenario == "hang" and gpu == 3):
                assert unit not in UNITS or activity.rate(40.0) == 0


@given(bursts, st.floats(0, 1e6), st.floats(0, 10))
def test_counters_never_decrease(flow, t, dt):
    assert flow.integral(t + dt) >= flow.integral(t) - 1


def test_the_integral_of_stopped_traffic_is_constant():
    flow = Stopped(Constant(10.0), 5.0)
    assert flow.integral(100.0) == 50.0
    assert flow.rate(5.0) == 0.0
