"""Files from strangers: one line that names the file, the line and what is wrong, in bounded memory."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
import zlib

import pytest

from nvltop.model import Event, Tick
from nvltop.record import chunks
from nvltop.record.format import MAX_LINE, RecordingError
from nvltop.record.reader import open_recording
from nvltop.record.writer import RecordingWriter

HEADER = b'{"schema":"nvltop-recording/1","version":"0.1.0","removed":[]}\n'
TICK = b'["t",0,0,[[1.0,"running",[],""]]]\n'


def read(path):
    with open_recording(path) as recording:
        return list(recording), recording.warning


def message_of(path):
    """Return what the user is shown: the error, or the warning if something could be read."""
    try:
        return read(path)[1]
    except RecordingError as error:
        return str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "1: empty, or cut off before the first line was complete"),
        (b"\n", "1: not a recording of nvltop"),
        (b"hello\n", "1: not a recording of nvltop"),
        (b"\x7fELF\x02\n", "1: not a recording of nvltop"),
        (b"[1,2]\n", "1: not a recording of nvltop"),
        (b'{"schema":"nvltop/1"}\n', "1: not a recording of nvltop"),
        (b'{"schema":1}\n', "1: not a recording of nvltop"),
        (b'{"schema":"nvltop-recording/2"}\n', "1: a header without valid names"),
        (
            b'{"schema":"nvltop-recording/3"}\n',
            "1: written by a newer nvltop (schema 3, this version reads up to 2)",
        ),
        (HEADER[:-2] + b",\n", "1: not JSON"),
        (HEADER + b"\n", "2: not JSON"),
        (HEADER + TICK + b'["t",1\n', " damaged, the end lost (line 3: not JSON)"),
        (HEADER + TICK + b'["t",-1,0]\n', " damaged, the end lost (line 3: time out of range)"),
        (
            HEADER + TICK + b'["t",5000000,0]\n["t",-1,0]\n',
            " damaged, the end lost (line 4: time goes backwards)",
        ),
        (HEADER + b'["t",NaN,0,[[1.0,"running",[],""]]]\n', "2: time out of range"),
        (HEADER + b'["t",0,0,[[1e999,"running",[],""]]]\n', "2: Tick.interval_s: not a number in range"),
        (HEADER + b'["e",0,0,null,"xid",-74]\n', "2: Event.code: not a whole number in range"),
        (HEADER + b'["e",0,0,null,"xid","74"]\n', "2: Event.code: not a whole number in range"),
        (HEADER + b"[" * 200_000 + b"\n", "2: nested too deep"),
        (HEADER + b'["t",' + b"9" * 5000 + b",0]\n", "2: a number with too many digits"),
        (HEADER + b'["t",0,0,' + b" " * MAX_LINE + b"\n", "2: a line longer than 4 MiB"),
        (HEADER + b'["e",0,0,null,"\xff",1]\n', "2: not JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_are_not_recordings(tmp_path, content, message):
    path = tmp_path / "x"
    path.write_bytes(content)
    assert message_of(path) == f"{path}:{message}"


def test_a_line_of_100_mib(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(HEADER + b"x" * (100 << 20))
    assert message_of(path) == f"{path}:2: a line longer than 4 MiB"


def test_a_file_that_is_not_there_or_no_file(tmp_path):
    with pytest.raises(RecordingError, match=r"x: No such file or directory$"):
        open_recording(tmp_path / "x")
    with pytest.raises(RecordingError, match=r"a folder, but no snapshot: it has no recording.gz$"):
        open_recording(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordingError, match="not a regular file"):
        open_recording(tmp_path / "pipe")


def test_the_good_part_of_a_file_that_was_cut(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(HEADER + TICK + b'["t",1000')
    assert read(path) == ([Tick(0.0, 0.0, 1.0)], f"{path}: cut off after line 2: the last line is incomplete")


def test_the_good_parts_of_a_gzip_that_was_cut(tmp_path):
    path = tmp_path / "x.gz"
    more = b"".join(b'["e",%d,0,null,"xid",%d]\n' % (i, i) for i in range(3000))
    path.write_bytes(gzip.compress(HEADER + TICK) + gzip.compress(more)[:-2000])
    items, warning = read(path)
    assert items[0] == Tick(0.0, 0.0, 1.0)
    assert 10 < len(items) < 3001
    assert warning == f"{path}: cut off after line {len(items) + 1}: the file ends in the middle of a part"


def test_a_damaged_gzip(tmp_path):
    path = tmp_path / "x.gz"
    part = bytearray(gzip.compress(HEADER + TICK))
    part[-5] ^= 1
    path.write_bytes(part)
    with pytest.raises(RecordingError, match=r"x.gz:\d+: the compressed data is damaged"):
        read(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\0" * 1024, "a line longer than 4 MiB"),
        (b"\n" * 1024, "not JSON"),
        (b'["t",0,0]\n' * 100, "decompresses to more"),
    ],
)
def test_a_file_that_unpacks_to_gigabytes(tmp_path, monkeypatch, line, message):
    path = tmp_path / "bomb.gz"
    if line.startswith(b"["):
        # Each line is good; only their number is not.
        monkeypatch.setattr(chunks, "FREE", 1 << 17)
    deflate = zlib.compressobj(9, wbits=31)
    with path.open("wb") as file:
        file.write(deflate.compress(HEADER + TICK))
        block = line * (1 << 10)
        for _ in range((12 << 20) // len(block)):
            file.write(deflate.compress(block))
        file.write(deflate.flush())
    tracemalloc.start()
    try:
        assert message in message_of(path)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_hostile_texts_are_cleaned(tmp_path):
    path = tmp_path / "x"
    hostile = "\x1b]52;c;eA==\x07[@click=app.quit]x[/]\u202e\u200b\ud800\x9b"
    path.write_bytes(HEADER + json.dumps(["e", 0, 0, None, hostile, 1]).encode() + b"\n")
    (event,), _ = read(path)
    assert isinstance(event, Event)
    assert event.kind == r"\x1b]52;c;eA==\x07[@click=app.quit]x[/]\u202e\u200b\ud800\x9b"


def test_progress_ends_at_the_size(tmp_path, simulate):
    path = tmp_path / "x"
    recorder = RecordingWriter(path)
    for item in simulate():
        recorder.write(item)
    recorder.close()
    found = []
    with open_recording(path, lambda done, total: found.append((done, total))) as recording:
        items = list(recording)
    assert len(items) > 50
    assert found == sorted(found)
    assert found[-1] == (path.stat().st_size, path.stat().st_size)
