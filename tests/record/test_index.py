"""Long recordings: the segments are found without decoding, and jumps read only what they need."""

from __future__ import annotations

import random

import pytest

from nvltop.model import Event, Gauges, Gpu, Inventory, Reading, Tick, time_of
from nvltop.record.cut import find_cut
from nvltop.record.format import RecordingError
from nvltop.record.index import find_segments
from nvltop.record.positions import parse_position
from nvltop.record.reader import open_recording
from nvltop.record.redact import Redactor
from nvltop.record.replay import LEAD_S, ReplaySource
from nvltop.record.timeline import scan
from nvltop.record.writer import SEGMENT_S, RecordingWriter

HOURS = 3
STEP_S = 5
BEGIN_S, WALL_S = 5000.0, 1.79e9


@pytest.fixture(scope="module", params=["nvltop", "gz", "zst"])
def path(request, tmp_path_factory):
    """Return a recording of three hours."""
    name = tmp_path_factory.mktemp("index") / f"x.{request.param}"
    writer, noise = RecordingWriter(name, redact=Redactor({})), random.Random(2)
    writer.write(Inventory(BEGIN_S, WALL_S, gpus=(Gpu(0, "GPU-a1"),)))
    for second in range(0, HOURS * 3600, STEP_S):
        at = BEGIN_S + second
        writer.write(
            Reading("GPU-a1", at, at, WALL_S + second, Gauges(power_w=round(noise.gauss(600, 9), 1)))
        )
        if second % 1800 == 900:
            writer.write(Event(at, WALL_S + second, "GPU-a1", "xid", 74))
        writer.write(Tick(at, WALL_S + second, 1.0))
    writer.close()
    return name


def test_each_segment_can_be_read_alone(path):
    segments = find_segments(path)
    assert HOURS * 3600 / (SEGMENT_S + 15) < len(segments) < HOURS * 3600 / SEGMENT_S
    for segment in (segments[0], segments[len(segments) // 2], segments[-1]):
        with open_recording(path, offset=segment.offset) as recording:
            items = list(recording)
        assert isinstance(items[0], Inventory)
        assert time_of(items[-1]) == BEGIN_S + HOURS * 3600 - STEP_S
        assert min(i.mono_s for i in items if isinstance(i, Tick)) == segment.mono_s


def test_the_index_gives_the_same_timeline_as_reading_all(path):
    opened, whole = ReplaySource(path, clock=lambda: 0.0).timeline, scan(path)
    assert opened.segments
    assert (opened.start_s, opened.end_s, opened.start_wall_s) == (
        whole.start_s,
        whole.end_s,
        whole.start_wall_s,
    )
    # Where findings begin is found as the recording is played.
    assert opened.marks == [mark for mark in whole.marks if mark.kind != "finding"]
    assert len(opened.marks) == 2 * HOURS


def drain(replay) -> list:
    items = []
    while True:
        items += replay.drain()
        if not replay.behind:
            return items


def test_a_jump_reads_a_minute_and_not_hours(path):
    replay = ReplaySource(path, clock=lambda: 0.0)
    for to_s in (HOURS * 3600 - 60, 1800, 7000):
        generation = replay.generation
        replay.jump(BEGIN_S + to_s)
        items = drain(replay)
        assert replay.generation == generation + 1
        assert isinstance(items[0], Inventory)
        times = [i.mono_s for i in items if isinstance(i, Tick)]
        assert times[0] <= BEGIN_S + to_s - LEAD_S
        assert times[-1] - times[0] < SEGMENT_S + LEAD_S + 3 * STEP_S
        assert abs(replay.tick().mono_s - BEGIN_S - to_s) <= STEP_S


def test_a_short_jump_forwards_goes_on(path):
    replay = ReplaySource(path, clock=lambda: 0.0)
    drain(replay)
    replay.jump(BEGIN_S + 120)
    assert replay.generation == 0
    assert len(drain(replay)) >= 2 * 120 // STEP_S


@pytest.mark.parametrize(
    ("begin", "end", "from_s", "to_s"),
    [
        ("+1:00:00", "+1:05:00", 3600, 3900),
        ("-10m", "-5m", HOURS * 3600 - STEP_S - 600, HOURS * 3600 - STEP_S - 300),
        (None, "+90s", 0, 90),
    ],
)
def test_a_part(path, begin, end, from_s, to_s):
    cut = find_cut(path, parse_position(begin) if begin else None, parse_position(end))
    assert (cut.from_s - BEGIN_S, cut.to_s - BEGIN_S) == (from_s, to_s)
    with open_recording(path, offset=cut.offset) as recording:
        first = next(i for i in recording if isinstance(i, Tick))
    assert first.mono_s <= cut.from_s
    assert cut.from_s - first.mono_s < SEGMENT_S + LEAD_S + 3 * STEP_S


def test_a_part_that_ends_before_it_begins(path):
    with pytest.raises(RecordingError, match="--to is before --from"):
        find_cut(path, parse_position("+90s"), parse_position("+60s"))


def test_a_damaged_header_costs_only_its_segment(path, tmp_path):
    segments = find_segments(path)
    data = bytearray(path.read_bytes())
    data[segments[5].offset + 200] ^= 0xFF
    broken = tmp_path / path.name
    broken.write_bytes(data)
    assert len(segments) - 1 <= len(find_segments(broken)) <= len(segments)
