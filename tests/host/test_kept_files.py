"""Files that stay open give the same values as files that are opened at each reading."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nvltop.host.sysfs import DEVICE_GONE, NOT_THERE, KeptFiles, read_count, read_text


@pytest.fixture
def opened(monkeypatch):
    """The paths that are opened, in order."""
    paths: list[str] = []
    real = os.open

    def counted(path, *arguments, **options):
        paths.append(str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", counted)
    return paths


def test_what_the_kernel_makes_at_each_read_is_read_again_without_being_opened(opened):
    files = KeptFiles("/proc/self")
    files.begin()
    name = str(files.read_text("comm"))
    try:
        Path("/proc/self/comm").write_text("another")
        files.begin()
        assert files.read_text("comm") == "another" != name
    finally:
        Path("/proc/self/comm").write_text(name)
    assert opened == ["/proc/self/comm"]
    files.close()


def test_without_keeping_each_reading_opens_the_file(opened):
    files = KeptFiles("/proc/self", keeps=False)
    files.begin()
    assert files.read_text("comm") == files.read_text("comm") == read_text("/proc/self/comm")
    assert opened == ["/proc/self/comm"] * 3


def test_a_file_that_a_program_has_written_may_be_replaced(tmp_path):
    files = KeptFiles(str(tmp_path))
    files.begin()
    assert files.read_count("count") == NOT_THERE
    for value in ("7", "12"):
        (tmp_path / "new").write_text(value)
        (tmp_path / "new").rename(tmp_path / "count")
        assert files.read_count("count") == read_count(tmp_path / "count") == int(value)


def test_another_device_with_the_same_name_is_read(tmp_path):
    device = tmp_path / "device"
    files = KeptFiles(str(device))
    for pid in (os.getpid(), os.getppid(), os.getpid()):
        device.unlink(missing_ok=True)
        device.symlink_to(f"/proc/{pid}")
        files.begin()
        for _ in range(2):
            assert str(files.read_text("stat")).split()[0] == str(pid)
    device.unlink()
    files.begin()
    assert files.read_text("stat") == NOT_THERE


@pytest.mark.parametrize("then", ["there", "gone"])
def test_a_device_that_is_removed_during_a_reading(then, monkeypatch):
    files = KeptFiles("/proc/self")
    files.begin()
    assert files.read_text("comm") == read_text("/proc/self/comm")

    def gone(*_: object, **__: object) -> bytes:
        raise OSError(errno.ENODEV, "gone")

    monkeypatch.setattr(os, "pread", gone)
    if then == "gone":
        monkeypatch.setattr(os, "open", gone)
    answer = files.read_text("comm")
    monkeypatch.undo()
    assert answer == (DEVICE_GONE if then == "gone" else read_text("/proc/self/comm"))


def test_closed_files_are_closed():
    before = len(os.listdir("/proc/self/fd"))
    files = KeptFiles("/proc/self")
    files.begin()
    for name in ("comm", "stat", "status"):
        files.read_text(name)
    assert len(os.listdir("/proc/self/fd")) == before + 3
    files.close()
    assert len(os.listdir("/proc/self/fd")) == before
