"""Automatic snapshots of `--serve`."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from nvltop.config.settings import Settings
from nvltop.headless.serve import serve
from nvltop.model import Tick
from nvltop.snapshot.auto import AutoSnapshot


class Source:
    """A worker whose items are those of a simulated node."""

    def __init__(self, bench, pipe: int) -> None:
        self.bench, self._pipe = bench, pipe
        self._items = [bench.inventory]
        update = bench.monitor.update

        def both(item):
            update(item)
            self._items.append(item)

        bench.monitor.update = both

    def fileno(self) -> int:
        return self._pipe

    def drain(self):
        self.bench.run(1.0)
        items, self._items = self._items, []
        return items

    def tick(self) -> Tick:
        return Tick(self.bench.clock.now, 1_790_000_000.0 + self.bench.clock.now, 1.0, "running")


@pytest.fixture
def source(bench):
    reader, writer = os.pipe()
    os.write(writer, b"x")
    b = bench("hgx-a100-4", "gpu-lost")
    b.interval_s = 1.0
    yield Source(b, reader)
    os.close(reader)
    os.close(writer)


def test_a_snapshot_is_written_and_signals_still_end_the_run(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = Settings(interval_s=0.0001, max_refreshes=20)
    handlers = set()

    def show(frame, only):
        handlers.add(signal.getsignal(signal.SIGTERM))

    serve(source, settings, show, AutoSnapshot(settings))
    for thread in threading.enumerate():
        if thread.name == "snapshot":
            thread.join(5)
    [folder] = tmp_path.iterdir()
    stderr = capsys.readouterr().err
    assert stderr.startswith("nvltop: critical finding: ")
    assert stderr.endswith(f": snapshot in {folder.name}\n")
    assert "critical finding" in (folder / "report.md").read_text()
    assert "NVLink" in (folder / "screen.svg").read_text().replace("&#160;", " ")
    assert len(handlers) == 1, "drawing the picture took no handler away"
