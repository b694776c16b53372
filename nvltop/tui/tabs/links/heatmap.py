"""Rows of the tab Links: every link of every GPU as one cell, TX above RX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nvltop.formatting import UNKNOWN, percent
from nvltop.model import GpuFrame, Link, LinkState, Maybe, Missing, known
from nvltop.report.phrases import remote_name
from nvltop.tui.render.row import SEPARATOR, Row, TextRun, fit, fit_text
from nvltop.tui.render.view_state import ViewState

LABEL_WIDTH: Final = 8
"""Columns of a row's label, such as `  15 TX `."""
CELL_WIDTH: Final = 4
NARROW_CELL_WIDTH: Final = 3
LINES_PER_GPU: Final = 2
"""Lines of each GPU, TX and RX."""
STATE_CODES: Final = {LinkState.DOWN: "dn", LinkState.SLEEP: "zz", LinkState.TRAFFIC_DISABLED: "nt"}
HEAT_LEVELS: Final = ((0.005, "heat0"), (0.25, "heat1"), (0.5, "heat2"))
"""Share of the speed below which a cell has a role; from the ceiling on it has `heat4`, else `heat3`."""
LEGEND: Final = "% of speed · dn down · zz asleep · nt no traffic allowed · ? unknown · ! errors or a finding"


@dataclass(frozen=True, slots=True)
class VisibleCells:
    """The visible part of the map: indexes, numbers, and the width of a cell."""

    first_gpu: int
    first_link: int
    gpus: int
    links: int
    cell: int


def visible_cells(
    view: ViewState, width: int, height: int, gpu: int, link: int, before: VisibleCells | None
) -> VisibleCells:
    """Return the cells to show: as close to those shown `before` as keeps the selected cell visible."""
    most = max((len(g.links) for g in view.gpus), default=0)
    cell = (
        CELL_WIDTH
        if LABEL_WIDTH + CELL_WIDTH * most <= width or LABEL_WIDTH + NARROW_CELL_WIDTH * most > width
        else NARROW_CELL_WIDTH
    )
    links = max(1, min(most, (width - LABEL_WIDTH) // cell))
    gpus = max(1, (height - 2) // LINES_PER_GPU)
    first_gpu = min(before.first_gpu if before else 0, max(0, len(view.gpus) - gpus))
    first_link = min(before.first_link if before else 0, max(0, most - links))
    first_gpu = max(0, min(gpu, max(first_gpu, gpu - gpus + 1)))
    first_link = max(0, min(link, max(first_link, link - links + 1)))
    return VisibleCells(first_gpu, first_link, gpus, links, cell)


def rows(view: ViewState, width: int, height: int, at: VisibleCells, gpu: int, link: int) -> list[Row]:
    """Return the link numbers, two lines per GPU, and a description of the selected link."""
    shown = range(at.first_link, at.first_link + at.links)
    head = "GPU".ljust(LABEL_WIDTH) + "".join(str(k).rjust(at.cell - 1) + " " for k in shown)
    out = [fit([(head, "title")], width, "title")]
    for i, g in enumerate(view.gpus[at.first_gpu : at.first_gpu + at.gpus], at.first_gpu):
        chosen = link if i == gpu else None
        out += [fit(_line(view, g, way, shown, at.cell, chosen), width) for way in ("TX", "RX")]
    del out[height - 1 :]
    out += [fit([], width)] * (height - 1 - len(out))
    return [*out, fit([(fit_text(caption(view, gpu, link), width, view.glyphs), "caption")], width)]


def _line(
    view: ViewState, g: GpuFrame, way: str, shown: Sequence[int], cell: int, chosen: int | None
) -> list[TextRun]:
    mark, role = view.finding_mark(g.gpu.uuid)
    label = f"{g.gpu.index}{mark}".rjust(4) if way == "TX" else " " * 4
    spans: list[TextRun] = [(label, role or "bold"), (f" {way} ", way.lower())]
    if not g.links:
        present = g.nvlink.links_present
        text = f"links unknown: {present.reason}" if isinstance(present, Missing) else "no NVLink"
        return [*spans, (text if way == "TX" else "", "dim")]
    for k in shown:
        if k >= len(g.links):
            spans.append((" " * cell, ""))
            continue
        text, role = _cell(view, g, g.links[k], way)
        text = text[: cell - 1].rjust(cell - 1)
        sign = _cell_mark(view, g, g.links[k]) if cell > NARROW_CELL_WIDTH else ""
        spans += [(text + sign, "selected" if k == chosen else role), (" " * (cell - len(text + sign)), "")]
    return spans


def _cell(view: ViewState, g: GpuFrame, link: Link, way: str) -> TextRun:
    if link.state in STATE_CODES:
        marked = view.finding_mark(g.gpu.uuid, link.index)[1]
        return STATE_CODES[link.state], marked or "dim"
    share = _share(link, way)
    if isinstance(share, Missing):
        return UNKNOWN, "warn"
    if g.stale:
        return percent(share, 0), "dim"
    ceiling = g.nvlink.ceiling
    top = "heat4" if known(ceiling) and share >= ceiling else "heat3"
    return percent(share, 0), next((role for limit, role in HEAT_LEVELS if share < limit), top)


def _share(link: Link, way: str) -> Maybe[float]:
    moved = link.mean_tx_bytes_per_s if way == "TX" else link.mean_rx_bytes_per_s
    speed = link.speed_bytes_per_s
    if isinstance(moved, Missing):
        return moved
    if isinstance(speed, Missing):
        return speed
    return moved / speed if speed else Missing("link has no speed")


def _cell_mark(view: ViewState, g: GpuFrame, link: Link) -> str:
    rose = any(known(e.since_start) and e.since_start for e in link.errors.values())
    return view.finding_mark(g.gpu.uuid, link.index)[0] or ("!" if rose else "")


def caption(view: ViewState, gpu: int, link: int) -> str:
    """Return the description of the selected cell, or the legend if there is no such link."""
    if gpu >= len(view.gpus) or link >= len(view.gpus[gpu].links):
        return LEGEND
    g = view.gpus[gpu]
    k = g.links[link]
    index_of = {other.gpu.uuid: other.gpu.index for other in view.frame.gpus}
    state = k.state.value + (f" ({k.state_reason})" if k.state_reason else "")
    parts = [f"GPU {g.gpu.index} > link {k.index}: {state}"]
    if k.state not in STATE_CODES:
        tx, rx = k.mean_tx_bytes_per_s, k.mean_rx_bytes_per_s
        parts.append(f"TX {view.unit.text(tx)}, RX {view.unit.text(rx)}")
        if isinstance(tx, Missing):
            parts.append(tx.reason)
        parts.append(f"speed {view.unit.number(k.speed_bytes_per_s, 0)} {view.unit.name}")
    return SEPARATOR.join((*parts, f"to {remote_name(k, index_of)}", LEGEND))
