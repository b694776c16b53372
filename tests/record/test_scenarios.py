"""A recording replays as the run looked: the same frames, on every node."""

from __future__ import annotations

import pytest

from nvltop.analysis.monitor import Monitor
from nvltop.model import Tick
from nvltop.nvml.demo_nodes import NODES, SCENARIOS
from nvltop.record.reader import open_recording
from nvltop.record.redact import Redactor
from nvltop.record.writer import RecordingWriter
from nvltop.report.json import to_json
from tests.conftest import THOROUGH

RUNS = [("h100-two", scenario, 12) for scenario in SCENARIOS] + [(node, "training", 4) for node in NODES]
TICKS_PER_S = 4


def frames(items, every: int):
    """Yield the frame of each `every`-th tick and of the last one."""
    monitor, ticks = Monitor(), sum(isinstance(item, Tick) for item in items)
    seen = 0
    for item in items:
        monitor.update(item)
        if isinstance(item, Tick):
            seen += 1
            if seen % every == 0 or seen == ticks:
                yield monitor.frame()


@pytest.mark.parametrize(("node", "scenario", "seconds"), RUNS)
def test_replay_of_the_redacted_is_the_redacted_live(simulate, tmp_path, node, scenario, seconds):
    items = simulate(node, scenario, seconds)
    redact = Redactor()
    path = tmp_path / "run.gz"
    recorder = RecordingWriter(path, redact=redact)
    for item in items:
        recorder.write(item)
    recorder.close()
    assert recorder.error is None

    with open_recording(path) as recording:
        replayed = list(recording)
    assert replayed == [redact(item) for item in items]
    # Equal items make equal frames at any tick; what is redacted in a frame changes once a second at most.
    every = 1 if THOROUGH or (node, scenario, seconds) == RUNS[0] else TICKS_PER_S
    live = [redact(frame) for frame in frames(items, every)]
    again = list(frames(replayed, every))
    assert len(again) == len(live) >= 4
    assert again == live
    assert to_json(again[-1], None) == to_json(live[-1], None)
