"""Cells of the tables of GPUs and links, and the charts of the selected one."""

from __future__ import annotations

import math
from typing import Final

from nvltop.fleet.history import STEPS
from nvltop.fleet.model import GpuRow, LinkRow
from nvltop.fleet.queries import duration
from nvltop.formatting import UNKNOWN, age, count, percent
from nvltop.model import Maybe, known
from nvltop.tui.fleet.view_state import FleetViewState
from nvltop.tui.render.bar_chart import bar_chart
from nvltop.tui.render.row import Column, Row, TextRun, fit, fit_text

GPU_COLUMNS: Final = (
    Column("gpu", "GPU", 4, 0),
    Column("state", "STATE", 10, 3, left=True),
    Column("links", "LINKS", 6, 0),
    Column("tx", "TX GB/s", 8, 0),
    Column("rx", "RX GB/s", 8, 0),
    Column("both", "TX+RX", 7, 7),
    Column("share", "%SPD", 4, 2),
    Column("errors", "ERR", 6, 0),
    Column("power", "PWR", 6, 4),
    Column("temperature", "TEMP", 5, 5),
    Column("uptime", "UP", 5, 6),
    Column("xid", "XID", 4, 1),
)
LINK_COLUMNS: Final = (
    Column("link", "LINK", 4, 0),
    Column("state", "STATE", 11, 0, left=True),
    Column("tx", "TX GB/s", 8, 0),
    Column("rx", "RX GB/s", 8, 0),
    Column("share", "%SPD", 4, 1),
    Column("errors", "ERR", 6, 0),
    Column("lifetime", "LIFETIME", 8, 2),
    Column("ber", "BIT ERR", 8, 3),
)
STATE_ROLES: Final = {"ok": "", "active": "", "sleep": "dim"}


def cell(row: GpuRow | LinkRow, column: Column, view: FleetViewState) -> TextRun:
    """Return text and role of a column."""
    unit = view.unit
    if column.key in ("tx", "rx"):
        rate = row.tx if column.key == "tx" else row.rx
        return unit.number(rate, 8), column.key if known(rate) else "dim"
    if column.key == "share":
        return percent(_share(row), 4), ""
    if column.key == "errors":
        rose = known(row.errors) and row.errors > 0
        return count(row.errors, 0), "error" if rose else ""
    if column.key == "state":
        state = row.state if known(row.state) else UNKNOWN
        return state, STATE_ROLES.get(state, "error")
    return _gpu_cell(row, column.key, view) if isinstance(row, GpuRow) else _link_cell(row, column.key)


def _gpu_cell(row: GpuRow, key: str, view: FleetViewState) -> TextRun:
    if key == "links":
        fewer = known(row.links) and known(row.links_up) and row.links_up < row.links
        return f"{_number(row.links_up)}/{_number(row.links)}", "warn" if fewer else ""
    texts = {
        "gpu": row.gpu,
        "both": view.unit.number(row.combined, 0),
        "power": f"{row.power_w:.0f}W" if known(row.power_w) else UNKNOWN,
        "temperature": f"{row.temperature_c:.0f}{view.glyphs.degree}"
        if known(row.temperature_c)
        else UNKNOWN,
        "uptime": age(row.uptime_s) if known(row.uptime_s) else UNKNOWN,
        "xid": str(row.xid) if known(row.xid) else "-",
    }
    return texts[key], "warn" if key == "xid" and known(row.xid) else ""


def _link_cell(row: LinkRow, key: str) -> TextRun:
    if key == "ber":
        return (f"{row.bit_error_ratio:.0e}" if known(row.bit_error_ratio) else UNKNOWN), ""
    return (row.link if key == "link" else count(row.lifetime_errors, 0)), ""


def _number(value: Maybe[int]) -> str:
    return str(value) if known(value) else UNKNOWN


def _share(row: GpuRow | LinkRow) -> Maybe[float]:
    """Return the busier direction as a share of the speed."""
    if not known(row.tx) or not known(row.rx):
        return row.tx if not known(row.tx) else row.rx
    if not known(row.speed) or row.speed <= 0:
        return row.speed if not known(row.speed) else 0.0
    return max(row.tx, row.rx) / row.speed


def value(row: GpuRow | LinkRow, column: str, descending: bool) -> float | str:
    """Return the value by which a column sorts; what is unknown comes last in either order."""
    if column == "state":
        return row.state if known(row.state) else ""
    names = {"lifetime": "lifetime_errors", "ber": "bit_error_ratio", "power": "power_w"}
    names |= {"temperature": "temperature_c", "uptime": "uptime_s", "both": "combined", "links": "links_up"}
    found: Maybe[float]
    if column == "share":
        found = _share(row)
    elif column in ("gpu", "link"):
        text = row.gpu if isinstance(row, GpuRow) else row.link
        found = float(text) if text.isdecimal() else math.inf
    else:
        found = getattr(row, names.get(column, column))
    return float(found) if known(found) else -math.inf if descending else math.inf


def charts(
    view: FleetViewState, key: str, title: str, speed: Maybe[float], width: int, height: int
) -> list[Row]:
    """Return charts of TX and RX of a GPU or link over the last steps, in at most `height` rows."""
    detail = view.detail
    lines = height // 2 - 1
    if detail is None or lines < 1:
        return []
    rows: list[Row] = []
    span_s = STEPS * detail.history_step_s
    for direction in ("tx", "rx"):
        values = detail.histories.get((key, direction), ())
        highest = max((v for v in values if not math.isnan(v)), default=0.0)
        full: Maybe[float] = speed if known(speed) and speed > 0 else highest or 1.0
        wide = max(1, width // STEPS)
        stretched = [value for value in values for _ in range(wide)]
        head = (
            f"{direction.upper()} {title} · last {duration(span_s)}, full is {view.unit.text(full)}"
            if values
            else f"{direction.upper()} {title} · no history"
        )
        rows.append(fit([(fit_text(head, width, view.glyphs), "caption")], width))
        drawn = bar_chart(stretched, full, lines, view.glyphs) if values else [""] * lines
        rows += [fit([(line, direction)], width) for line in drawn]
    return rows
