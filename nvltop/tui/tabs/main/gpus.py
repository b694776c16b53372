"""The table of GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from nvltop.analysis.link_capacity import pcie_limit, practical_max
from nvltop.formatting import PARTIAL_COUNT_WIDTH
from nvltop.model import GpuFrame, Maybe, Missing, known
from nvltop.tui.render.glyphs import Glyphs
from nvltop.tui.render.gpu_order import SORT_KEY_OF_COLUMN
from nvltop.tui.render.row import (
    BLANK,
    Column,
    Row,
    Run,
    TextRun,
    cell_runs,
    fill,
    fit,
    fit_columns,
    fit_text,
    section,
    split_columns,
    text_of,
    with_range,
)
from nvltop.tui.render.sparklines import spark_title
from nvltop.tui.render.traffic import PCIE_INTERVAL_S, has_links
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.main import extra_columns
from nvltop.tui.tabs.main.gpu_cells import GPU_CELLS

NVLINK_COLUMNS: Final = (
    Column("gpu", "GPU", 3, 0),
    Column("name", "NAME", 10, 5, left=True),
    Column("util", "UTIL%", 5, 2),
    Column("mem", "MEM", 8, 6),
    Column("power", "PWR", 5, 7),
    Column("temp", "TEMP", 4, 8),
    Column("tx", "TX GB/s", 7, 0),
    Column("rx", "RX GB/s", 7, 0),
    Column("share", "%SPD", 4, 1),
    Column("links", "LINKS", 5, 3),
    Column("errors", "ERR", 4, 4),
)
PCIE_COLUMNS: Final = (
    Column("gpu", "GPU", 3, 0),
    Column("name", "NAME", 16, 5, left=True),
    Column("util", "UTIL%", 5, 2),
    Column("mem", "MEM", 8, 6),
    Column("power", "PWR", 5, 7),
    Column("temp", "TEMP", 4, 8),
    Column("pcie_tx", "TX GB/s", 7, 0),
    Column("pcie_rx", "RX GB/s", 7, 0),
    Column("pcie", "PCIE NOW", 8, 1),
    Column("pcie_max", "MAX", 5, 3),
    Column("numa", "NUMA", 4, 4),
)
MIN_SPARKLINE_WIDTH: Final = 8
"""Columns of a sparkline at least; columns of the table are left out for it."""
MIN_PAIR_WIDTH: Final = 12
"""Columns of each sparkline from which RX has one beside TX."""
MAX_SPARKLINE_WIDTH: Final = 120
LONG_NAMES_MIN_WIDTH: Final = 100
PEAKS_MIN_WIDTH: Final = 130
"""Columns from which peak rates and bus ids are shown; `cuda:3` may not be GPU 3, so the bus id matters."""
PEAK_COLUMNS: Final = (Column("peak_tx", "MAX TX", 7, 10), Column("peak_rx", "MAX RX", 7, 11))
"""Columns of the highest rates between two readings within the averaging window of TX and RX."""
BUS_COLUMN: Final = Column("bus", "BUS ID", 16, 9, left=True)


def table(view: ViewState, width: int, height: int, top: int) -> list[Row]:
    """Return the title row, and the GPUs from index `top` on."""
    layout = _layout(view, width)
    last = min(len(view.gpus), top + max(0, height - 1))
    rows = [_title_row(layout, width, top, last, len(view.gpus), view.glyphs)]
    if not view.gpus and height > 1:
        rows.append(fit([(fit_text(view.why_no_gpu, width, view.glyphs), "dim")], width))
    shown, marks = view.gpus[top : top + height - 1], view.finding_marks
    sparklines: Sequence[Row] = [()] * len(shown)
    if layout.spark_width:
        sparklines = _sparklines(shown, view, layout)
    for i, (g, sparkline) in enumerate(zip(shown, sparklines, strict=True), top):
        cells: Sequence[Run] = _cells(layout, g, view, marks.get((g.gpu.uuid, None)))
        if i == view.gpu:
            cells = _select(cells, focused=view.focus == "gpus")
        rows.append(fill([*cells, *sparkline], layout.used, width))
    return rows


def _select(spans: Sequence[Run], *, focused: bool) -> list[Run]:
    """Return the cells of the selected GPU: all marked, or its number only while another list has the focus.

    Sparklines keep their colours, because an inverted bar looks upside down.
    """
    text = "".join([text for text, _ in spans])
    if focused:
        return [(text, "selected")]
    number = NVLINK_COLUMNS[0].width
    return [(text[:number], "unfocused"), *section(spans, number, len(text))]


def _title_row(layout: GpuTableLayout, width: int, top: int, last: int, count: int, glyphs: Glyphs) -> Row:
    """Return the title row, with the range of visible GPUs if not all fit."""
    if last - top >= count:
        return layout.title
    text = with_range([text_of(layout.title)], (top, last, count), width, glyphs)
    return fit([(text, "title")], width, "title")


def _cells(layout: GpuTableLayout, g: GpuFrame, view: ViewState, mark: TextRun | None) -> list[Run]:
    """Return the cells of a GPU without its sparklines; each group of them is kept until it changes."""
    n, get = g.nvlink, view.cache.parts.get
    state = layout, view.glyphs, g.gpu, g.state, g.state_reason, g.stale
    links = n.links_present, n.links_up
    means = n.mean_tx_bytes_per_s, n.mean_rx_bytes_per_s, n.peak_tx_bytes_per_s, n.peak_rx_bytes_per_s
    moved = () if layout.linked else (g.gauges, g.pcie)
    first = state, mark, g.gauges, g.throttling
    rates = state, links, n.speed_bytes_per_s, means, moved
    extra = (g.gauges, g.pcie, g.c2c, g.throttling) if view.extra else moved
    last = state, links, n.errors_total, n.errors_since_start, n.errors_unread_part, extra
    uuid = g.gpu.uuid
    return [
        *get(("gpu", uuid, 0), first, lambda: _first_cells(layout, g, view)),
        *get(("gpu", uuid, 1), rates, lambda: _make_cells(layout.rates, g, view)),
        *get(("gpu", uuid, 2), last, lambda: _make_cells(layout.last, g, view)),
    ]


def _make_cells(columns: Sequence[Column], g: GpuFrame, view: ViewState) -> list[Run]:
    old = "dim" if g.stale or g.state != "ok" else ""
    return cell_runs(columns, [CELLS[c.key](g, view, old) for c in columns])


def _first_cells(layout: GpuTableLayout, g: GpuFrame, view: ViewState) -> list[Run]:
    """Return the cells before the rates; the reason why the GPU cannot be read replaces most of them."""
    first = layout.first
    if g.state == "ok" or any(c.key == "name" for c in first):
        return _make_cells(first, g, view)
    kept = [c for c in first if c.key == "gpu"]
    room = sum(c.width + 1 for c in first) - sum(c.width + 1 for c in kept) - 1
    text = f"{g.state.upper()}: {g.state_reason}" if g.state_reason else g.state.upper()
    why = fit_text(text, max(0, room), view.glyphs)
    return [*_make_cells(kept, g, view), (why.ljust(room), "error"), BLANK]


class GpuTableLayout(NamedTuple):
    """The columns of the table, and the width of the sparklines."""

    first: Sequence[Column]
    """The columns before the rates."""
    rates: Sequence[Column]
    last: Sequence[Column]
    """The columns behind the rates."""
    spark_width: int
    """Width of each sparkline; 0 if none fits."""
    pair: bool
    """Whether RX has a sparkline too."""
    linked: bool
    """True for the columns of NVLink, False for those of PCIe."""
    used: int
    """Columns of the screen that a row takes."""
    title: Row


class TableRequest(NamedTuple):
    """What the columns and titles of the table depend on."""

    linked: bool
    """Whether the columns are those of NVLink; otherwise those of PCIe."""
    partial: bool
    """Whether a sum of error counters is only a part, whose mark takes more columns."""
    width: int
    """Columns of the screen."""
    hidden: frozenset[str]
    extra: frozenset[str]
    unit: str
    sort: str
    sort_mark: str
    cell_s: float
    """Time that a column of a sparkline covers, seconds."""
    scale: str
    """Full height of the sparklines; empty if each GPU has its own."""


def _layout(view: ViewState, width: int) -> GpuTableLayout:
    # The filter hides GPUs, but the table stays the same.
    gpus = view.gpus or view.frame.gpus
    alike = len({g.gpu.name for g in gpus}) == 1
    linked = has_links(gpus)
    return _choose_layout(
        TableRequest(
            linked=linked,
            partial=any(g.nvlink.errors_unread_part for g in gpus),
            width=width,
            hidden=view.hidden | {"name"} if alike else view.hidden,
            extra=view.extra,
            unit=view.unit.name,
            sort=view.sort,
            sort_mark=view.glyphs.descending if view.descending else view.glyphs.ascending,
            cell_s=view.spark_shape(1, 0.0, 0.0 if linked else PCIE_INTERVAL_S).seconds(),
            scale="" if linked else view.unit.text(_pcie_scale(view) or Missing("not read")),
        )
    )


@lru_cache(maxsize=8)  # it is the same from frame to frame
def _choose_layout(wanted: TableRequest) -> GpuTableLayout:
    """Choose the columns that fit, and give the remaining width to sparklines."""
    width, columns = wanted.width, _choose_columns(wanted)
    used = sum(c.width + 1 for c in columns)
    spark_width = min(MAX_SPARKLINE_WIDTH, (width - used - 1) // 2)
    pair = spark_width >= MIN_PAIR_WIDTH
    if not pair:
        spark_width = width - used if width - used >= MIN_SPARKLINE_WIDTH else 0
    head = " ".join(_column_title(c, wanted.sort, wanted.sort_mark) for c in columns)
    for name in ("TX", "RX") if pair else ("TX",) if spark_width else ():
        head += f" {spark_title(name, spark_width, wanted.cell_s, wanted.scale)}"
    title = fit([(head, "title")], width, "title")
    used += 2 * spark_width + 1 if pair else spark_width
    groups = split_columns(columns, RATE_COLUMNS)
    return GpuTableLayout(*groups, spark_width, pair, wanted.linked, used, title)


def _choose_columns(wanted: TableRequest) -> list[Column]:
    """Return the columns that fit beside a sparkline of the least width."""
    width, hidden = wanted.width, wanted.hidden
    columns = [
        replace(c, title=c.title.replace("GB/s", wanted.unit))
        for c in (NVLINK_COLUMNS if wanted.linked else PCIE_COLUMNS)
        if c.key not in hidden
    ]
    if wanted.partial:
        columns = [replace(c, width=PARTIAL_COUNT_WIDTH) if c.key == "errors" else c for c in columns]
    if width >= LONG_NAMES_MIN_WIDTH:
        name = 24 if width >= PEAKS_MIN_WIDTH else 16
        columns = [replace(c, width=name) if c.key == "name" else c for c in columns]
    if width >= PEAKS_MIN_WIDTH and wanted.linked:
        place = 1 + next((i for i, c in enumerate(columns) if c.key == "rx"), len(columns) - 1)
        columns[place:place] = PEAK_COLUMNS
    if width >= PEAKS_MIN_WIDTH and BUS_COLUMN.key not in hidden:
        columns.append(BUS_COLUMN)
    columns += extra_columns.choose(wanted.extra)
    return fit_columns(columns, max(0, width - MIN_SPARKLINE_WIDTH - 1))


def _column_title(c: Column, sort: str, mark: str) -> str:
    if sort == "gpu" or SORT_KEY_OF_COLUMN.get(c.key, c.key) != sort:
        return c.padded_title()
    return c.pad(c.title[: c.width - 1] + mark)


def column_at(view: ViewState, x: int, width: int) -> str | None:
    """Return the sort key of the column at screen column `x`."""
    at = 0
    layout = _layout(view, width)
    for c in (*layout.first, *layout.rates, *layout.last):
        if at <= x <= at + c.width:
            return SORT_KEY_OF_COLUMN.get(c.key, c.key)
        at += c.width + 1
    return None


CELLS: Final = GPU_CELLS | extra_columns.EXTRA_CELLS
RATE_COLUMNS: Final = ("tx", "rx", "peak_tx", "peak_rx", "share", "pcie_tx", "pcie_rx")
"""Columns of rates; they are adjacent."""


def _sparklines(gpus: Sequence[GpuFrame], view: ViewState, layout: GpuTableLayout) -> Sequence[Row]:
    fulls: Sequence[Maybe[float]]
    if layout.linked:
        fulls = [practical_max(g.nvlink.speed_bytes_per_s, g.nvlink.ceiling) for g in gpus]
        prefix, every_s = "", 0.0
    else:
        fulls = [_pcie_scale(view)] * len(gpus)
        prefix, every_s = "pcie_", PCIE_INTERVAL_S
    if layout.pair:
        return view.spark_pairs(
            "gpus", [(g.gpu.uuid, None) for g in gpus], layout.spark_width, fulls, every_s, prefix
        )
    keys = [(g.gpu.uuid, None, f"{prefix}tx") for g in gpus]
    return view.sparklines(keys, layout.spark_width, fulls, "tx", every_s)


def _pcie_scale(view: ViewState) -> float:
    """Return the full height of the sparklines of PCIe: the fastest link of the node, 0 if unknown."""
    return max((limit for g in view.frame.gpus if known(limit := pcie_limit(g))), default=0.0)
