"""The cost guard of the benchmark: the work of nvltop per second does not grow unnoticed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parent / "benchmark"


def test_no_count_has_grown_by_more_than_the_margin():
    run = subprocess.run(
        [sys.executable, str(BENCHMARK), "--guard"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_guard_rejects_growth_beyond_the_margin(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARK))
    from guard import compare

    before = {"node": {"calls": 100.0, "bytes": 10.0, "gone": 1.0}}

    def raised(**counts: float) -> tuple[str, int]:
        return compare(before, {"node": {**before["node"], **counts}}, 0.05)

    assert raised() == ("all 3 counts are as accepted", 0)
    assert raised(calls=105.0)[1] == 0
    assert raised(calls=105.1, bytes=20.0)[1] == 2
    assert raised(calls=50.0)[1] == 0
    assert raised(new=0.001)[1] == 1, "what was never done before"
    assert compare(before, {"node": {"calls": 100.0}}, 0.05)[1] == 0
    text, _ = raised(calls=110.0)
    assert [line.split() for line in text.splitlines() if "TOO MUCH" in line] == [
        ["calls", "node", "100.000", "110.000", "x1.100", "TOO", "MUCH"]
    ]
    assert compare({}, {"node": {"calls": 1.0}}, 0.05)[1] == 1, "a case without accepted counts"


def test_the_accepted_counts_cover_every_kind():
    saved = json.loads((BENCHMARK / "guard.json").read_text())
    assert 0 < saved["margin"] <= 0.05
    for counts in saved["counts"].values():
        for kind in ("NVML calls in all", "bursts", "bytes through", "bytes to the terminal, Main",
                     "bytes to the terminal, Links", "frames", "calls to read", "calls to send",
                     "calls to fold", "calls to draw, Main", "calls to draw, Links"):  # fmt: skip
            assert any(name.startswith(kind) and n > 0 for name, n in counts.items()), kind
    busy, idle = saved["counts"]["dgx-h100 training"], saved["counts"]["dgx-h100 idle"]
    assert idle["bytes to the terminal, Main"] < busy["bytes to the terminal, Main"] / 2
