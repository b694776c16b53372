"""The matrix of `nvidia-smi topo -m`."""

from __future__ import annotations

from typing import Final

from nvltop.analysis.activity.pair_estimate import PairTable, estimate_pairs
from nvltop.analysis.matrix import VIA_NVSWITCH, direct_links, links_to
from nvltop.formatting import UNKNOWN, count, percent
from nvltop.frozen import frozen
from nvltop.model import Frame, Maybe, Missing, known, total
from nvltop.model.error_kinds import INFORMATIVE
from nvltop.tui.render.heat import heat_role
from nvltop.tui.render.row import Row, TextRun, fit
from nvltop.tui.render.scroll import first_shown
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.main.topology import has_odd, is_odd, usual_cell

CELL_WIDTH: Final = 5
MARKED_CELL_WIDTH: Final = 6
"""Columns of a cell of a matrix in which some cells have a mark in front."""
LABEL_WIDTH: Final = 3
"""Columns of the label before each row, the number of the GPU."""
CONTENTS: Final = {
    "links": "",
    "tx": "{unit} sent",
    "share": "% of NCCL max sent",
    "p2p": "P2P status",
    "errors": "errors since start",
}
"""What the cells can show, in the order in which `x` shows it, and its name in the title."""
ODD_MARK: Final = "*"
"""Mark in front of a connection with another number of links than is usual."""


def labels(view: ViewState) -> int:
    """Return the number of rows and columns; only the connections include the NICs."""
    m = view.frame.matrix
    return len(m.labels) if view.matrix_content == "links" else len(m.p2p_nvlink)


def cell_width(view: ViewState) -> int:
    """Return the columns of a cell."""
    m = view.frame.matrix
    if view.matrix_content != "links":
        return CELL_WIDTH
    return view.cache.parts.get(
        "matrix cell", (m.cells,), lambda: MARKED_CELL_WIDTH if has_odd(m) else CELL_WIDTH
    )


def width(view: ViewState, room: int) -> int:
    """Return the width of the matrix, including the NICs only if all of them fit into `room`."""
    n, gpus, cell = labels(view), len(view.frame.matrix.p2p_nvlink), cell_width(view)
    whole = LABEL_WIDTH + cell * n + 1
    if content := CONTENTS[view.matrix_content]:
        return whole + len(content)
    return whole if whole <= room or n == gpus else LABEL_WIDTH + cell * gpus + len(_hidden_columns_text(n))


def _hidden_columns_text(hidden: int) -> str:
    """Return the text that counts hidden columns."""
    return f" +{hidden}"


@frozen
class VisibleColumns:
    """The range of visible columns of the matrix."""

    first: int
    count: int

    @classmethod
    def of(cls, view: ViewState, columns: int, before: int = 0) -> VisibleColumns:
        """Return the columns that fit, including the selected one and room to count the hidden ones.

        The first one is as close to the column `before`, which was the first one, as that allows.
        """
        n, cell = labels(view), cell_width(view)
        fits = max(0, (columns - LABEL_WIDTH - 1) // cell)
        if n > fits:
            fits = max(0, min(fits, (columns - LABEL_WIDTH - len(_hidden_columns_text(n))) // cell))
        first = 0 if view.column is None else first_shown(before, view.column, n, max(1, fits))
        return cls(first, min(n, fits))


def rows(view: ViewState, columns: int, height: int, top: int = 0, first: int = 0) -> list[Row]:
    """Return the matrix from row `top` on; the title counts the rows and columns that do not fit.

    `first` is the column that was the first one before.
    """
    m = view.frame.matrix
    n = labels(view)
    window = VisibleColumns.of(view, columns, first)
    seen = range(window.first, window.first + window.count)
    first_nic = len(m.p2p_nvlink)
    numbers = [label.removeprefix("GPU") for label in m.labels[:first_nic]]
    numbers += [f"N{i}" for i in range(n - first_nic)]
    out = [_title_row(view, columns, numbers, window, n - min(n - top, max(0, height - 1)))]
    values, cell = MatrixValues(view), cell_width(view)
    chosen, gpus = view.selected, view.frame.gpus
    for i in range(top, min(n, top + height - 1)):
        here = chosen is not None and f"GPU{chosen.gpu.index}" == m.labels[i]
        mark, marked = view.finding_mark(gpus[i].gpu.uuid) if i < len(gpus) else ("", "")
        spans: list[TextRun] = [
            ((numbers[i] + mark).rjust(LABEL_WIDTH), marked or ("bold" if here else "caption")),
        ]
        for j in seen:
            text, role = values.cell(i, j)
            spans.append((text.rjust(cell), "selected" if here and j == view.column else role))
        out.append(fit(spans, columns))
    return out


def _title_row(view: ViewState, columns: int, numbers: list[str], window: VisibleColumns, hidden: int) -> Row:
    """Return the title row: what is hidden, the number of each column, and what the cells show."""
    corner = f"{view.glyphs.more_rows}{hidden}" if hidden else ""
    seen = range(window.first, window.first + window.count)
    head = "".join(numbers[j].rjust(cell_width(view)) for j in seen)
    # A number of three digits extends into the blanks before the first column.
    head = corner.ljust(LABEL_WIDTH) + head[max(0, len(corner) - LABEL_WIDTH) :]
    n = len(numbers)
    more = _hidden_columns_text(n - window.count) if window.count < n else ""
    head += more if len(head) + len(more) <= columns else ""
    content = CONTENTS[view.matrix_content].format(unit=view.unit.name)
    head += f" {content}" if content and len(head) + 1 + len(content) <= columns else ""
    return fit([(head, "title")], columns, "title")


class MatrixValues:
    """The cells of the matrix of one frame."""

    def __init__(self, view: ViewState) -> None:
        self._view = view
        self._frame: Frame = view.frame
        self._usual = usual_cell(view.frame.matrix)
        traffic = view.matrix_content in ("tx", "share")
        self._estimates: PairTable = estimate_pairs(view.frame) if traffic else ()

    def cell(self, i: int, j: int) -> TextRun:
        """Return text and role of a cell."""
        content = self._view.matrix_content
        if i == j and content != "errors":
            return "X", "dim"
        if content == "links":
            return self._connection(i, j)
        if content == "errors":
            text, role = self._errors(i, j)
        elif content == "p2p":
            text, role = self._p2p(i, j)
        else:
            text, role = self._traffic(i, j, share=content == "share")
        mark, text = self._link_mark(i, j), text.strip()
        # A long number leaves no room for the mark between it and the cell before it.
        return (text + mark if len(text) + len(mark) < CELL_WIDTH else text), "warn" if mark else role

    def _connection(self, i: int, j: int) -> TextRun:
        """Return the number of links of a pair, or its PCIe path."""
        m = self._frame.matrix
        cell = m.cells[i][j]
        if cell == UNKNOWN:
            return cell, "warn"
        mark = self._link_mark(i, j)
        if not cell.startswith("NV"):
            return cell + mark, "warn" if mark else ""
        status = m.p2p_nvlink[i][j]
        if known(status) and status != "OK":
            # The links between the pair are active, but P2P over them is not available.
            return cell + mark, "error"
        if is_odd(m, self._usual, i, j):
            return (cell + mark if mark else ODD_MARK + cell), "warn"
        return cell + mark, "warn" if mark else ""

    def _p2p(self, i: int, j: int) -> TextRun:
        status = self._frame.matrix.p2p_nvlink[i][j]
        if isinstance(status, Missing):
            return UNKNOWN, "warn"
        if status == "OK":
            return status, ""
        linked = self._frame.matrix.cells[i][j].startswith("NV")
        return status, "error" if linked else "dim"

    def _traffic(self, i: int, j: int, *, share: bool) -> TextRun:
        """Return what the row sends the column: counted between direct neighbours, else estimated."""
        exact = self._frame.matrix.pair_tx_bytes_per_s[i][j]
        estimated = exact == VIA_NVSWITCH
        cell = self._frame.matrix.cells[i][j]
        if cell != UNKNOWN and not cell.startswith("NV"):
            return "-", "dim"
        sent = self._estimates[i][j] if estimated else exact
        if isinstance(sent, Missing):
            return UNKNOWN, "warn"
        limit = self._limit(i, j)
        part = sent / limit if known(limit) and limit else Missing("the speed of the links is not known")
        role = "" if isinstance(part, Missing) else heat_role(part)
        mark = self._view.glyphs.estimate if estimated else ""
        text = percent(part) if share else self._view.unit.number(sent, 3)
        return mark + text.strip()[: CELL_WIDTH - 1 - len(mark)], role

    def _limit(self, i: int, j: int) -> Maybe[float]:
        """Return what NCCL reaches from one GPU to another, in bytes/s."""
        gpus = self._frame.gpus
        links = links_to(gpus[i], gpus[j])
        ceiling = gpus[i].nvlink.ceiling
        speed = total([k.speed_bytes_per_s for k in links]) if links else gpus[i].nvlink.speed_bytes_per_s
        if isinstance(ceiling, Missing):
            return ceiling
        return speed if isinstance(speed, Missing) else speed * ceiling

    def _errors(self, i: int, j: int) -> TextRun:
        """Return the errors of the direct links of a pair; on the diagonal, of all links of a GPU."""
        gpus, part = self._frame.gpus, None
        if i == j:
            found, part = gpus[i].nvlink.errors_since_start, gpus[i].nvlink.errors_unread_part
        else:
            links = direct_links(gpus[i], gpus[j])
            if not links:
                return self._view.glyphs.dot, "dim"
            found = total(
                [
                    e.since_start
                    for link in links
                    for kind, e in link.errors.items()
                    if kind not in INFORMATIVE
                ]
            )
        if isinstance(found, Missing) or (part and not found):
            return UNKNOWN, "warn"
        text = count(found).strip()
        if part:
            text += "+?" if len(text) < CELL_WIDTH - 2 else UNKNOWN
        return text, "error" if found else ""

    def _link_mark(self, i: int, j: int) -> str:
        """Return the mark of a pair that is directly joined by a link with a finding."""
        gpus, view = self._frame.gpus, self._view
        if i == j or max(i, j) >= len(gpus) or not view.finding_mark(gpus[i].gpu.uuid)[0]:
            return ""
        for link in gpus[i].links:
            mark = view.finding_mark(gpus[i].gpu.uuid, link.index)[0]
            if mark and link.remote.gpu == gpus[j].gpu.uuid:
                return mark
        return ""


def cell_at(view: ViewState, x: int, y: int, top: int, first: int) -> tuple[int, int] | None:
    """Return row and column of the cell at position `x`, `y`; `top` and `first` are the first ones shown."""
    if y < 1 or x < LABEL_WIDTH:
        return None
    return top + y - 1, first + (x - LABEL_WIDTH) // cell_width(view)
