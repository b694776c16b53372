"""What a part of the program loads, seen from a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("textual", "rich", "plotext")


def loaded(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join({{m.partition('.')[0] for m in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        ("import nvltop.model, nvltop.wire.codec, nvltop.analysis.monitor, nvltop.analysis.rate_history",
         (*HEAVY, "psutil", "pynvml")),
        ("import nvltop.cli", (*HEAVY, "psutil", "pynvml", "prometheus_client")),
        ("import nvltop.record.replay, nvltop.record.recording_source", (*HEAVY, "psutil", "pynvml")),
        ("import nvltop.export.node", (*HEAVY, "psutil", "pynvml", "prometheus_client")),
        ("import nvltop.export.exporter", (*HEAVY, "psutil", "pynvml")),
        ("import nvltop.report.json, nvltop.report.text", (*HEAVY, "psutil", "pynvml")),
        ("import nvltop.sampler.worker, nvltop.sampler.sampler", HEAVY),
        (
            "import nvltop.tui.shell.run",
            ("plotext", "psutil", "pynvml", "tomlkit", "markdown_it", "pygments"),
        ),
        ("import nvltop.tui.render.header, nvltop.tui.tabs.main.gpus, nvltop.tui.tabs.main.links", HEAVY),
    ],
)  # fmt: skip
def test_nothing_heavy_is_loaded(statement, never):
    assert loaded(statement) & set(never) == set()
