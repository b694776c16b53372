"""A replayed snapshot shows what its report says at that second: every number and every sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from nvltop.analysis.rate_history import RateHistory
from nvltop.cli import main
from nvltop.config.settings import Settings
from nvltop.model import Cost, CounterRefresh, Event, Host, Reading
from nvltop.nvml.processes import by_pid
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated.processes import SimulatedProcessTable
from nvltop.record.flight_recorder import FlightRecorder
from nvltop.record.redact import Redactor
from nvltop.report.json import to_json
from nvltop.snapshot.bundle import snapshot_files
from nvltop.snapshot.observe import observe_recording
from tests.conftest import WALL

EVERY_SECOND = (
    GpuReader.read_states,
    GpuReader.read_gauges,
    GpuReader.read_errors,
    GpuReader.read_host_traffic,
    GpuReader.read_fabric,
)


@pytest.fixture
def snapshot(bench, tmp_path):
    """Return a function that reads a node at 4 Hz, and returns the path and the files of a snapshot."""

    def take(node: str, scenario: str, seconds: int):
        b = bench(node, scenario)
        history, ring, table = (
            RateHistory(),
            FlightRecorder(lambda: Redactor({})),
            SimulatedProcessTable(1.79e9),
        )
        inner = b.monitor.update

        def update(item):
            inner(item)
            ring.write(item)

        def of_host(data) -> Reading:
            return Reading(None, b.clock.now, b.clock.now, WALL + b.clock.now, data)

        ring.write(b.inventory, of_host(CounterRefresh(0.0, 0.0, 0.0, True)))
        b.monitor.update = update
        for quarter in range(4 * seconds):
            b.clock.now += 0.25
            for reader in b.readers:
                b.feed(reader.read_counters())
                for read in EVERY_SECOND if quarter % 4 == 0 else ():
                    b.feed(read(reader))
            if quarter % 4 == 0:
                listed = table.describe(*by_pid([r.processes.read(b.clock.now) for r in b.readers]))
                b.feed([b.read_nics()])
                b.feed([of_host(d) for d in (listed, Host(12.5, 1 << 30, 1 << 40), Cost(105.0, 0.02, 0.25))])
            if quarter == 4 * seconds // 2:
                uuid = b.inventory.gpus[0].uuid
                b.monitor.update(Event(b.clock.now, WALL + b.clock.now, uuid, "xid", 31))
            b.tick()
            if quarter % 4 == 3:
                history.add(frame := b.monitor.frame())
        made = snapshot_files(frame, history, ring, "<svg></svg>", "requested")
        return made.save(tmp_path / "shot"), made

    return take


def differences(a, b, path: str = "") -> Iterator[tuple[str, object, object]]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from differences(a.get(key), b.get(key), f"{path}.{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from differences(x, y, f"{path}[{i}]")
    elif a != b:
        yield path, a, b


def body(report: str) -> str:
    """Return a report without its head and the versions, which are those of the snapshot's own moment."""
    return re.sub(r"<details><summary>Versions.*?</details>", "", report[report.index("## ") :], flags=re.S)


@pytest.mark.parametrize(
    ("node", "scenario", "seconds"),
    [
        ("h100-two", "training", 100),
        ("h100-two", "errors", 50),
        ("gb200-two", "straggler", 75),
        ("dgx1-v100", "link-down", 30),
        ("hgx-a100-4", "gpu-lost", 25),
        ("rtx3090-pair", "hang", 70),
        ("dgx-h100", "nic-down", 20),
    ],
)
def test_every_number_and_sentence_is_the_same(snapshot, capsys, node, scenario, seconds):
    path, made = snapshot(node, scenario, seconds)
    seen = observe_recording(str(path), Settings(), None, Redactor({}))
    said = json.loads(made.files["snapshot.json"])
    shown = json.loads(json.dumps(to_json(seen.monitor.frame())))
    assert len(said["gpus"]) >= 2
    assert said["verdict"]["headline"]
    assert (
        list(differences({**said, "removed": None, "cause": None}, {**shown, "removed": None, "cause": None}))
        == []
    )
    again = snapshot_files(seen.monitor.frame(), seen.history, seen.ring, "", "requested", replayed=True)
    assert body(again.report) == body(made.report)
    if seconds <= 25:
        assert main(["--replay", str(path), "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["gpus"] == said["gpus"]
        assert printed["findings"] == said["findings"]


def test_after_many_minutes_the_rates_and_sentences_of_the_moment_are_the_same(snapshot):
    path, made = snapshot("h100-two", "straggler", 340)
    seen = observe_recording(str(path), Settings(), None, Redactor({}))
    said = json.loads(made.files["snapshot.json"])
    shown = json.loads(json.dumps(to_json(seen.monitor.frame())))
    for a, b in zip(said["gpus"], shown["gpus"], strict=True):
        for key in ("tx_bytes_per_s", "rx_bytes_per_s", "links_up", "rates_over_s"):
            assert a["nvlink"][key] == b["nvlink"][key]
        for key in ("mean_tx_bytes_per_s", "mean_rx_bytes_per_s", "peak_tx_bytes_per_s", "mean_over_s"):
            assert a["nvlink"][key] == pytest.approx(b["nvlink"][key], rel=0.01)
        assert [link["errors"] for link in a["links"]] == [link["errors"] for link in b["links"]]
        assert (a["util_percent"], a["power_w"], a["state"]) == (b["util_percent"], b["power_w"], b["state"])
    assert [f["rule"] for f in said["findings"]] == [f["rule"] for f in shown["findings"]] != []
    assert said["verdict"]["headline"] == shown["verdict"]["headline"]
    assert said["activity"][0]["step_s"] == pytest.approx(shown["activity"][0]["step_s"], rel=0.001)
