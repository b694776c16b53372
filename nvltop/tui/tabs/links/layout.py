"""Which GPUs, links and columns of the tab Links fit on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from nvltop.analysis.link_states import summarize
from nvltop.formatting import PARTIAL_COUNT_WIDTH
from nvltop.frozen import frozen
from nvltop.model import GpuFrame
from nvltop.tui.render.row import Column
from nvltop.tui.render.view_state import ViewState

LABEL_WIDTH: Final = 8
"""Columns of a row's label, such as `  15 TX `."""
CELL_WIDTHS: Final = (4, 3, 2)
"""Columns of a cell, from the widest to the narrowest."""
SPACIOUS_CELLS: Final = (6, 5)
"""Columns of a cell where the sparkline has `SPACIOUS_SPARKLINE` columns nevertheless."""
SPACIOUS_SPARKLINE: Final = 100
HEIGHTS: Final = ((3, 1), (2, 1), (1, 1), (1, 0))
"""Lines of each direction of a GPU, and blank lines behind it, from the highest to the lowest."""
MIN_SPARKLINE_WIDTH: Final = 8
MAX_SPARKLINE_WIDTH: Final = 120
RANGE_MIN_SPARKLINE: Final = 16
"""Columns of the sparkline from which the range of the links is shown."""
SUMMARY_COLUMNS: Final = (
    Column("sum", "SUM", 8, 0),
    Column("share", "%NCCL", 5, 1),
    Column("errors", "ERR", 4, 2),
)
RANGE_COLUMN: Final = Column("range", "MIN..MAX", 8, 3)


@frozen
class LinksLayout:
    """The visible part of the map, and the columns behind it."""

    first_gpu: int
    first_link: int
    gpus: int
    """Number of GPUs that fit."""
    links: int
    """Number of links that fit."""
    cell: int
    """Columns of a cell."""
    remote: bool
    """Whether cells contain the GPU at the other end."""
    height: int
    """Lines of each direction."""
    lines: int
    """Lines of a GPU, with the blank line behind it."""
    columns: tuple[Column, ...]
    spark: int
    """Columns of the sparkline; 0 if it does not fit."""
    footer: int
    """Lines below the map."""


def choose(
    view: ViewState,
    width: int,
    height: int,
    gpu: int,
    link: int,
    before: LinksLayout | None,
    footer: int = 2,
) -> LinksLayout:
    """Return the layout; it moves from that of `before` as little as keeps the selected cell visible.

    `footer` is the number of lines wanted below the map; the GPUs have priority over all but one of them.
    """
    most = max((len(g.links) for g in view.gpus), default=0)
    cell, remote = _cell_width(view.gpus, most, width)
    links = max(1, min(most, (width - LABEL_WIDTH) // cell))
    count, rows = len(view.gpus), height - 1
    high, blank = next((h for h in HEIGHTS if count * (2 * h[0] + h[1]) + footer <= rows), HEIGHTS[-1])
    lines = 2 * high + blank
    if count * lines + footer > rows:
        footer = max(1, min(footer, rows - count * lines))
    gpus = max(1, min(count, (rows - footer) // lines))
    first_gpu = min(before.first_gpu if before else 0, max(0, count - gpus))
    first_link = min(before.first_link if before else 0, max(0, most - links))
    first_gpu = max(0, min(gpu, max(first_gpu, gpu - gpus + 1)))
    first_link = max(0, min(link, max(first_link, link - links + 1)))
    partial = bool([g for g in view.gpus if g.nvlink.errors_unread_part])
    columns, spark = _summary(width - LABEL_WIDTH - links * cell, partial)
    return LinksLayout(first_gpu, first_link, gpus, links, cell, remote, high, lines, columns, spark, footer)


def _cell_width(gpus: Sequence[GpuFrame], most: int, width: int) -> tuple[int, bool]:
    """Return the width of a cell, and whether it has room for the number of the remote GPU."""
    wanted = sum(c.width + 1 for c in SUMMARY_COLUMNS) + 1 + MIN_SPARKLINE_WIDTH
    options = [(cell, False) for cell in CELL_WIDTHS]
    spare = width - LABEL_WIDTH - wanted - RANGE_COLUMN.width - SPACIOUS_SPARKLINE
    if ends_at_gpus(gpus):
        digits = len(str(max(g.gpu.index for g in gpus)))
        options.insert(0, (CELL_WIDTHS[0] + 1 + digits, True))
    else:
        options = [(cell, False) for cell in SPACIOUS_CELLS if most * cell <= spare] + options
    for cell, remote in options:
        if LABEL_WIDTH + most * cell + wanted <= width:
            return cell, remote
    return CELL_WIDTHS[-1], False


def ends_at_gpus(gpus: Sequence[GpuFrame]) -> bool:
    """Return whether links lead directly to other GPUs."""
    return any(summarize(g.links).gpu_links for g in gpus)


def _summary(room: int, partial: bool) -> tuple[tuple[Column, ...], int]:
    """Return the columns behind the cells, and the width of the sparkline.

    `partial` states whether a sum of error counters is only a part, whose mark takes more columns.
    """
    columns: list[Column] = []
    for column in SUMMARY_COLUMNS:
        if partial and column.key == "errors":
            column = replace(column, width=PARTIAL_COUNT_WIDTH)
        if column.width + 1 <= room:
            columns.append(column)
            room -= column.width + 1
    if room - RANGE_COLUMN.width - 2 >= RANGE_MIN_SPARKLINE:
        columns.append(RANGE_COLUMN)
        room -= RANGE_COLUMN.width + 1
    spark = min(MAX_SPARKLINE_WIDTH, room - 1)
    return tuple(columns), spark if spark >= MIN_SPARKLINE_WIDTH else 0
