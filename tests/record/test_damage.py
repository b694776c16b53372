"""Damage costs only itself: a flip at any place of a one-hour recording loses at most 60 s."""

from __future__ import annotations

import gzip
import random
import re
import time
import zlib
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nvltop.model import Event, Gauges, Gpu, Inventory, Reading, Tick
from nvltop.record.chunks import MAGIC, decompressor
from nvltop.record.format import RecordingError
from nvltop.record.reader import open_recording
from nvltop.record.redact import Redactor
from nvltop.record.writer import RecordingWriter
from tests.conftest import examples

HOUR_S = 3600
LOST_S = 60.0
STEP_S = 5
ENDINGS = ["nvltop", "gz", "zst"]


def hour(seconds: int = HOUR_S) -> list:
    """A quiet node, so that the file is small; the damage is as on a busy one."""
    noise = random.Random(5)
    items: list = [Inventory(1000.0, 1.79e9, gpus=(Gpu(0, "GPU-a1"),))]
    for second in range(0, seconds, STEP_S):
        at = 1000.5 + second
        items.append(
            Reading("GPU-a1", at, at, 1.79e9 + second, Gauges(power_w=round(noise.gauss(600, 9), 3)))
        )
        if second % 600 == 0:
            items.append(Event(at, 1.79e9 + second, "GPU-a1", "xid", 74))
        items.append(Tick(at + 0.25, 1.79e9 + second, 1.0))
    return items


HOUR = hour()
TRUTH = {item.end_s: item.data for item in HOUR if isinstance(item, Reading)}


@pytest.fixture(scope="module", params=ENDINGS)
def recorded(request, tmp_path_factory):
    """Return the path of a recording of an hour, and its bytes."""
    path = tmp_path_factory.mktemp("damage") / f"hour.{request.param}"
    writer = RecordingWriter(path, redact=Redactor({}))
    for item in HOUR:
        writer.write(item)
    writer.close()
    assert writer.error is None
    return path, path.read_bytes()


def read(path, data: bytes):
    broken = path.with_name(f"broken{path.suffix}")
    broken.write_bytes(data)
    with open_recording(broken) as recording:
        return list(recording), recording.warning


def ticks(items) -> list[float]:
    return [item.mono_s for item in items if isinstance(item, Tick)]


def lost_s(items) -> float:
    """Return the seconds of the hour without a tick, and check that time never goes back."""
    seen = ticks(items)
    assert seen == sorted(seen)
    return HOUR_S - STEP_S * len(set(seen))


def check(path, data: bytes, most_s: float = LOST_S) -> None:
    items, warning = read(path, data)
    lost = lost_s(items)
    assert lost <= most_s
    assert warning is not None or items == HOUR
    for item in items:
        if isinstance(item, Reading):
            assert TRUTH[item.end_s] == item.data, "what is read is what was written"


def test_the_whole_hour_is_read(recorded):
    path, data = recorded
    items, warning = read(path, data)
    assert warning is None
    assert items == HOUR


@settings(max_examples=examples(10))
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flip_at_any_place_loses_at_most_a_minute(recorded, at, bit):
    path, whole = recorded
    broken = bytearray(whole)
    broken[int(at * len(whole))] ^= 1 << bit
    if bytes(broken[:4]) == whole[:4]:
        check(path, bytes(broken))


@settings(max_examples=examples(5))
@given(at=st.floats(0, 1, exclude_max=True), length=st.integers(1, 4096), zeros=st.booleans())
@example(at=0.6409698021403414, length=168, zeros=False)
def test_a_missing_or_zeroed_block_costs_only_its_segments(recorded, at, length, zeros):
    path, whole = recorded
    start = int(at * len(whole))
    hole = b"\0" * length if zeros else b""
    share_s = HOUR_S * length / len(whole)
    if start > 4:
        check(path, whole[:start] + hole + whole[start + length :], 2 * LOST_S + 2 * share_s)


def parts_of(path, data: bytes) -> list[bytes]:
    """Return the parts of a recording that can be removed without a trace: one for each block."""
    if path.suffix not in MAGIC:
        return re.findall(rb'(?s).*?\["#",[^]]*\]\n', data)
    new, _ = decompressor(path, MAGIC[path.suffix])
    parts = []
    while data:
        part = new()
        part.decompress(data, 1 << 24)
        parts.append(data[: len(data) - len(part.unused_data)])
        data = part.unused_data
    return parts


@settings(max_examples=examples(5))
@given(at=st.floats(0, 1, exclude_max=True), count=st.integers(1, 12))
@example(at=0.0, count=1)
@example(at=0.9999, count=1)
@example(at=0.0, count=10**6)
def test_parts_that_are_missing_as_a_whole_are_noticed(recorded, at, count):
    path, whole = recorded
    parts = parts_of(path, whole)
    assert b"".join(parts) == whole
    first = int(at * len(parts))
    left = b"".join(parts[:first] + parts[first + count :])
    if not left:
        with pytest.raises(RecordingError, match="empty"):
            read(path, left)
        return
    items, warning = read(path, left)
    assert warning is not None
    assert lost_s(items) <= 2 * LOST_S + count * HOUR_S / len(parts)


def test_a_part_that_was_exchanged_or_doubled_is_noticed(recorded):
    path, whole = recorded
    parts = parts_of(path, whole)
    middle = len(parts) // 2
    for order in ((middle + 1, middle), (middle, middle, middle + 1)):
        broken = b"".join([*parts[:middle], *(parts[i] for i in order), *parts[middle + 2 :]])
        items, warning = read(path, broken)
        assert warning is not None
        assert lost_s(items) <= 2 * LOST_S


def test_one_recording_can_follow_another(recorded, tmp_path):
    path, whole = recorded
    later = [
        replace(i, mono_s=i.mono_s + HOUR_S) if not isinstance(i, Reading) else
        replace(i, start_s=i.start_s + HOUR_S, end_s=i.end_s + HOUR_S)
        for i in hour(60)
    ]  # fmt: skip
    writer = RecordingWriter(tmp_path / path.name, redact=Redactor({}))
    for item in later:
        writer.write(item)
    writer.close()
    items, warning = read(path, whole + (tmp_path / path.name).read_bytes())
    assert warning is None
    assert items == HOUR + later


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_killed_writer_loses_at_most_ten_seconds(tmp_path, ending):
    """Wherever the file is cut, what was recorded up to ten seconds before is read."""
    path = tmp_path / f"x.{ending}"
    writer, blocks, now_s = RecordingWriter(path, redact=Redactor({})), [], 0.0
    writer._output.append = lambda data: blocks.append((data, now_s))
    writer._output.do = lambda work, size=0: work()
    for item in hour(seconds=200):
        now_s = item.mono_s if isinstance(item, Tick) else now_s
        writer.write(item)
    whole, noise = b"".join(part for part, _ in blocks), random.Random(9)
    begun, size = 0, 0
    for (part, at_s), (_, next_s) in pairwise(blocks):
        begun, size = size, size + len(part)
        assert next_s - at_s <= 10.0
        cut = noise.randrange(begun + 1, size + 1)
        if size > len(whole) // 8 and noise.random() < 0.3:
            items, _ = read(path, whole[:cut])
            assert at_s - ticks(items)[-1] <= 10.0


def test_one_line_reports_the_seconds_that_were_lost(recorded):
    path, whole = recorded
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 0x10
    items, warning = read(path, bytes(broken))
    lost = lost_s(items)
    assert 1 <= lost <= 60
    assert warning.startswith(f"{path.with_name('broken')}{path.suffix}: damaged, ")
    assert abs(int(warning.split("damaged, ")[1].split(" s lost")[0]) - lost) <= STEP_S
    assert "\n" not in warning


def test_many_headers_with_damage_between_are_read_in_linear_time(tmp_path):
    """A hole in each of many segments costs no copy of the rest of the file."""
    path = tmp_path / "x"
    head = b'{"schema":"nvltop-recording/1","version":"0.1.0","removed":[]}\n'
    tick = b'["t",0,0,[[1.0,"running",[],""]]]\n'
    path.write_bytes(head + tick + (head + b"x\n") * 40_000)
    begun = time.process_time()
    with open_recording(path) as recording:
        assert len(list(recording)) == 1
    assert time.process_time() - begun < 10.0
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    begun = time.process_time()
    with open_recording(packed) as recording:
        assert len(list(recording)) == 1
    assert time.process_time() - begun < 10.0


def test_members_within_members_are_bounded_in_time(tmp_path):
    """Many possible beginnings of parts that all take long to decompress are refused."""
    head = b'{"schema":"nvltop-recording/2","x":"'
    deflate = zlib.compressobj(0, wbits=31)
    inner = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    path = tmp_path / "x.gz"
    path.write_bytes(inner * 60_000)
    with pytest.raises(RecordingError):
        list(open_recording(path))
    path.write_bytes(b"\x1f\x8b\x08\x00" * 500_000)
    with pytest.raises(RecordingError):
        list(open_recording(path))
