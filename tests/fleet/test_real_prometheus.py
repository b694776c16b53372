"""A real Prometheus that scrapes 18 trays, some of them in trouble, and dcgm-exporter's metrics."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from nvltop.fleet import address, queries
from nvltop.fleet.engine import FleetEngine
from nvltop.fleet.model import FleetView, Node
from nvltop.fleet.prometheus import PrometheusSource
from nvltop.fleet.rules import rules
from nvltop.fleet.select import parse
from nvltop.fleet.source import FleetError
from nvltop.model import known
from tests.fleet.rack import RATE, Rack, tray_page
from tests.prometheus_server import PATIENCE_S, Prometheus

pytestmark = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="promtool and prometheus are not installed (Debian: prometheus)",
)
TRAY_RATE = 4 * 18 * RATE
SCRAPE_S = 1.0


def engine(prometheus: Prometheus, select: str = "") -> FleetEngine:
    source = PrometheusSource(address.parse(prometheus.url), parse(select) if select else (), {})
    return FleetEngine(source)


def until(engine: FleetEngine, enough: Callable[[FleetView], object]) -> FleetView:
    """Refresh until a view is as it should be; everything is queried each time."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            engine._slow_at = None
            view = engine.refresh()
            if view.nodes and enough(view):
                return view
        except FleetError:
            pass
        assert time.monotonic() < end_s, engine.view
        time.sleep(SCRAPE_S / 2)


def by_tray(view: FleetView) -> dict[int, Node]:
    return {int(node.name.removeprefix("tray")): node for node in view.nodes}


def whole(view: FleetView) -> bool:
    return len(view.nodes) == 18 and all(known(node.tx.complete) for node in view.nodes)


DCGM = """{temperature}{{{l}}} 50
{total}{{{l}}} {value}
"""


def test_dcgm_exporter_alone(tmp_path):
    both = 400e9
    old, new = "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "DCGM_FI_DEV_NVLINK_THROUGHPUT_BYTES_PER_SECOND"

    class Exporters(Rack):
        def page(self, tray: int, now_s: float) -> str:
            lines = ""
            for gpu in range(4):
                host = "Hostname" if tray % 2 else "hostname"
                labels = f'gpu="{gpu}",UUID="GPU-{tray}{gpu}",{host}="node{tray:02d}"'
                total, value = (old, both / 1_024_000) if tray % 2 else (new, both)
                temperature = "DCGM_FI_DEV_GPU_TEMP" if tray % 2 else "DCGM_FI_DEV_GPU_TEMP_CELSIUS"
                lines += DCGM.format(l=labels, total=total, value=value, temperature=temperature)
                if tray > 9:
                    for way in ("TX", "RX"):
                        lines += f"DCGM_FI_PROF_NVLINK_{way}_BYTES{{{labels}}} 2e11\n"
                if tray == 2 and gpu == 1:
                    lines += f"DCGM_FI_DEV_XID_ERROR{{{labels}}} 79\n"
            return lines

    exporters = Exporters("")
    prometheus = Prometheus(tmp_path, exporters.scrape_config("1s"))
    try:
        watching = engine(prometheus)
        # Nodes are listed by one query and valued by another: the first scrape may come between them.
        view = until(watching, lambda v: len(v.nodes) == 18 and all(known(node.combined) for node in v.nodes))
        assert view.source == "dcgm-exporter"
        assert [node.name for node in view.nodes] == [f"node{tray:02d}" for tray in range(1, 19)]
        for tray, node in enumerate(view.nodes, 1):
            assert node.combined == pytest.approx(4 * both)
            assert node.gpus == 4
            assert (node.tx.complete == 8e11) if tray > 9 else not known(node.tx.value)
            assert not known(node.errors.value)
        assert view.nodes[1].worst.rule == "xid-79"
        detail = watching.detail(view.nodes[11].key)
        assert [row.tx for row in detail.gpus] == [2e11] * 4
        exporters.modes[4] = "silent"
        view = until(watching, lambda v: any(node.silent for node in v.nodes))
        assert [node.name for node in view.nodes if node.silent] == ["node04"]
        assert [node.name for node in engine(prometheus).refresh().nodes if node.silent] == ["node04"]
        exporters.modes |= dict.fromkeys(exporters.modes, "silent")
        view = until(
            engine(prometheus), lambda v: len(v.nodes) == 18 and all(node.silent for node in v.nodes)
        )
        assert view.source == "dcgm-exporter"
    finally:
        prometheus.stop()
        exporters.close()


def test_the_recording_rules_give_the_same_values(tmp_path, monkeypatch):
    monkeypatch.setattr(queries, "RECORDED_WINDOW_S", 5.0)
    (tmp_path / "rules.yml").write_text(rules().replace("interval: 15s", "interval: 2s"))
    run = subprocess.run(
        ["promtool", "check", "rules", tmp_path / "rules.yml"], capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr
    trays = Rack(tray_page())
    trays.modes[2] = "lost-gpu"
    config = trays.scrape_config("1s") | {"rule_files": [str(tmp_path / "rules.yml")]}
    prometheus = Prometheus(tmp_path, config)
    try:
        watching = engine(prometheus)
        view = until(
            watching,
            lambda v: len(v.nodes) == 18 and all(known(node.tx.value) for node in v.nodes),
        )
        assert watching._recorded()
        assert by_tray(view)[1].tx.complete == pytest.approx(TRAY_RATE, rel=0.3)
        assert by_tray(view)[2].tx.unknown == 1
        assert by_tray(view)[2].tx.value == pytest.approx(TRAY_RATE * 3 / 4, rel=0.3)
    finally:
        prometheus.stop()
        trays.close()


@pytest.fixture(scope="module")
def rack(tmp_path_factory) -> Iterator[tuple[Rack, Prometheus]]:
    """Return a rack and its server, which run until the last test of this file: only the last two use it."""
    rack = Rack(tray_page())
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), rack.scrape_config("1s"))
    yield rack, prometheus
    prometheus.stop()
    rack.close()


def test_a_rack_in_trouble(rack):
    trays, prometheus = rack
    watching = engine(prometheus)
    view = until(watching, whole)
    (domain,) = view.domains
    assert [node.tray for node in domain.nodes] == list(range(18))
    assert domain.tx.complete == pytest.approx(18 * TRAY_RATE, rel=0.2)
    assert domain.links_up.complete == 1296
    assert view.window_s == 5
    assert view.warnings == ()
    assert view.findings == ()

    trays.fault_s = time.time()
    modes = {3: "silent", 5: "hang", 7: "lost-gpu", 9: "nan", 11: "errors", 12: "link-down", 13: "cause"}
    trays.modes |= modes | dict.fromkeys((14, 15, 16), "echo")
    view = until(
        watching,
        lambda v: (
            sum(n.silent is not None for n in v.nodes) == 2
            and by_tray(v)[9].tx.unknown
            and any(link.errors for link in v.worst_links if known(link.errors))
        ),
    )
    nodes = by_tray(view)
    for tray in (3, 5):
        assert nodes[tray].silent
        assert nodes[tray].silent_since_s == pytest.approx(trays.fault_s, abs=8)
        assert nodes[tray].gpus == 4
        assert not known(nodes[tray].tx.value)
    for tray in (7, 9):
        assert nodes[tray].tx.unknown == nodes[tray].rx.unknown == 1 or tray == 9
        assert nodes[tray].tx.value == pytest.approx(TRAY_RATE * 3 / 4, rel=0.3)
        assert not known(nodes[tray].limit_share)
    assert nodes[7].links_up.value == 54
    assert nodes[7].links_up.unknown == 1
    assert nodes[12].links_up.complete == 71
    (domain,) = view.domains
    assert domain.tx.unknown == 4
    assert domain.gpus.unknown == 2
    assert domain.silent == 2
    worst = {(view_name(view, link.node), link.gpu, link.link) for link in view.worst_links}
    assert worst >= {("tray11", "1", "3"), ("tray12", "1", "3"), ("tray13", "1", "3")}
    roles = [f.role for f in view.findings if f.kind == "xid"]
    assert roles.count("began") == 1
    assert roles.count("follows") == 15
    began = next(f for f in view.findings if f.role == "began")
    assert (view_name(view, began.node), began.rule, began.link) == ("tray13", "xid-149", "3")

    # A view of one that starts now agrees, although it has not seen the trays before.
    fresh = engine(prometheus).refresh()
    assert {n.name for n in fresh.nodes if n.silent} == {"tray03", "tray05"}
    assert len(fresh.nodes) == 18
    for node, gpu in (("nvltop/tray07:19400", ""), ("nvltop/tray12:19400", "1")):
        detail = watching.detail(node, gpu)
        assert detail.problem == ""
        assert len(detail.gpus or detail.links) == (18 if gpu else 4)
    end_s = time.monotonic() + PATIENCE_S
    while ("0", "tx") not in (histories := watching.detail("nvltop/tray12:19400", "1").histories):
        assert time.monotonic() < end_s
        time.sleep(0.2)
    assert len(histories["0", "tx"]) == 60
    assert max(value for value in histories["0", "tx"] if value == value) == pytest.approx(RATE, rel=0.3)
    gpus = {row.gpu: row for row in watching.detail("nvltop/tray07:19400").gpus}
    assert gpus["2"].state == "lost"
    assert not known(gpus["2"].tx)
    assert known(gpus["1"].tx)
    assert "does not answer" in watching.detail("nvltop/tray03:19400").problem

    assert watching.retire("nvltop/tray03:19400")
    assert len(watching.refresh().nodes) == 17
    some = engine(prometheus, 'instance=~"tray0[1-4].*", job="nvltop"').refresh()
    assert [node.name for node in some.nodes] == ["tray01", "tray02", "tray03", "tray04"]

    trays.modes |= dict.fromkeys(range(1, 19), "ok")
    # On a busy machine the rates are there before the scrape that ends the findings.
    view = until(
        watching, lambda v: whole(v) and not any(f.active for f in v.findings if f.kind == "finding")
    )
    assert all(not node.silent for node in view.nodes)
    assert [f.active for f in view.findings if f.kind == "finding"] == [False, False]


def view_name(view: FleetView, key: str) -> str:
    return next(node.name for node in view.nodes if node.key == key)


def test_a_prometheus_that_restarts(rack):
    trays, prometheus = rack
    trays.modes |= dict.fromkeys(trays.modes, "ok")
    watching = engine(prometheus)
    until(watching, whole)
    prometheus.stop()
    with pytest.raises(FleetError, match="Connection refused"):
        watching.refresh()
    assert len(watching.view.nodes) == 18
    prometheus.start()
    until(watching, whole)
