"""What Prometheus itself says: its linter, its rule tests, and a real server that scrapes several nodes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nvltop import export
from nvltop.analysis.health import RULE_GROUPS
from nvltop.export.address import Address, listen
from nvltop.export.exporter import Exporter
from nvltop.export.exposition import MetricsPage
from nvltop.model import Frame
from tests.export.conftest import ALERTS, dashboard_exprs, needs_prometheus, promtool
from tests.prometheus_server import Prometheus

FOLDER = Path(export.__file__).parent
TEXT = (FOLDER / "alerts.yml").read_text()

pytestmark = needs_prometheus


@pytest.fixture
def watched(bench) -> Callable[[str, str, float], Frame]:
    """Return a function that runs a node for a number of seconds and returns its frame."""

    def watch(node: str, scenario: str, seconds: float) -> Frame:
        b = bench(node, scenario)
        b.interval_s = 1.0
        return b.run(seconds)

    return watch


@pytest.mark.parametrize(
    ("node", "scenario"),
    [("dgx-h100", "link-down"), ("hgx-b200", "errors"), ("gb200-tray", "training"), ("gb10", "training")],
)
def test_the_page_passes_the_linter(watched, node, scenario):
    frame = watched(node, scenario, 3)
    frame = replace(frame, inventory=replace(frame.inventory, hostname="node-7"))
    page = MetricsPage("Hostname", clock=lambda: frame.tick.mono_s)
    page.show(frame)
    metrics = page.get()
    assert metrics
    run = promtool("check", "metrics", said=metrics)
    complaints = run.stderr.decode().splitlines()
    # The label is dcgm-exporter's, so that it joins with its series.
    assert [c for c in complaints if "camelCase" not in c] == []
    assert run.returncode == (3 if complaints else 0)


def test_the_rules_pass_the_linter():
    run = promtool("check", "rules", str(FOLDER / "alerts.yml"))
    assert run.returncode == 0, run.stderr


def test_each_alert_fires_for_its_finding_and_for_nothing_else(tmp_path):
    where = {"gpu": "3", "link": "7", "instance": "node-7"}
    series, firing = [], []
    for name, rule, severities in ALERTS:
        for severity in ("info", *severities):
            labels = {"rule": rule, "severity": severity, **where}
            series.append({"series": _written("nvltop_finding", labels), "values": "1 1"})
            if severity != "info":
                alert = {"alertname": name, "alertstate": "firing", **labels}
                firing.append({"labels": _written("ALERTS", alert), "value": 1})
    # All at once, since promtool makes a database for each of its tests.
    reported = [{"expr": "ALERTS", "eval_time": "15s", "exp_samples": firing}]
    check_rules(tmp_path, [{"interval": "15s", "input_series": series, "promql_expr_test": reported}])


@pytest.mark.parametrize(
    ("alert", "labels", "values", "states"),
    [
        (
            "NvltopDriverDown",
            {"rule": "driver-stuck", "severity": "critical"},
            ("nvltop_driver_up", "1 0 0 0 0 0 0 1x70"),
            {"60s": "pending", "90s": "firing", "15m": "firing", "17m": None},
        ),
        (
            "NvltopMonitorStuck",
            {"rule": "monitor-slow", "severity": "warning"},
            ("nvltop_frame_age_seconds", "0 15 30 45 60 75 0"),
            {"60s": None, "75s": "firing", "90s": None},
        ),
    ],
)
def test_alerts_without_a_finding(tmp_path, alert, labels, values, states):
    reported = [
        {
            "expr": "ALERTS",
            "eval_time": at,
            "exp_samples": [
                {
                    "labels": _written("ALERTS", {"alertname": alert, "alertstate": state, **labels}),
                    "value": 1,
                }
            ]
            if state
            else [],
        }
        for at, state in states.items()
    ]
    series = [{"series": values[0], "values": values[1]}]
    check_rules(tmp_path, [{"interval": "15s", "input_series": series, "promql_expr_test": reported}])
    assert labels["rule"] in {rule for group in RULE_GROUPS for rule in group.rules}


def test_a_switch_plane_is_compared_within_its_nvlink_domain(tmp_path):
    """Link 3 is slow in domain a, a little slower in b, and c has hardly any traffic."""
    series: list[tuple[str, str]] = []
    for cluster, rate, share in (("a", 40e9, 0.4), ("b", 40e9, 0.7), ("c", 1e6, 0.0)):
        for node in ("1", "2"):
            at = {"job": "nvltop", "instance": cluster + node, "UUID": "GPU-0"}
            info = {**at, "cluster_uuid": cluster, "clique_id": "7"}
            series.append((_written("nvltop_fabric_info", info), "1x40"))
            for link in range(4):
                on = {**at, "link": str(link)}
                increase = int(15 * rate * (share if link == 3 else 1.0))
                series.append((_written("nvltop_link_speed_bytes_per_second", on), "50e9x40"))
                counters = [_written(f"nvltop_link_{way}_bytes_total", on) for way in ("transmit", "receive")]
                series += [(counter, f"0+{increase}x40") for counter in counters]
    alert = {"alertname": "NvltopDomainSwitchPlane", "rule": "switch-plane", "severity": "warning"}
    alert |= {"cluster_uuid": "a", "clique_id": "7", "link": "3"}
    states = {"15s": "pending", "2m": "pending", "5m": "firing"}
    reported = [
        {
            "expr": "ALERTS",
            "eval_time": at,
            "exp_samples": [{"labels": _written("ALERTS", {**alert, "alertstate": state}), "value": 1}]
            if state
            else [],
        }
        for at, state in states.items()
    ]
    values = [{"series": name, "values": values} for name, values in series]
    check_rules(tmp_path, [{"interval": "15s", "input_series": values, "promql_expr_test": reported}])


def written_alerts() -> list[tuple[str, str]]:
    """Return name and summary of each alert."""
    found = re.findall(r"- alert: (\w+)\n(?: .*\n)*? +summary: '(.*)'\n", TEXT)
    return [(name, summary.replace("''", "'")) for name, summary in found]


def rendered(template: str, labels: dict[str, str]) -> str:
    """Return a text of an alert with these labels, for the little of the language that the rules use."""

    def choose(match: re.Match[str]) -> str:
        return match[2] if labels.get(match[1]) else match[3]

    text = re.sub(r"{{ if \$labels\.(\w+) }}(.*?){{ else }}(.*?){{ end }}", choose, template)
    return re.sub(r"{{ \$labels\.(\w+) }}", lambda match: labels.get(match[1], ""), text)


@pytest.mark.parametrize("gpu", ["3", ""], ids=["one GPU", "several"])
def test_texts_of_alerts_name_the_gpu_or_say_that_it_is_several(tmp_path, gpu):
    summaries = dict(written_alerts())
    series, reported = [], []
    for name, rule, severities in ALERTS:
        labels = {"rule": rule, "severity": severities[0], "instance": "node-7", "gpu": gpu}
        labels["device"] = "mlx5_0"
        if "labels.link" in summaries[name]:
            labels |= {"gpu": "3", "link": "7"}  # no finding is about a link of several GPUs
        said = rendered(summaries[name], labels)
        assert "{{" not in said
        assert "  " not in said
        assert not re.search(r"GPU (?!\d)(?!links)", said), said
        description = re.search(rf"alert: {name}\n(?: .*\n)*? +description: '(.*)'\n", TEXT)
        assert description
        annotations = {"summary": said, "description": description[1].replace("''", "'")}
        series.append({"series": _written("nvltop_finding", labels), "values": "1 1"})
        fired = {"exp_labels": {k: v for k, v in labels.items() if v}, "exp_annotations": annotations}
        reported.append({"alertname": name, "eval_time": "15s", "exp_alerts": [fired]})
    check_rules(tmp_path, [{"interval": "15s", "input_series": series, "alert_rule_test": reported}])


def test_a_node_that_no_longer_answers_stays_an_alert(tmp_path):
    at = {"job": "nvltop", "instance": "node-7"}
    finding = {**at, "rule": "gpu-lost", "severity": "critical", "gpu": "3"}
    count = {**at, "severity": "critical"}
    # The exporter is killed after a minute; half an hour later the node is back and fine.
    series = [
        (_written("up", at), "1x3 0x119 1x20"),
        (_written("nvltop_finding", finding), "1x3 stale"),
        (_written("nvltop_findings", count), "1x3 stale _x118 0x20"),
        (_written("up", {"job": "nvltop", "instance": "node-8"}), "1x3 0x119 1x20"),
        (_written("nvltop_findings", {**count, "instance": "node-8"}), "0x3 stale _x118 0x20"),
        (_written("up", {"job": "node", "instance": "node-7"}), "0x142"),
    ]
    down = {"alertname": "NvltopDown", "alertstate": "firing", "job": "nvltop"}
    lost = {"alertname": "NvltopGpuLost", "alertstate": "firing", **finding}
    bad, good = (
        {**down, "instance": "node-7", "severity": "critical"},
        {**down, "instance": "node-8", "severity": "warning"},
    )
    firing = {"30s": [lost], "2m": [lost], "5m": [lost, bad, good], "20m": [bad, good], "32m": []}
    reported = [
        {
            "expr": 'ALERTS{alertstate="firing"}',
            "eval_time": when,
            "exp_samples": [{"labels": _written("ALERTS", labels), "value": 1} for labels in alerts],
        }
        for when, alerts in firing.items()
    ]
    tests = [
        {
            "interval": "15s",
            "input_series": [{"series": name, "values": values} for name, values in series],
            "promql_expr_test": reported,
        }
    ]
    check_rules(tmp_path, tests)


def check_rules(folder: Path, tests: Sequence[Mapping[str, object]]) -> None:
    file = folder / "tests.yml"  # JSON is YAML
    rules = [str(FOLDER / "alerts.yml")]
    file.write_text(json.dumps({"rule_files": rules, "evaluation_interval": "15s", "tests": tests}))
    run = promtool("test", "rules", str(file))
    assert run.returncode == 0, (run.stdout + run.stderr).decode()


def _written(name: str, labels: dict[str, str]) -> str:
    return f"{name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in labels.items())}}}"


@pytest.fixture
def served() -> Iterator[Callable[[Frame], str]]:
    """Return a function that serves a frame, and gives its address."""
    exporters = []

    def serve(frame: Frame) -> str:
        exporter = Exporter(listen(Address(port=0)))
        exporters.append(exporter)
        exporter.show(replace(frame, tick=replace(frame.tick, mono_s=time.monotonic())), None)
        return exporter.url.split("/")[2]

    yield serve
    for exporter in exporters:
        exporter.close()


def test_a_real_prometheus_scrapes_several_nodes_and_alerts(watched, served, tmp_path):
    broken = served(watched("dgx-h100", "link-down", 20))
    whole = served(watched("gb200-tray", "training", 3))
    plain = served(watched("rtx4090-pair", "training", 3))
    prometheus = Prometheus(
        tmp_path,
        {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
            "rule_files": [str(FOLDER / "alerts.yml")],
            "scrape_configs": [
                {"job_name": "nvltop", "static_configs": [{"targets": [broken, whole, plain]}]}
            ],
        },
    )
    try:
        up = prometheus.wait("query", lambda d: len(d["result"]) == 3, query="up == 1")
        assert {r["metric"]["instance"] for r in up["result"]} == {broken, whole, plain}
        # A scrape that takes too long on a busy machine makes NvltopDown pending for a moment.
        alerts = prometheus.wait("alerts", lambda d: any(a["state"] == "firing" for a in d["alerts"]))[
            "alerts"
        ]
        firing = [a for a in alerts if a["state"] == "firing"]
        assert [a["labels"]["alertname"] for a in firing] == ["NvltopLinkDown"]
        labels = firing[0]["labels"]
        assert (labels["gpu"], labels["link"], labels["severity"]) == ("3", "7", "critical")
        assert labels["instance"] == broken
        assert firing[0]["annotations"]["summary"] == f"GPU 3 link 7 is down ({broken})"
        # A scrape that takes too long also leaves its node out for a moment.
        total = "sum by (instance) (nvltop_nvlink_links_active)"
        found = prometheus.wait("query", lambda d: len(d["result"]) == 3, query=total)
        counts = {r["metric"]["instance"]: r["value"][1] for r in found["result"]}
        assert counts == {broken: "143", whole: "72", plain: "0"}
        for expr in dashboard_exprs():
            assert prometheus.get("query", query=expr) is not None, expr
    finally:
        prometheus.stop()
