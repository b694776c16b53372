"""What is exported: numbers as NVML counts them, labels that join, and nothing for what is missing."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvltop.analysis import verdict as verdict_module
from nvltop.analysis.verdict import VERDICT_IDS
from nvltop.cli.exit_codes import CommandError
from nvltop.cli.parser import parser
from nvltop.export.flags import EXPORTED_LABELS
from nvltop.export.metric_set import MetricSet, MetricSpec
from nvltop.export.nics import MAX_PORTS
from nvltop.export.node import MAX_FINDINGS
from nvltop.model import (
    Call,
    Finding,
    Frame,
    Missing,
    Problem,
    Severity,
    known,
)
from nvltop.model.error_kinds import INFORMATIVE
from nvltop.nvml.session import GpuReader
from tests.export.conftest import ours, pick, working

DOCS = (Path(__file__).parents[2] / "nvltop" / "docs" / "prometheus.md").read_text()
SMALL = "rtx3090-pair"
KINDS = (
    "dgx1-p100",
    "dgx-a100",
    "a100-pcie",
    "h100-vm",
    "h100-mig",
    "hgx-b200",
    "gb200-tray",
    "gb10",
    "mixed",
)


def test_link_counters_are_those_of_nvml(bench, scraped):
    b = bench(SMALL)
    b.run(2)
    frame = b.poll(GpuReader.read_counters)
    found = scraped(frame)
    for g in frame.gpus:
        for link in g.links:
            at = {"UUID": g.gpu.uuid, "link": str(link.index), "counter": g.nvlink.counter.value}
            for name, total in (("transmit", link.tx_bytes_total), ("receive", link.rx_bytes_total)):
                assert list(pick(found, f"nvltop_link_{name}_bytes_total", **at).values()) == [total]


def test_series_of_a_gpu_join_with_those_of_dcgm_exporter(bench, scraped):
    frame = bench(SMALL).run(1)
    found = scraped(frame)
    gpus = {
        frozenset({("gpu", str(g.gpu.index)), ("UUID", g.gpu.uuid), ("pci_bus_id", g.gpu.pci_bus_id)})
        for g in frame.gpus
    }
    assert set(pick(found, "nvltop_gpu_power_watts")) == gpus
    joined = {k for (n, k) in found if n == "nvltop_link_receive_bytes_total"}
    assert {frozenset(p for p in k if p[0] not in ("link", "counter")) for k in joined} == gpus


def test_host_name_only_when_asked(bench, scraped):
    b = bench(SMALL)
    frame = replace(b.run(1), inventory=replace(b.inventory, hostname="node-7"))
    assert not any(value == "node-7" for _, labels in scraped(frame) for _, value in labels)
    for label in ("Hostname", "hostname"):
        named = ours(scraped(frame, hostname_label=label))
        assert all((label, "node-7") in labels for _, labels in named)


@pytest.mark.parametrize(
    ("given", "label"),
    [((), None), (("--serve-hostname",), "Hostname"), (("--serve-hostname", "hostname"), "hostname")],
)
def test_the_flag_takes_the_name_of_the_label(given, label):
    assert parser().parse_args(["--serve", *given]).serve_hostname == label


@pytest.mark.parametrize("label", ["", "host-name", "7up", "__name__", "gpu", "UUID", "höst"])
def test_a_label_that_prometheus_or_the_metrics_would_replace_is_refused(label):
    with pytest.raises(CommandError, match=re.escape(repr(label))):
        parser().parse_args(["--serve", f"--serve-hostname={label}"])


def test_every_label_of_the_metrics_is_known_to_the_flag(bench, scraped):
    used = set()
    for node in ("dgx-h100", "gb200-tray"):
        frame = working(bench(node, "link-down").run(2))
        call = Call("links", "nvmlDeviceGetFieldValues", 1, frame.tick.mono_s)
        found = scraped(replace(frame, tick=replace(frame.tick, calls=(call,))))
        used |= {label for _, labels in ours(found) for label, _ in labels}
    assert used - {"rule"} <= EXPORTED_LABELS
    assert EXPORTED_LABELS - used <= {"rule", "severity", "device"}


def test_place_of_a_gpu_in_the_rack_and_its_domain(bench, scraped):
    frame = bench("gb200-tray").run(2)
    found = scraped(frame)
    for g in frame.gpus:
        (info,) = (dict(k) for k in pick(found, "nvltop_gpu_info", UUID=g.gpu.uuid))
        assert known(g.gpu.tray)
        assert [info[k] for k in ("tray", "slot", "host_id", "chassis_serial")] == [
            str(v) for v in (g.gpu.tray, g.gpu.slot, g.gpu.host_id, g.gpu.chassis_serial)
        ]
        (fabric,) = (dict(k) for k in pick(found, "nvltop_fabric_info", UUID=g.gpu.uuid))
        assert fabric["cluster_uuid"] == g.fabric.cluster_uuid
        assert fabric["clique_id"] == str(g.fabric.clique_id)
    # A node of its own is not in a domain of several nodes.
    alone = scraped(bench("dgx-h100").run(2))
    assert {dict(k)["cluster_uuid"] for k in pick(alone, "nvltop_fabric_info")} == {""}
    assert {dict(k)["tray"] for k in pick(alone, "nvltop_gpu_info")} == {""}


def test_uptime_of_a_gpu_is_absent_where_it_is_unknown(bench, scraped):
    frame = bench(SMALL).run(1)
    up, unknown = (
        replace(frame.gpus[0], uptime_s=3600.5),
        replace(frame.gpus[1], uptime_s=Missing("persistence mode is off")),
    )
    found = scraped(replace(frame, gpus=(up, unknown)))
    assert list(pick(found, "nvltop_gpu_uptime_seconds").values()) == [3600.5]
    missing = pick(found, "nvltop_unreadable", metric="nvltop_gpu_uptime_seconds", gpu="1")
    assert [dict(k)["reason"] for k in missing] == ["persistence mode is off"]


def test_a_finding_has_the_time_at_which_it_began(bench, scraped):
    b = bench(scenario="link-down")
    b.interval_s = 1.0
    frame = b.run(20)
    (finding,) = (f for f in frame.findings if f.rule == "link-down")
    found = scraped(frame)
    (labels,) = pick(found, "nvltop_finding", rule="link-down")
    assert pick(found, "nvltop_finding_began_timestamp_seconds", rule="link-down") == {
        labels: finding.began_s
    }
    # The same fault claimed twice is one series, with the earlier time.
    again = replace(finding, key=finding.key + "/again", began_s=finding.began_s - 5, summary="x")
    found = scraped(replace(frame, findings=(finding, again)))
    assert pick(found, "nvltop_finding_began_timestamp_seconds") == {labels: finding.began_s - 5}


@pytest.mark.parametrize(
    ("node", "said"),
    [("dgx-h100", r"A DGX H100 has about (\d+) series"), ("hgx-b200", r"8 × B200 about (\d+):")],
)
def test_a_node_has_as_many_series_as_the_documents_say(bench, scraped, node, said):
    reported = re.search(said, DOCS)
    count = len(ours(scraped(bench(node).run(2))))
    assert reported
    assert round(count, -2) == int(reported.group(1))


@pytest.mark.parametrize("node", KINDS)
def test_every_value_is_there_or_said_to_be_missing(bench, scraped, node):
    frame = bench(node).run(1)
    found = scraped(frame)
    for g in frame.gpus:
        at = {"UUID": g.gpu.uuid}
        reported = {dict(k)["metric"] for k in pick(found, "nvltop_unreadable", **at)}
        for name, value in (
            ("nvltop_nvlink_links", g.nvlink.links_present),
            ("nvltop_nvlink_speed_bytes_per_second", g.nvlink.speed_bytes_per_s),
            ("nvltop_gpu_power_watts", g.gauges.power_w),
            ("nvltop_gpu_memory_used_bytes", g.gauges.memory_used_bytes),
            ("nvltop_c2c_links", g.gpu.c2c.links),
        ):
            assert list(pick(found, name, **at).values()) == ([value] if known(value) else []), name
            assert (name in reported) == (not known(value)), name


def test_a_value_that_was_refused_makes_no_series_of_its_own(bench, scraped):
    frame = bench("gb10").run(1)
    seen = set()
    for number in (300, 4711):
        gauges = replace(frame.gpus[0].gauges, power_w=Missing(f"implausible value {number}"))
        gpu = replace(frame.gpus[0], gauges=gauges)
        found = scraped(replace(frame, gpus=(gpu,)))
        seen |= set(pick(found, "nvltop_unreadable", metric="nvltop_gpu_power_watts"))
    assert [dict(labels)["reason"] for labels in seen] == ["implausible value N"]


@pytest.mark.parametrize(
    ("reason", "exported"),
    [
        ("no C2C", "no C2C"),
        ("implausible value 300", "implausible value N"),
        ("300 MB of 4096MB", "N MB of NMB"),
        ("field 230: GPU3", "field N: GPUN"),
        ("A12B", "A12B"),
    ],
)
def test_numbers_of_a_reason_go_and_names_with_digits_stay(reason, exported):
    sheet = MetricSet({})
    sheet.add(MetricSpec("power_watts", ""), {"gpu": "0"}, Missing(reason))
    (family,) = sheet.families()
    assert [labels["reason"] for labels, _ in family.samples] == [exported]


def test_every_verdict_is_exported_and_one_is_true(bench, scraped):
    frame = bench(SMALL).run(2)
    found = pick(scraped(frame), "nvltop_verdict")
    assert {dict(k)["verdict"] for k in found} == set(VERDICT_IDS)
    assert [dict(k)["verdict"] for k, v in found.items() if v] == [frame.verdict.id]


def test_every_id_of_a_verdict_is_declared():
    source = inspect.getsource(verdict_module)
    assert set(re.findall(r'Verdict\(\s*"([\w-]+)"', source)) <= set(VERDICT_IDS)


def test_a_driver_that_counts_only_the_gpus_sum_gives_one_counter_a_gpu(bench, scraped):
    def repeat(library) -> None:
        for field_id in (138, 139):
            total = library.fields.tables[0][field_id]
            library.fields.tables[0][field_id] = lambda g, _, t, f=total: f(g, 0xFFFFFFFF, t)

    b = bench(prepare=repeat)
    b.run(2)
    frame = b.poll(GpuReader.read_counters)
    found = scraped(frame)
    assert not pick(found, "nvltop_link_transmit_bytes_total")
    for g in frame.gpus:
        at = {"UUID": g.gpu.uuid, "counter": "data"}
        totals = pick(found, "nvltop_nvlink_receive_bytes_total", **at)
        assert list(totals.values()) == [g.nvlink.rx_bytes_total]
        assert g.nvlink.rx_bytes_total > 0


def test_a_link_that_is_down_has_no_speed_but_a_state_and_a_finding(bench, scraped):
    b = bench(scenario="link-down")
    b.interval_s = 1.0
    found = scraped(b.run(20))
    down = [dict(k) for k, value in pick(found, "nvltop_link_active").items() if not value]
    assert len(down) == 1
    at = {key: down[0][key] for key in ("gpu", "UUID", "pci_bus_id", "link")}
    states = {dict(k)["state"]: v for k, v in pick(found, "nvltop_link_state", **at).items()}
    assert states == {"up": 0.0, "down": 1.0, "sleep": 0.0, "traffic-disabled": 0.0, "unknown": 0.0}
    assert list(pick(found, "nvltop_finding", rule="link-down", severity="critical", **at).values()) == [1.0]
    assert pick(found, "nvltop_findings", severity="critical") == {frozenset({("severity", "critical")}): 1.0}


def test_ages_grow_while_nothing_is_read(bench, scraped):
    frame = bench(SMALL).run(1)
    fresh = pick(scraped(frame), "nvltop_reading_age_seconds", group="links", gpu="1")
    stale = pick(scraped(frame, late_s=42.0), "nvltop_reading_age_seconds", group="links", gpu="1")
    assert [round(value - 42.0, 3) for value in stale.values()] == list(fresh.values())


@pytest.mark.parametrize(("late_s", "seen"), [(299.0, True), (301.0, False)])
def test_old_readings_are_no_longer_exported(bench, scraped, late_s, seen):
    b = bench(SMALL)
    b.run(1)
    found = scraped(b.poll(), late_s)
    for name in ("nvltop_gpu_power_watts", "nvltop_link_transmit_bytes_total", "nvltop_link_errors_total"):
        assert bool(pick(found, name)) == seen
        assert bool(pick(found, "nvltop_unreadable", metric=name, reason="not read for five minutes")) != seen
    states = {dict(k)["state"] for k, v in pick(found, "nvltop_link_state").items() if v}
    assert states == {"up" if seen else "unknown"}
    assert bool(pick(found, "nvltop_verdict")) == bool(pick(found, "nvltop_findings")) == seen
    assert pick(found, "nvltop_gpu_info")
    assert pick(found, "nvltop_reading_age_seconds", group="links")


@pytest.mark.parametrize("worker", ["ended", "paused"])
def test_no_readings_are_exported_while_the_reading_process_does_not_read(bench, scraped, worker):
    b = bench("dgx-h100")
    frame = working(b.run(3))
    reads = scraped(frame)
    tick = replace(frame.tick, worker=worker)
    found = scraped(replace(frame, tick=tick))
    for name in (
        "nvltop_gpu_power_watts",
        "nvltop_link_active",
        "nvltop_link_transmit_bytes_total",
        "nvltop_nic_port_active",
        "nvltop_nic_port_transmit_bytes_total",
        "nvltop_nic_port_state",
        "nvltop_job_step_seconds",
        "nvltop_driver_up",
    ):
        assert pick(reads, name), name
        assert not pick(found, name), name
    reason = tick.not_reading.reason
    assert pick(found, "nvltop_unreadable", metric="nvltop_nic_port_active", reason=reason)
    assert {dict(k)["state"] for k, v in pick(found, "nvltop_gpu_state").items() if v} == {"unreadable"}
    assert {dict(k)["state"] for k, v in pick(found, "nvltop_link_state").items() if v} == {"unknown"}
    assert pick(found, "nvltop_worker", state=worker)
    assert pick(found, "nvltop_reading_age_seconds", group="links")


def test_a_lost_gpu_exports_its_state_and_no_old_numbers(bench, scraped):
    b = bench(SMALL, "gpu-lost")
    found = scraped(b.run(12))
    (lost,) = (dict(k) for k, v in pick(found, "nvltop_gpu_state", state="lost").items() if v)
    del lost["state"]
    for name in ("nvltop_gpu_power_watts", "nvltop_link_active", "nvltop_link_receive_bytes_total"):
        assert not pick(found, name, **lost)
        assert pick(found, "nvltop_unreadable", metric=name, reason="GPU is lost", **lost)
        assert pick(found, name)
    assert pick(found, "nvltop_finding", rule="gpu-lost", **lost)


def test_without_a_driver_there_are_no_numbers_but_the_gpus_that_were_there(bench, scraped):
    b = bench(SMALL)
    b.run(1)
    problem = Problem("no-driver", "the driver is not loaded", "load it")
    b.monitor.update(replace(b.inventory, gpus=(), problem=problem))
    found = scraped(b.frame())
    assert list(pick(found, "nvltop_driver_up").values()) == [0.0]
    assert list(pick(found, "nvltop_gpu_state", state="unreadable").values()) == [1.0] * 2
    assert list(pick(found, "nvltop_gpu_state", state="ok").values()) == [0.0] * 2
    assert not pick(found, "nvltop_gpu_power_watts")
    assert not pick(found, "nvltop_link_transmit_bytes_total")
    unread = pick(found, "nvltop_unreadable", metric="nvltop_link_transmit_bytes_total")
    assert list(unread.values()) == [4.0] * 2


def test_a_hanging_call_is_exported_once_with_its_gpu(bench, scraped):
    frame = bench(SMALL).run(1)
    now_s = frame.tick.mono_s
    hung = [Call(t, "nvmlDeviceGetFieldValues", 1, now_s - s) for t, s in (("links", 8.0), ("slow", 9.5))]
    found = scraped(replace(frame, tick=replace(frame.tick, worker="stuck", calls=tuple(hung))))
    assert list(pick(found, "nvltop_driver_call_seconds").values()) == [9.5]
    assert pick(found, "nvltop_driver_call_seconds", gpu="1", UUID=frame.gpus[1].gpu.uuid)
    assert list(pick(found, "nvltop_driver_up").values()) == [0.0]


def test_only_the_gpus_asked_for(bench, scraped):
    frame = bench(SMALL).run(1)
    found = scraped(frame, only=[frame.gpus[1].gpu.uuid])
    assert {dict(k)["gpu"] for k in pick(found, "nvltop_gpu_info")} == {"1"}


def test_informative_counts_are_not_errors(bench, scraped):
    found = scraped(bench("hgx-b200").run(1))
    kinds = {dict(k)["kind"] for k in pick(found, "nvltop_link_errors_total")}
    others = {dict(k)["kind"] for k in pick(found, "nvltop_link_events_total")}
    assert "xmit_discards" in others
    assert kinds
    assert not kinds & others


texts = st.text(max_size=12)
findings = st.builds(
    Finding,
    rule=st.sampled_from(["link-down", "xid-gpu", "throttled"]),
    severity=st.sampled_from(Severity),
    gpu=st.none() | st.sampled_from(["GPU-a", "GPU-b"]),
    link=st.none() | st.integers(2, 600),
    nic=st.none() | st.sampled_from(["mlx5_0", "mlx5_7", "eth0"]),
    summary=texts,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    found=st.lists(findings, max_size=300, unique_by=lambda f: (f.rule, f.gpu, f.link, f.nic)),
    hostname=st.none() | texts,
)
def test_whatever_is_found_the_page_can_be_read_and_is_bounded(scraped, small, found, hostname):
    name = Missing("no") if hostname is None else hostname
    frame = replace(small, findings=tuple(found), inventory=replace(small.inventory, hostname=name))
    read = scraped(frame, hostname_label="Hostname")
    assert len(pick(read, "nvltop_finding")) == min(len(found), MAX_FINDINGS)
    assert sum(pick(read, "nvltop_findings").values()) == len(found)


@pytest.fixture
def small(bench) -> Frame:
    return bench("rtx4090-pair").run(1)


def test_ports_of_nics_are_counted_as_the_kernel_does(bench, scraped):
    frame = bench().run(2)
    found = scraped(frame)
    assert frame.nics
    for f in frame.nics:
        at = {"device": f.nic.device, "port": str(f.port.port)}
        assert list(pick(found, "nvltop_nic_port_transmit_bytes_total", **at).values()) == [f.port.tx_bytes]
        assert list(pick(found, "nvltop_nic_port_active", **at).values()) == [1.0]
        errors = {dict(k)["kind"] for k in pick(found, "nvltop_nic_port_errors_total", **at)}
        assert errors
        assert not errors & INFORMATIVE


def test_a_port_that_is_gone_is_down_and_counts_nothing(bench, scraped):
    frame = bench().run(1)
    gone = replace(frame.nics[0], port=replace(frame.nics[0].port, state="gone"))
    found = scraped(replace(frame, nics=(gone, *frame.nics[1:])))
    at = {"device": gone.nic.device}
    assert list(pick(found, "nvltop_nic_port_active", **at).values()) == [0.0]
    states = {dict(k)["state"]: v for k, v in pick(found, "nvltop_nic_port_state", **at).items()}
    assert states == {"gone": 1.0, "active": 0.0, "armed": 0.0, "init": 0.0, "down": 0.0}
    assert not pick(found, "nvltop_nic_port_receive_bytes_total", **at)
    missing = pick(found, "nvltop_unreadable", metric="nvltop_nic_port_receive_bytes_total", **at)
    assert list(missing.values()) == [1.0]


def test_a_finding_about_a_port_joins_with_the_metrics_of_the_port(bench, scraped):
    b = bench(scenario="nic-down")
    b.interval_s = 1.0
    found = scraped(b.run(20))
    reported = [dict(k) for k in pick(found, "nvltop_finding", rule="nic-down")]
    assert reported
    down = {frozenset(k) for k, value in pick(found, "nvltop_nic_port_active").items() if not value}
    assert {frozenset({("device", f["device"]), ("port", f["port"])}) for f in reported} == down


def test_hundreds_of_virtual_functions_leave_room_for_the_ports(bench, scraped):
    frame = bench().run(1)
    model = frame.nics[0]
    many = [replace(model, nic=replace(model.nic, device=f"vf{n}", virtual=True)) for n in range(300)]
    found = scraped(replace(frame, nics=(*many, *frame.nics)))
    listed = {dict(k)["device"] for k in pick(found, "nvltop_nic_port_info")}
    assert len(listed) == MAX_PORTS
    assert {f.nic.device for f in frame.nics} <= listed


def test_a_job_is_exported_by_gpu_and_once(bench, scraped):
    frame = working(bench(SMALL).run(1))
    (job,) = frame.activity
    again = replace(job, job="process:9", ranks=job.ranks[:1])
    found = scraped(replace(frame, activity=(job, again)))
    assert list(pick(found, "nvltop_job_step_seconds").values()) == [1.25] * 2
    assert list(pick(found, "nvltop_job_communication_ratio", gpu="0").values()) == [0.4]
    assert {dict(k)["gpu"] for k in pick(found, "nvltop_job_straggler")} == {"1"}
    assert len(pick(found, "nvltop_job_limit", limit="nvlink")) == 2
    assert not pick(found, "nvltop_job_step_drift_ratio")
    assert not pick(found, "nvltop_unreadable", metric="nvltop_job_step_drift_ratio"), "it could be read"
    only = scraped(frame, only=job.gpus[:1])
    assert len(pick(only, "nvltop_job_step_seconds")) == 1
