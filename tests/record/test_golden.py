"""Recordings and snapshots of released versions: what they gave then, they give now."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from nvltop.analysis.history import History
from nvltop.analysis.monitor import Monitor
from nvltop.model import Frame, Tick, known
from nvltop.record.reader import open_recording

FOLDER = Path(__file__).parents[1] / "data" / "recordings"
EXPECTED = FOLDER / "expected.json"
FILES = sorted(p for p in FOLDER.iterdir() if p.suffix != ".json")


def replay(path: Path) -> tuple[Frame, dict[str, list[float | None]]]:
    """Return the last frame of a recording, and TX of each GPU in GB/s by whole second."""
    monitor, history = Monitor(), History()
    first: int | None = None
    with open_recording(path) as recording:
        for item in recording:
            monitor.update(item)
            if isinstance(item, Tick):
                frame = monitor.frame()
                history.add(frame)
                if first is None and all(known(g.nvlink.tx_bytes_per_s) for g in frame.gpus):
                    first = history.bucket + 1
    assert recording.warning is None
    assert first is not None
    newest = history.bucket - 2
    series = {
        str(g.gpu.index): [
            None if math.isnan(v) else round(v / 1e9, 4)
            for v in history.seconds((g.gpu.uuid, None, "tx"), newest, newest - first + 1)
        ]
        for g in frame.gpus
    }
    return frame, series


def summary(path: Path) -> dict[str, object]:
    """Return what a recording gives, in the form of `expected.json`."""
    frame, series = replay(path)
    index = {g.gpu.uuid: g.gpu.index for g in frame.gpus}
    found = [[f.rule, f.severity, None if f.gpu is None else index[f.gpu], f.link] for f in frame.findings]
    return {"model": frame.gpus[0].gpu.name, "findings": found, "tx_gb_per_s": series}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_recording_of_an_earlier_version_gives_what_it_gave(path):
    expected = json.loads(EXPECTED.read_text())[path.name]
    now = summary(path)
    assert now["model"] == expected["model"]
    assert now["findings"] == expected["findings"]
    assert now["tx_gb_per_s"].keys() == expected["tx_gb_per_s"].keys()
    for gpu, series in expected["tx_gb_per_s"].items():
        assert now["tx_gb_per_s"][gpu][-len(series) :] == pytest.approx(series, rel=0.01, abs=0.01)


def test_every_released_version_has_its_recordings():
    kinds = {"".join(p.suffixes) for p in FILES}
    assert kinds >= {".gz", ".zst", ".nvltop", ".tar.gz"}
    assert json.loads(EXPECTED.read_text()).keys() == {p.name for p in FILES}
