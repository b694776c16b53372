"""Rows of the NICs of the node: state, traffic, errors and nearest GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from nvltop.analysis.errors import has_risen
from nvltop.analysis.nics import NIC_INTERVAL_S
from nvltop.analysis.pcie import PCIE_LEVELS
from nvltop.formatting import UNKNOWN, partial_count, percent
from nvltop.model import Frame, Maybe, Missing, NicFrame, known
from nvltop.model.error_kinds import INFORMATIVE
from nvltop.report.nics import nic_kind, nic_name, nic_number
from nvltop.text import counted, ranges
from nvltop.tui.render.row import (
    Column,
    Row,
    Run,
    TextRun,
    cell_runs,
    displayable,
    fill,
    fit,
    fit_columns,
    split_columns,
    with_range,
)
from nvltop.tui.render.scroll import first_shown
from nvltop.tui.render.sparklines import spark_title
from nvltop.tui.render.view_state import ViewState

MIN_SPARKLINE_WIDTH: Final = 6
MAX_SPARKLINE_WIDTH: Final = 20
"""Widest sparkline in columns, because all are sent once a second; the tab History shows longer ones."""
RATE_COLUMNS: Final = ("tx", "rx", "share")
"""Columns that change with every reading; they are adjacent."""
ERRORS_WIDTH: Final = 4
"""Columns of the error counts, if none of them is longer."""
ROCE: Final = "RoCE"
MIN_FOLDED: Final = 2
"""Number of idle virtual functions from which one line replaces them."""


def table(view: ViewState, width: int, height: int, before: int = 0) -> list[Row]:
    """Return the ports; if not all fit, a page of them, the first one from the port nearest to the GPU on.

    `before` is the position of the first port that was visible before.
    """
    ports, folded = fold(view.nics)
    near = nearest_port(view)
    chosen = None if near is None else view.frame.nics[near]
    room = max(0, height - 1 - bool(folded))
    first = _first_port(view, ports, max(1, room), chosen, before)
    shown = ports[first : first + room]
    errors, marks = [_errors(f) for f in shown], view.finding_marks
    layout = _layout(view, width, max([ERRORS_WIDTH, *[len(text) for text, _ in errors]]))
    rows = [_title(view, layout, (first, first + room, len(ports)), width)]
    sparklines: Sequence[Row] = [()] * len(shown)
    if layout.spark_width:
        sparklines = _sparklines(shown, view, layout.spark_width)
    for i, (port, counted_errors, sparkline) in enumerate(zip(shown, errors, sparklines, strict=True), first):
        shown_beside = counted_errors, marks.get((port.nic.device, port.port.port))
        cells: Sequence[Run] = _cells(layout, port, shown_beside, view, chosen=port is chosen)
        if i == view.nic:
            cells = [("".join([text for text, _ in cells]), "selected")]
        rows.append(fill([*cells, *sparkline], layout.used, width))
    if not ports and view.filter_text and height > 1:
        rows.append(fit([("no NIC matches the filter; Esc clears it", "dim")], width))
    if folded and height > 1:
        rows.append(fit([(f"   + {counted(folded, 'idle virtual function')}", "dim")], width))
    return rows


class NicTableLayout(NamedTuple):
    """The columns of the table, grouped, and the width of the sparklines."""

    first: Sequence[Column]
    rates: Sequence[Column]
    last: Sequence[Column]
    spark_width: int
    """Width of each sparkline; 0 if they do not fit."""
    used: int
    """Columns of the screen that a row takes."""
    titles: str


def _layout(view: ViewState, width: int, errors: int) -> NicTableLayout:
    """Choose the columns; `errors` is the width of the column of error counts."""
    nics = view.frame.nics
    name = max((len(nic_name(f)) for f in nics), default=0)
    cell_s = view.spark_shape(1, 0.0, NIC_INTERVAL_S).seconds()
    return _choose_layout(width, view.unit.name, cell_s, name, errors, any(nic_kind(f) == ROCE for f in nics))


@lru_cache(maxsize=8)  # it is the same from frame to frame
def _choose_layout(
    width: int, unit: str, cell_s: float, name: int, errors: int, roce: bool
) -> NicTableLayout:
    """Choose the columns that fit, and give the remaining width to sparklines."""
    columns = [
        Column("nic", "NIC", 4, 0),
        Column("name", "NAME", min(max(8, name), 16), 0, left=True),
        Column("kind", "TYPE", 4, 3, left=True),
        Column("state", "STATE", 7, 2, left=True),
        Column("speed", f"MAX {unit}", 8, 5),
        Column("tx", f"TX {unit}", 7, 0),
        Column("rx", f"RX {unit}", 7, 0),
        Column("share", "%SPD", 4, 1),
        Column("errors", "ERR", errors, 1),
        Column("near", "NEAREST GPU", 12, 4, left=True),
    ]
    if roce:
        # Shown separately, because traffic through the kernel is not RDMA traffic.
        columns += [Column("ip_tx", "IP TX", 6, 8), Column("ip_rx", "IP RX", 6, 7)]
    columns = fit_columns(columns, width)
    used = sum(c.width + 1 for c in columns)
    spark_width = min(MAX_SPARKLINE_WIDTH, (width - used - 1) // 2)
    titles = " ".join(c.padded_title() for c in columns)
    if spark_width >= MIN_SPARKLINE_WIDTH:
        used += 2 * spark_width + 1
        titles += f" {spark_title('TX', spark_width, cell_s)} {spark_title('RX', spark_width, cell_s)}"
    else:
        spark_width = 0
    return NicTableLayout(*split_columns(columns, RATE_COLUMNS), spark_width, used, titles)


def _title(view: ViewState, layout: NicTableLayout, shown: tuple[int, int, int], width: int) -> Row:
    """Return the title row, with the averaging window, and the range of visible ports if not all fit.

    `shown` is that range, and the number of ports.
    """
    headings = [layout.titles]
    windows = {round(f.span_s[1] - f.span_s[0]) for f in view.nics if f.span_s}
    if (
        len(windows) == 1
        and (note := f"  means of {windows.pop()} s")
        and len(layout.titles) + len(note) <= width
    ):
        headings = [layout.titles + note, layout.titles]
    first, last, count = shown
    last, head = min(last, count), headings[0]
    if last - first < count:
        head = with_range(headings, (first, last, count), width, view.glyphs)
    return fit([(head, "title")], width, "title")


def fold(ports: Sequence[NicFrame]) -> tuple[list[NicFrame], int]:
    """Return the ports in the order of the table, and the number of idle virtual functions left out.

    Virtual functions and ports without data come last.
    """
    ordered = sorted(ports, key=lambda f: (bool(f.nic.role), f.nic.virtual))
    idle = [f for f in ordered if f.nic.virtual and f.active and not (_moves(f) or _has_risen(f))]
    if len(idle) < MIN_FOLDED:
        return ordered, 0
    left_out = {id(f) for f in idle}
    return [f for f in ordered if id(f) not in left_out], len(idle)


def table_lines(ports: Sequence[NicFrame]) -> int:
    """Return the number of rows of the table without its title."""
    shown, folded = fold(ports)
    return len(shown) + bool(folded)


def _moves(f: NicFrame) -> bool:
    """Return whether a port carries traffic, or may carry some."""
    return any(not (known(rate) and rate == 0) for rate in (f.tx_bytes_per_s, f.rx_bytes_per_s))


def _has_risen(f: NicFrame) -> bool:
    return any(has_risen(kind, error) for kind, error in f.errors.items())


def first_port(view: ViewState, height: int, before: int = 0) -> int:
    """Return the index of the first visible port in a table of `height` lines; `before` is what it was."""
    (ports, folded), near = fold(view.nics), nearest_port(view)
    chosen = None if near is None else view.frame.nics[near]
    return _first_port(view, ports, max(1, height - 1 - bool(folded)), chosen, before)


def _first_port(
    view: ViewState, ports: Sequence[NicFrame], page: int, chosen: NicFrame | None, before: int
) -> int:
    """Return the index of the first visible port of a page; `chosen` is the one nearest to the GPU."""
    if view.nic is not None:
        return first_shown(before, view.nic, len(ports), page)
    start = next((i for i, f in enumerate(ports) if f is chosen), 0)
    return max(0, min(start + view.nic_page * page, len(ports) - page))


def _cells(
    layout: NicTableLayout,
    f: NicFrame,
    shown_beside: tuple[TextRun, TextRun | None],
    view: ViewState,
    *,
    chosen: bool,
) -> list[Run]:
    """Return the cells of a port without its sparklines; only the rates change often.

    `shown_beside` are its error counts, and the mark of a finding.
    """
    port, m = f.port, view.frame.matrix
    # Most counters are informative: they change all the time, and no cell shows them.
    of = (
        (layout, view.glyphs, f.nic, f.label, shown_beside, f.stale, chosen, m.labels, m.cells),
        (port.state, port.link_layer, port.rate_bytes_per_s, f.ip_tx_bytes_per_s, f.ip_rx_bytes_per_s),
    )
    before, after = view.cache.parts.get(
        ("nic", f.nic.device, port.port),
        of,
        lambda: (
            _make_cells(layout.first, f, view, chosen=chosen),
            _make_cells(layout.last, f, view, chosen=chosen),
        ),
    )
    return [*before, *_make_cells(layout.rates, f, view, chosen=chosen), *after]


def _make_cells(columns: Sequence[Column], f: NicFrame, view: ViewState, *, chosen: bool) -> list[Run]:
    return cell_runs(columns, [_cell(c, f, view, chosen=chosen) for c in columns])


def _cell(c: Column, f: NicFrame, view: ViewState, *, chosen: bool) -> TextRun:
    port = f.port
    old = "dim" if f.stale or not f.active else ""
    if c.key == "tx":
        return view.unit.number(f.tx_bytes_per_s), old
    if c.key == "rx":
        return view.unit.number(f.rx_bytes_per_s), old
    if c.key == "share":
        return percent(share(f)), old
    if c.key == "nic":
        mark, role = view.finding_mark(f.nic.device, port.port)
        return f"{nic_number(view.frame, f)}{mark}", role or "caption"
    if c.key == "name":
        return displayable(nic_name(f), view.glyphs), "bold" if chosen else ""
    if c.key == "kind":
        return nic_kind(f), ""
    if c.key == "state":
        return _text(port.state), "" if f.active else "warn"
    if c.key == "speed":
        return view.unit.number(port.rate_bytes_per_s), old
    if c.key in ("ip_tx", "ip_rx"):
        if nic_kind(f) != ROCE:
            return "-", "dim"
        return view.unit.number(f.ip_tx_bytes_per_s if c.key == "ip_tx" else f.ip_rx_bytes_per_s), old
    if c.key == "errors":
        return _errors(f)
    return _nearest_gpus(view, f), ""


def share(f: NicFrame) -> Maybe[float]:
    """Return the utilisation of the port in its busier direction, 0…1."""
    rate = f.port.rate_bytes_per_s
    rates = [r for r in (f.tx_bytes_per_s, f.rx_bytes_per_s) if known(r)]
    if isinstance(rate, Missing):
        return rate
    if len(rates) < 2 or not rate:
        return Missing("traffic is not known")
    return max(rates) / rate


def _errors(f: NicFrame) -> TextRun:
    """Return the sum of the lifetime totals of the counters that are not merely informative."""
    counted = [error for kind, error in f.errors.items() if kind not in INFORMATIVE]
    totals = [error.total for error in counted if known(error.total)]
    if not totals:
        return ("-" if not counted else UNKNOWN), ""
    return partial_count(sum(totals), len(totals) < len(counted), 0), "error" if _has_risen(f) else ""


def _nearest_gpus(view: ViewState, f: NicFrame) -> str:
    """Return the PCIe distance to the nearest GPUs, and their numbers: `PXB 0`, `NODE 0-3`."""
    m = view.frame.matrix
    if f.label not in m.labels:
        return "-"
    cells = m.cells[m.labels.index(f.label)][: len(m.p2p_nvlink)]
    best = min((c for c in cells if c in PCIE_LEVELS), key=PCIE_LEVELS.index, default=None)
    if best is None:
        return UNKNOWN
    numbers = [int(m.labels[i].removeprefix("GPU")) for i, c in enumerate(cells) if c == best]
    return f"{best} {ranges(numbers, shortest=3)}"


def nearest_port(view: ViewState) -> int | None:
    """Return the index in the frame of the port nearest to the selected GPU."""
    m, chosen = view.frame.matrix, view.selected
    label = f"GPU{chosen.gpu.index}" if chosen else ""
    key = m.labels, m.cells, label, [(f.nic, f.label) for f in view.frame.nics]
    return view.cache.parts.get("nearest port", key, lambda: _nearest_port(view.frame, label))


def _nearest_port(frame: Frame, label: str) -> int | None:
    m = frame.matrix
    if label not in m.labels:
        return None
    row = dict(zip(m.labels, m.cells[m.labels.index(label)], strict=True))
    found = [
        (bool(f.nic.role), PCIE_LEVELS.index(row[f.label]), f.nic.virtual, i)
        for i, f in enumerate(frame.nics)
        if row.get(f.label) in PCIE_LEVELS
    ]
    return min(found)[-1] if found else None


def _sparklines(ports: Sequence[NicFrame], view: ViewState, width: int) -> list[Row]:
    owners = [(f.nic.device, f.port.port) for f in ports]
    return view.spark_pairs("nics", owners, width, [f.port.rate_bytes_per_s for f in ports], NIC_INTERVAL_S)


def _text(value: Maybe[str]) -> str:
    return UNKNOWN if isinstance(value, Missing) else value
