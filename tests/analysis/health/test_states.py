"""States of a GPU, its slot, its fabric and its lifetime counters: the right finding, and near misses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.model import Missing, NicPorts, Reading, known
from nvltop.nvml.inventory import unopened_gpu
from nvltop.nvml.simulated import Fault

from .test_down_links import roots
from .test_fires import HEALTHY_MASK, answer, fabric, rules, width

DAYS = 3 * 86400.0


# ---- fabric


def test_a_fabric_that_is_not_ready_on_a_machine_up_for_days_is_critical_at_once(watched):
    w = watched("b200-four", "fabric-stuck")
    w.inventory(booted_s=w.wall - DAYS)
    (found,) = roots(w.step())
    assert (found.rule, found.severity) == ("fabric-not-ready", "critical")
    assert "at least 3d" in found.summary
    assert "since boot" in found.summary
    assert "ib_umad" in found.next_step
    (check,) = [c for c in w.step().checks if c.name == "P2P over NVLink"]
    assert check.outcome == "unknown"


def test_the_driver_may_have_been_loaded_long_after_the_boot(watched):
    w = watched("h100-four", "fabric-stuck")
    w.inventory(booted_s=w.wall - DAYS, driver_loaded_s=w.wall - 20)
    frame = w.step()
    assert [f.severity for f in roots(frame)] == ["notice"]
    (pending,) = frame.pending
    assert pending.finding.severity == "critical"
    assert 90 <= pending.wait_s <= 100
    _, samples = w.until("fabric-not-ready", 110, "critical")
    assert 95 <= samples <= 101
    assert "since the driver was loaded" in roots(w.step())[0].summary


def test_a_fabric_that_is_not_ready_hides_what_cannot_be_checked(watched):
    w = watched("b200-four", "fabric-stuck")
    w.inventory(booted_s=w.wall - DAYS)
    w.inventory(pairs=tuple(replace(p, p2p_nvlink="NS") for p in w.bench.inventory.pairs))
    assert {f.rule for f in roots(w.run(3))} == {"fabric-not-ready"}


def test_one_gpu_that_waits_while_others_are_ready_lacks_its_partition(watched):
    w = watched("b200-four", prepare=lambda lib: fabric(lib, state=2))
    w.inventory(booted_s=w.wall - DAYS)
    (found,) = roots(w.step())
    assert (w.index(found), found.severity) == (3, "critical")
    assert "partition is probably not activated" in found.summary
    assert found.headline == "GPU 3: fabric not ready, CUDA error 802"


def test_the_health_mask_says_that_a_gpu_is_in_no_partition(watched):
    w = watched("b200-four", prepare=lambda lib: fabric(lib, state=2, healthMask=HEALTHY_MASK + (1 << 12)))
    w.inventory(booted_s=w.wall - DAYS)
    (found,) = roots(w.step())
    assert "GPU 3 is in no partition" in found.summary


def test_in_a_virtual_machine_the_next_step_refers_to_the_host(watched):
    w = watched("hgx-h100-vm", "fabric-stuck")
    w.inventory(booted_s=w.wall - DAYS)
    (found,) = roots(w.step())
    assert "host" in found.next_step
    assert "systemctl" not in found.next_step


def test_ports_in_init_point_at_the_subnet_manager(watched):
    w = watched("hgx-b200", "fabric-stuck")
    w.inventory(booted_s=w.wall - DAYS)
    honest = w.bench.read_nics

    def read() -> Reading:
        reading = honest()
        ports = [replace(p, state="init") if i < 2 else p for i, p in enumerate(reading.data.ports)]
        return replace(reading, data=NicPorts(tuple(ports)))

    w.bench.read_nics = read
    w.step()
    (found,) = [f for f in w.step().findings if f.rule == "fabric-not-ready"]
    assert "INIT" in found.summary
    assert "NVLSM" in found.summary


def without_fabric(lib):
    lib._functions["nvmlDeviceGetGpuFabricInfoV"] = (
        lib._functions["nvmlDeviceGetGpuFabricInfoV"][0],
        (lambda gpu, out: 3),
    )


@pytest.mark.parametrize(
    ("node", "outside"), [("gb200-tray", True), ("gb300-tray", True), ("hgx-b200", False), ("gh200", False)]
)
def test_gpus_of_a_rack_without_a_fabric_are_outside_its_domain(watched, node, outside):
    w = watched(node, prepare=without_fabric)
    found = roots(w.run(3))
    assert [(f.rule, f.severity) for f in found] == ([("outside-domain", "notice")] if outside else [])


# ---- GPUs that do not start


def unopened(w, *indices, why="unknown driver error"):
    gpus = [unopened_gpu(g.index, Missing(why)) if g.index in indices else g for g in w.bench.inventory.gpus]
    w.begin(gpus=tuple(gpus))


def test_gpus_that_the_driver_counts_and_does_not_open_are_one_critical_finding(watched):
    w = watched("dgx-h100")
    unopened(w, 4, 5, 6, 7)
    frame = w.run(2)
    (found,) = roots(frame)
    assert (found.rule, found.severity) == ("gpu-not-opened", "critical")
    assert found.headline == "GPUs 4-7 do not start (4 of 8 work)"
    assert "RmInitAdapter" in found.next_step
    assert "/dev" not in found.next_step
    from nvltop.report.tables import unknowns

    lines = unknowns(frame, frame.gpus).splitlines()
    assert [line for line in lines if "4, 5, 6, 7" in line] == [
        "  everything: unknown driver error (GPU 4, 5, 6, 7)"
    ]
    assert not any("GPU4" in line for line in lines)


@pytest.mark.parametrize(
    ("indices", "why"), [((4,), "no permission"), (tuple(range(8)), "unknown driver error")]
)
def test_missing_permission_or_a_broken_driver_is_unknown(watched, indices, why):
    w = watched("dgx-h100")
    unopened(w, *indices, why=why)
    assert {f.severity for f in roots(w.run(2))} == {"unknown"}


# ---- PCIe


def slot(w, **limits):
    w.inventory(gpu_locations=tuple(replace(p, **limits) for p in w.bench.inventory.gpu_locations))


@pytest.mark.parametrize("scenario", ["training", "idle"])
def test_a_card_in_a_slot_with_fewer_lanes_is_fine_and_mentioned(watched, scenario):
    w = watched("rtx3090-pair", scenario, prepare=lambda lib: narrow(lib, 8))
    slot(w, port_width=8)
    frame = w.run(5)
    assert "pcie-degraded" not in rules(frame)
    (check,) = [c for c in frame.checks if c.name == "PCIe links"]
    assert "GPU 0 at x8, which is all its slot has" in check.detail


@pytest.mark.parametrize("scenario", ["training", "idle"])
def test_a_card_with_fewer_lanes_than_its_slot_is_degraded_in_any_p_state(watched, scenario):
    w = watched("rtx3090-pair", scenario, prepare=lambda lib: narrow(lib, 4))
    slot(w, port_width=8)
    found, samples = w.until("pcie-degraded", 4)
    assert (found.severity, samples) == ("warning", 3)
    assert found.headline == "GPU 0 PCIe x4 instead of x8"
    assert "Reseat" in found.next_step


def test_where_the_slot_is_unknown_fewer_lanes_are_a_notice(watched):
    w = watched("rtx3090-pair", prepare=lambda lib: narrow(lib, 8))
    slot(w, port_width=Missing("not there"))
    found, _ = w.until("pcie-degraded", 4)
    assert (found.severity, found.confidence) == ("notice", "possible")
    assert "slot's own limit cannot be read" in found.summary


def narrow(lib, lanes):
    width(lib, lanes)
    types, _ = lib._functions["nvmlDeviceGetCurrPcieLinkWidth"]
    from ctypes import c_uint

    from nvltop.nvml.simulated.abi import put

    lib._functions["nvmlDeviceGetCurrPcieLinkWidth"] = (
        types,
        lambda gpu, out: put(c_uint, out, lanes if gpu == 0 else 16),
    )


def generation(lib, gen, pstate=0):
    from ctypes import c_uint

    from nvltop.nvml.simulated.abi import put

    for name, value in (
        ("nvmlDeviceGetCurrPcieLinkGeneration", gen),
        ("nvmlDeviceGetPerformanceState", pstate),
    ):
        types, true = lib._functions[name]
        lib._functions[name] = (
            types,
            (
                lambda gpu, out, value=value, true=true: (
                    put(c_uint, out, value) if gpu == 0 else true(gpu, out)
                )
            ),
        )


@pytest.mark.parametrize(
    ("pstate", "scenario", "limit", "found"),
    [
        (0, "training", 4, True),
        (2, "training", 4, True),
        (2, "training", 1, False),
        (5, "training", 4, False),
        (2, "idle", 4, False),
    ],
)
def test_the_generation_is_checked_under_load_in_the_p_states_of_compute(
    watched, pstate, scenario, limit, found
):
    w = watched("rtx3090-pair", scenario, prepare=lambda lib: generation(lib, 1, pstate))
    slot(w, port_gen=limit)
    frame = w.run(10)
    assert ("pcie-degraded" in rules(frame)) is found
    if found:
        (f,) = [f for f in frame.findings if f.rule == "pcie-degraded"]
        assert f.headline == "GPU 0 PCIe gen1 instead of gen4 under load"


# ---- lifetime counters


def lifetime(counts):
    def prepare(lib):
        lib.machine.errors = lambda gpu, link, kind, t: counts(gpu, link)

    return prepare


@pytest.mark.parametrize("node", ["dgx-h100", "dgx1-v100", "dgx-a100"])
def test_an_unusual_lifetime_count_is_a_notice(watched, node):
    w = watched(node, prepare=lifetime(lambda gpu, link: 505 if (gpu, link) == (2, 1) else 0))
    w.inventory(booted_s=w.wall - DAYS)
    (found,) = roots(w.run(3))
    assert (found.rule, found.severity, w.index(found), found.link) == ("link-outlier", "notice", 2, 1)
    assert "505" in found.headline
    assert "in the 3d since boot" in found.summary
    assert "other links 0" in found.summary


def test_an_unusual_lifetime_count_is_that_of_the_tab_errors(watched):
    w = watched(prepare=lifetime(lambda gpu, link: 505 if (gpu, link) == (2, 1) else 0))
    w.run(3)
    lifetime(lambda gpu, link: 510 if (gpu, link) == (2, 1) else 0)(w.lib)
    (found,) = [f for f in w.run(3).findings if f.rule == "link-outlier"]
    assert "510" in found.headline
    assert "510" in found.summary
    assert "5 of them while nvltop watched" in found.summary


def test_an_unusual_count_of_nvlink_5_recoveries_is_a_notice(watched):
    w = watched("gb200-tray", prepare=lambda lib: answer(lib, 0, 213, 1, 505))
    (found,) = roots(w.run(3))
    assert (found.rule, found.link) == ("link-outlier", 1)


@pytest.mark.parametrize(
    "counts",
    [
        lambda gpu, link: 505,
        lambda gpu, link: 7 * link + 400,
        lambda gpu, link: 30 * (link == 1),
        lambda gpu, link: 505 if link == 1 else 100,
        lambda gpu, link: 505 * (gpu == 1),
        lambda gpu, link: 65535 * (link == 1),
    ],
    ids=["all", "most", "few errors", "a few times", "a whole GPU", "full counters"],
)
def test_lifetime_counts_that_are_not_unusual(watched, counts):
    w = watched("dgx1-v100", prepare=lifetime(counts))
    assert "link-outlier" not in rules(w.run(3))


def test_a_rising_count_is_reported_by_its_increase(watched):
    w = watched("h100-two")
    w.run(2)
    answer(w.lib, 1, 161, 3, lambda t: 100 * int(t))
    assert rules(w.run(5)) == {"link-errors-legacy"}


# ---- the driver


def test_an_old_driver_that_does_not_know_the_recovery_action(watched):
    def old(lib):
        for table in lib.fields.tables:
            table[230] = lambda g, s, t: (2, 0, 0)
        lib.faults["nvmlDeviceGetRemappedRows"] = Fault(3)

    frame = watched("dgx1-v100", prepare=old).run(2)
    (check,) = [c for c in frame.checks if c.name == "repairs"]
    assert (check.outcome, check.detail) == ("unknown", "not reported by this driver")


def test_a_lost_gpu_is_not_counted_among_those_that_are_fine(watched):
    w = watched("dgx-h100")
    w.run(3)
    w.lib.machine.faults = replace(w.lib.machine.faults, scenario="gpu-lost")
    frame = w.run(12)
    details = {c.name: c.detail for c in frame.checks}
    assert "GPUs 0-2, 4-7" in details["fabric"]
    assert "GPUs 0-2, 4-7" in details["can be read"]
    assert "(GPU 3 skipped: lost)" in details["links"]
    assert "skipped" not in details["NICs"]


def test_wsl_reports_no_nvlink_and_that_is_unknown(watched):
    from nvltop.sampler.wsl import without_links

    w = watched("rtx3090-pair")
    bare = tuple(replace(g, remotes=()) for g in w.bench.inventory.gpus)
    hidden = without_links(replace(w.bench.inventory, gpus=bare, wsl=True))
    w.begin(gpus=hidden.gpus, wsl=True)
    frame = w.run(3)
    assert {f.rule for f in roots(frame)} == {"no-read"}
    assert "WSL2" in frame.findings[0].summary
    assert not any(known(g.nvlink.links_present) for g in frame.gpus)
    ada = without_links(
        replace(w.bench.inventory, gpus=(replace(bare[0], name="NVIDIA GeForce RTX 4090"),), wsl=True)
    )
    assert ada.gpus[0].remotes == (), "a model without NVLink has none under WSL2 either"


@pytest.mark.parametrize(
    ("node", "word"), [("gb10", "one chip"), ("l40s", "This GPU"), ("rtx4090-pair", "over PCIe")]
)
def test_the_text_about_a_node_without_nvlink(watched, node, word):
    (found,) = [f for f in watched(node).run(2).findings if f.rule == "no-nvlink"]
    assert word in found.summary
    assert ("PCIe" in found.summary) is (node == "rtx4090-pair")
