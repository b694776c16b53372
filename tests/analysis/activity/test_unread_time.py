"""Time in which nothing was read is neither a silence of a job nor a part of what was watched."""

from __future__ import annotations

import pytest

from nvltop.model import Missing, known
from nvltop.nvml.simulated import Fault

WATCHED_S = 20.0


def silences(frame):
    """Return how long the jobs of a frame are said to be silent, seconds."""
    steps = [a.step for a in frame.activity if known(a.step)]
    return [j.silent_s for j in frame.judgements] + [step.silent_s for step in steps]


@pytest.mark.parametrize("gap_s", [8.0, 20.0, 61.3, 3600.1])
def test_a_gap_in_the_readings_does_not_count_as_silence(bench, gap_s):
    b = bench("h100-four")
    assert b.run(WATCHED_S).judgements[0].state == "limits"
    b.clock.now += gap_s
    resumed_s = b.clock.now
    for frame in b.frames(20.0):
        read_s = b.clock.now - resumed_s
        assert all(silent_s <= read_s for silent_s in silences(frame))
        assert "No NVLink traffic" not in frame.verdict.headline
        assert all(j.window_s <= WATCHED_S + read_s for j in frame.judgements)
        if read_s > 1.0:
            assert "unknown" not in (frame.judgements[0].state, frame.verdict.headline.split()[-1])
    assert frame.judgements[0].state == "limits"


def test_the_silence_of_a_job_that_ended_in_a_gap_is_that_since_the_gap(bench):
    b = bench("h100-four", "hang")
    b.run(28.0)
    b.clock.now += 600.0
    resumed_s = b.clock.now
    frame = b.run(15.0)
    assert frame.judgements[0].state == "silent"
    assert 14.0 < frame.judgements[0].silent_s <= b.clock.now - resumed_s


def test_the_time_that_could_not_be_read_was_not_watched(bench):
    b = bench("h100-two")
    b.run(15.0)
    b.library.faults["nvmlDeviceGetFieldValues"] = Fault(999)
    for frame in b.frames(3.0):
        for j in frame.judgements:
            assert j.mean != Missing("what NCCL reaches on this generation of NVLink is not published")
    b.run(80.0)
    b.library.faults.clear()
    resumed_s = b.clock.now
    for frame in b.frames(20.0):
        assert all(j.window_s <= b.clock.now - resumed_s for j in frame.judgements)
    assert frame.judgements[0].state == "limits"


def test_traffic_without_a_link_speed_is_not_unknown(bench):
    def no_speed(lib):
        for field_id in (90, 164, *range(84, 90), *range(132, 138)):
            lib.fields.tables[0][field_id] = lambda g, s, t: (3, 0, 0)

    frame = bench("h100-two", prepare=no_speed).run(10.0)
    assert known(frame.gpus[0].nvlink.tx_bytes_per_s)
    assert isinstance(frame.gpus[0].nvlink.speed_bytes_per_s, Missing)
    assert frame.verdict.headline == "NVLink carries traffic; its limit is unknown"
    assert "the speed of the links could not be read" in frame.verdict.summary
