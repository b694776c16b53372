"""The last minutes in memory: what is in them replays like a recording, and they never grow too large."""

from __future__ import annotations

import gzip
import itertools
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.model import (
    ComputeActivity,
    Cost,
    Counter,
    Gpu,
    Inventory,
    LinkCounters,
    Missing,
    Process,
    Processes,
    Reading,
    Scope,
    Tick,
    known,
    time_of,
)
from nvltop.record.flight_recorder import (
    BATCH,
    FULL_S,
    FULL_SHARE,
    HELD_S,
    MAX_BYTES,
    MAX_INVENTORIES,
    MAX_SLICE_S,
    SLICE_S,
    FlightRecorder,
)
from nvltop.record.format import RecordingError
from nvltop.record.reader import open_recording
from nvltop.record.redact import Redactor
from nvltop.record.replay import ReplaySource
from nvltop.record.thinning import are_adjacent, join

NAMES = {"jdoe": "user-"}


def quarters(seconds: int):
    """Counters of two GPUs, and ticks, four times a second."""
    items: list = []
    for quarter in range(4 * seconds + 1):
        now, moved = 1.0 + quarter / 4, (quarter * 1024,)
        counters = LinkCounters(Counter.DATA, Scope.LINK, moved, moved)
        items += [Reading(f"GPU-a{n}", now, now, 1e9 + now, counters) for n in (1, 2)]
        items += [Tick(now, 1e9 + now, 0.25)]
    return items


def read(path, data: bytes):
    path.write_bytes(data)
    with open_recording(path) as recording:
        items = list(recording)
    assert recording.warning is None
    return items


def computed(items):
    return [i for i in items if isinstance(i, Reading) and isinstance(i.data, ComputeActivity)]


def test_what_fits_is_read_back_item_by_item(tmp_path, simulate):
    items, redact = simulate(seconds=8), Redactor(NAMES)
    ring = FlightRecorder(lambda: redact)
    for item in items:
        ring.write(item)
    assert read(tmp_path / "run.gz", ring.recording()) == [redact(item) for item in items]
    # Asking ends nothing.
    later = Tick(round(items[-1].mono_s + 1, 6), items[-1].wall_s + 1, 1.0, "stuck")
    ring.write(later)
    assert read(tmp_path / "run.gz", ring.recording())[-1] == later


def test_the_oldest_goes_and_the_rest_begins_with_what_was_known(tmp_path, simulate):
    items, redact, limit = simulate("h100-two", seconds=400), Redactor(NAMES), 1 << 16
    ring = FlightRecorder(lambda: redact, limit)
    for item in items:
        ring.write(item)
        assert ring.size <= limit
    kept = read(tmp_path / "run.gz", ring.recording())
    assert isinstance(kept[0], Inventory)
    groups = {i.group for i in items if isinstance(i, Reading)}
    ticks = [i for i in kept if isinstance(i, Tick)]
    assert {i.group for i in kept[: kept.index(ticks[0])] if isinstance(i, Reading)} == groups
    # The last minutes are complete; before them one second follows another.
    late = next(i for i, item in enumerate(items) if time_of(item) > items[-1].mono_s - 15)
    newest = [redact(item) for item in items[late:]]
    assert kept[-len(newest) :] == newest
    gaps = [b.mono_s - a.mono_s for a, b in pairwise(ticks)]
    thin = [gap for gap in gaps if gap > 0.9]
    assert thin == pytest.approx([1.0] * len(thin), abs=0.3)
    assert len(thin) > 60
    assert all(gap > 0.9 for gap in gaps[1:60])
    assert ReplaySource(tmp_path / "run.gz").timeline.start_s == ticks[0].mono_s


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 40), max_size=4), limit=st.integers(1 << 10, 1 << 15))
def test_any_limit_is_kept_and_the_newest_is_never_lost(tmp_path_factory, cuts, limit):
    ring, now = FlightRecorder(lambda: Redactor(NAMES), limit), 1.0
    for n in [*cuts, 3]:
        for i in range(n):
            now += 1.0
            ring.write(Reading(None, now, now, 1e9 + now, Cost(float(i), 0.0, 0.25)))
            ring.write(Tick(now, 1e9 + now, 0.25, "running"))
        items = read(tmp_path_factory.mktemp("ring") / "run.gz", ring.recording())
        assert not n or items[-1] == Tick(now, 1e9 + now, 0.25, "running")


@settings(max_examples=20)
@given(
    seconds=st.integers(1, 90),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=8),
    asks=st.booleans(),
)
def test_it_makes_no_difference_how_many_come_together(tmp_path_factory, seconds, sizes, asks):
    items = quarters(seconds)
    ring, rest = FlightRecorder(lambda: Redactor(NAMES)), list(items)
    for size in itertools.cycle(sizes):
        ring.write(*rest[:size])
        del rest[:size]
        if not rest:
            break
        if asks:
            ring.recording()
    assert read(tmp_path_factory.mktemp("ring") / "run.gz", ring.recording()) == items


def test_names_of_what_waits_are_known_to_whoever_redacts_texts():
    ring = FlightRecorder(lambda: Redactor({}))
    someone = Process(1, (), "python3", "asmith", "", group_kind="slurm")
    ring.write(Reading(None, 1.0, 1.0, 1e9, Processes((someone,), 1)))
    assert ring.redact.text("asmith was here") == "user-1 was here"


def test_a_recording_cannot_follow_one_that_is_newer(tmp_path, simulate):
    ring = FlightRecorder(lambda: Redactor(NAMES))
    for item in simulate(seconds=1):
        ring.write(item)
    alone = ring.recording()
    (tmp_path / "run.gz").write_bytes(alone + alone)
    with open_recording(tmp_path / "run.gz") as recording:
        once = read(tmp_path / "once.gz", alone)
        assert list(recording)[: len(once)] == once
    assert recording.warning
    assert "time goes backwards" in recording.warning


@pytest.mark.parametrize("again", ["-1", "true", "1.5", '"2"'])
def test_a_wrong_count_in_a_header(tmp_path, again):
    head = f'{{"schema":"nvltop-recording/1","removed":[],"again":{again}}}\n'
    with pytest.raises(RecordingError, match="run:1: a header with a wrong count"):
        read(tmp_path / "run", head.encode())


def test_nothing_private_is_kept(tmp_path):
    ring = FlightRecorder(lambda: Redactor(NAMES))
    secret = Process(
        1, (), "/opt/jdoe/train.py --password=hunter2", "asmith", "--token hunter2", group_kind="slurm"
    )
    ring.write(Reading(None, 1.0, 1.0, 1e9, Processes((secret,), 2, "asmith's are hidden")))
    text = gzip.decompress(ring.recording()).decode()
    for word in ("jdoe", "asmith", "hunter2"):
        assert word not in text
    assert "train.py" in text


@pytest.mark.parametrize("node", ["h100-two", "gb200-two"])
def test_older_compute_activity_is_joined_to_seconds_without_losing_any(tmp_path, simulate, node):
    items, redact = simulate(node, seconds=400), Redactor(NAMES)
    ring = FlightRecorder(lambda: redact)
    ring.write(*items)
    read_back = read(tmp_path / "run.gz", ring.recording())
    older = items[-1].mono_s - FULL_S - MAX_SLICE_S
    kept = [r for r in computed(read_back) if r.end_s < older]
    for gpu in {r.gpu for r in kept}:
        own = [r for r in kept if r.gpu == gpu]
        all_ = [r for r in computed(map(redact, items)) if r.gpu == gpu and r.end_s <= own[-1].end_s]
        assert len(own) < 0.5 * len(all_)
        for of in (lambda d: d.sm, lambda d: d.dram):
            sums = [
                sum((r.end_s - r.start_s) * of(r.data) for r in rs if known(of(r.data))) for rs in (own, all_)
            ]
            assert sums[0] == pytest.approx(sums[1], abs=0.05)


def test_spans_that_do_not_follow_one_another_stay_apart():
    first = ComputeActivity(0.2, 0.4, Missing("needs GPM"), 300.0, "gpm")
    second = replace(first, sm=0.8, power_w=500.0)
    a = Reading("GPU-a1", 1.0, 1.25, 1e9, first)
    b = replace(a, start_s=1.25, end_s=1.75, data=second)
    assert are_adjacent(a, b)
    both = join([a, b])
    assert (both.start_s, both.end_s, both.data.sm, both.data.power_w) == (1.0, 1.75, 0.6, 500.0)
    assert both.data.dram == Missing("needs GPM")
    assert join([a]) is a
    assert not are_adjacent(a, replace(b, start_s=1.3))
    assert not are_adjacent(a, replace(b, data=replace(second, source="samples")))


def test_it_holds_half_an_hour_of_a_dgx_h100_at_work(simulate):
    """Measured: 0.19 MB for each of the last minutes, 0.07 MB for each one before."""
    ring = FlightRecorder(lambda: Redactor(NAMES))
    ring.write(*simulate("dgx-h100", seconds=4 * SLICE_S))
    first, *packed = ring._slices
    seconds = packed[-1].end_s - first.end_s
    full = sum(part.full_size for part in packed) / seconds
    kept = sum(part.size for part in packed) / seconds - full
    full_s, held_s = FULL_S + SLICE_S, HELD_S + SLICE_S
    assert full * full_s < FULL_SHARE * MAX_BYTES
    assert full * full_s + kept * held_s < MAX_BYTES


def test_a_snapshot_holds_what_was_there_when_it_was_taken(tmp_path, simulate):
    """What is added and thinned while a thread writes it changes nothing."""
    items, redact = simulate("h100-two", seconds=400), Redactor(NAMES)
    ring = FlightRecorder(lambda: redact)
    half = len(items) // 2
    ring.write(*items[:half])
    held = ring.held()
    ring.write(*items[half:])
    assert any(not part.is_full for part in ring._slices)
    assert read(tmp_path / "run.gz", held.recording()) == [redact(item) for item in items[:half]]


def test_items_without_a_tick_are_bounded_too(tmp_path, monkeypatch):
    monkeypatch.setattr("nvltop.record.flight_recorder.MAX_ITEMS", 100)
    ring = FlightRecorder(lambda: Redactor(NAMES), 1 << 12)
    items = [Reading(None, t, t, 1e9 + t, Cost(float(t), 0.0, 0.25)) for t in map(float, range(9000))]
    ring.write(*items)
    assert ring.size <= 1 << 12
    kept = read(tmp_path / "run.gz", ring.recording())
    assert 100 < len(kept) < len(items)
    assert kept == items[-len(kept) :]


@pytest.mark.parametrize("count", [1, MAX_INVENTORIES, MAX_INVENTORIES + 1, 3 * MAX_INVENTORIES])
def test_a_redactor_that_is_made_late_knows_all_gpus_in_their_order(count):
    """It is made when it is used, or when too many inventories wait for it."""
    made = []

    def make() -> Redactor:
        made.append(Redactor(NAMES))
        return made[-1]

    ring, early = FlightRecorder(make), Redactor(NAMES)
    uuids = [f"GPU-{n:08x}-0000-0000-0000-000000000000" for n in range(count)]
    for n, uuid in enumerate(uuids):
        inventory = Inventory(float(n), 1e9 + n, gpus=(Gpu(0, uuid),))
        ring.write(inventory, *[Tick(float(n), 1e9 + n, 1.0)] * BATCH)
        early(inventory)
    assert len(made) == (count > MAX_INVENTORIES)
    assert [ring.redact.text(uuid) for uuid in uuids] == [early.text(uuid) for uuid in uuids]
    assert len(made) == 1


def test_clear(tmp_path, simulate):
    ring = FlightRecorder(lambda: Redactor(NAMES))
    for item in simulate(seconds=1):
        ring.write(item)
    ring.clear()
    ring.write(Tick(1.0, 1e9, 1.0, "replay"))
    assert read(tmp_path / "run.gz", ring.recording()) == [Tick(1.0, 1e9, 1.0, "replay")]
