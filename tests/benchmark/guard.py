"""Compare what nvltop does in a second with what it did when this was last accepted.

`guard.json` holds the counts, and by how much one may grow before the guard fails.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

FILE = Path(__file__).with_name("guard.json")
CASES = (("dgx-h100", "training"), ("dgx2", "training"), ("hgx-b200", "training"), ("dgx-h100", "idle"))
ENVIRONMENT = {
    "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "TZ": "UTC",
    "XDG_CONFIG_HOME": "/nonexistent",
}  # fmt: skip
"""What the bytes to a terminal depend on beside the code."""
ALIGNED = "<<>><"
"""The columns of the table, to the left or right."""

Counts = Mapping[str, float]


def guard(accept: bool) -> int:
    """Count, print what changed, and return an exit code: 1 if a count rose by more than the margin.

    `accept` writes the new counts into the file instead of comparing them with it.
    """
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # Python and Textual read these when they start.
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, os.environ | ENVIRONMENT)
    from counted import count

    saved = json.loads(FILE.read_text())
    margin, before = saved["margin"], saved["counts"]
    now = {f"{node} {scenario}": count(node, scenario) for node, scenario in CASES}
    text, raised = compare(before, now, margin)
    print(text)
    if accept:
        FILE.write_text(json.dumps({"margin": margin, "counts": now}, indent=1) + "\n")
        print(f"accepted: written into {FILE.name}")
        return 0
    if raised:
        print(
            f"{raised} counts are more than {margin:.0%} higher. If that is worth it, say so in the commit,"
            " and accept it: python tests/benchmark --guard --accept"
        )
    return min(raised, 1)


def compare(before: Mapping[str, Counts], now: Mapping[str, Counts], margin: float) -> tuple[str, int]:
    """Return a table of the counts that differ, and how many rose by more than the margin.

    A count that was not there before was 0.
    """
    rows = [("per second of simulated time", "case", "before", "now", "")]
    raised = same = 0
    for case, counts in now.items():
        known = before.get(case, {})
        for name in sorted({*known, *counts}):
            was, is_now = known.get(name, 0.0), counts.get(name, 0.0)
            if was == is_now:
                same += 1
                continue
            too_much = is_now > was * (1 + margin)
            raised += too_much
            ratio = f"x{is_now / was:.3f}" if was else "new"
            rows.append((name, case, f"{was:,.3f}", f"{is_now:,.3f}", ratio + " TOO MUCH" * too_much))
    if len(rows) == 1:
        return f"all {same} counts are as accepted", 0
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(_aligned, row, widths, ALIGNED)) for row in rows)
    return "\n".join(map(str.rstrip, lines)) + f"\n{same} other counts are as accepted", raised


def _aligned(cell: str, width: int, way: str) -> str:
    return f"{cell:{way}{width}}"
