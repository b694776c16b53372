"""Stragglers: each sign alone, and none named if no rank or several ranks differ."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.analysis.activity.ranks import find_straggler, lateness
from nvltop.model import Gauges, Missing, Rank, known

from .accuracy import shifted
from .patterns import Drawn, cells, plain
from .rig import Gpus

STEP_S = 0.25
RANK = Rank("", 1e9, 0.4, 500.0, 95.0, 1900.0, 0.0)


def ranks(n=8, odd=5, **changes):
    all_alike = [replace(RANK, gpu=str(i), power_w=500.0 + 3 * i) for i in range(n)]
    return [replace(r, **changes) if i == odd else r for i, r in enumerate(all_alike)]


@pytest.mark.parametrize(
    ("changes", "sign"),
    [
        ({"late_s": 0.4}, "joins the exchange 0.4 s after the others"),
        ({"power_w": 640.0}, "draws 640 W, the others 509 W while they wait"),
        ({"sm_clock_mhz": 1400.0}, "runs at 1400 MHz, the others at 1900 MHz"),
        ({"util_percent": 60.0}, "is busy 60 % of the time, the others 95 %"),
        ({"moved_bytes_per_s": 2e8, "power_w": 150.0}, "moves 20% of what the others do, at less than half"),
    ],
)
def test_each_sign_names_the_rank(changes, sign):
    found = find_straggler(ranks(**changes), 2.0, STEP_S)
    assert found is not None
    assert found.gpu == "5"
    assert len(found.signs) == 1
    assert sign in found.signs[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"late_s": 0.1},
        {"power_w": 560.0},
        {"power_w": 300.0},
        {"sm_clock_mhz": 1750.0},
        {"util_percent": 85.0},
        {"power_w": 640.0, "moved_bytes_per_s": 3e9},
        {"util_percent": 40.0, "moved_bytes_per_s": 5e8},
        {"moved_bytes_per_s": 0.0, "power_w": 80.0, "util_percent": 0.0},
        {"power_w": Missing("no permission"), "sm_clock_mhz": Missing("no permission")},
    ],
)
def test_values_near_the_others_or_unread_are_not_a_sign(changes):
    assert find_straggler(ranks(**changes), 2.0, STEP_S) is None


def test_two_outliers_or_two_ranks_name_none():
    two = ranks(sm_clock_mhz=1400.0)
    two[1] = replace(two[1], sm_clock_mhz=1400.0)
    assert find_straggler(two, 2.0, STEP_S) is None
    assert find_straggler(ranks(n=2, odd=1, sm_clock_mhz=1400.0), 2.0, STEP_S) is None


def test_ranks_without_traffic_name_none():
    still = [replace(rank, moved_bytes_per_s=0.0) for rank in ranks(power_w=150.0)]
    assert find_straggler(still, 40.0, STEP_S) is None


@settings(max_examples=25, derandomize=True)
@given(
    st.lists(st.floats(400, 700), min_size=3, max_size=8),
    st.lists(st.floats(0, 0.15), min_size=8, max_size=8),
)
def test_ranks_that_differ_a_little_from_each_other_name_none(powers, late):
    spread = sorted(powers)
    if spread[-1] > 1.08 * spread[-2]:
        return
    found = [replace(RANK, gpu=str(i), power_w=p, late_s=late[i]) for i, p in enumerate(powers)]
    assert find_straggler(found, 2.0, STEP_S) is None


@settings(max_examples=20, derandomize=True)
@given(st.floats(0.0, 0.5), st.integers(0, 3), st.floats(2.5, 8.0))
def test_lateness_is_by_how_much_one_sends_after_the_others(late_s, odd, period_s):
    flow = plain(period_s, 0.4, 0.02, seconds=80.0)
    sent = [cells(shifted(flow, late_s) if i == odd else flow, 0.0, STEP_S, 240, 0.01) for i in range(4)]
    found = lateness(sent, STEP_S)
    assert all(known(late) for late in found)
    assert found[odd] == pytest.approx(late_s, abs=0.12)


def test_the_late_one_is_named_from_the_counters_alone():
    flow = plain(4.0, 0.3, 0.01)
    loud = Drawn(0.0, flow.starts, [3 * v for v in flow.sums], [3 * v for v in flow.levels])
    sent = [shifted(loud, 0.8) if i == 2 else loud for i in range(6)]
    (found,) = Gpus(sent).run(150.0)
    assert found.straggler is not None
    assert found.straggler.gpu == "GPU-2"
    assert found.limit == "rank"
    assert "after the others" in found.straggler.signs[0]


@pytest.mark.parametrize("spread_s", [0.0, 0.7])
def test_stages_of_a_pipeline_wait_for_none(spread_s):
    flow = plain(8.0, 0.2)
    loud = Drawn(0.0, flow.starts, [3 * v for v in flow.sums], [3 * v for v in flow.levels])
    (found,) = Gpus([shifted(loud, spread_s * i) for i in range(6)]).run(150.0)
    assert found.straggler is None


def test_one_at_full_power_while_the_others_spin():
    flow = plain(4.0, 0.3)
    loud = Drawn(0.0, flow.starts, [3 * v for v in flow.sums], [3 * v for v in flow.levels])

    def gauges(gpu, t):
        waits = gpu != 1 and t % 4.0 < 1.6
        return Gauges(util_percent=99.0, power_w=200.0 if waits else 600.0, sm_clock_mhz=1900.0)

    gpus = Gpus([loud] * 4, gauges=gauges)
    (found,) = gpus.run(120.0, judged_s=70.0)
    assert found.straggler is not None
    assert found.straggler.gpu == "GPU-1"
    assert "while they wait" in found.straggler.signs[0]
