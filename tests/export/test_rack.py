"""Alerts, recording rules and panels over a simulated rack in trouble, evaluated by a real Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nvltop import export
from nvltop.export.node import families
from nvltop.model import Cost, Frame
from nvltop.nvml.simulated.traffic import Constant
from tests.export.conftest import ALERTS, dashboard_exprs, needs_prometheus, promtool, working
from tests.prometheus_server import Prometheus

pytestmark = needs_prometheus

TRAYS = 18
PLANE = 9
"""Link of each GPU whose NVSwitch is slow."""
SAMPLE_S = 15.0
SILENT_S = 400.0
"""Time for which the last tray has not answered; Prometheus shows a sample for 300 s."""
BYTES_PER_S = 5e9


def slow_plane(library) -> None:
    machine = library.machine
    for gpu, link in machine._tx:
        machine._tx[gpu, link] = Constant((0.4 if link == PLANE else 1.0) * BYTES_PER_S)


@pytest.fixture
def rack(bench) -> dict[str, list[Frame]]:
    """Return frames of a healthy tray and of trays with other faults; one NVSwitch is slow for all."""

    def frames(scenario: str) -> list[Frame]:
        b = bench("gb200-tray", scenario, slow_plane)
        b.interval_s = 5.0
        b.run(75)
        found = [b.run(SAMPLE_S) for _ in range(5)]
        return [replace(working(f), cost=Cost(105.0, 0.02, 0.25, 0.004, 0.01)) for f in found]

    return {scenario: frames(scenario) for scenario in ("training", "link-down", "gpu-lost", "errors")}


Samples = list[tuple[str, float]]
"""Begin of each line up to the labels of the server itself, and the value."""


def samples(frame: Frame) -> Samples:
    """Return what a node exports at a frame."""
    found: Samples = []
    for family in families(frame):
        for labels, value in family.samples:
            own = "".join([f"{name}={json.dumps(text)}," for name, text in labels.items()])
            found.append((f"{family.metric.full_name}{{{own}", value))
    return found


def lines(instance: str, scrapes: list[Samples], end_s: float) -> Iterator[str]:
    """Yield the samples of a node whose last scrape is of `end_s`."""
    for k, scrape in enumerate(scrapes):
        at_s = end_s - (len(scrapes) - 1 - k) * SAMPLE_S
        for begin, value in (("up{", 1.0), ("process_cpu_seconds_total{", 10.0 + k), *scrape):
            yield line(begin, instance, value, at_s)


def line(begin: str, instance: str, value: float, at_s: float) -> str:
    return f'{begin}instance="{instance}",job="nvltop"}} {value} {at_s:.3f}\n'


@pytest.fixture
def prometheus(rack, tmp_path) -> Iterator[Prometheus]:
    """Start a Prometheus that has the samples of the last minutes of the rack."""
    now_s = time.time()
    names = [f"tray{n:02}:19400" for n in range(TRAYS)]
    scraped = {scenario: [*map(samples, frames)] for scenario, frames in rack.items()}
    trays = dict.fromkeys(names, scraped["training"])
    trays |= dict(zip(names[3:], (scraped[s] for s in ("link-down", "gpu-lost", "errors")), strict=False))
    with (tmp_path / "samples").open("w") as file:
        for name in names[:-1]:
            file.writelines(lines(name, trays[name], now_s))
        silent = names[-1]
        file.writelines(lines(silent, trays[silent], now_s - SILENT_S))
        file.write(line("up{", silent, 0.0, now_s))
        file.write("# EOF\n")
    made = promtool(
        "tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "samples"), str(tmp_path / "data")
    )
    assert made.returncode == 0, made.stderr
    rules = Path(export.__file__).with_name("alerts.yml")
    server = Prometheus(tmp_path, {"global": {"evaluation_interval": "200ms"}, "rule_files": [str(rules)]})
    yield server
    server.stop()


def test_every_rule_and_panel_over_a_rack_in_trouble(prometheus, rack):
    def evaluated(data) -> bool:
        return all(rule["lastEvaluation"][0] != "0" for group in data["groups"] for rule in group["rules"])

    groups = prometheus.wait("rules", evaluated)["groups"]
    assert {g["name"] for g in groups} == {"nvltop", "nvltop-domain"}
    assert [r["lastError"] for g in groups for r in g["rules"] if r["health"] != "ok"] == []

    alerts = prometheus.wait("alerts", lambda d: "NvltopDomainSwitchPlane" in by_name(d["alerts"]))["alerts"]
    raised = by_name(alerts)
    findings = {(f.rule, f.severity.value) for frames in rack.values() for f in frames[-1].findings}
    expected = {name for name, rule, severities in ALERTS if any((rule, s) in findings for s in severities)}
    assert {"NvltopSwitchPlane", "NvltopLinkDown", "NvltopGpuLost", "NvltopLinkErrorsNvl5"} <= expected
    assert set(raised) == expected | {"NvltopDomainSwitchPlane", "NvltopDown"}
    assert [a["labels"]["instance"] for a in raised["NvltopDown"]] == ["tray17:19400"]

    (domain,) = raised["NvltopDomainSwitchPlane"]
    assert float(domain["value"]) == pytest.approx(0.4, abs=0.03)
    shared = ("cluster_uuid", "clique_id", "link")
    assert domain["labels"]["link"] == str(PLANE)
    # One finding of each tray instead of one of each link, and what the inhibition rule needs to match it.
    assert "NvltopLinkImbalance" not in raised
    inhibited = raised["NvltopSwitchPlane"]
    assert len(inhibited) == TRAYS - 1
    for alert in inhibited:
        assert [alert["labels"][k] for k in shared] == [domain["labels"][k] for k in shared]

    empty = [e for e in dashboard_exprs() if not prometheus.get("query", query=e)["result"]]
    assert empty == []
    totals = {
        expr: prometheus.get("query", query=expr)["result"]
        for expr in dashboard_exprs()
        if expr.startswith(("count(up", "sum(nvltop_findings"))
    }
    assert [float(r[0]["value"][1]) for e, r in totals.items() if e.startswith("count")] == [1.0]


def by_name(alerts: Iterable[dict]) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for alert in alerts:
        found.setdefault(alert["labels"]["alertname"], []).append(alert)
    return found
