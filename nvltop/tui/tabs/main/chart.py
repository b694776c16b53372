"""The chart of the node's traffic: TX above its axis, RX below."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from nvltop.analysis.link_capacity import pcie_limit, practical_max
from nvltop.model import GpuFrame, Maybe, Missing, known
from nvltop.report.phrases import or_reason
from nvltop.tui.render.row import SEPARATOR, Row, fit, fit_text
from nvltop.tui.render.spark_cells import SparkShape
from nvltop.tui.render.sparklines import covered, first_cell
from nvltop.tui.render.traffic import PCIE_INTERVAL_S
from nvltop.tui.render.view_state import ViewState

AXIS_STEP: Final = 4
"""Number of clock times below the chart."""
MIN_LINES_FOR_TIMES: Final = 11
"""Lines from which a chart always has a line with times."""
NO_SPEED: Final = Missing("the speed of no link is known")


def rows(view: ViewState, width: int, height: int) -> list[Row]:
    """Return a title, the bars of TX, those of RX upside down, and a line with times if one is left."""
    fresh = [g for g in view.frame.gpus if g.state == "ok"]
    # A GPU without NVLink has no part in its traffic.
    linked = [g for g in fresh if known(up := g.nvlink.links_up) and up > 0]
    gpus = linked or fresh
    names = ("tx", "rx") if linked else ("pcie_tx", "pcie_rx")
    tx, rx = (tuple((g.gpu.uuid, None, name) for g in gpus) for name in names)
    full, name = full_scale(gpus, bool(linked))
    unread = [g for g in view.frame.gpus if g.state != "ok" or (linked and not known(g.nvlink.links_up))]
    read = f" of {len(gpus)} of {len(gpus) + len(unread)} GPUs" if unread else ""
    every_s = 0.0 if linked else PCIE_INTERVAL_S
    # TX and RX have as many lines each; a high chart rather has a blank line than no times.
    bars = (height - 1) // 2 - (height % 2 and height >= MIN_LINES_FOR_TIMES)
    # Without a line for the times of the columns, the title has the time that they cover.
    times = height > 1 + 2 * bars
    lasts = "" if times else f", {covered(view.spark_shape(width, full, every_s).seconds())}"
    title = SEPARATOR.join(
        (
            f"NODE {'NVLINK' if linked else 'PCIE'} TRAFFIC{read}{lasts}, TX above RX",
            f"full height: {name} {or_reason(full, view.unit.text)}",
        )
    )
    out = [fit([(fit_text(title, width, view.glyphs), "title")], width, "title")]
    lines = view.mirrored(tx, rx, width, full, bars, every_s) if height > 2 else []
    out += lines
    if times:
        out.append(_times(view, view.spark_shape(width, full, every_s)))
    return out + [fit([], width)] * (height - len(out))


def _times(view: ViewState, shape: SparkShape) -> Row:
    """Return a line such as `10:20:00      10:20:25`, each time at the column that begins then.

    The columns keep their places while the newest ones fill in, so ages would be wrong a second later.
    """
    history, tick = view.history, view.frame.tick
    cell_s = 2 * shape.half_s
    first_s = (history.origin_s or 0.0) + first_cell(history, shape) * cell_s
    begin_s = round(tick.wall_s - tick.mono_s + first_s, 1)
    key = begin_s, cell_s, shape.cells
    return view.cache.parts.get("chart times", key, lambda: _make_times(*key))


def _make_times(begin_s: float, cell_s: float, cells: int) -> Row:
    part = cells // AXIS_STEP
    clocks = [
        f"{datetime.fromtimestamp(max(0.0, begin_s + i * part * cell_s)):%H:%M:%S}" for i in range(AXIS_STEP)
    ]
    times = "".join(clock.ljust(part) if part > len(clock) else "" for clock in clocks)
    return fit([(times, "dim")], cells)


def full_scale(gpus: Sequence[GpuFrame], linked: bool) -> tuple[Maybe[float], str]:
    """Return the rate of a full bar in bytes/s, and its name."""
    if not linked:
        return sum(limit for g in gpus if known(limit := pcie_limit(g))) or NO_SPEED, "PCIe speed"
    reached = [practical_max(g.nvlink.speed_bytes_per_s, g.nvlink.ceiling) for g in gpus]
    name = "NCCL max" if any(known(g.nvlink.ceiling) for g in gpus) else "speed"
    return sum(rate for rate in reached if known(rate)) or NO_SPEED, name
