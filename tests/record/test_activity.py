"""A replay says of the jobs what the live run said."""

from __future__ import annotations

from nvltop.analysis.monitor import Monitor
from nvltop.model import Tick, known
from nvltop.record.reader import open_recording
from nvltop.record.redact import Redactor
from nvltop.record.writer import RecordingWriter
from nvltop.report.json import to_json


def activities(items):
    monitor = Monitor()
    for item in items:
        monitor.update(item)
        if isinstance(item, Tick):
            yield monitor.frame()


def test_a_replay_says_what_was_said_live(simulate, tmp_path):
    items = simulate("hgx-a100-4", "straggler", 70)
    redact = Redactor()
    path = tmp_path / "run.gz"
    recorder = RecordingWriter(path, redact=redact)
    for item in items:
        recorder.write(item)
    recorder.close()
    live = list(activities(items))
    with open_recording(path) as recording:
        again = list(activities(recording))
    assert [frame.activity for frame in again] == [redact(frame).activity for frame in live]
    assert to_json(again[-1]) == to_json(redact(live[-1]))
    (found,) = again[-1].activity
    assert known(found.step)
    assert found.straggler is not None
    # Frames that are made rarely, as by a replay that skips, give the same result.
    monitor = Monitor()
    with open_recording(path) as recording:
        for item in recording:
            monitor.update(item)
    assert monitor.frame().activity == again[-1].activity
