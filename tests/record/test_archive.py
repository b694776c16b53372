"""Snapshots from strangers: one file is read into memory, nothing is unpacked, and nonsense is one line."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.model import Tick
from nvltop.record.flight_recorder import FlightRecorder
from nvltop.record.format import RecordingError
from nvltop.record.reader import open_recording
from nvltop.record.redact import Redactor

TICKS = [Tick(float(i), 1e9 + i, 1.0, "running") for i in range(1, 4)]


def recording() -> bytes:
    ring = FlightRecorder(lambda: Redactor({}))
    for tick in TICKS:
        ring.write(tick)
    return ring.recording()


def tarred(*members: tuple[str, bytes, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Make an archive of (name, type, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd" if kind != tarfile.REGTYPE else ""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def read(path) -> list:
    with open_recording(path) as found:
        return list(found)


WHOLE = (
    ("a/report.md", tarfile.REGTYPE, b"# x" * 500),
    ("a/recording.gz", tarfile.REGTYPE, recording()),
    ("a/z", tarfile.REGTYPE, b""),
)


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_archive_by_whatever_name(tmp_path, pack, form):
    (tmp_path / "x").write_bytes(pack(tarred(*WHOLE, form=form)))
    assert read(tmp_path / "x") == TICKS


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7"])
@pytest.mark.parametrize("folder", ["a" * 60, f"{'b' * 90}/{'c' * 90}", "\u0442\u0435\u0441\u0442/x"])
def test_a_snapshot_packed_again_by_tar_replays(tmp_path, form, folder):
    place = tmp_path / folder
    place.mkdir(parents=True)
    (place / "report.md").write_text("# x")
    (place / "recording.gz").write_bytes(recording())
    run = subprocess.run(
        ["tar", f"--format={form}", "-czf", tmp_path / "x.tar.gz", "-C", tmp_path, folder],
        check=False, capture_output=True,
    )  # fmt: skip
    if run.returncode:
        pytest.skip("this tar does not write that")
    assert read(tmp_path / "x.tar.gz") == TICKS


def test_headers_within_headers_are_one_line(tmp_path):
    (tmp_path / "x").write_bytes(gzip.compress(header(b"x", b"0", b"L") * 5000))
    with pytest.raises(RecordingError, match="damaged or cut off"):
        read(tmp_path / "x")


def test_a_folder(tmp_path):
    (tmp_path / "recording.gz").write_bytes(recording())
    assert read(tmp_path) == TICKS


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_and_devices_in_an_archive_are_not_followed(tmp_path, kind):
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(tarred(("a/recording.gz", kind, b""))))
    with pytest.raises(RecordingError, match=r"x.tar.gz: the archive has no recording.gz"):
        read(tmp_path / "x.tar.gz")


def test_a_link_to_a_device_in_a_folder_is_not_read(tmp_path):
    os.symlink("/dev/zero", tmp_path / "recording.gz")
    with pytest.raises(RecordingError, match="not a regular file"):
        read(tmp_path)


def test_paths_that_lead_elsewhere_write_nothing(tmp_path, monkeypatch):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    names = ("../../recording.gz", "/tmp/recording.gz")
    for name in names:
        (tmp_path / "x").write_bytes(gzip.compress(tarred((name, tarfile.REGTYPE, recording()))))
        assert read(tmp_path / "x") == TICKS
    assert {p.name for p in tmp_path.rglob("*")} == {"a", "b", "x"}


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    head = bytearray(name.ljust(100, b"\0") + b"0000644\0" * 3 + size.ljust(12) + b"0" * 12 + b" " * 8 + kind)
    head = head.ljust(512, b"\0")
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(b"recording.gz", b"77777777777"), "unpacks to more than 64 MiB"),
        (header(b"x", b"777777777") + bytes(1 << 20), "unpacks to more than 64 MiB"),
        (header(b"recording.gz", b"1000") + b"x", "the archive is damaged or cut off"),
        (header(b"x", b"0") + b"y" * 512, "the archive has no recording.gz, or is damaged before it"),
        (header(b"x", b"0") * 3, "the archive has no recording.gz"),
        (header(b"recording.gz", b"6") + b"hello\n" + bytes(506), "1: not a recording of nvltop"),
    ],
)
def test_archives_that_lie(tmp_path, content, message):
    (tmp_path / "x").write_bytes(gzip.compress(content))
    with pytest.raises(RecordingError, match=message) as caught:
        read(tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_a_bomb_takes_little_memory(tmp_path):
    # Ten thousand headers in few bytes, none of them of a recording.
    (tmp_path / "x").write_bytes(gzip.compress(header(b"x", b"0") * 10_000))
    tracemalloc.start()
    try:
        with pytest.raises(RecordingError, match="more than 1000 files"):
            read(tmp_path / "x")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@settings(max_examples=150)
@given(cut=st.integers(0, 5000), at=st.integers(0, 5000), byte=st.integers(0, 255), packed=st.booleans())
def test_whatever_is_wrong_is_one_line(tmp_path_factory, cut, at, byte, packed):
    content = bytearray(tarred(*WHOLE))
    if packed:
        content = bytearray(gzip.compress(bytes(content)))
    if at < len(content):
        content[at] = byte
    path = tmp_path_factory.mktemp("x") / "x"
    path.write_bytes(content[: len(content) - cut])
    message = ""
    try:
        items = read(path)
    except RecordingError as error:
        items, message = [], str(error)
    assert items == TICKS[: len(items)]
    assert "\n" not in message
