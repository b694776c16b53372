"""Measure one program in one terminal."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from family import used
from pseudoterminal import PseudoTerminal, late_share

from nvltop.config.settings import FRAME_INTERVAL_S

WARM_UP_S = 6.0
"""Start-up, and sparklines that still grow, are not what it costs to leave it open."""
KEYS = 20
LIVE = r"[kMGT]B/s\]"
"""The meters have a rate."""
SELECTED = rb"\x1b\[[0-9;]*48;5;80m"
"""The background of the selected row on a terminal with 256 colours."""
ARROWS = ((b"\x1b[B", SELECTED), (b"\x1b[A", SELECTED))
TABS = ((b"2", b"Open"), (b"1", b"SortBy"))
"""Keys in turn, and what in the answer belongs to no refresh: the moved selection, the other function bar."""


@dataclass(slots=True)
class Result:
    """What was measured; None where a program has nothing of the kind."""

    program: str
    size: str
    load: str
    figures: dict[str, float | None] = field(default_factory=dict)


def in_terminal(
    name: str,
    command: Sequence[str],
    size: str,
    load: str,
    seconds: float,
    interval_s: float | None,
    environment: Mapping[str, str],
    ours: bool,
) -> Result:
    """Run a program, leave it alone, type into it, quit."""
    terminal = PseudoTerminal(command, size, environment)
    pid = terminal.process.pid
    terminal.read_for(WARM_UP_S)
    before, begin_s = used(pid), terminal.now_s
    terminal.read_for(seconds)
    after, end_s = used(pid), terminal.now_s
    links_kb, links_max_kb = _on_links(terminal, seconds) if ours else (None, None)
    arrows = _latency(terminal, ARROWS) if ours else []
    tabs = _latency(terminal, TABS) if ours else []
    terminal.close(b"q")
    frames = terminal.frames(begin_s, end_s)
    took = end_s - begin_s
    sizes = [size for _, size in frames]
    return Result(
        name,
        size,
        load,
        {
            "cpu_percent": 100 * (after.cpu_s - before.cpu_s) / took,
            "rss_mb": after.rss_bytes / 1e6,
            "kb_per_s": sum(sizes) / took / 1e3,
            "frames_per_s": len(frames) / took,
            "frame_kb": statistics.median(sizes) / 1e3 if sizes else 0.0,
            "frame_max_kb": max(sizes, default=0) / 1e3,
            "links_kb_per_s": links_kb,
            "links_max_kb": links_max_kb,
            "late_percent": None
            if interval_s is None
            or load == "idle"
            or (late := late_share(frames, max(interval_s, FRAME_INTERVAL_S))) is None
            else 100 * late,
            "picture_s": terminal.shows(r"\w"),
            "live_s": terminal.shows(LIVE) if ours else None,
            "arrow_ms": _p95(arrows),
            "tab_ms": _p95(tabs),
        },
    )


def _on_links(terminal: PseudoTerminal, seconds: float) -> tuple[float, float]:
    """Return the kB/s, and the largest frame in kB, of the Links tab; then go back to Main."""
    terminal.answer_to(*TABS[0])
    terminal.read_for(1.0)
    begin_s = terminal.now_s
    terminal.read_for(seconds / 2)
    sizes = [size / 1e3 for _, size in terminal.frames(begin_s, terminal.now_s)]
    took_s = terminal.now_s - begin_s
    terminal.answer_to(*TABS[1])
    return sum(sizes) / took_s, max(sizes, default=0.0)


def _latency(terminal: PseudoTerminal, keys: Sequence[tuple[bytes, bytes]]) -> list[float]:
    """Type keys at any moment of the refresh; return how long each answer took."""
    moments = random.Random(4)
    times = []
    for i in range(KEYS):
        terminal.read_for(0.1 + 0.3 * moments.random())
        answer = terminal.answer_to(*keys[i % len(keys)])
        # A key that is never answered is the worst there is, not one measurement less.
        times.append(float("inf") if answer is None else answer)
    return times


def _p95(times: Sequence[float]) -> float | None:
    return 1e3 * sorted(times)[int(0.95 * (len(times) - 1))] if times else None


def driver_cost(
    command: Sequence[str], interval_s: float, environment: Mapping[str, str]
) -> dict[str, float | None]:
    """Return what reading costs, as the program itself says once it is under way."""
    ticks = str(round(8.0 / interval_s))
    run = subprocess.run(
        [*command, "--json", "-n", ticks, "--interval", str(interval_s)],
        env=environment, capture_output=True, check=True,
    )  # fmt: skip
    monitor = json.loads(run.stdout.splitlines()[-1])["monitor"]
    return {
        "nvml_calls_per_s": monitor["nvml_calls_per_s"],
        "driver_ms_per_s": 1e3 * monitor["driver_s_per_s"],
    }


def duration(command: Sequence[str], environment: Mapping[str, str], runs: int = 5) -> float:
    """Return how long a command that ends by itself takes: the median of some runs, in seconds."""
    times = []
    for _ in range(runs):
        begun = time.monotonic()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        times.append(time.monotonic() - begun)
    return statistics.median(times)


def environment(library: Path | None) -> dict[str, str]:
    """Return a common terminal's environment, with a library's folder where programs look for NVML first."""
    found = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
    found["XDG_CONFIG_HOME"] = "/nonexistent"  # nobody's own settings
    if library:
        found["LD_LIBRARY_PATH"] = str(library)
    return found
