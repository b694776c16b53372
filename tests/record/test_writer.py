"""Recording: whole parts, never over another file, and a failing disk ends the recording, not the run."""

from __future__ import annotations

import errno
import gzip
import importlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from functools import partial

import pytest

from nvltop.cli import main
from nvltop.model import Inventory, Reading, Tick
from nvltop.record.format import RecordingError
from nvltop.record.reader import open_recording
from nvltop.record.redact import Redactor
from nvltop.record.timeline import scan
from nvltop.record.writer import RecordingWriter
from tests.realterminal import PATIENCE_S


def record(path, items, **options):
    recorder = RecordingWriter(path, **options)
    for item in items:
        recorder.write(item)
    recorder.close()
    return recorder


def items_in(path, has_end=True):
    with open_recording(path) as recording:
        items = list(recording)
        if has_end:
            assert recording.warning is None
        else:
            assert recording.warning is not None
            assert "cut off after line" in recording.warning
            assert recording.warning.endswith(": the end is missing")
        return items


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
def test_what_was_recorded_is_read(tmp_path, simulate, name):
    items, redact = simulate(), Redactor()
    recorder = record(tmp_path / name, items, redact=redact)
    assert recorder.error is None
    assert items_in(tmp_path / name) == [redact(item) for item in items]
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_parts_of_eight_seconds(tmp_path, simulate):
    record(tmp_path / "run.gz", simulate(seconds=25))
    data = (tmp_path / "run.gz").read_bytes()
    assert data.count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00") == 5, "the last one says that nothing follows"
    lines = gzip.decompress(data).splitlines()
    assert json.loads(lines[0])["schema"] == "nvltop-recording/2"
    assert all(isinstance(json.loads(line), list) for line in lines[1:])


def test_every_whole_part_survives_a_crash(tmp_path, simulate):
    """What is on disk while the recorder still runs can be read."""
    recorder, items = RecordingWriter(tmp_path / "run.gz"), simulate(seconds=25)
    for item in items:
        recorder.write(item)
    done = threading.Event()
    recorder._output.do(done.set)
    assert done.wait(PATIENCE_S)
    seen = items_in(tmp_path / "run.gz", has_end=False)
    assert 0.7 * len(items) < len(seen) < len(items)
    recorder.close()


def test_nothing_is_replaced(tmp_path, simulate):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RecordingError, match=r"run: exists already"):
        RecordingWriter(tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordingError, match=r"link: exists already"):
        RecordingWriter(tmp_path / "link")
    (tmp_path / "new.1").write_text("mine")
    with pytest.raises(RecordingError, match=r"new.1: exists already"):
        RecordingWriter(tmp_path / "new", max_bytes=1 << 20)
    assert (tmp_path / "run").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(RecordingError, match=r"run: No such file or directory$"):
        RecordingWriter(tmp_path / "no" / "run")


def test_a_missing_zstandard_is_reported_in_one_line(tmp_path, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(
        RecordingError, match=r"run.zst: .zst needs Python 3.14 or the package backports.zstd"
    ):
        RecordingWriter(tmp_path / "run.zst")
    assert not (tmp_path / "run.zst").exists()


def test_zstandard(tmp_path, simulate):
    pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    items, redact = simulate(), Redactor()
    record(tmp_path / "run.zst", items, redact=redact)
    assert items_in(tmp_path / "run.zst") == [redact(item) for item in items]


def test_rotation_keeps_the_newest(tmp_path, simulate):
    items, redact = simulate(seconds=60), Redactor()
    most = 1 << 17
    recorder = record(tmp_path / "run", items, max_bytes=most, redact=redact)
    assert recorder.error is None
    sizes = [(tmp_path / name).stat().st_size for name in ("run", "run.1")]
    assert most / 3 < sum(sizes) <= most
    older, newer = items_in(tmp_path / "run.1"), items_in(tmp_path / "run")
    # Each begins with all that was known, and the newer goes on where the older ended.
    for part in (older, newer):
        assert isinstance(part[0], Inventory)
        assert {i.group for i in part if hasattr(i, "group")} == {
            i.group for i in items if hasattr(i, "group")
        }
    assert newer[-1] == redact(items[-1])
    last = max(i.mono_s for i in older if isinstance(i, Tick))
    assert last in [i.mono_s for i in newer if isinstance(i, Tick)]
    assert scan(tmp_path / "run").start_s == last


def test_a_file_that_somebody_else_has_made_is_not_replaced_later_either(tmp_path, simulate):
    items = simulate(seconds=60)
    recorder = RecordingWriter(tmp_path / "run", max_bytes=1 << 17)
    (tmp_path / "run.1").write_text("mine")
    for item in items:
        recorder.write(item)
    recorder.close()
    assert (tmp_path / "run.1").read_text() == "mine"
    assert str(recorder.error).endswith(f"{tmp_path}/run.1 exists already, and a recording replaces nothing")
    assert items_in(tmp_path / "run")


def test_an_older_file_that_was_taken_away_does_not_end_the_recording(tmp_path, simulate):
    recorder = RecordingWriter(tmp_path / "run", max_bytes=1 << 17)
    taken = 0
    for item in simulate(seconds=60):
        recorder.write(item)
        if not isinstance(item, Tick):
            continue
        # Files are written and renamed on a thread.
        is_written = threading.Event()
        recorder._output.do(is_written.set)
        assert is_written.wait(PATIENCE_S)
        if (tmp_path / "run.1").exists():
            (tmp_path / "run.1").rename(tmp_path / f"taken{taken}")
            taken += 1
    recorder.close()
    assert recorder.error is None
    assert taken > 1, "one rotation has found no older file of ours"


def test_too_little_room_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="at least 64 KiB"):
        RecordingWriter(tmp_path / "run", max_bytes=100)


def test_a_full_disk_ends_the_recording_at_a_whole_part(tmp_path, simulate, monkeypatch):
    items, write, left = simulate(seconds=30), os.write, [60_000]

    def small_disk(fd, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data = data[: left[0]]
        left[0] -= len(data)
        return write(fd, data)

    monkeypatch.setattr(os, "write", small_disk)
    recorder = record(tmp_path / "run", items)
    monkeypatch.undo()
    assert isinstance(recorder.error, RecordingError)
    assert str(recorder.error) == f"recording stopped: {tmp_path}/run: No space left on device"
    seen = items_in(tmp_path / "run", has_end=False)
    assert 100 < len(seen) < len(items)
    recorder.write(items[0])
    assert items_in(tmp_path / "run", has_end=False) == seen


def test_a_file_that_was_removed_ends_the_recording(tmp_path, simulate):
    recorder = RecordingWriter(tmp_path / "run")
    (tmp_path / "run").unlink()
    for item in simulate():
        recorder.write(item)
    recorder.close()
    assert str(recorder.error) == f"recording stopped: {tmp_path}/run: the file was removed"


def hang(until: threading.Event) -> None:
    until.wait(10)


def test_a_disk_that_does_not_answer_holds_nobody_up(tmp_path, simulate, monkeypatch):
    monkeypatch.setattr("nvltop.record.writer.CLOSE_TIMEOUT_S", 0.05)
    monkeypatch.setattr("nvltop.record.output.MAX_WAITING", 20_000)
    recorder, answer = RecordingWriter(tmp_path / "run"), threading.Event()
    recorder._output.do(lambda: hang(answer))
    for item in simulate(seconds=8):
        recorder.write(item)
    assert str(recorder.error) == f"recording stopped: the disk of {tmp_path}/run does not answer"
    recorder.close()
    answer.set()


def test_leaving_does_not_wait_for_a_disk_that_does_not_answer(tmp_path, simulate, monkeypatch):
    monkeypatch.setattr("nvltop.record.writer.CLOSE_TIMEOUT_S", 0.05)
    recorder, answer = RecordingWriter(tmp_path / "run"), threading.Event()
    recorder._output.do(lambda: hang(answer))
    for item in simulate(seconds=2):
        recorder.write(item)
    recorder.close()
    assert "the last seconds may be missing" in str(recorder.error)
    answer.set()


def nvltop(*arguments: str, **how) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nvltop", "--demo", "rtx3090-pair", "--json", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how,
    )  # fmt: skip


def test_a_full_disk_is_said_when_there_is_no_screen(tmp_path):
    # Room for the beginning of the file and no more.
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (20_000, 20_000))
    path = tmp_path / "run"
    # Under the limit, Python would leave truncated files of compiled modules.
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    args = "--demo", "dgx-h100", "-n", "2", "--record", str(path)
    with nvltop(*args, preexec_fn=limit, env=env) as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert len(out.splitlines()) == 2, "the run itself goes on"
    assert err == f"nvltop: recording stopped: {path}: File too large\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_costs_nothing_that_was_recorded(tmp_path, number):
    path = tmp_path / "run.gz"
    # Under nohup it is ignored from outside, and nvltop leaves it so.
    heeded = partial(signal.signal, number, signal.SIG_DFL)
    with nvltop("-n", "1000", "--record", str(path), preexec_fn=heeded) as process:
        assert process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (128 + number, "")
    with open_recording(path) as recording:
        assert len([item for item in recording if isinstance(item, Reading)]) > 10
    assert recording.warning is None


@pytest.mark.parametrize("flag", ["--record", "--replay"])
def test_an_empty_name_is_wrong_usage(capsys, flag):
    assert main([flag, "", "--once"]) == 2
    assert f"{flag} needs a name that is not empty" in capsys.readouterr().err
