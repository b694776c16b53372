"""For every rule, a case in which it must fire, after how many samples (one per second), and a near miss."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from nvltop.analysis.health.ber_rates import GpuBer
from nvltop.model import (
    Ancestor,
    Call,
    Cost,
    GpuInterval,
    GpuUse,
    Problem,
    Process,
    Processes,
    Reading,
    Tick,
    known,
)
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated.traffic import Constant, Stopped
from nvltop.nvml.simulated.workload import Workload
from nvltop.report.findings import evidence
from nvltop.report.phrases import nvlink_line
from nvltop.sampler.protocol import ERRORS_S

CALL = Call("links", "nvmlDeviceGetFieldValues", 3, 1004.0)
SUCCESS, LOST, NO_PERMISSION, NOT_SUPPORTED = 0, 15, 4, 3
UNSIGNED, WIDE = 1, 3


def answer(lib, gpu, field_id, link, value, code=SUCCESS):
    """Make one field of one link return `value`, or the result of calling `value` with the time."""
    before = lib.fields.tables[gpu][field_id]

    def new(g, scope, t):
        if g != gpu or (link is not None and scope != link):
            return before(g, scope, t)
        return code, WIDE, value(t) if callable(value) else value

    lib.fields.tables[gpu] = {**lib.fields.tables[gpu], field_id: new}


def rules(frame):
    return {f.rule for f in frame.findings if f.severity != "info"}


def down(lib, gpu, links, start=0.0):
    true_up = lib.machine.up
    lib.machine.up = lambda g, k, t: true_up(g, k, t) and not (g == gpu and k in links and t >= start)


# ---- links


def test_a_link_that_goes_down(watched):
    w = watched("h100-four")
    w.run(3)
    down(w.lib, 3, {7})
    found, samples = w.until("link-down", 6)
    assert (w.index(found), found.link, found.severity, samples) == (3, 7, "critical", 3)
    assert found.evidence["links_up_before"] == 18
    assert found.evidence["links_up_after"] == 17
    assert "went down: 17 of 18" in found.summary


def test_a_link_that_flickers_for_two_samples_is_not_reported(watched):
    w = watched("h100-four")
    w.run(3)
    true_up = w.lib.machine.up
    down(w.lib, 3, {7})
    assert "link-down" not in rules(w.run(1))
    w.lib.machine.up = true_up
    assert "link-down" not in rules(w.run(10))


def test_a_link_that_was_down_at_the_start_while_its_peers_have_it(watched):
    w = watched("h100-four", prepare=lambda lib: down(lib, 3, {7}))
    found, samples = w.until("link-down", 6)
    assert (w.index(found), found.link, samples) == (3, 7, 3)
    assert "17 of 18 links are left" in found.summary
    fewer, _ = w.until("fewer-links", 1)
    assert (w.index(fewer), fewer.severity, fewer.caused_by) == (3, "warning", found.key)


def test_a_gpu_whose_links_were_all_down_at_the_start(watched):
    w = watched("dgx-a100", prepare=lambda lib: down(lib, 6, set(range(12))))
    found, samples = w.until("link-down", 6)
    assert (w.index(found), found.severity, found.link, samples) == (6, "critical", None, 3)
    assert found.headline == "GPU 6 has lost all 12 NVLinks"
    assert {w.index(f) for f in w.step().findings if f.severity != "info"} == {6}


def test_all_links_of_a_gpu_going_down_are_one_finding(watched):
    w = watched("h100-four")
    w.run(3)
    down(w.lib, 2, set(range(18)))
    found, _ = w.until("link-down", 6)
    assert (w.index(found), found.link) == (2, None)
    assert sum(f.rule == "link-down" for f in w.step().findings) == 1


def test_a_cube_mesh_without_one_gpu(watched):
    def gone(lib):
        true_up = lib.machine.up
        lib.machine.up = lambda g, k, t: true_up(g, k, t) and lib.machine.link_end(g, k).device != 7
        lib.machine.node = replace(lib.machine.node, buses=lib.machine.node.buses[:7])

    w = watched("dgx1-v100", prepare=gone)
    w.until("link-down", 6)
    reported = {w.index(f) for f in w.step().findings if f.rule in ("link-down", "fewer-links")}
    assert reported == {3, 4, 5, 6}


@pytest.mark.parametrize(
    ("node", "dark", "links"), [("rtx3090-pair", {3}, "3 of 4"), ("h100-nvl-pair", {15}, "11 of 12")]
)
def test_a_bridge_that_gives_a_part_of_its_links(watched, node, dark, links):
    def part(lib):
        true_up = lib.machine.up
        lib.machine.up = lambda g, k, t: true_up(g, k, t) and k not in dark

    w = watched(node, prepare=part)
    found, samples = w.until("bridge-partial", 6)
    assert samples == 3
    assert links in found.summary
    assert rules(w.step()) == {"bridge-partial"}


@pytest.mark.parametrize("links", [{4, 5, 6, 7, 8, 9, 10, 11}, {8, 9, 10, 11}])
def test_fewer_complete_bridges_are_a_choice(watched, links):
    def part(lib):
        true_up = lib.machine.up
        lib.machine.up = lambda g, k, t: true_up(g, k, t) and k not in links

    assert rules(watched("a100-pcie-pairs", prepare=part).run(6)) == set()


@pytest.mark.parametrize(
    ("links", "severity", "link"), [({7}, "warning", 7), (set(range(18)), "critical", None)]
)
def test_links_with_traffic_disabled(watched, links, severity, link):
    w = watched("b200-four")
    w.run(2)
    for k in links:
        answer(w.lib, 3, 165, k, 3)
    found, samples = w.until("traffic-disabled", 6)
    assert (w.index(found), found.link, found.severity, samples) == (3, link, severity, 3)


def test_a_link_at_half_speed(watched):
    w = watched("h100-four", prepare=lambda lib: answer(lib, 3, 164, 7, 13281))
    found, samples = w.until("link-speed", 6)
    assert (w.index(found), found.link, found.severity, samples) == (3, 7, "warning", 3)
    assert "13.3 GB/s" in found.summary
    assert "26.6" in found.summary


# ---- error counters


def test_replays_are_a_warning_and_then_critical(watched):
    w = watched("h100-two")
    w.run(3)
    answer(w.lib, 1, 161, 3, lambda t: int(t // 50))
    found, samples = w.until("link-errors-legacy", 60)
    assert (w.index(found), found.link, found.severity) == (1, 3, "warning")
    assert samples <= 50
    assert found.evidence["replay"] == {"before": 0, "after": 1}
    worse, _ = w.until("link-errors-legacy", 240, "critical")
    assert worse.evidence["bad_minutes_of_10"] == 4


def test_one_replay_is_a_warning_that_ends(watched):
    w = watched("h100-two")
    w.run(3)
    answer(w.lib, 1, 161, 3, 1)
    found, _ = w.until("link-errors-legacy", 2, "warning")
    assert re.fullmatch(r"GPU 1 link 3: 1 replay in [3-9] s", found.headline)
    assert re.fullmatch(r"GPU 1 link 3 had 1 replay in the last [3-9] s \(healthy: 0\)", found.summary)
    assert found.evidence["window_s"] < 10
    w.step_s = ERRORS_S
    frame = w.run(700)
    assert rules(frame) == set()
    assert [(f.rule, f.link) for f in frame.past_findings] == [("link-errors-legacy", 3)]
    assert frame.past_findings[0].ended_s > frame.past_findings[0].began_s


def test_counts_before_a_reset_are_not_negative(watched):
    """The evidence was `CRC errors -833 to 56 · peak per 89 s`."""
    w = watched("dgx-a100")
    answer(w.lib, 3, 33, 1, lambda t: 100 * (int(t) % 9))
    frame = w.run(50)
    [found] = [f for f in frame.findings if f.rule == "link-crc"]
    assert found.evidence["crc_flit"] >= 1000
    said = evidence(found)
    assert re.match(r"CRC errors in flits \d+00 · window \d+ s · peak 100/s · data", said), said


def test_the_severity_of_crc_errors_depends_on_their_rate(watched):
    w = watched("dgx-a100")
    w.run(3)
    answer(w.lib, 3, 33, 1, lambda t: int(t))
    found, _ = w.until("link-crc", 3)
    assert (w.index(found), found.link, found.severity) == (3, 1, "warning")
    answer(w.lib, 3, 33, 1, lambda t: 1000 * int(t))
    worse, _ = w.until("link-crc", 3, "critical")
    assert worse.evidence["peak_per_s"] >= 100
    assert rules(w.step()) == {"link-crc"}


@pytest.mark.parametrize("field_id", [206, 207, 208, 209, 210, 211, 215, 221])
def test_errors_of_nvlink_5(watched, field_id):
    w = watched("b200-four")
    w.run(3)
    answer(w.lib, 1, field_id, 4, 3)
    found, samples = w.until("link-errors-nvl5", 3)
    assert (w.index(found), found.link, found.severity, samples) == (1, 4, "warning", 1)
    assert "had 3 " in found.summary


@pytest.mark.parametrize("field_id", [212, 213, 295, 235])
def test_counters_without_a_threshold_are_ignored(watched, field_id):
    w = watched("gb200-two")
    w.run(3)
    if field_id in w.lib.fields.tables[1]:
        answer(w.lib, 1, field_id, 3, lambda t: int(t))
    assert rules(w.run(20)) == set()


def test_a_recovery_that_failed(watched):
    w = watched("b200-four")
    w.run(3)
    answer(w.lib, 1, 214, 4, 1)
    found, samples = w.until("recovery-failed", 3)
    assert (w.index(found), found.link, found.severity, samples) == (1, 4, "critical", 1)


def test_a_link_with_errors_for_many_minutes_is_chronic(watched):
    w = watched("gb200-two")
    w.run(3)
    w.step_s = ERRORS_S
    # Observed on a link that failed five days later: three recoveries in 21 minutes are not chronic.
    answer(w.lib, 0, 215, 3, lambda t: 505 + int(t // 420))
    assert "link-chronic" not in rules(w.run(1260))
    answer(w.lib, 0, 215, 3, lambda t: 508 + int((t - 1263) // 60))
    found, samples = w.until("link-chronic", 240, "warning")
    assert (found.link, found.evidence["bad_minutes_of_30"]) == (3, 16)
    assert samples * ERRORS_S > 700


def test_a_counter_at_its_maximum(watched):
    w = watched("dgx1-v100", prepare=lambda lib: answer(lib, 3, 46 + 2, None, 65535))
    found, samples = w.until("counter-saturated", 4)
    assert (w.index(found), found.link, found.severity) == (3, 2, "warning")
    assert samples == 2


def test_a_counter_that_decreases_is_a_reset_and_not_an_error(watched):
    w = watched("h100-four", prepare=lambda lib: answer(lib, 3, 161, 7, 500))
    w.run(3)
    answer(w.lib, 3, 161, 7, 0)
    found, _ = w.until("counter-reset", 3)
    assert found.severity == "info"
    assert rules(w.run(20)) == set()


@pytest.mark.parametrize(
    ("before", "after", "reported"),
    [
        ((15, 255), (2, 12), True),
        ((15, 255), (1, 12), False),
        ((15, 255), (9, 13), False),
        ((15, 255), (11, 13), True),
        ((15, 255), (15, 255), False),
    ],
)
def test_bit_error_rates(watched, before, after, reported):
    w = watched("gb200-two")
    table = w.lib.fields.tables[1]
    for ber, seconds in ((before, 2), (after, 70)):
        w.lib.fields.tables[1] = {
            **table,
            220: lambda g, link, t, b=ber: (SUCCESS, WIDE, (b[0] << 8 | b[1]) if link == 3 else 0xFFF),
        }
        frame = w.run(seconds)
    assert ("link-ber" in rules(frame)) is reported


def test_bit_error_rates_are_compared_only_when_they_differ(watched, monkeypatch):
    w = watched("gb200-two")
    w.lib.fields.tables[1] = {**w.lib.fields.tables[1], 220: lambda g, link, t: (SUCCESS, WIDE, 0xFFF)}
    compared, compare = [], GpuBer.of

    def counted(ber):
        compared.append(ber)
        return compare(ber)

    monkeypatch.setattr(GpuBer, "of", counted)
    w.run(70)
    w.lib.fields.tables[1][220] = lambda g, link, t: (SUCCESS, WIDE, (1 << 8) | 20)
    frame = w.run(70)
    # In 140 evaluations: what was read before the rates were supported, and the two rates since then.
    assert 2 <= len(compared) <= 3 * len(frame.gpus)


@pytest.mark.parametrize(
    ("rate", "summary"),
    [
        ((SUCCESS, (2 << 8) | 12), "effective BER of 7 links below 1e-12, 1 above it without traffic"),
        ((NOT_SUPPORTED, 0), "effective BER of 7 links below 1e-12"),
        ((SUCCESS, 0xFFF), "effective BER of 8 links below 1e-12"),
    ],
)
def test_bit_error_rates_that_are_not_judged_are_not_called_low(watched, rate, summary):
    w = watched("gb200-two", "idle")
    table = w.lib.fields.tables[1]
    status, packed = rate
    w.lib.fields.tables[1] = {
        **table,
        220: lambda g, link, t: (status, WIDE, packed) if link == 3 else (SUCCESS, WIDE, 0xFFF),
    }
    check = next(c for c in w.run(10).checks if c.name == "bit error rates")
    assert (check.outcome, check.detail) == ("fine", summary)


# ---- fabric, recovery, memory


def test_a_fabric_that_never_gets_ready(watched):
    w = watched("h100-two", "fabric-stuck")
    found, samples = w.until("fabric-not-ready", 3)
    assert (found.severity, samples) == ("notice", 1)
    found, samples = w.until("fabric-not-ready", 130, "critical")
    assert 118 <= samples <= 121
    assert "error 802" in found.summary
    assert "GPUs 0, 1" in found.summary


def fabric(lib, **changes):
    """Change the fabric state of GPU 3."""
    import pynvml

    types, true_fabric = lib._functions["nvmlDeviceGetGpuFabricInfoV"]

    def changed(gpu, out):
        code = true_fabric(gpu, out)
        if gpu == 3 and not code:
            info = pynvml.c_nvmlGpuFabricInfo_v3_t.from_address(out)
            for name, value in changes.items():
                setattr(info, name, value)
        return code

    lib._functions["nvmlDeviceGetGpuFabricInfoV"] = types, changed


HEALTHY_MASK = 0x51AA


@pytest.mark.parametrize(
    ("changes", "rule", "severity", "word"),
    [
        ({"status": 999}, "fabric-failed", "critical", "unknown driver error"),
        ({"healthMask": HEALTHY_MASK - 1}, "fabric-health", "critical", "degraded bandwidth"),
        ({"healthMask": HEALTHY_MASK - (1 << 2)}, "fabric-health", "warning", "recovering"),
        ({"healthMask": HEALTHY_MASK - (1 << 4)}, "fabric-health", "critical", "unhealthy route"),
        ({"healthMask": HEALTHY_MASK - (1 << 6)}, "fabric-health", "warning", "access timeout"),
        ({"healthMask": HEALTHY_MASK + (4 << 8)}, "fabric-health", "critical", "too few NVLinks"),
        ({"healthMask": HEALTHY_MASK + (1 << 14)}, "fabric-health", "critical", "fabric manager"),
        ({"healthSummary": 2}, "fabric-health", "critical", "unhealthy"),
        ({"healthSummary": 3}, "fabric-health", "warning", "limited-capacity"),
    ],
)
def test_states_of_the_fabric(watched, changes, rule, severity, word):
    w = watched("b200-four", prepare=lambda lib: fabric(lib, **changes))
    found, samples = w.until(rule, 2)
    assert (w.index(found), found.severity, samples) == (3, severity, 1)
    assert word in found.summary
    frame = w.step()
    assert rules(frame) == {rule}
    assert "fabric ok" not in nvlink_line(frame)


@pytest.mark.parametrize("mask", [HEALTHY_MASK, 0x1AA, 0, 0x2])
def test_healthy_masks(watched, mask):
    w = watched("b200-four", prepare=lambda lib: fabric(lib, healthMask=mask))
    assert rules(w.run(3)) == set()


@pytest.mark.parametrize(
    ("action", "severity"),
    [(1, "critical"), (2, "critical"), (3, "warning"), (4, "critical"), (7, "critical"), (9, "critical")],
)
def test_recovery_actions_that_the_driver_requests(watched, action, severity):
    w = watched("h100-four", prepare=lambda lib: answer(lib, 3, 230, None, action))
    found, samples = w.until("recovery-action", 2)
    assert (w.index(found), found.severity, samples) == (3, severity, 1)
    assert found.next_step
    assert ("number 9" in found.summary) is (action == 9)


@pytest.mark.parametrize(
    ("rows", "severity"),
    [
        ((0, 0, 1, 0), "warning"),
        ((0, 0, 0, 1), "critical"),
        ((0, 512, 0, 0), "critical"),
        ((900, 511, 0, 0), None),
    ],
)
def test_memory_repairs(watched, rows, severity):
    from ctypes import c_uint

    def remapped(gpu, *outs):
        for out, value in zip(outs, rows if gpu == 3 else (0, 0, 0, 0), strict=True):
            c_uint.from_address(out).value = value
        return SUCCESS

    def prepare(lib):
        types, _ = lib._functions["nvmlDeviceGetRemappedRows"]
        lib._functions["nvmlDeviceGetRemappedRows"] = types, remapped

    w = watched("h100-four", prepare=prepare)
    if severity is None:
        assert rules(w.run(3)) == set()
    else:
        found, _ = w.until("remap", 2)
        assert (w.index(found), found.severity) == (3, severity)


# ---- P2P


def test_no_pair_may_use_nvlink(watched):
    w = watched("h100-four", "p2p-dead")
    found, samples = w.until("p2p-dead", 2)
    assert (found.severity, samples) == ("critical", 1)
    assert "are up, but no GPU pair may use them (P2P status NS)" in found.summary


def test_a_single_pair_without_nvlink_is_not_a_finding(watched):
    w = watched("h100-four")
    first, *rest = w.bench.inventory.pairs
    w.inventory(pairs=(replace(first, p2p_nvlink="CNS"), *rest))
    assert rules(w.run(4)) == set()


def test_traffic_over_pcie_although_nvlink_is_available(watched):
    w = watched("h100-four", "p2p-fallback")
    found, samples = w.until("p2p-fallback", 45)
    assert (found.severity, found.confidence) == ("warning", "likely")
    assert 30 <= samples <= 35
    assert "although NVLink is available" in found.summary


def test_little_pcie_traffic_is_not_a_fallback(watched):
    assert rules(watched("h100-four", "idle").run(40)) == set()


# ---- XIDs


def test_the_gpu_with_the_first_fault_is_named(watched):
    w = watched("hgx-b200")
    w.run(2)
    w.xid(3, 149)
    for gpu in (0, 1, 2, 4, 5, 6, 7):
        w.xid(gpu, 145)
    frame = w.step()
    reported = {w.index(f): f for f in frame.findings if f.rule == "xid-nvlink"}
    assert set(reported) == set(range(8))
    assert "7 peers reported 145, so GPU 3 is the possible source" in reported[3].summary
    assert reported[3].confidence == "possible"
    assert "echoes the fault of GPU 3" in reported[0].summary


def test_no_gpu_is_named_if_all_report_the_same(watched):
    w = watched("dgx-h100")
    w.run(2)
    for gpu in range(8):
        w.xid(gpu, 74)
    frame = w.step()
    assert not any("likely" in f.summary for f in frame.findings)
    assert {f.severity for f in frame.findings} == {"critical"}


@pytest.mark.parametrize(
    ("code", "rule", "severity"),
    [
        (74, "xid-nvlink", "critical"),
        (149, "xid-nvlink", "critical"),
        (136, "xid-nvlink", "critical"),
        (137, "xid-nvlink", "info"),
        (48, "xid-gpu", "critical"),
        (64, "xid-gpu", "critical"),
        (79, "xid-gpu", "critical"),
        (119, "xid-gpu", "critical"),
        (94, "xid-gpu", "warning"),
        (13, "xid-gpu", "info"),
        (43, "xid-gpu", "info"),
        (63, "xid-gpu", "info"),
        (165, "xid-gpu", "notice"),
        (999, "xid-gpu", "notice"),
        (4711, "xid-gpu", "notice"),
    ],
)
def test_xids_by_catalog(watched, code, rule, severity):
    w = watched("h100-four")
    w.run(2)
    w.xid(3, code)
    found, samples = w.until(rule, 2)
    assert (w.index(found), found.severity, samples) == (3, severity, 1)
    assert found.next_step
    assert ("Xid 999" in found.summary) is False


def test_the_absence_of_xids_is_stated_only_for_the_time_of_listening(watched):
    w = watched("h100-four")
    checks = {c.name: c for c in w.run(2).checks}
    assert checks["Xids"].outcome == "fine"
    assert checks["Xids"].detail.startswith("no Xid in the 2.0s since nvltop started; ")


# ---- GPUs


def test_a_lost_gpu(watched):
    w = watched("h100-four")
    w.run(3)
    w.lib.machine.faults = replace(w.lib.machine.faults, scenario="gpu-lost")
    w.run(6)
    found, _ = w.until("gpu-lost", 2)
    assert (w.index(found), found.severity) == (3, "critical")


def test_a_gpu_on_the_pci_bus_that_nvml_does_not_list(watched):
    w = watched("h100-four")
    shown = tuple(g.pci_bus_id for g in w.bench.inventory.gpus)
    w.inventory(pci_gpus=shown, container=False)
    assert rules(w.run(3)) == set()
    w.inventory(pci_gpus=(*shown, "0000:f0:00.0"))
    w.step()
    w.inventory(pci_gpus=(*shown, "0000:f0:00.0"))
    found, _ = w.until("gpu-lost", 2)
    assert "0000:f0:00.0" in found.summary


@pytest.mark.parametrize(
    ("module", "container", "reported"), [(3, False, True), (8, False, False), (3, True, False)]
)
def test_a_missing_module_number(watched, module, container, reported):
    w = watched("hgx-b300")
    left = tuple(g for g in w.bench.inventory.gpus if g.module_id != module)
    w.begin(gpus=left, container=container)
    assert ("gpu-lost" in rules(w.run(4))) is reported


@pytest.mark.parametrize("code", [999, NO_PERMISSION])
def test_a_container_that_lost_its_gpus(watched, code):
    from nvltop.nvml.simulated import Fault

    w = watched("h100-four")
    w.inventory(container=True)
    w.run(3)
    for name in list(w.lib._functions):
        if name.startswith("nvmlDevice"):
            w.lib.faults[name] = Fault(code)
    found, samples = w.until("container-lost", 5)
    assert (found.severity, samples) == ("critical", 2)
    assert "daemon-reload" in found.summary


def test_a_gpu_that_is_too_hot(watched):
    w = watched("h100-four")
    w.run(3)
    w.lib.machine.faults = replace(w.lib.machine.faults, scenario="throttled")
    found, samples = w.until("throttled", 30)
    assert (w.index(found), found.severity) == (3, "warning")
    assert 16 <= samples <= 19  # the fault begins at 10 s and is reported 10 s later


def test_a_short_slowdown_is_not_reported(watched):
    w = watched("h100-four")
    w.run(11)
    w.lib.machine.faults = replace(w.lib.machine.faults, scenario="throttled")
    w.run(8)
    w.lib.machine.faults = replace(w.lib.machine.faults, scenario="training")
    assert rules(w.run(10)) == set()


def width(lib, lanes):
    from ctypes import c_uint

    types, _ = lib._functions["nvmlDeviceGetCurrPcieLinkWidth"]

    def answer(gpu, out):
        c_uint.from_address(out).value = lanes if gpu == 2 else 16
        return SUCCESS

    lib._functions["nvmlDeviceGetCurrPcieLinkWidth"] = types, answer


def test_a_narrow_pcie_link_under_load(watched):
    w = watched("h100-four", prepare=lambda lib: width(lib, 8))
    found, samples = w.until("pcie-degraded", 40)
    assert (w.index(found), found.severity) == (2, "warning")
    assert samples == 3
    assert "x8 instead of x16" in found.summary
    assert "Reseat" not in found.next_step, "a module has no slot"


def test_a_narrow_pcie_link_where_pcie_has_no_meaning(watched):
    w = watched("gh200", prepare=lambda lib: width(lib, 8))
    assert "pcie-degraded" not in rules(w.run(8))


# ---- reading


def test_a_driver_that_does_not_answer(watched):
    w = watched("h100-four")
    w.run(3)
    wall = w.wall
    for second in range(1, 8):
        w.bench.clock.now += 1.0
        tick = Tick(
            w.bench.clock.now,
            wall + second,
            1.0,
            "stuck",
            (Call("links", "nvmlDeviceGetFieldValues", 3, 1004.0),),
        )
        w.bench.monitor.update(tick)
        found = w.bench.monitor.frame().findings
        assert ("driver-stuck" in {f.rule for f in found}) is (second > 5)
    assert "has not answered for" in found[0].summary
    assert "nvmlDeviceGetFieldValues" in found[0].summary


def test_the_oldest_call_counts_if_several_threads_wait_for_a_gpu(watched):
    w = watched("h100-four")
    w.run(3)
    begun_s, behind_s = w.bench.clock.now, w.wall - w.bench.clock.now
    begins = {"Utilization": 2.0, "FieldValues": 0.0, "MemoryInfo": 1.0}
    calls = tuple([Call("thread", f"nvmlDeviceGet{name}", 3, begun_s + s) for name, s in begins.items()])
    for _ in range(8):
        w.bench.clock.now = now = w.bench.clock.now + 1.0
        for reading in [r for reader in w.bench.readers for r in reader.read_counters()]:
            w.bench.monitor.update(reading)
        w.bench.monitor.update(Tick(now, now + behind_s, 1.0, "stuck", calls))
        found = w.bench.monitor.frame().findings
    [finding] = [f for f in found if f.rule == "driver-stuck"]
    assert finding.headline == "GPU 3: driver not answering for 8.0s"
    assert "nvmlDeviceGetFieldValues" in finding.summary


def test_slow_reading_is_a_notice(watched):
    w = watched("h100-four")
    for sweep_s, reported in ((0.02, False), (0.3, True)):
        cost = Cost(100.0, 0.1, 1.2, sweep_s)
        for _ in range(13):
            now = w.bench.clock.now
            w.bench.monitor.update(Reading(None, now, now, w.wall, cost))
            frame = w.step()
        severities = {f.severity for f in frame.findings if f.rule == "monitor-slow"}
        assert severities == ({"notice"} if reported else set())


@pytest.mark.parametrize(("interval_s", "end"), [(0.25, "all GPUs"), (2.0, "so nvltop refreshes every 2 s")])
def test_a_slow_driver_lengthens_the_interval_only_if_it_must(watched, interval_s, end):
    """It said `so nvltop refreshes every 0.25 s` where that was asked for."""
    w = watched("h100-four")
    for _ in range(13):
        now = w.bench.clock.now
        w.bench.monitor.update(Reading(None, now, now, w.wall, Cost(100.0, 0.1, interval_s, 0.3)))
        frame = w.step()
    [found] = [f for f in frame.findings if f.rule == "monitor-slow"]
    assert found.summary.endswith(end)


def test_a_gpu_that_answers_slowly_is_named(watched):
    """Only the header's interval showed it: the others were read in time."""
    w = watched("h100-four")
    for _ in range(13):
        now = w.bench.clock.now
        cost = Cost(100.0, 1.2, 1.0, 0.005, other_intervals=(GpuInterval(2, 4.8),))
        w.bench.monitor.update(Reading(None, now, now, w.wall, cost))
        frame = w.step()
    [found] = [f for f in frame.findings if f.rule == "monitor-slow"]
    assert (w.index(found), found.severity) == (2, "notice")
    assert found.summary == (
        "The driver answers slowly for GPU 2, so its link counters are read every 4.8 s,"
        " those of the other GPUs every 1 s"
    )
    [check] = [c for c in frame.checks if c.name == "driver answers"]
    assert check.outcome == "problem"


@pytest.mark.parametrize(("share", "end"), [(0.0009, "take 0.09% of the time"), (6.2, "6.2 threads wait")])
def test_time_in_the_driver_is_not_above_100_percent(watched, share, end):
    w = watched("h100-four")
    now = w.bench.clock.now
    w.bench.monitor.update(Reading(None, now, now, w.wall, Cost(236.0, share, 1.0, 0.005)))
    [check] = [c for c in w.step().checks if c.name == "driver answers"]
    assert end in check.detail


@pytest.mark.parametrize("code", [NO_PERMISSION, NOT_SUPPORTED])
def test_counters_that_cannot_be_read_are_unknown_not_fine(watched, code):
    def refuse(lib):
        for table in lib.fields.tables:
            for field_id in (138, 139, 140, 141):
                table[field_id] = lambda g, s, t: (code, 0, 0)

    w = watched("h100-four", prepare=refuse)
    found, _ = w.until("no-read", 4)
    assert found.severity == "unknown"
    assert "link health is unknown" in found.summary
    assert {c.outcome for c in w.step().checks if c.name == "can be read"} == {"unknown"}


def test_a_gpu_whose_counters_were_never_read_is_not_called_readable(watched):
    w = watched("h100-four")
    w.bench.feed([r for g in w.bench.readers for r in (*g.read_gauges(), *g.read_states())])
    w.bench.clock.now += 20.0
    check = next(c for c in w.bench.frame().checks if c.name == "can be read")
    assert check.outcome == "unknown"
    assert check.detail.endswith(": link counters not read yet")


def test_a_gpu_whose_traffic_is_not_shown_is_not_called_readable(watched):
    w = watched("dgx-h100")
    w.run(3)
    said = {}
    for second in range(12):
        w.bench.clock.now += 1.0
        hangs = 2 <= second < 10
        w.bench.feed(
            [r for i, g in enumerate(w.bench.readers) if i != 4 or not hangs for r in g.read_counters()]
        )
        frame = w.bench.frame()
        said[second] = next(c for c in frame.checks if c.name == "can be read")
        shown = known(frame.gpus[4].nvlink.tx_bytes_per_s) and not frame.gpus[4].stale
        assert (said[second].outcome == "fine") is shown, second
    assert said[5].outcome == "fine", "a pause of 4 s is none to speak of"
    assert said[8].detail == "GPU 4: link counters not read for 7.0s"
    assert said[10].detail == "GPU 4: no reading for too long before this one"
    assert said[11].outcome == "fine"


def test_the_rules_are_evaluated_as_soon_as_rates_appear_or_disappear(watched):
    """Otherwise the check would contradict the rows beside it for up to a second."""
    w = watched("dgx-h100")
    w.run(3)
    w.bench.interval_s = 0.25
    seen = set()
    for sample in range(20):
        w.bench.clock.now += 6.0 if sample == 10 else 0.25
        frame = w.bench.poll(GpuReader.read_counters)
        readable = next(c for c in frame.checks if c.name == "can be read")
        seen.add(readable.outcome)
        assert (readable.outcome == "fine") is known(frame.gpus[4].nvlink.tx_bytes_per_s)
    assert seen == {"fine", "unknown"}


def test_links_at_their_limit(watched):
    w = watched("h100-four", "saturated")
    found, samples = w.until("saturated", 60)
    assert found.severity == "info"
    assert 30 <= samples <= 45


def test_bursts_near_the_limit_are_saturated_unless_computing_hides_them(watched):
    assert "saturated" in {f.rule for f in watched("h100-four").run(50).findings}
    assert "saturated" not in {f.rule for f in watched("h100-four", "overlapped").run(50).findings}


def test_a_driver_that_is_replaced_while_nvltop_runs(watched):
    w = watched("h100-four")
    w.run(3)
    problem = Problem("version-mismatch", "library and kernel module are different versions", "reboot")
    w.inventory(gpus=(), pairs=(), problem=problem)
    found, samples = w.until("lib-mismatch", 2)
    assert (found.severity, found.next_step, samples) == ("critical", "reboot", 1)


# ---- load


def spin(machine):
    """Make all GPUs fully utilized at low power and without traffic."""
    machine._tx = dict.fromkeys(machine._tx, Constant())
    machine.utilization = lambda gpu, t: 1.0
    machine.power_w = lambda gpu, t: 120.0
    machine.pcie = lambda gpu, way: Constant(1e5)


def test_gpus_that_wait_for_each_other(watched):
    w = watched("hgx-h100-4", prepare=lambda lib: spin(lib.machine))
    found, samples = w.until("stuck-collective", 90)
    assert (found.severity, found.confidence) == ("warning", "likely")
    assert 60 <= samples <= 75
    assert "GPUs 0-3 spin at full utilization without traffic" in found.summary


@pytest.mark.parametrize("changed", ["power", "load", "pcie"])
def test_gpus_that_compute_or_communicate_are_not_stuck(watched, changed):
    def prepare(lib):
        spin(lib.machine)
        if changed == "power":
            lib.machine.power_w = lambda gpu, t: 500.0
        elif changed == "load":
            lib.machine.utilization = lambda gpu, t: 0.6
        else:
            lib.machine.pcie = lambda gpu, way: Constant(20e9)

    assert "stuck-collective" not in rules(watched("hgx-h100-4", prepare=prepare).run(80))


@pytest.mark.parametrize(("power", "util"), [(76.0, 0.0), (400.0, 1.0)])
def test_the_gpu_that_the_others_wait_for_is_named(watched, power, util):
    def prepare(lib):
        spin(lib.machine)
        lib.machine.power_w = lambda gpu, t: power if gpu == 2 else 120.0
        lib.machine.utilization = lambda gpu, t: util if gpu == 2 else 1.0

    w = watched("h100-four", prepare=prepare)
    found, _ = w.until("stuck-collective", 75)
    assert "GPUs 0, 1, 3 spin at full" in found.summary
    assert f"GPU 2 is different: {100 * util:.0f} % busy at {power:.0f} W" in found.summary
    assert found.evidence["different"] == 2


def lag(machine, share, power):
    """Make GPU 2 move and draw only a share of what the others do."""
    for (gpu, link), _flow in list(machine._tx.items()):
        machine._tx[gpu, link] = Constant((share if gpu == 2 else 1.0) * 8e9)
    true_rx = machine.flow
    machine.flow = lambda g, k, way: machine._tx[g, k] if way == "rx" else true_rx(g, k, way)
    machine.power_w = lambda gpu, t: power if gpu == 2 else 600.0


def test_one_rank_behind_the_others(watched):
    w = watched("hgx-h100-4", prepare=lambda lib: lag(lib.machine, 0.3, 200.0))
    found, samples = w.until("straggler", 90)
    assert (w.index(found), found.severity, found.confidence) == (2, "notice", "possible")
    assert 60 <= samples <= 80
    assert "moves 30% of what the others do, at less than half their power" in found.summary


def test_one_rank_at_a_lower_clock(watched):
    w = watched("h100-four", "straggler")
    found, samples = w.until("straggler", 90)
    assert w.index(found) == 3
    assert 60 <= samples <= 80
    assert "runs at 1240 MHz, the others at 1755 MHz" in found.summary
    assert rules(w.step()) == {"straggler"}


@pytest.mark.parametrize(("share", "power"), [(0.7, 200.0), (0.3, 400.0)])
def test_a_rank_slightly_behind_or_under_load_is_not_a_straggler(watched, share, power):
    w = watched("hgx-h100-4", prepare=lambda lib: lag(lib.machine, share, power))
    assert "straggler" not in rules(w.run(80))


def four_a_second(w, seconds):
    """Read the counters often enough to see steps of two seconds."""
    w.bench.interval_s = 0.25
    for _ in range(seconds):
        for _ in range(3):
            w.bench.clock.now += 0.25
            w.bench.poll(GpuReader.read_counters)
        w.bench.clock.now += 0.25
        frame = w.bench.poll()
    return frame


def test_a_job_that_hangs(watched):
    w = watched("hgx-a100-4", "hang")
    assert rules(four_a_second(w, 58)) == set()
    frame = four_a_second(w, 6)
    (found,) = [f for f in frame.findings if f.rule == "heartbeat-stopped"]
    assert (found.severity, found.confidence) == ("notice", "likely")
    assert "GPUs 0-3 has had no NVLink traffic for 3" in found.summary
    assert found.evidence["step_s"] == pytest.approx(2.0, abs=0.01)
    said = found.headline.partition(" (")[0]
    assert frame.verdict.headline.startswith(said)
    assert said in frame.verdict.summary
    found, _ = w.until("stuck-collective", 45)
    assert found.evidence["different"] == 3


def test_ranks_without_a_common_launcher_hang_together(watched):
    w = watched("hgx-a100-4", "hang")
    ranks = [
        Process(
            i, (GpuUse(g.uuid, "compute"),), "python3", "ada", ancestors=(Ancestor(9, "bash"),), session=9
        )
        for i, g in enumerate(w.bench.inventory.gpus, 100)
    ]
    now = w.bench.clock.now
    w.bench.monitor.update(Reading(None, now, now, w.wall, Processes(tuple(ranks))))
    stopped = [f for f in four_a_second(w, 64).findings if f.rule == "heartbeat-stopped"]
    assert ["GPUs 0-3 has had no NVLink traffic" in f.summary for f in stopped] == [True]  # one, not four
    found, _ = w.until("stuck-collective", 150)
    assert found.evidence["different"] == 3
    (job,) = w.bench.frame().jobs
    assert (job.label, job.pids, job.exact) == ("python3 100", (100, 101, 102, 103), True)


@pytest.mark.parametrize("ended", [True, False])
def test_a_pause_or_the_end_of_a_job_is_not_a_stop(watched, ended):
    w = watched("hgx-a100-4")
    four_a_second(w, 32)
    flows = dict(w.lib.machine._tx)
    now = w.lib.t
    w.lib.machine._tx = {at: Stopped(flow, now) for at, flow in flows.items()}
    if ended:
        w.lib.machine.workload = Workload("idle", 0)
        w.lib.machine.busy = False
    for _ in range(10 if ended else 3):
        assert "heartbeat-stopped" not in rules(four_a_second(w, 8))
    if not ended:
        w.lib.machine._tx = flows
        assert "heartbeat-stopped" not in rules(four_a_second(w, 12))


def uneven(share):
    """Make link 2 of GPU 1 carry only a share of its traffic."""

    def prepare(lib):
        machine = lib.machine
        for gpu, link in machine._tx:
            machine._tx[gpu, link] = Constant((share if (gpu, link) == (1, 2) else 1.0) * 5e9)

    return prepare


@pytest.mark.parametrize("node", ["h100-four", "hgx-a100-4"])
def test_a_link_that_carries_much_less_than_the_others(watched, node):
    w = watched(node, prepare=uneven(0.3))
    found, samples = w.until("link-imbalance", 90)
    assert 45 <= samples <= 80
    assert re.search(r" GB/s each \(mean of \d+ s\)$", found.summary)
    assert re.match(r"direction \w+ · rate [\d.]+ GB/s · usual [\d.]+ GB/s · window", evidence(found))
    assert found.severity == "notice"
    reported = {(w.index(f), f.link) for f in w.step().findings if f.rule == "link-imbalance"}
    assert (1, 2) in reported
    assert len(reported) == 2  # the other end, or a link behind the switch, receives as little


def slow_planes(share, *slow):
    """Make the links to some NVSwitches carry only a share of their traffic, on every GPU."""

    def prepare(lib):
        machine = lib.machine
        for gpu, link in machine._tx:
            is_slow = machine.node.links[gpu][link].device in slow
            machine._tx[gpu, link] = Constant((share if is_slow else 1.0) * 5e9)

    return prepare


@pytest.mark.parametrize(
    ("node", "link", "links", "says"),
    [
        ("gb200-tray", 9, [9], "Link 9 of GPUs 0-3 carries 40% of the usual: the NVSwitch behind it lags"),
        (
            "h100-four",
            None,
            [1, 5, 9, 13, 17],
            "Links 1,5,9,13,17 of GPUs 0-3 carry 40% of the usual: NVSwitch 00000000:",
        ),
    ],
)
def test_a_slow_nvswitch_is_one_finding(watched, node, link, links, says):
    w = watched(node, prepare=slow_planes(0.4, 9 if link == 9 else 1))
    found, samples = w.until("switch-plane", 90)
    assert 45 <= samples <= 80
    assert (found.severity, found.gpu, found.link, found.evidence["links"]) == ("notice", None, link, links)
    assert found.summary.startswith(says)
    assert found.evidence["gpus"] == list(range(len(w.bench.inventory.gpus)))
    assert "link-imbalance" not in rules(w.run(20))


def test_a_link_that_is_slow_beside_a_slow_nvswitch_is_a_finding_of_its_own(watched):
    def prepare(lib):
        slow_planes(0.4, 9)(lib)
        lib.machine._tx[1, 2] = Constant(0.2 * 5e9)

    w = watched("gb200-tray", prepare=prepare)
    w.until("switch-plane", 90)
    reported = {(f.rule, w.index(f) if f.gpu else None, f.link) for f in w.step().findings}
    assert {r for r in reported if r[0] in ("switch-plane", "link-imbalance")} == {
        ("switch-plane", None, 9),
        ("link-imbalance", 1, 2),
        ("link-imbalance", 0, 2),  # receives what GPU 1 sends
    }


def test_an_nvswitch_that_is_slow_for_half_of_the_gpus_is_not_a_plane(watched):
    def prepare(lib):
        for gpu, link in lib.machine._tx:
            is_slow = gpu < 4 and lib.machine.node.links[gpu][link].device == 1
            lib.machine._tx[gpu, link] = Constant((0.4 if is_slow else 1.0) * 5e9)

    reported = rules(watched("dgx-h100", prepare=prepare).run(90))
    assert "link-imbalance" in reported
    assert "switch-plane" not in reported


def test_a_link_that_carries_slightly_less_is_ignored(watched):
    assert "link-imbalance" not in rules(watched("hgx-a100-4", prepare=uneven(0.7)).run(90))


def test_a_job_that_uses_half_of_the_links_is_ignored(watched):
    def halves(lib):
        for gpu, link in lib.machine._tx:
            lib.machine._tx[gpu, link] = Constant((0.2 if link % 2 else 1.0) * 5e9)

    assert "link-imbalance" not in rules(watched("hgx-a100-4", prepare=halves).run(90))
