"""The matrix of `nvidia-smi topo -m`."""

from __future__ import annotations

from dataclasses import dataclass

from nvltop.analysis.activity.pair_estimate import PairTable, estimate_pairs
from nvltop.analysis.matrix import VIA_NVSWITCH
from nvltop.model import known
from nvltop.tui.render.row import Row, TextRun, fit
from nvltop.tui.render.view_state import ViewState

CELL_WIDTH = 5
LABEL_WIDTH = 3
"""Columns of the label before each row, the number of the GPU."""


def width(view: ViewState, room: int) -> int:
    """Return the width of the matrix, including the NICs only if all of them fit into `room`."""
    n, gpus = len(view.frame.matrix.labels), len(view.frame.matrix.p2p_nvlink)
    whole = LABEL_WIDTH + CELL_WIDTH * n + 1
    return (
        whole
        if whole <= room or n == gpus
        else LABEL_WIDTH + CELL_WIDTH * gpus + len(_hidden_columns_text(n))
    )


def _hidden_columns_text(hidden: int) -> str:
    """Return the text that counts hidden columns."""
    return f" +{hidden}"


@dataclass(frozen=True, slots=True)
class VisibleColumns:
    """The range of visible columns of the matrix."""

    first: int
    count: int

    @classmethod
    def of(cls, view: ViewState, columns: int) -> VisibleColumns:
        """Return the columns that fit, including the selected one and room to count the hidden ones."""
        n = len(view.frame.matrix.labels)
        fits = max(0, (columns - LABEL_WIDTH - 1) // CELL_WIDTH)
        if n > fits:
            fits = max(0, min(fits, (columns - LABEL_WIDTH - len(_hidden_columns_text(n))) // CELL_WIDTH))
        first = 0 if view.column is None else max(0, view.column - max(1, fits) + 1)
        return cls(min(first, max(0, n - fits)), min(n, fits))


def rows(view: ViewState, columns: int, height: int, top: int = 0) -> list[Row]:
    """Return the matrix from row `top` on; the title counts the rows and columns that do not fit."""
    m = view.frame.matrix
    n = len(m.labels)
    window = VisibleColumns.of(view, columns)
    seen = range(window.first, window.first + window.count)
    first_nic = len(m.p2p_nvlink)
    numbers = [label.removeprefix("GPU") for label in m.labels[:first_nic]]
    numbers += [f"N{i}" for i in range(n - first_nic)]
    hidden = n - min(n - top, max(0, height - 1))
    corner = view.glyphs.estimate if view.estimate else ""
    corner += f"{view.glyphs.more_rows}{hidden}" if hidden else ""
    head = "".join(numbers[j].rjust(CELL_WIDTH) for j in seen)
    # A number of three digits extends into the blanks before the first column.
    head = corner.ljust(LABEL_WIDTH) + head[max(0, len(corner) - LABEL_WIDTH) :]
    more = _hidden_columns_text(n - window.count) if window.count < n else ""
    head += more if len(head) + len(more) <= columns else ""
    if view.estimate:
        about_it = f" {view.unit.name} that the row may send"
        head += about_it if len(head) + len(about_it) <= columns else ""
    out = [fit([(head, "title")], columns, "title")]
    about = estimate_pairs(view.frame) if view.estimate else ()
    chosen, gpus = view.selected, view.frame.gpus
    for i in range(top, min(n, top + height - 1)):
        here = chosen is not None and f"GPU{chosen.gpu.index}" == m.labels[i]
        mark, marked = view.finding_mark(gpus[i].gpu.uuid) if i < len(gpus) else ("", "")
        spans: list[TextRun] = [
            ((numbers[i] + mark).rjust(LABEL_WIDTH), marked or ("bold" if here else "caption")),
        ]
        spans += [
            ((_cell(view, about, i, j) + _mark(view, i, j)).rjust(CELL_WIDTH), _role(view, i, j, here))
            for j in seen
        ]
        out.append(fit(spans, columns))
    return out


def _cell(view: ViewState, about: PairTable, i: int, j: int) -> str:
    """Return the connection of a pair, or the estimated traffic through the NVSwitches between them."""
    m = view.frame.matrix
    if max(i, j) < len(about) and i != j and m.pair_tx_bytes_per_s[i][j] == VIA_NVSWITCH:
        sent = about[i][j]
        if known(sent):
            return view.glyphs.estimate + view.unit.number(sent, 3).strip()[: CELL_WIDTH - 2]
    return m.cells[i][j]


def _mark(view: ViewState, i: int, j: int) -> str:
    """Return the mark of a pair that is directly joined by a link with a finding."""
    gpus = view.frame.gpus
    if i == j or max(i, j) >= len(gpus):
        return ""
    a, b = gpus[i], gpus[j]
    if not view.finding_mark(a.gpu.uuid)[0]:
        return ""
    for link in a.links:
        if link.remote.gpu == b.gpu.uuid and (mark := view.finding_mark(a.gpu.uuid, link.index)[0]):
            return mark
    return ""


def cell_at(x: int, y: int, top: int, first: int = 0) -> tuple[int, int] | None:
    """Return row and column of the cell at position `x`, `y`; `top` and `first` are the first ones shown."""
    return (top + y - 1, first + (x - LABEL_WIDTH) // CELL_WIDTH) if y > 0 and x >= LABEL_WIDTH else None


def _role(view: ViewState, i: int, j: int, here: bool) -> str:
    if here and j == view.column:
        return "selected"
    m = view.frame.matrix
    cell = m.cells[i][j]
    if i == j:
        return "dim"
    if cell == "?":
        return "warn"
    if not cell.startswith("NV"):
        return ""
    status = m.p2p_nvlink[i][j]
    # The links between the pair are active, but P2P over them is not available.
    return "error" if known(status) and status != "OK" else "ok"
