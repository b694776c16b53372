"""Links that are down: severity, the end at which the fault is, and what the board can have."""

from __future__ import annotations

from dataclasses import replace

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.health.board import links_per_bridge
from nvltop.model import Gpu
from nvltop.nvml.simulated import Fault, boards, nodes
from nvltop.nvml.simulated.link_layout import all_pairs, bridged, direct
from nvltop.nvml.simulated.nodes import BUILDERS

SWITCHED = ["dgx-h100", "dgx-a100", "dgx2", "hgx-b200", "gb200-tray", "a800"]
DIRECT = ["dgx1-p100", "dgx1-v100", "hgx-a100-4", "hgx-h100-4"]


def cut(lib, *wires, start=0.0):
    """Take links down at both ends, each given by one of its ends."""
    dark = set(wires)
    for gpu, link in wires:
        end = lib.machine.link_end(gpu, link)
        if end.kind == "gpu":
            dark.add((end.device, end.link))
    true_up = lib.machine.up
    lib.machine.up = lambda g, k, t: true_up(g, k, t) and not ((g, k) in dark and t >= start)


def of_gpu(lib, gpu):
    return [(gpu, link) for link in range(len(lib.machine.node.links[gpu]))]


def wire_to(lib, gpu, peer):
    return next(
        (gpu, k) for k, e in enumerate(lib.machine.node.links[gpu]) if (e.kind, e.device) == ("gpu", peer)
    )


def roots(frame):
    return [f for f in frame.findings if f.caused_by is None and f.severity != "info"]


@pytest.mark.parametrize("node", [*SWITCHED, *DIRECT])
def test_a_gpu_without_any_link_is_critical_and_one_finding(watched, node):
    w = watched(node, prepare=lambda lib: cut(lib, *of_gpu(lib, 2)))
    (found,) = roots(w.run(4))
    assert (found.rule, found.severity, w.index(found), found.link) == ("link-down", "critical", 2, None)
    assert "has lost all" in found.headline


@pytest.mark.parametrize("seconds", [0, 3])
def test_links_that_cannot_be_read_are_not_called_down(watched, seconds):
    w = watched("hgx-h100-4")
    w.run(seconds)
    for name in ("nvmlDeviceGetNvLinkState", "nvmlDeviceGetFieldValues"):
        w.lib.faults[name] = Fault(gpu=3, code=pynvml.NVML_ERROR_UNKNOWN)
    frame = w.run(12)
    assert not [f for f in frame.findings if f.rule == "link-down"]
    (check,) = [check for check in frame.checks if check.name == "links"]
    assert check.outcome == "unknown"
    (errors,) = [check for check in frame.checks if check.name == "link errors"]
    assert (errors.outcome, errors.detail) == ("unknown", "GPU 3: unknown driver error")


@pytest.mark.parametrize("node", [*SWITCHED, *DIRECT])
@pytest.mark.parametrize("start", [0.0, 3.0])
def test_one_broken_link_is_one_finding(watched, node, start):
    w = watched(node, prepare=lambda lib: cut(lib, (2, 1), start=start))
    (found,) = roots(w.run(8))
    assert (found.rule, found.severity) == ("link-down", "critical")
    assert found.headline.endswith(
        f"DOWN ({found.evidence['links_up_after']} of {found.evidence['links_up_before']} up)"
    )
    consequences = {f.rule for f in w.step().findings if f.caused_by}
    assert consequences <= {"link-down", "fewer-links"}


def test_a_gpu_without_links_is_listed_before_a_gpu_with_one_link_down(watched):
    w = watched("hgx-b200", prepare=lambda lib: cut(lib, (1, 4), *of_gpu(lib, 5)))
    assert [w.index(f) for f in roots(w.run(4))] == [5, 1]


@pytest.mark.parametrize("node", DIRECT)
@pytest.mark.parametrize("start", [0.0, 3.0])
def test_the_gpu_with_two_down_links_is_named_and_not_its_peers(watched, node, start):
    def prepare(lib):
        cut(lib, wire_to(lib, 3, 1), wire_to(lib, 3, 2), start=start)

    w = watched(node, prepare=prepare)
    frame = w.run(8)
    (found,) = roots(frame)
    assert (found.rule, w.index(found)) == ("link-down", 3)
    ends = {w.index(f) for f in frame.findings if f.rule == "link-down" and f.caused_by == found.key}
    assert ends == {1, 2}


def test_the_end_of_a_link_that_counted_errors_is_named(watched):
    w = watched("hgx-a100-4", prepare=lambda lib: cut(lib, wire_to(lib, 1, 3), start=6.0))
    w.run(3)
    w.lib.machine.errors = lambda gpu, link, kind, t: int(gpu == 3 and t > 4)
    frame = w.run(8)
    assert [w.index(f) for f in roots(frame) if f.rule == "link-down"] == [3]


def test_down_links_without_a_common_gpu_are_separate_faults(watched):
    w = watched("hgx-a100-4", prepare=lambda lib: cut(lib, wire_to(lib, 0, 1), wire_to(lib, 2, 3), start=3.0))
    assert {w.index(f) for f in roots(w.run(8))} == {0, 2}


@pytest.mark.parametrize(("gpus", "one"), [(range(8), True), (range(3), True), (range(2), False)])
def test_links_of_several_gpus_to_one_switch_are_a_fault_of_the_switch(watched, gpus, one):
    w = watched("dgx-h100")
    w.run(3)
    ends = [(g, k) for g in gpus for k, e in enumerate(w.lib.machine.node.links[g]) if e.device == 1]
    cut(w.lib, *ends)
    found = roots(w.run(5))
    assert len(found) == (1 if one else len(gpus))
    assert (found[0].severity, found[0].gpu is None) == ("critical", one)
    assert found[0].headline.startswith("NVSwitch") is one


def test_links_of_several_gpus_to_several_switches_are_not_a_switch_fault(watched):
    w = watched("dgx-h100")
    w.run(3)
    cut(w.lib, *((g, g) for g in range(8)))
    assert len(roots(w.run(5))) == 8


def test_a_second_link_joins_the_finding_after_readings_that_agree(watched):
    w = watched("h100-four")
    w.run(3)
    cut(w.lib, (3, 7))
    first, _ = w.until("link-down", 4)
    cut(w.lib, (3, 9))
    (flicker,) = roots(w.step())
    assert (flicker.key, flicker.link) == (first.key, 7)
    frame = w.run(3)
    (both,) = roots(frame)
    assert (both.key, both.link, both.evidence["links"]) == (first.key, None, [7, 9])
    assert both.headline == "GPU 3 links 7, 9 DOWN (16 of 18 up)"
    assert both.began_s == first.began_s
    assert frame.past_findings == ()


@pytest.mark.parametrize("node", [*DIRECT, "rtx3090-pair", "h100-nvl-pair"])
def test_no_next_step_names_a_service_that_the_board_does_not_have(watched, node):
    w = watched(node)
    w.run(3)
    cut(w.lib, (1, 1))
    frame = w.run(5)
    steps = " ".join(f.next_step for f in frame.findings if f.severity != "info")
    assert steps
    assert "fabric" not in steps
    assert "SXid" not in steps
    assert ("bridge" in steps) is (node not in DIRECT)


def test_on_boards_with_switches_the_fabric_manager_is_named(watched):
    w = watched("dgx-a100", prepare=lambda lib: cut(lib, (1, 1)))
    assert any("nvidia-fabricmanager" in f.next_step for f in w.run(4).findings)


# ---- bridges


def h200_nvl(monkeypatch, links=18, gpus=2):
    board = replace(boards.H200, name="NVIDIA H200 NVL", fabric=False)
    laid = direct(all_pairs(gpus, links // (gpus - 1)))
    monkeypatch.setitem(nodes.BUILDERS, "h200-nvl", lambda: nodes.make_node(board, laid, nodes.DRIVER_580))
    return "h200-nvl"


@pytest.mark.parametrize("gpus", [2, 4])
def test_a_bridge_with_all_links_is_complete(watched, monkeypatch, gpus):
    w = watched(h200_nvl(monkeypatch, gpus=gpus))
    frame = w.run(5)
    assert roots(frame) == []
    assert any("all at full speed" in c.detail for c in frame.checks if c.name == "links")


def test_a_bridge_with_a_link_down_is_one_finding_and_never_more_than_exist(watched, monkeypatch):
    w = watched(h200_nvl(monkeypatch), prepare=lambda lib: cut(lib, (0, 4)))
    (found,) = roots(w.run(5))
    assert (found.rule, found.severity) == ("bridge-partial", "warning")
    assert "17 of 18" in found.summary


@given(
    name=st.sampled_from(
        ["NVIDIA H200 NVL", "NVIDIA A100 80GB PCIe", "NVIDIA RTX A6000", "Quadro GV100", "NVIDIA X"]
    ),
    present=st.integers(1, 36),
)
def test_links_per_bridge_never_exceed_the_links_that_exist(name, present):
    assert 1 <= links_per_bridge(Gpu(0, "GPU-a", name), present) <= present


def unbridged(monkeypatch, board, *pairs, gpus=2, links=18):
    monkeypatch.setitem(
        nodes.BUILDERS,
        "cards",
        lambda: nodes.make_node(board, bridged(gpus, links, *pairs), nodes.DRIVER_570),
    )
    return "cards"


def test_cards_sold_with_a_bridge_that_communicate_over_pcie_are_a_notice_with_the_rate(watched, monkeypatch):
    w = watched(unbridged(monkeypatch, boards.H100_NVL))
    found, samples = w.until("no-bridge", 20)
    assert (found.severity, found.gpu) == ("notice", None)
    assert samples <= 8
    assert "GB/s over PCIe" in found.headline
    assert "missing, not seated or not trained" in found.summary
    assert found.evidence["pcie_bytes_per_s"] > 1e9


def test_a_pair_without_a_bridge_beside_a_bridged_pair_is_a_notice(watched, monkeypatch):
    w = watched(unbridged(monkeypatch, boards.A100_PCIE, (0, 1), gpus=4, links=12))
    found, _ = w.until("no-bridge", 20)
    assert (found.severity, found.evidence["gpus"]) == ("notice", [2, 3])


@pytest.mark.parametrize(("board", "scenario"), [(boards.H100_NVL, "idle"), (boards.RTX3090, "training")])
def test_without_traffic_or_where_bridges_are_optional_there_is_no_notice(
    watched, monkeypatch, board, scenario
):
    frame = watched(unbridged(monkeypatch, board, links=4), scenario).run(15)
    assert roots(frame) == []
    (check,) = [c for c in frame.checks if c.name == "links"]
    assert (check.outcome, "none of 8 NVLink ports" in check.detail) == ("fine", True)


@pytest.mark.parametrize("node", [name for name, build in BUILDERS.items() if build().gpus])
def test_a_fine_check_states_how_many_links_are_up(watched, node):
    frame = watched(node).run(2)
    for check in frame.checks:
        if check.name == "links" and check.outcome == "fine":
            up = sum(g.nvlink.links_up for g in frame.gpus if isinstance(g.nvlink.links_up, int))
            present = sum(
                g.nvlink.links_present for g in frame.gpus if isinstance(g.nvlink.links_present, int)
            )
            assert ("all at full speed" in check.detail) is (up > 0)
            assert str(present) in check.detail
