"""Rows of the page of a pair: the connection of two GPUs, and the links between them."""

from __future__ import annotations

from nvltop.analysis.activity.pair_estimate import estimate_pairs
from nvltop.analysis.matrix import direct_links, links_to
from nvltop.formatting import UNKNOWN, Unit
from nvltop.model import Frame, GpuFrame, Link, LinkState, Missing, RemoteKind, first_missing, known
from nvltop.report.phrases import remote_name, tx_rx_or_reason
from nvltop.text import counted
from nvltop.tui.render.row import SEPARATOR, Row, fit, fit_text
from nvltop.tui.render.view_state import ViewState


def links_between(a: GpuFrame, b: GpuFrame) -> list[Link]:
    """Return the links from `a` directly to `b`, up or down; else, its active links to NVSwitches."""
    return direct_links(a, b) or [k for k in a.links if k.active and k.remote.kind is RemoteKind.SWITCH]


def facts(frame: Frame, i: int, j: int, unit: Unit, estimated: bool = False) -> list[str]:
    """Return lines on how the GPU in row `i` of the matrix reaches another one, that in column `j`."""
    m = frame.matrix
    a, b = frame.gpus[i], frame.gpus[j]
    cell, status = m.cells[i][j], m.p2p_nvlink[i][j]
    count = len(links_to(a, b))
    why = m.missing.get(f"{m.labels[i]},{m.labels[j]}")
    if cell == UNKNOWN:
        first = f"{UNKNOWN} ({why}): how they are joined is unknown"
    elif cell.startswith("NV"):
        how = "joined directly by" if count else "joined through NVSwitches by"
        first = f"{cell}: {how} {counted(int(cell[2:]), 'link')}"
    else:
        down = len(direct_links(a, b)) or len(direct_links(b, a))
        links = f"{counted(down, 'NVLink')} between them, {'all ' if down > 1 else ''}down"
        first = f"{cell}: {links if down else 'no NVLink between them'}"
    p2p = f"unknown ({status.reason})" if isinstance(status, Missing) else status
    traffic = m.pair_tx_bytes_per_s[i][j]
    sent = f"unknown ({traffic.reason})" if isinstance(traffic, Missing) else unit.text(traffic)
    if estimated and known(about := estimate_pairs(frame)[i][j]) and not known(traffic):
        sent += f"; about {unit.text(about)} by a rough estimate"
    return [
        SEPARATOR.join((first, f"P2P over NVLink: {p2p}")),
        f"GPU {a.gpu.index} sends GPU {b.gpu.index} {sent}",
    ]


def rows(view: ViewState, i: int, j: int, width: int, height: int, top: int) -> list[Row]:
    """Return the rows of the page; the links from index `top` on."""
    frame = view.frame
    if max(i, j) >= len(frame.gpus) or max(i, j) >= len(frame.matrix.cells):
        return [fit([("These GPUs are no longer there", "title")], width, "title")]
    a, b = frame.gpus[i], frame.gpus[j]
    index_of = {g.gpu.uuid: g.gpu.index for g in frame.gpus}
    out = [fit([(f"GPU {a.gpu.index} > GPU {b.gpu.index}", "title")], width, "title")]
    lines = facts(frame, i, j, view.unit, view.matrix_content in ("tx", "share"))
    out += [fit([(fit_text(text, width, view.glyphs), "")], width) for text in lines]
    head = f"LNK  STATE    TX {view.unit.name:6} RX {view.unit.name:6} REMOTE END"
    between = links_between(a, b)
    out += [fit([(head, "title")], width, "title")] if between else []
    for link in between[top : top + max(0, height - len(out))]:
        mark, role = view.finding_mark(a.gpu.uuid, link.index)
        rates = _rates(view, link)
        text = f"{f'{link.index}{mark}':>4} {link.state.value:8}{rates} {remote_name(link, index_of)}"
        moved = link.mean_tx_bytes_per_s, link.mean_rx_bytes_per_s
        if link.state is not LinkState.DOWN and first_missing(moved):
            text += SEPARATOR + tx_rx_or_reason(*moved, view.unit.text)
        out.append(fit([(fit_text(text, width, view.glyphs), role)], width))
    return out[:height]


def _rates(view: ViewState, link: Link) -> str:
    """Return TX and RX in nine columns each, `-` for a link that is down, as in the tables."""
    if link.state is LinkState.DOWN:
        return f"{'-':>9} {'-':>9}"
    rates = link.mean_tx_bytes_per_s, link.mean_rx_bytes_per_s
    return " ".join(view.unit.number(rate, 9) for rate in rates)
