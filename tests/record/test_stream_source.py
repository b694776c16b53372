"""A recording through a pipe: read while it is written, cut at any place, ended on either side."""

from __future__ import annotations

import os
import select
import threading

import pytest

from nvltop.model import Gauges, Gpu, Inventory, Reading, Tick
from nvltop.record.output import StreamOutput
from nvltop.record.redact import Redactor
from nvltop.record.stream_source import LATE_INTERVALS, StreamSource
from nvltop.record.writer import RecordingWriter

PATIENCE_S = 20.0


@pytest.fixture
def piped(monkeypatch):
    """Return a writer to a pipe, and the source that reads it."""
    out, into = os.pipe()
    monkeypatch.setattr(StreamOutput, "append", lambda self, data: os.write(into, data) and None)
    writer = RecordingWriter("-", redact=Redactor({}))
    source = StreamSource(out)
    yield writer, source, into
    for fd in (into,):
        try:
            os.close(fd)
        except OSError:
            pass


def until(source, enough) -> list:
    items: list = []
    while not enough(items):
        assert select.select([source.fileno()], [], [], PATIENCE_S)[0]
        items += source.drain()
    return items


def frame(at: float) -> list:
    return [Reading("GPU-a1", at, at, 1.79e9 + at, Gauges(power_w=at)), Tick(at, 1.79e9 + at, 0.25)]


def test_each_frame_arrives_at_once(piped):
    writer, source, _ = piped
    writer.write(Inventory(1.0, 1.79e9, gpus=(Gpu(0, "GPU-a1"),)))
    for at in (2.0, 2.25, 2.5):
        for item in frame(at):
            writer.write(item)
        items = until(source, lambda items, at=at: source.tick().mono_s == at)
        assert items[-1] == frame(at)[0], "without waiting for the next frame"
        assert source.tick() == frame(at)[1]


def test_the_end_is_noticed(piped):
    writer, source, into = piped
    for item in frame(2.0):
        writer.write(item)
    writer.close()
    os.close(into)
    until(source, lambda items: source.ended)
    assert source.error is None
    assert source.warning is None


def test_a_stream_that_is_cut_within_a_line_is_reported(piped):
    writer, source, into = piped
    for item in frame(2.0):
        writer.write(item)
    until(source, bool)
    os.write(into, b'["t",25')
    os.close(into)
    until(source, lambda items: source.ended)
    assert "cut off" in source.warning


def test_another_stream_is_refused(piped):
    _, _, _ = piped
    out, into = os.pipe()
    os.write(into, b"hello\n")
    os.close(into)
    source = StreamSource(out)
    until(source, lambda items: source.ended)
    assert "not a recording" in str(source.error)


def test_the_clock_goes_on_when_frames_are_late(piped, monkeypatch):
    writer, source, _ = piped
    for item in frame(2.0):
        writer.write(item)
    until(source, lambda items: source.tick().mono_s == 2.0)
    arrived_s = source._arrived_s
    monkeypatch.setattr("nvltop.record.stream_source.time.monotonic", lambda: arrived_s + 30.0)
    late = source.tick()
    assert late.mono_s == pytest.approx(2.0 + 30.0 - LATE_INTERVALS)
    assert "no data has arrived" in late.note
    monkeypatch.undo()
    assert source.tick().mono_s >= late.mono_s, "time never goes back"


def test_a_reader_that_closes_ends_the_writer(monkeypatch):
    closed = threading.Event()

    def append(self, data):
        closed.set()
        raise BrokenPipeError

    monkeypatch.setattr(StreamOutput, "append", append)
    writer = RecordingWriter("-", redact=Redactor({}))
    for item in frame(2.0):
        writer.write(item)
    assert closed.wait(PATIENCE_S)
    writer.close()
    assert writer.is_closed
    assert writer.error is None, "a reader that closes the stream is not a failure"
