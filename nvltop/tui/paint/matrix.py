"""The matrix of `nvidia-smi topo -m`."""

from __future__ import annotations

from nvltop.analysis.activity.pairs import Table, estimate
from nvltop.analysis.matrix import ON_SWITCH
from nvltop.model import known
from nvltop.tui.paint.row import Row, Span, fit
from nvltop.tui.paint.view import View

CELL = 5
LABEL = 3
"""Columns of a cell, and of the GPU's number before each row."""


def width(view: View, room: int) -> int:
    """Return the columns that the matrix takes: those of the NICs only if all of them fit into `room`."""
    n, gpus = len(view.frame.matrix.labels), len(view.frame.matrix.p2p_nvlink)
    whole = LABEL + CELL * n + 1
    return whole if whole <= room else LABEL + CELL * gpus + 1


def _shown(view: View, columns: int) -> int:
    """Return how many columns of the matrix fit; one is left to say how many do not."""
    n, gpus = len(view.frame.matrix.labels), len(view.frame.matrix.p2p_nvlink)
    fits = max(0, (columns - LABEL - 1) // CELL)
    return n if n <= fits else max(min(gpus, fits), fits - 1)


def rows(view: View, columns: int, height: int, top: int = 0) -> list[Row]:
    """Draw the matrix from row `top` on; columns that do not fit are left out and said to be."""
    m = view.frame.matrix
    n = len(m.labels)
    fits = _shown(view, columns)
    first_nic = len(m.p2p_nvlink)
    numbers = [label.removeprefix("GPU") for label in m.labels[:first_nic]]
    numbers += [f"N{i}" for i in range(n - first_nic)]
    head = " " * LABEL + "".join(x.rjust(CELL) for x in numbers[:fits])
    more = f" +{n - fits}" if fits < n else ""
    head += more if len(head) + len(more) <= columns else ""
    if view.estimate:
        head = view.glyphs.about + head[1:]
        about_it = f" {view.unit.name} that the row may send"
        head += about_it if len(head) + len(about_it) <= columns else ""
    out = [fit([(head, "title")], columns, "title")]
    about = estimate(view.frame) if view.estimate else ()
    chosen, gpus = view.selected, view.frame.gpus
    for i in range(top, min(n, top + height - 1)):
        here = chosen is not None and f"GPU{chosen.gpu.index}" == m.labels[i]
        mark, marked = view.mark(gpus[i].gpu.uuid) if i < len(gpus) else ("", "")
        spans: list[Span] = [
            ((numbers[i] + mark).rjust(LABEL), marked or ("bold" if here else "caption")),
        ]
        spans += [
            ((_cell(view, about, i, j) + _mark(view, i, j)).rjust(CELL), _role(view, i, j, here))
            for j in range(fits)
        ]
        out.append(fit(spans, columns))
    return out


def _cell(view: View, about: Table, i: int, j: int) -> str:
    """Return what joins a pair, or an estimate of what goes through the NVSwitches between them."""
    m = view.frame.matrix
    if max(i, j) < len(about) and i != j and m.pair_tx_bytes_per_s[i][j] == ON_SWITCH:
        sent = about[i][j]
        if known(sent):
            return view.glyphs.about + view.unit.number(sent, 3).strip()[: CELL - 2]
    return m.cells[i][j]


def _mark(view: View, i: int, j: int) -> str:
    """Mark a pair that is joined directly by a link about which a rule has found something."""
    gpus = view.frame.gpus
    if i == j or max(i, j) >= len(gpus):
        return ""
    a, b = gpus[i], gpus[j]
    if not view.mark(a.gpu.uuid)[0]:
        return ""
    for link in a.links:
        if link.remote.gpu == b.gpu.uuid and (mark := view.mark(a.gpu.uuid, link.index)[0]):
            return mark
    return ""


def cell_at(x: int, y: int, top: int) -> tuple[int, int] | None:
    """Return row and column of the cell at a place of the drawn matrix."""
    return (top + y - 1, (x - LABEL) // CELL) if y > 0 and x >= LABEL else None


def _role(view: View, i: int, j: int, here: bool) -> str:
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
    # NVLink joins the pair, yet P2P over it is refused: the links are up in vain.
    return "error" if known(status) and status != "OK" else "ok"
