"""The verdict as far as rates alone can tell."""

import pytest

from nvltop.nvml.simulated import Fault


@pytest.mark.parametrize(
    ("node", "scenario", "verdict"),
    [
        ("dgx-h100", "training", "carrying"),
        ("dgx-h100", "idle", "idle"),
        ("rtx4090-pair", "training", "no-nvlink"),
    ],
)
def test_verdict(bench, node, scenario, verdict):
    assert bench(node, scenario).run(8.0).verdict.id == verdict


def test_before_rates_are_known_nothing_is_claimed(bench):
    assert bench().poll().verdict.id == "starting"


def test_unreadable_counters_give_no_verdict(bench):
    b = bench(prepare=lambda lib: lib.faults.update(nvmlDeviceGetFieldValues=Fault(4)))
    frame = b.run(2.0)
    assert frame.verdict.id == "unknown"
    assert "no permission" in frame.verdict.summary


def test_verdicts_fit_beside_the_bars_at_80_columns(bench):
    for node, scenario in (("dgx-h100", "training"), ("dgx-h100", "idle"), ("rtx4090-pair", "training")):
        assert len(bench(node, scenario).run(4.0).verdict.summary) <= 55
