"""The special properties of each simulated node are read correctly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest

from nvltop.analysis.health.self_checks import MIN_DISAGREEING_READINGS
from nvltop.model import Counter, LinkState, Missing, Scope, known
from nvltop.nvml.simulated.nodes import BUILDERS
from nvltop.nvml.simulated.workload import STEP_S
from nvltop.report.findings import links_of
from nvltop.report.phrases import nvlink_line
from tests.conftest import THOROUGH

HEALTHY = [name for name, build in BUILDERS.items() if build().gpus]
IDLE = ("dgx1-v100", "dgx-h100", "gb200-tray")


@pytest.mark.parametrize(
    ("node", "scenario"),
    [(name, "training") for name in HEALTHY] + [(name, "idle") for name in (HEALTHY if THOROUGH else IDLE)],
)
def test_no_rate_exceeds_the_speed_and_there_are_no_findings(bench, node, scenario):
    b = bench(node, scenario)
    for frame in b.frames(STEP_S):
        for g in frame.gpus:
            for link in g.links:
                for rate in (link.tx_bytes_per_s, link.rx_bytes_per_s):
                    if known(rate):
                        assert 0 <= rate <= link.speed_bytes_per_s
                    else:
                        assert rate.reason
    assert b.library.crashes == []
    assert {f.severity for f in frame.findings} <= {"info"}


def test_gaps_among_the_active_links_of_a_bridged_pair(bench):
    g = bench("h100-nvl-pair").run(2.0).gpus[0]
    assert [k.index for k in g.links if k.active] == [0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15]
    assert g.links[4].tx_bytes_per_s == Missing("link is down")
    assert g.nvlink.speed_bytes_per_s == 12 * 26562e6


@pytest.mark.parametrize("node", ["a100-pcie", "rtx3090-nobridge", "gh200"])
def test_unconnected_links_are_down_and_their_rate_is_not_zero(bench, node):
    for g in bench(node).run(2.0).gpus:
        assert (g.nvlink.links_up, {k.state for k in g.links}) == (0, {LinkState.DOWN})
        assert g.nvlink.tx_bytes_per_s == Missing("no link is up")


def test_a_driver_without_link_calls_has_no_links(bench):
    assert bench("rtx2080s-nobridge").run(1.0).gpus[0].nvlink.links_present == 0


def test_mig_hides_the_links_with_its_reason(bench):
    frame = bench("h100-mig").run(2.0)
    assert frame.verdict.id == "mig"
    for g in frame.gpus:
        assert g.nvlink.links_present == Missing("MIG is on")
        assert g.links == ()
    assert frame.matrix.cells[0][1] == "NODE"


def test_a_vm_that_hides_the_ends_of_links(bench):
    g = bench("h100-vm").run(2.0).gpus[0]
    assert g.nvlink.links_up == 18
    assert g.links[0].remote.pci_bus_id == Missing("hidden by the driver")
    assert g.gpu.virtualization == "passthrough"


def test_a_tray_reports_its_clique_and_its_c2c(bench):
    frame = bench("gb200-tray").run(6.0)
    g = frame.gpus[0]
    assert (g.fabric.clique_id, g.fabric.health_summary) == (32766, "healthy")
    assert g.fabric.cluster_uuid == "7b1e55aa-9002-4c11-a0d3-f2c4e6081357"
    assert (g.gpu.c2c.links, g.gpu.c2c.links_up) == (10, 10)
    assert g.gpu.c2c.speed_bytes_per_s == 10 * 44712e6
    assert g.c2c.tx_bytes_per_s == pytest.approx(0.2 * 447.12e9)
    assert "clique 32766" in nvlink_line(frame)
    assert "C2C 40 links up" in nvlink_line(frame)


def test_raw_counters_are_named_beside_the_number_of_links(bench):
    """Their rates include the protocol, which only the last line said, and only of the selected GPU."""
    assert "8/8 links up · RAW counters" in nvlink_line(bench("rtx3090-pair").run(8.0))
    frame = bench().run(8.0)
    assert "RAW" not in nvlink_line(frame)
    raw = replace(frame.gpus[3], nvlink=replace(frame.gpus[3].nvlink, counter=Counter.RAW))
    mixed = replace(frame, gpus=(*frame.gpus[:3], raw, *frame.gpus[4:]))
    assert "links up · RAW counters of GPU 3 · 4 NVSwitches" in nvlink_line(mixed)


def test_gh200_has_c2c_but_no_active_link(bench):
    frame = bench("gh200").run(1.0)
    assert "0/18 links up" in nvlink_line(frame)
    assert "C2C 10 links up" in nvlink_line(frame)


def test_gb10_has_neither_gpu_memory_nor_links(bench):
    frame = bench("gb10").run(1.0)
    g = frame.gpus[0]
    assert g.gauges.memory_used_bytes == Missing("not supported")
    assert "nothing to link" in frame.verdict.summary


def test_hopper_fabric_is_read_with_the_older_struct(bench):
    fabric = bench("dgx-h100").run(1.0).gpus[0].fabric
    assert (fabric.state, fabric.status, fabric.health_mask) == ("completed", "success", 0x2)
    assert fabric.health_summary == Missing("not reported by this GPU")


def test_boards_before_hopper_have_no_fabric(bench):
    assert isinstance(bench("dgx-a100").run(1.0).gpus[0].fabric.state, Missing)


@pytest.mark.parametrize(
    ("node", "source"), [("hgx-b200", "byte-counter"), ("dgx-h100", "gpm"), ("dgx-a100", "20ms")]
)
def test_pcie_traffic_is_read_by_the_cheapest_reliable_method(bench, node, source):
    b = bench(node)
    frame = b.run(6.0)
    pcie = frame.gpus[1].pcie
    assert pcie.source == source
    start, end = (s - 1000.0 for s in frame.gpus[1].pcie_span_s)
    flow = b.library.machine.pcie(1, "tx")
    truth = (
        flow.rate(end) if source == "20ms" else (flow.integral(end) - flow.integral(start)) / (end - start)
    )
    assert pcie.tx_bytes_per_s == pytest.approx(truth, rel=0.01)


def test_two_ends_that_disagree_for_long_are_reported(bench):
    b = bench("hgx-a100-4")
    true_count = b.library.machine.counter

    def half(gpu, link, way, raw, t):
        count = true_count(gpu, link, way, raw, t)
        return count // 2 if (gpu, link, way) == (1, 0, "rx") else count

    b.library.machine.counter = half
    found = b.run(MIN_DISAGREEING_READINGS * 2.0).findings
    assert [(f.rule, f.severity, f.link) for f in found] == [("implausible-rate", "unknown", 0)]
    assert "end, GPU 1 link 0" in found[0].summary


def test_wrong_counters_of_all_links_of_a_gpu_are_one_finding(bench):
    """18 links whose counters are in another unit were 18 findings of one fault."""
    b = bench("hgx-a100-4")
    true_count = b.library.machine.counter
    scale = {1: 1024}

    def other_unit(gpu, link, way, raw, t):
        return true_count(gpu, link, way, raw, t) * scale.get(gpu, 1)

    b.library.machine.counter = other_unit
    found = [f for f in b.run(12.0).findings if f.rule == "implausible-rate"]
    assert [(f.severity, f.link, f.headline) for f in found] == [
        ("unknown", None, "GPU 1 links 0-11: implausible counters")
    ]
    assert "The counters of GPU 1 links 0-11 rise faster than the links can carry" in found[0].summary
    assert links_of(found[0]) == tuple(range(12))


def test_links_whose_ends_disagree_are_one_finding_of_the_sender(bench):
    b = bench("hgx-a100-4")
    true_count = b.library.machine.counter

    def half(gpu, link, way, raw, t):
        count = true_count(gpu, link, way, raw, t)
        return count // 2 if (gpu, way) == (1, "rx") and link < 4 else count

    b.library.machine.counter = half
    found = [f for f in b.run(MIN_DISAGREEING_READINGS * 2.0).findings if f.rule == "implausible-rate"]
    assert [f.headline for f in found] == ["GPU 0: ends of 4 links disagree"]
    assert found[0].summary.endswith("wrong; the ends of links 1-3 disagree as well")


def test_a_total_in_place_of_link_counters_is_reported(bench):
    def repeat(lib):
        for table in lib.fields.tables[:1]:
            for field_id in (138, 139):
                total = table[field_id]
                table[field_id] = lambda g, s, t, f=total: f(g, 0xFFFFFFFF, t)

    frame = bench(prepare=repeat).run(2.0)
    assert {f.rule for f in frame.findings} == {"gpu-total-only"}
    assert frame.gpus[0].nvlink.scope is Scope.GPU


def test_a_link_capability_does_not_prove_that_a_link_exists(bench):
    b = bench("hgx-b200")
    reader = b.readers[0]
    assert pynvml.nvmlDeviceGetNvLinkCapability(reader.device.handle, 35, 0) == 1
    assert reader.device.links == 18


@pytest.mark.parametrize(("number", "state"), [(2, LinkState.SLEEP), (3, LinkState.TRAFFIC_DISABLED)])
def test_sleeping_and_disabled_links_have_states_of_their_own_and_count_as_links(bench, number, state):
    def change(lib):
        lib.fields.tables[0][165] = lambda g, k, t: (0, 1, number if k == 5 else 1)

    frame = bench(prepare=change).run(2.0)
    assert frame.gpus[0].links[5].state is state
    assert frame.gpus[0].links[4].state is LinkState.UP
    assert frame.matrix.cells[0][1] == "NV18"


def test_an_unsupported_state_is_unknown_with_its_number(bench):
    def change(lib):
        lib.fields.tables[0][165] = lambda g, k, t: (0, 1, 9 if k == 5 and t > 1 else 1)

    link = bench(prepare=change).run(3.0).gpus[0].links[5]
    assert (link.state, link.state_reason) == (LinkState.UNKNOWN, "unknown link state 9")


def test_a_state_field_that_contradicts_the_call_is_not_used(bench):
    """Some drivers return SUCCESS and 0 for fields that they do not support."""

    def lie(lib):
        lib.fields.tables[0][165] = lambda g, k, t: (0, 1, 0)

    assert bench(prepare=lie).run(1.0).gpus[0].nvlink.links_up == 18


def test_without_the_link_count_each_link_is_probed(bench):
    def no_count(lib):
        del lib.fields.tables[0][91]

    assert bench("dgx1-p100", prepare=no_count).run(1.0).gpus[0].nvlink.links_present == 4


def test_the_nics_of_the_demo_are_located_as_in_a_dgx_h100(bench):
    machines = json.loads((Path(__file__).parents[1] / "data/topo_nics.json").read_text())
    (real,) = [m for m in machines if m["node"].startswith("DGX H100")]
    assert [" ".join(row) for row in bench("dgx-h100").run(0.5).matrix.cells] == real["rows"]
