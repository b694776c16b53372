"""A job that does the same for minutes is judged the same, however its steps and the readings are aligned."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nvltop.analysis.activity.bottleneck import BottleneckEvaluator
from nvltop.analysis.activity.clearest_usage import MAX_KEPT_S, ClearestUsage
from nvltop.analysis.activity.decision import (
    STATE_SLACK,
    combine_usage,
    decide_state,
    possible_states,
)
from nvltop.analysis.activity.link_usage import LinkUsage, measure_usage
from nvltop.analysis.activity.traffic_series import TrafficSpan
from nvltop.analysis.activity.usage_trace import LimitBounds, UsageTrace
from nvltop.model import Missing, Overlap

from .corpus import MAY, bursts, computing, four
from .patterns import Drawn
from .simulated import Job, Node

BOUNDS = LimitBounds(0.74, 0.9, 0.8)
USAGE = LinkUsage(
    seconds=60.0, mean=0.55, busy=0.6, unresolved=0.0, at_ring_limit=0.6, at_limit=0.6, at_limit_most=0.6,
    level=0.96, gpu_rate=1.0, sent=0.5, balance=1.0, contrast=0.9, burst_readings=1.5, reading_s=1.0,
)  # fmt: skip
"""A job with bursts of about one and a half readings."""


def states(job: Job) -> list[str]:
    """Return the states that follow one another once the window is full."""
    node = Node(replace(job, seconds=0.0))
    node.run(61.0)
    return [state for state, _ in groupby(node.run(1.0).judgements[0].state for _ in range(239))]


@pytest.mark.parametrize(
    ("step_s", "duty", "rate", "interval_s", "tensor"),
    [
        (1.5, 0.3, 0.6, 0.25, None), (2.0, 0.6, 0.96, 0.25, 0.03), (3.0, 0.3, 0.6, 0.5, None),
        (1.5, 0.6, 0.96, 0.5, 0.03), (2.0, 0.6, 0.8, 0.5, 0.03), (2.0, 0.8, 0.8, 0.5, 0.03),
        (1.5, 0.6, 0.96, 1.0, None), (2.0, 0.8, 0.8, 1.0, 0.6), (2.0, 0.6, 0.96, 1.0, 0.03),
        (2.0, 0.7, 0.96, 1.0, None), (2.0, 0.78, 0.96, 1.0, 0.03), (3.0, 0.6, 0.96, 1.0, 0.03),
        (3.0, 0.45, 0.96, 1.0, 0.35), (4.0, 0.8, 0.8, 1.0, 0.03),
    ],
)  # fmt: skip
def test_the_judgement_of_a_steady_job_never_returns_to_what_it_was(step_s, duty, rate, interval_s, tensor):
    """More readings may answer what was open; they never take an answer back."""
    flow = bursts(step_s, duty, rate, 300.0)
    compute = tensor and four(computing(step_s, duty, tensor, 0.7, 300.0))
    found = states(Job("", "", "h100", four(flow), MAY, compute=compute or None, interval_s=interval_s))
    assert len(found) == len(set(found)), found
    assert set(found[:-1]) <= {"unclear", "may-limit"}, found


def test_the_exposed_share_of_a_steady_job_does_not_change_with_the_phase():
    """Bursts of 1.8 readings: a level that was too low made the communication look less exposed."""
    flow, compute = bursts(1.5, 0.6, 0.96, 160.0), computing(1.5, 0.6, 0.03, 0.7, 160.0)
    job = Job("", "", "h100", four(flow), MAY, compute=four(compute), interval_s=0.5, seed=7)
    node = Node(replace(job, seconds=0.0))
    node.run(61.0)
    assert {node.run(1.0).judgements[0].state for _ in range(90)} == {"limits"}


@pytest.mark.parametrize("seed", range(6, 10))
def test_a_step_of_two_readings_may_lose_all_its_contrast(seed):
    """Bursts of 1.6 readings: 80 % and 50 % in turn, then 65 % in all of them, in another phase."""
    flow = bursts(2.0, 0.8, 0.8, 300.0)
    assert len(set(states(Job("", "", "h100", four(flow), MAY, interval_s=1.0, seed=seed)))) == 1


def test_the_level_is_the_rate_of_the_bursts_and_not_of_the_readings_that_contain_a_pause():
    trace = UsageTrace()
    for i in range(60):
        rate = (0.96, 0.2, 0.3)[i % 3]
        trace.add(TrafficSpan(float(i), i + 1.0, rate, rate), 1.0, 1.0, BOUNDS.limit)
    found = measure_usage(trace.between(0.0, 60.0), BOUNDS)
    assert found.level == pytest.approx(0.95, abs=0.02)
    assert found.busy * found.level == pytest.approx(found.mean)
    # These readings do not show how long the bursts are: the upper bound is that of the volume.
    assert found.at_limit_most == pytest.approx(found.mean / BOUNDS.limit)


def test_a_clear_measurement_is_kept_until_the_traffic_changes():
    kept = ClearestUsage()
    assert kept.update({"a": USAGE}, 0.0) == {"a": USAGE}
    # Bursts and readings are now aligned so that all readings are alike, or that the bounds are far apart.
    for unclear in (
        replace(USAGE, at_ring_limit=0.5),
        replace(
            USAGE, at_limit=0.0, at_limit_most=0.0, level=0.56, contrast=0.56, burst_readings=60.0, mean=0.56
        ),
        replace(USAGE, at_limit=0.1, at_limit_most=0.7, contrast=0.85),
        replace(USAGE, at_limit=0.57, contrast=0.8),
    ):
        found = kept.update({"a": unclear}, 1.0)
        assert found == {"a": replace(USAGE, mean=unclear.mean)}
        assert kept.outdated
    as_clear = replace(USAGE, at_limit=0.58, at_limit_most=0.58, contrast=0.89)
    assert kept.update({"a": as_clear}, 2.0) == {"a": as_clear}
    changed = replace(USAGE, at_limit=0.1, at_limit_most=0.7, mean=0.65)
    assert kept.update({"a": changed}, 3.0) == {"a": changed}
    assert not kept.outdated


def test_shorter_readings_replace_what_longer_ones_showed():
    """Bursts of one long reading or six short ones: the interval was changed, or a recording is denser."""
    kept, fine = (
        ClearestUsage(),
        replace(
            USAGE, at_ring_limit=0.5, at_limit=0.5, at_limit_most=0.5, burst_readings=6.0, reading_s=0.25
        ),
    )
    kept.update({"a": USAGE}, 0.0)
    assert kept.update({"a": fine}, 1.0) == {"a": fine}
    assert not kept.outdated


def test_clear_measurements_do_not_get_less_clear_one_after_the_other():
    """Each has a bit more contrast than the one before, and bounds a bit further apart."""
    kept = ClearestUsage()
    kept.update({"a": USAGE}, 0.0)
    for n in range(1, 6):
        kept.update({"a": replace(USAGE, at_limit=0.6 - 0.03 * n, contrast=0.9 + 0.035 * n)}, float(n))
    [shown] = kept.update({"a": replace(USAGE, at_limit=0.4)}, 6.0).values()
    assert shown.at_limit_most - shown.at_limit == pytest.approx(0.03)


def test_a_clear_measurement_expires():
    """Bursts may grow longer at the same mean; where readings cannot show that, the old shares expire."""
    kept, unclear = ClearestUsage(), replace(USAGE, at_limit=0.1, at_limit_most=0.7)
    kept.update({"a": USAGE}, 0.0)
    assert kept.update({"a": USAGE}, 100.0) == {"a": USAGE}
    assert kept.update({"a": unclear}, 100.0 + MAX_KEPT_S) == {"a": USAGE}
    assert kept.update({"a": unclear}, 101.0 + MAX_KEPT_S) == {"a": unclear}
    assert not kept.outdated


def test_bursts_that_fill_a_reading_in_every_phase_cannot_lose_their_contrast():
    kept, before = ClearestUsage(), replace(USAGE, burst_readings=2.4)
    kept.update({"a": before}, 0.0)
    blurred = replace(before, at_limit=0.1, at_limit_most=0.7, contrast=0.75 * before.contrast)
    assert kept.update({"a": blurred}, 1.0) == {"a": before}
    assert kept.outdated
    steady = replace(before, at_limit=0.0, at_limit_most=0.0, level=0.56, contrast=0.56, burst_readings=60.0)
    assert kept.update({"a": steady}, 2.0) == {"a": steady}
    assert not kept.outdated


def test_bursts_with_short_pauses_cannot_become_traffic_without_pauses():
    kept, before = ClearestUsage(), replace(USAGE, mean=0.77, at_limit=0.8, contrast=0.93, burst_readings=2.6)
    kept.update({"a": before}, 0.0)
    steady = replace(before, at_limit=0.0, at_limit_most=0.0, level=0.77, contrast=0.77, burst_readings=60.0)
    assert kept.update({"a": steady}, 1.0) == {"a": steady}


def test_a_job_that_spreads_the_same_traffic_is_judged_again_within_the_window():
    """No measurement of the exposed bursts at the limit is left, neither of the links nor of the overlap."""
    flow, compute = bursts(1.0, 0.6, 0.96, 80.0, end=79.9), computing(1.0, 0.6, 0.03, 0.7, 79.0)
    flow.burst(80.5, 200.0, 0.576)
    compute.burst(80.5, 200.0, 0.03)
    node = Node(Job("", "", "h100", four(flow), MAY, compute=four(compute), seconds=0.0))
    assert node.run(80.0).judgements[0].state == "limits"
    [judgement] = node.run(66.0).judgements
    assert judgement.state == "below"
    assert isinstance(judgement.overlap, Missing)


@pytest.mark.parametrize("change", [{"burst_readings": 8.0}, {"seconds": 20.0}])
def test_a_measurement_of_long_bursts_or_of_a_short_window_is_not_kept(change):
    kept = ClearestUsage()
    kept.update({"a": replace(USAGE, **change)}, 0.0)
    now = replace(USAGE, at_limit=0.1, at_limit_most=0.7, contrast=0.5, **change)
    assert kept.update({"a": now}, 1.0) == {"a": now}


@example(at_limit=0.09375, wider=0.0, exposed=0.75, level=1.0, errors=[0.015625, 0.0])
@given(
    at_limit=st.floats(0.0, 1.0), wider=st.floats(0.0, 0.4), exposed=st.floats(0.0, 1.0),
    level=st.floats(0.3, 1.0),
    errors=st.lists(st.floats(-STATE_SLACK / 2, STATE_SLACK / 2), min_size=2, max_size=6),
)  # fmt: skip
def test_a_state_is_kept_within_the_error_of_the_shares(at_limit, wider, exposed, level, errors):
    overlap, state, seen = Overlap("SMs", 0.1, 0.5, exposed, "likely"), "", []
    for error in errors:
        usage = replace(
            USAGE,
            at_limit=at_limit + error,
            at_ring_limit=at_limit + error,
            at_limit_most=at_limit + wider + error,
            level=level,
        )
        state, _ = decide_state(usage, BOUNDS, overlap, True, state)
        seen.append(state)
    changes = [state for state, _ in groupby(seen)]
    assert len(changes) == 1 or changes[:-1] == ["unclear"], seen


@given(
    at_limit=st.floats(0.0, 1.0), at_ring_limit=st.floats(0.0, 1.0), wider=st.floats(0.0, 0.4),
    exposed=st.none() | st.floats(0.0, 1.0), level=st.floats(0.0, 1.0), busy=st.floats(0.0, 1.0),
    bounds=st.sampled_from([BOUNDS, LimitBounds(0.85, 0.9, 0.0)]), slack=st.floats(0.0, 0.2),
)  # fmt: skip
def test_a_job_has_one_state_and_slack_only_adds_others(
    at_limit, at_ring_limit, wider, exposed, level, busy, bounds, slack
):
    usage = replace(
        USAGE,
        at_limit=at_limit,
        at_ring_limit=at_ring_limit * at_limit,
        at_limit_most=at_limit + wider,
        level=level,
        busy=busy,
        mean=busy * level,
    )
    [state] = possible_states(usage, bounds, exposed)
    assert state in possible_states(usage, bounds, exposed, slack)


def test_traffic_at_a_tenth_of_nccl_max_stays_light():
    """The level had no slack, so that the state changed with its last digit."""
    state, seen = "", []
    for level in (0.1, 0.109, 0.102, 0.107):
        usage = replace(
            USAGE, at_limit=0.0, at_ring_limit=0.0, at_limit_most=0.0, busy=1.0, level=level, mean=level
        )
        state, _ = decide_state(usage, BOUNDS, Missing("not read"), True, state)
        seen.append(state)
    assert seen == ["light"] * 4


def test_traffic_is_hidden_only_if_the_upper_bound_says_so():
    """18 to 50 % at the limit, a third of it exposed, may cost 10 % of the time or not."""
    usage = replace(USAGE, at_limit=0.18, at_ring_limit=0.1, at_limit_most=0.5, level=0.95)
    state, _ = decide_state(usage, BOUNDS, Overlap("tensor cores", 0.3, 0.46, 0.37, "likely"), True)
    assert state == "may-limit"
    surely = replace(usage, at_limit_most=0.2)
    assert (
        decide_state(surely, BOUNDS, Overlap("tensor cores", 0.3, 0.46, 0.37, "likely"), True)[0] == "hidden"
    )


def measured_at(monkeypatch: pytest.MonkeyPatch, flow: Drawn, until_s: float) -> list[float]:
    """Return when a job is measured, in seconds since it began."""
    times, measure = [], BottleneckEvaluator._measure

    def recorded(*args):
        times.append(node.now_s - node.begun_s)
        return measure(*args)

    monkeypatch.setattr(BottleneckEvaluator, "_measure", recorded)
    node = Node(Job("", "", "pair", [flow] * 2, MAY, seconds=0.0))
    node.run(until_s)
    return times


@pytest.mark.parametrize(("length_s", "longest_s"), [(2.0, 13.0), (0.5, 7.0)])
def test_a_steady_job_is_measured_less_often_only_if_its_bursts_are_resolved(
    monkeypatch, length_s, longest_s
):
    times = measured_at(monkeypatch, bursts(4.0, length_s / 4.0, 0.6, 180.0), 180.0)
    pauses = [b - a for a, b in pairwise(t for t in times if t > 61.0)]
    assert longest_s - 1.1 <= max(pauses) <= longest_s


@pytest.mark.parametrize(("rate", "within_s"), [(0.3, 8.0), (1.0, 8.0)])
def test_a_steady_job_whose_traffic_changes_is_measured_again_at_once(monkeypatch, rate, within_s):
    """At 5 % of what the window holds: bursts of half the rate take two steps, of 5/3 of it little more."""
    flow = bursts(4.0, 0.5, 0.6, 180.0, jitter=0.0, end=108.0)
    for start_s in range(108, 180, 4):
        flow.burst(start_s + 0.3, 1.998, rate)
    times = [t for t in measured_at(monkeypatch, flow, 180.0) if t > 108.0]
    assert times[0] - 108.0 <= within_s
    assert all(b - a <= 7.0 for a, b in pairwise(t for t in times if t < 165.0)), "until the window is new"


def test_of_two_ends_of_the_same_links_always_the_first_is_named():
    usual = replace(USAGE, at_limit=0.1, at_limit_most=0.1, mean=0.1)
    for error in (-1e-12, 0.0, 1e-12):
        usages = {
            "a": USAGE,
            "b": replace(USAGE, at_limit=USAGE.at_limit + error),
            "c": usual,
            "d": usual,
            "e": usual,
        }
        assert combine_usage(usages).gpu == "a"
