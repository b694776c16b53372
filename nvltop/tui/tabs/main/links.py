"""Rows of the links of the selected GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from nvltop.analysis.errors import has_risen
from nvltop.analysis.link_capacity import practical_max
from nvltop.analysis.link_states import errors_by_link, mean_rates_of, remotes_of, summarize
from nvltop.formatting import UNKNOWN, Unit, count
from nvltop.model import Counter, GpuFrame, Link, LinkState, Maybe, Missing, known
from nvltop.model.error_kinds import error_kind
from nvltop.tui.render.glyphs import Glyphs
from nvltop.tui.render.row import (
    SEPARATOR,
    Column,
    Row,
    Run,
    TextRun,
    cell_runs,
    fill,
    fit,
    fit_columns,
    fit_text,
    split_columns,
    text_of,
    with_range,
)
from nvltop.tui.render.sparklines import spark_title
from nvltop.tui.render.traffic import speed_text
from nvltop.tui.render.view_state import ViewState

STATE_NAMES: Final = {LinkState.TRAFFIC_DISABLED: "no-traf", LinkState.UNKNOWN: UNKNOWN}
MIN_SPARKLINE_WIDTH: Final = 6
MAX_SPARKLINE_WIDTH: Final = 120
COLUMNS_PER_SPARK_COLUMN: Final = 12
"""Columns of the pane for each column of a sparkline, at its narrowest."""
REMOTE_END_MIN_WIDTH: Final = 110
"""Columns from which the remote end has a column; otherwise only the caption shows the selected link's."""


def rows(view: ViewState, width: int, height: int, top: int) -> list[Row]:
    """Return the title row, the links from index `top` on, and a caption about the selected link."""
    g = view.selected
    if g is None:
        return [fit([("", "title")], width, "title")]
    if not g.links:
        return _no_links_rows(g, view, width)
    kinds = view.cache.parts.get("error kinds", (errors_by_link(g.links),), lambda: _error_kinds(g.links))
    layout = _choose_layout(width, view.unit.name, view.spark_shape(1, 0.0).seconds(), kinds)
    last = min(len(g.links), top + max(0, height - 2))
    steady = _steady_cells(layout, g, view, top, last)
    sparklines = _sparklines(g, view, layout.spark_width, top, last)
    tx, rx = mean_rates_of(g.links)
    focused = view.link if view.links_focused else None
    inputs = steady, tx[top:last], rx[top:last], "dim" if g.stale else "", view.unit, focused
    get = view.cache.parts.get
    cells = get("links", (layout, top, *inputs), lambda: [*_cells(layout, top, *inputs)])
    lines = sparklines or [()] * len(cells)
    out = get(
        "link rows",
        (cells, lines, layout, width),
        lambda: [fill((*row, *line), layout.used, width) for row, line in zip(cells, lines, strict=True)],
    )
    title = _title_row(layout, width, top, len(cells), len(g.links), view.glyphs)
    caption = fit_text(_caption(g, view), width, view.glyphs)
    return [title, *out, fit([(caption, "caption")], width)]


def _cells(
    layout: LinkTableLayout,
    top: int,
    steady: Sequence[SteadyCells],
    tx: Sequence[Maybe[float]],
    rx: Sequence[Maybe[float]],
    role: str,
    unit: Unit,
    focused: int | None,
) -> Iterator[Row]:
    """Yield the cells of the links from index `top` on without their sparklines; `role` is that of rates."""
    made: dict[tuple[str, str], list[Run]] = {}
    for i, ((before, after, is_down), *rates) in enumerate(zip(steady, tx, rx, strict=True), top):
        # A link that is down carries no traffic, so its rate is not unknown.
        texts = ("-", "-") if is_down else (unit.number(rates[0]), unit.number(rates[1]))
        # Links that show the same rates share these cells, so that they are also compared only once.
        shown = made.get(texts)
        if shown is None:
            shown = made[texts] = cell_runs(layout.rates, [(text, role) for text in texts])
        cells = *before, *shown, *after
        # Sparklines keep their colours, because an inverted bar looks upside down.
        yield (("".join([text for text, _ in cells]), "selected"),) if i == focused else cells


def _title_row(layout: LinkTableLayout, width: int, top: int, shown: int, count: int, glyphs: Glyphs) -> Row:
    """Return the title row, with the range of visible links if not all fit."""
    if shown >= count:
        return layout.title
    text = with_range([text_of(layout.title)], (top, top + shown, count), width, glyphs)
    return fit([(text, "title")], width, "title")


def _error_kinds(links: Sequence[Link]) -> tuple[tuple[str, bool], ...]:
    """Return the error kinds of the links, each with whether a counter is not zero or could not be read.

    If no counter of the GPU could be read, none is of more interest than the state of the links.
    """
    counted: dict[str, bool] = {}
    is_read = False
    for link in links:
        for kind, error in link.errors.items():
            counted[kind] = counted.get(kind, False) or error.total != 0
            is_read = is_read or known(error.total)
    return tuple((kind, matters and is_read) for kind, matters in counted.items())


SteadyCells: TypeAlias = "tuple[list[Run], list[Run], bool]"
"""The cells of a link before and behind its rates, and whether it is down."""


def _steady_cells(
    layout: LinkTableLayout, g: GpuFrame, view: ViewState, top: int, last: int
) -> Sequence[SteadyCells]:
    """Return the cells of some links that rarely change; the same list as long as they do not."""
    summary = summarize(g.links)
    # One comparison for all links costs less than one for each.
    of = (
        (layout, g.gpu.uuid, top, last, view.frame.inventory, view.finding_marks, view.glyphs),
        (errors_by_link(g.links), summary.states, remotes_of(g.links)),
    )

    def make() -> list[SteadyCells]:
        return [
            (
                _make_cells(layout.first, g, link, view),
                _make_cells(layout.last, g, link, view),
                link.state is LinkState.DOWN,
            )
            for link in g.links[top:last]
        ]

    return view.cache.parts.get("link cells", of, make)


def _make_cells(columns: Sequence[Column], g: GpuFrame, link: Link, view: ViewState) -> list[Run]:
    return cell_runs(columns, [LINK_CELLS.get(c.key, _count)(c.key, g, link, view) for c in columns])


class LinkTableLayout(NamedTuple):
    """The columns of the table, grouped, and the width of the sparklines."""

    first: Sequence[Column]
    rates: Sequence[Column]
    last: Sequence[Column]
    spark_width: int
    """Width of each sparkline; 0 if they do not fit."""
    used: int
    """Columns of the screen that a row takes."""
    title: Row


@lru_cache(maxsize=8)  # it is the same from frame to frame
def _choose_layout(
    width: int, unit: str, cell_s: float, kinds: tuple[tuple[str, bool], ...]
) -> LinkTableLayout:
    """Choose the columns that fit, and give the remaining width to sparklines."""
    counted = dict(kinds)
    columns = [
        Column("index", "LNK", 3, 0),
        Column("state", "STATE", 7, 50, left=True),
        Column("tx", f"TX {unit}", 7, 0),
        Column("rx", f"RX {unit}", 7, 0),
        # A kind with a counter that is not zero or could not be read is dropped last.
        *(
            Column(kind.id, kind.title, 5, (20 if counted[kind.id] else 60) + kind.priority)
            for kind in sorted(map(error_kind, counted), key=lambda kind: kind.priority)
        ),
    ]
    if width >= REMOTE_END_MIN_WIDTH:
        columns.append(Column("remote", "REMOTE END", 34, 200, left=True))
    room = width - 2 * (max(MIN_SPARKLINE_WIDTH, width // COLUMNS_PER_SPARK_COLUMN) + 1)
    columns = fit_columns(columns, room if room > 30 else width)
    used = sum(c.width + 1 for c in columns)
    spark_width = min(MAX_SPARKLINE_WIDTH, (width - used - 1) // 2)
    head = " ".join(c.padded_title() for c in columns)
    if spark_width >= MIN_SPARKLINE_WIDTH:
        head += f" {spark_title('TX', spark_width, cell_s)} {spark_title('RX', spark_width, cell_s)}"
    title = fit([(head, "title")], width, "title")
    spark_width = spark_width if spark_width >= MIN_SPARKLINE_WIDTH else 0
    used += 2 * spark_width + 1 if spark_width else 0
    return LinkTableLayout(*split_columns(columns, RATE_COLUMNS), spark_width, used, title)


def _caption(g: GpuFrame, view: ViewState) -> str:
    """Return the remote end of the selected link, and the reason if a value is unknown."""
    link = g.links[min(view.link, len(g.links) - 1)]
    name = f"GPU {g.gpu.index} > link {link.index}"
    remote = view.remote_end(link)
    tx = link.mean_tx_bytes_per_s
    if link.state_reason:
        return f"{name}: state unknown ({link.state_reason}){SEPARATOR}to {remote}"
    if link.state is LinkState.DOWN:
        return f"{name}: down{SEPARATOR}to {remote}"
    if isinstance(tx, Missing):
        return f"{name}: traffic unknown ({tx.reason}){SEPARATOR}to {remote}"
    counts = "RAW bytes, with protocol" if g.nvlink.counter is Counter.RAW else "data"
    return SEPARATOR.join((f"{name} > {remote}", speed_text(link.speed_bytes_per_s, view.unit), counts))


def _no_links_rows(g: GpuFrame, view: ViewState, width: int) -> list[Row]:
    present = g.nvlink.links_present
    why = f"links unknown: {present.reason}" if isinstance(present, Missing) else "this GPU has no NVLink"
    return [
        fit([(f"GPU {g.gpu.index}", "title")], width, "title"),
        fit([(fit_text(why, width, view.glyphs), "")], width),
    ]


def _index(key: str, g: GpuFrame, link: Link, view: ViewState) -> TextRun:
    mark, role = view.finding_mark(g.gpu.uuid, link.index)
    return f"{link.index}{mark}", role


def _state(key: str, g: GpuFrame, link: Link, view: ViewState) -> TextRun:
    role = "" if link.state is LinkState.UP else "dim" if link.state is LinkState.SLEEP else "warn"
    return STATE_NAMES.get(link.state, link.state.value), role


def _remote(key: str, g: GpuFrame, link: Link, view: ViewState) -> TextRun:
    return view.remote_end(link), ""


def _count(kind: str, g: GpuFrame, link: Link, view: ViewState) -> TextRun:
    error = link.errors.get(kind)
    if error is None:
        return "-", "dim"
    return count(error.total), "error" if has_risen(kind, error) else ""


LinkCell: TypeAlias = Callable[[str, GpuFrame, Link, ViewState], TextRun]
LINK_CELLS: Final[dict[str, LinkCell]] = {
    "index": _index, "state": _state, "remote": _remote,
}  # fmt: skip
"""Function that renders the cell of each column but the rates; all other columns are error kinds."""
RATE_COLUMNS: Final = ("tx", "rx")
"""Columns that change with every reading; they are adjacent."""


def _sparklines(g: GpuFrame, view: ViewState, width: int, top: int, last: int) -> Sequence[Row]:
    """Return the sparklines of some links, each of `width` columns; none if that is 0."""
    if not width:
        return ()
    speeds, ceiling = summarize(g.links).speeds, g.nvlink.ceiling
    owners, fulls = view.cache.parts.get(
        "link scales",
        (g.gpu.uuid, top, last, speeds, ceiling),
        lambda: (
            [(g.gpu.uuid, i) for i in range(top, last)],
            [practical_max(speed, ceiling) for speed in speeds[top:last]],
        ),
    )
    return view.spark_pairs("links", owners, width, fulls)
