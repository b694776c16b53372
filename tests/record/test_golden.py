"""Recordings and snapshots of released versions: what they gave then, they give now."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.model import Frame, Tick
from nvltop.record.reader import open_recording

FOLDER = Path(__file__).parents[1] / "data" / "recordings"
EXPECTED = FOLDER / "expected.json"
FILES = sorted(p for p in FOLDER.iterdir() if p.suffix != ".json")


def replay(path: Path, seconds: int) -> tuple[Frame, dict[str, list[float | None]]]:
    """Return the last frame of a recording, and TX of each GPU in GB/s by whole second."""
    monitor, history = Monitor(), RateHistory()
    with open_recording(path) as recording:
        for item in recording:
            monitor.update(item)
            if isinstance(item, Tick):
                frame = monitor.frame()
                history.add(frame)
    assert recording.warning is None
    newest = history.bucket - 2
    series = {
        str(g.gpu.index): [
            None if math.isnan(v) else round(v / 1e9, 4)
            for v in history.second_means((g.gpu.uuid, None, "tx"), newest, seconds)
        ]
        for g in frame.gpus
    }
    return frame, series


def summary(path: Path, seconds: int) -> dict[str, Any]:
    """Return what a recording gives, in the form of `expected.json`."""
    frame, series = replay(path, seconds)
    index = {g.gpu.uuid: g.gpu.index for g in frame.gpus}
    found = [[f.rule, f.severity, None if f.gpu is None else index[f.gpu], f.link] for f in frame.findings]
    return {"model": frame.gpus[0].gpu.name, "findings": found, "tx_gb_per_s": series}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_recording_of_an_earlier_version_gives_what_it_gave(path):
    expected = json.loads(EXPECTED.read_text())[path.name]
    now = summary(path, len(expected["tx_gb_per_s"]["0"]))
    assert now["model"] == expected["model"]
    assert now["findings"] == expected["findings"]
    assert now["tx_gb_per_s"].keys() == expected["tx_gb_per_s"].keys()
    for gpu, series in expected["tx_gb_per_s"].items():
        assert now["tx_gb_per_s"][gpu] == pytest.approx(series, rel=0.01, abs=0.01)


def test_every_released_version_has_its_recordings():
    kinds = {"".join(p.suffixes) for p in FILES}
    assert kinds >= {".gz", ".zst", ".nvltop", ".tar.gz"}
    assert json.loads(EXPECTED.read_text()).keys() == {p.name for p in FILES}
