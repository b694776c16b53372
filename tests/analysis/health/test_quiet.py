"""Healthy nodes of any kind: there must be no finding above `info` on any of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.model import known
from nvltop.nvml.simulated.nodes import BUILDERS
from tests.conftest import THOROUGH

BUILT = {name: node for name, build in BUILDERS.items() if (node := build()).gpus}
BOTH = {node.boards[0].architecture: name for name, node in BUILT.items()}.values()
"""A node of each generation: it has both scenarios. The others have one, by turns."""
HEALTHY = [
    (name, scenario)
    for i, name in enumerate(BUILT)
    for j, scenario in enumerate(("training", "idle"))
    if THOROUGH or name in BOTH or (i + j) % 2 == 0
]
LONG = 40
"""Number of seconds, mostly with a sample each: more than the delay of any rule except those of an hour."""


def loud(frame):
    return [(f.rule, f.severity, f.summary) for f in frame.findings if f.severity != "info"]


@pytest.mark.parametrize(("node", "scenario"), HEALTHY)
def test_healthy_nodes(watched, node, scenario):
    w = watched(node, scenario)
    w.step_s = 1.5  # in other phases of the two seconds of a job's step each time
    for _ in range(round(LONG / w.step_s)):
        frame = w.step()
        assert loud(frame) == []
        assert not [p for p in frame.pending if p.finding.severity in ("critical", "warning")]
    assert not [f for f in frame.past_findings if f.severity != "info"]
    assert {c.outcome for c in frame.checks} <= {"fine", "n/a", "unknown", "pending"}
    assert any(c.outcome == "fine" for c in frame.checks)


@pytest.mark.parametrize("node", ["dgx-h100", "gb200-tray", "dgx-a100"])
def test_links_that_train_at_boot_one_gpu_after_the_other(watched, node):
    def train(lib):
        true_up = lib.machine.up
        lib.machine.up = lambda g, k, t: true_up(g, k, t) and t >= 1 + 2 * g + 0.5 * k

    w = watched(node, prepare=train)
    booted = w.wall
    w.inventory(booted_s=booted)
    for _ in range(LONG):
        frame = w.step()
        assert loud(frame) == []
    assert all(g.nvlink.links_up == g.nvlink.links_present for g in frame.gpus)


def test_links_that_come_up_late_on_a_machine_whose_boot_time_is_hidden(watched):
    def train(lib):
        true_up = lib.machine.up
        lib.machine.up = lambda g, k, t: true_up(g, k, t) and (g != 5 or t >= 2 + k)

    w = watched("h100-four", prepare=train)
    for _ in range(LONG):
        assert loud(w.step()) == []


def test_a_fabric_that_is_ready_after_a_while_is_a_notice_at_most(watched):
    w = watched("h100-two", "fabric-stuck")
    frame = w.run(60)
    assert [f.severity for f in frame.findings if f.rule != "saturated"] == ["notice"]
    w.lib.machine.scenario = "training"
    frame = w.run(5)
    assert loud(frame) == []
    assert [f.rule for f in frame.past_findings] == ["fabric-not-ready"]


@pytest.mark.parametrize("node", ["dgx1-v100", "hgx-a100-4", "h100-two", "gb200-two"])
def test_lifetime_counts_above_zero(watched, node):
    def used(lib):
        lib.machine.errors = lambda gpu, link, kind, t: 7 * link + 505

    frame = watched(node, prepare=used).run(LONG)
    assert loud(frame) == []
    assert any(g.nvlink.errors_total for g in frame.gpus if known(g.nvlink.errors_total))


@pytest.mark.parametrize("node", ["dgx1-v100", "h100-two", "gb200-two"])
def test_counters_that_are_reset(watched, node):
    def used(lib):
        lib.machine.errors = lambda gpu, link, kind, t: 505 if t < 10 else 0

    frame = watched(node, prepare=used).run(LONG)
    assert loud(frame) == []
    assert {f.rule for f in frame.findings} >= {"counter-reset"}


@pytest.mark.parametrize("pause_s", [6.0, 3600.0, 200_000.0])
@pytest.mark.parametrize("scenario", ["training", "idle"])
def test_suspend(watched, scenario, pause_s):
    w = watched("h100-two", scenario)
    w.run(10)
    w.bench.clock.now += pause_s
    for _ in range(LONG):
        assert loud(w.step()) == []


def test_links_asleep(watched):
    from .test_fires import answer

    w = watched("hgx-b200", "idle")
    for gpu in range(8):
        answer(w.lib, gpu, 165, None, 2)
    frame = w.run(LONG)
    assert loud(frame) == []
    assert {f.rule for f in frame.findings} == {"link-sleep"}


@pytest.mark.parametrize("shown", [1, 3])
def test_gpus_hidden_by_a_container(watched, shown):
    w = watched("h100-four")
    gpus = w.bench.inventory.gpus[:shown]
    w.begin(gpus=gpus, pairs=(), container=True, pci_gpus=tuple(g.pci_bus_id for g in gpus))
    assert loud(w.run(LONG)) == []


def test_a_virtual_machine_with_some_modules_of_a_board(watched):
    w = watched("hgx-h100-vm")
    gpus = tuple(
        replace(g, module_id=m) for g, m in zip(w.bench.inventory.gpus[:4], (2, 4, 7, 8), strict=True)
    )
    w.begin(gpus=gpus, container=False)
    assert loud(w.run(LONG)) == []


def test_a_cube_mesh_with_other_cards_beside_it(watched):
    assert loud(watched("mixed").run(LONG)) == []


def test_one_job_on_two_of_eight_gpus(watched):
    def part(lib):
        from nvltop.nvml.simulated.traffic import Constant

        for (gpu, _link), _flow in list(lib.machine._tx.items()):
            if gpu > 1:
                lib.machine._tx[gpu, _link] = Constant()

    assert loud(watched("h100-four", prepare=part).run(70)) == []
