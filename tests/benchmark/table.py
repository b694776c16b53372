"""Print results as a table, each beside what it was in a saved run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from measure import Result

COLUMNS = {
    "cpu_percent": ("CPU %", "{:.2f}"),
    "rss_mb": ("RSS MB", "{:.0f}"),
    "kb_per_s": ("kB/s", "{:.1f}"),
    "frames_per_s": ("frames/s", "{:.1f}"),
    "frame_kb": ("kB/frame", "{:.1f}"),
    "frame_max_kb": ("max kB", "{:.1f}"),
    "links_kb_per_s": ("Links kB/s", "{:.1f}"),
    "links_max_kb": ("max kB", "{:.1f}"),
    "late_percent": ("late %", "{:.0f}"),
    "picture_s": ("picture s", "{:.2f}"),
    "live_s": ("live s", "{:.2f}"),
    "arrow_ms": ("arrow ms", "{:.0f}"),
    "tab_ms": ("tab ms", "{:.0f}"),
    "nvml_calls_per_s": ("NVML/s", "{:.0f}"),
    "driver_ms_per_s": ("driver ms/s", "{:.1f}"),
    "seconds": ("s", "{:.3f}"),
    "gpus": ("GPUs", "{:.0f}"),
    "links": ("links", "{:.0f}"),
    "read_us_per_link": ("read us/link", "{:.1f}"),
    "fold_us_per_link": ("fold us/link", "{:.1f}"),
    "paint_us_per_row": ("paint us/row", "{:.1f}"),
    "paint_ms": ("paint ms", "{:.2f}"),
}
"""Each figure's title and form; `arrow` and `tab` are 95 % of the answers to such a key."""


def table(results: Sequence[Result], before: Sequence[Result] = ()) -> str:
    """Return the lines of a table; `x0.80` behind a figure is its ratio to the saved one."""
    keys = [k for k in COLUMNS if any(r.figures.get(k) is not None for r in results)]
    saved = {(r.program, r.size, r.load): r for r in before}
    rows = [["program", "size", "load", *(COLUMNS[k][0] for k in keys)]]
    for r in results:
        old = saved.get((r.program, r.size, r.load))
        rows.append([r.program, r.size, r.load, *(_figure(r, old, k) for k in keys)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i < 3 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _figure(result: Result, old: Result | None, key: str) -> str:
    value = result.figures.get(key)
    if value is None:
        return "-"
    text = "never" if math.isinf(value) else COLUMNS[key][1].format(value)
    was = old.figures.get(key) if old else None
    return f"{text} x{value / was:.2f}" if was else text
