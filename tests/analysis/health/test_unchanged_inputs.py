"""A group of rules that is not evaluated, because nothing it depends on has changed, would find the same."""

from __future__ import annotations

from copy import deepcopy

import pytest

from nvltop.analysis.health import RULE_GROUPS

CASES = [
    ("hgx-h100-4", "training"),
    ("hgx-h100-4", "link-down"),
    ("dgx-h100", "nic-down"),
    ("hgx-h100-4", "errors"),
    ("hgx-h100-4", "gpu-lost"),
    ("dgx-a100", "idle"),
    ("h100-two", "fabric-stuck"),
    ("rtx3090-nobridge", "training"),
    ("gb200-tray", "link-down"),
    ("mixed", "training"),
]


@pytest.mark.parametrize(("node", "scenario"), CASES)
def test_groups_that_are_not_evaluated_would_find_the_same(bench, node, scenario):
    b = bench(node, scenario)
    b.interval_s = 1.0
    cached, evaluated = b.monitor, deepcopy(b.monitor)

    def both(item):
        evaluated._health._quiet.clear()
        cached_update(item)
        evaluated.update(item)

    cached_update = cached.update
    cached.update = both
    for second in range(40):
        b.clock.now += 1.0
        if second == 20:
            both(b.inventory)
        now = b.poll()
        other = evaluated.frame()
        assert (now.findings, now.pending, now.past_findings) == (
            other.findings, other.pending, other.past_findings,
        )  # fmt: skip
        assert now.checks == other.checks
    assert any(group.depends_on for group in RULE_GROUPS)


def test_a_quiet_group_is_evaluated_once(bench):
    b = bench("dgx-h100", "training")
    b.interval_s = 1.0
    engine = b.monitor._health
    b.run(5.0)
    quiet = dict(engine._quiet)
    assert {"links", "link errors", "NICs", "fabric", "repairs", "PCIe links", "firmware"} <= set(quiet)
    b.run(5.0)
    for name, (_, summary) in quiet.items():
        assert engine._quiet[name][1] is summary, name
