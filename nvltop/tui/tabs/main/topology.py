"""One line that says how the GPUs are connected, where a matrix would repeat the same cell."""

from __future__ import annotations

from collections import Counter
from typing import Final

from nvltop.formatting import UNKNOWN
from nvltop.frozen import frozen
from nvltop.model import Frame, Matrix, RemoteKind, known
from nvltop.text import counted, ranges
from nvltop.tui.render.row import Row, TextRun, fit, fit_text
from nvltop.tui.render.view_state import ViewState

CAPTION: Final = "topology "
MIN_USUAL_SHARE: Final = 0.7
"""Share of the pairs with the same number of links from which the others are odd."""
MAX_NAMED_GPUS: Final = 2
"""Number of GPUs with fewer links up to which the line names them."""


@frozen
class TopologySummary:
    """How the GPUs of a node are connected."""

    text: str
    """The usual connection: `8 GPUs joined through 4 NVSwitches, NV18 a pair`."""
    short: str = ""
    """The same in fewer words: `8 GPUs, NV18`."""
    odd: str = ""
    """The connections that differ: `GPU 3 only NV17`; empty if there is none."""
    refused: str = ""
    """Why the GPUs may not use their links: `P2P NS`; empty if they may."""


def usual_cell(m: Matrix) -> str:
    """Return the connection of most pairs of GPUs; empty if no connection is usual."""
    counted = Counter(_pair_cells(m).values())
    if not counted:
        return ""
    cell, count = counted.most_common(1)[0]
    return cell if count >= MIN_USUAL_SHARE * counted.total() else ""


def is_odd(m: Matrix, usual: str, i: int, j: int) -> bool:
    """Return whether a pair of GPUs is connected by NVLink, but not by as many links as is usual."""
    cell = m.cells[i][j]
    return i != j and usual.startswith("NV") and cell.startswith("NV") and cell != usual


def has_odd(m: Matrix) -> bool:
    """Return whether any pair has another number of links than is usual."""
    usual, n = usual_cell(m), len(m.p2p_nvlink)
    return any(is_odd(m, usual, i, j) for i in range(n) for j in range(n))


def is_unconnected(frame: Frame) -> bool:
    """Return whether the GPUs have NVLink ports and none is connected, as without a bridge."""
    ports = [g.nvlink.links_present for g in frame.gpus if g.nvlink.links_present != 0]
    if not ports or not all(known(count) for count in ports):
        return False
    return all(known(up := g.nvlink.links_up) and up == 0 for g in frame.gpus)


def summarize(frame: Frame) -> TopologySummary | None:
    """Return the connections of the GPUs in one line; None if a matrix is needed to show them."""
    m = frame.matrix
    if is_unconnected(frame) and len(m.p2p_nvlink) == 1:
        ports = len(frame.gpus[0].links)
        return TopologySummary(
            f"{counted(ports, 'NVLink port')}, none connected: normal without a bridge or switch",
            f"{counted(ports, 'NVLink port')}, none connected",
        )
    n = len(m.p2p_nvlink)
    usual = usual_cell(m)
    if n < 2 or not usual or usual == UNKNOWN:
        return None
    differing = {pair: cell for pair, cell in _pair_cells(m).items() if cell != usual}
    odd = _odd(m, differing)
    if odd is None:
        return None
    if not usual.startswith("NV"):
        none = "no bridge or switch is connected, " if is_unconnected(frame) else ""
        return TopologySummary(
            f"{none}no NVLink between the {n} GPUs; they are {usual} apart on PCIe",
            f"no NVLink, PCIe {usual}",
        )
    if n == 2 and not _switches(frame):
        links = usual[2:]
        text = f"2 GPUs joined directly by {links} link{'' if links == '1' else 's'} ({usual})"
    else:
        text = f"{'all ' if n > 2 and not odd else ''}{n} GPUs joined {_how(frame)}, {usual}"
        if not odd:
            text += " each" if _switches(frame) is not None else " a pair"
    return TopologySummary(text, f"{n} GPUs, {usual}", odd, _refused(m))


def _pair_cells(m: Matrix) -> dict[tuple[int, int], str]:
    """Return the cell of each pair of GPUs."""
    n = len(m.p2p_nvlink)
    return {(i, j): m.cells[i][j] for i in range(n) for j in range(i + 1, n)}


def _odd(m: Matrix, differing: dict[tuple[int, int], str]) -> str | None:
    """Return which GPUs are connected differently; None if the line cannot say it completely."""
    if not differing:
        return ""
    n = len(m.p2p_nvlink)
    counted = Counter(i for pair in differing for i in pair)
    gpus = sorted(i for i, count in counted.items() if count == n - 1)
    named = set(gpus)
    cells = set(differing.values())
    if not gpus or len(gpus) > MAX_NAMED_GPUS or len(cells) > 1 or n < 3:
        return None
    if any(not named & set(pair) for pair in differing):
        return None
    numbers = ranges(int(m.labels[i].removeprefix("GPU")) for i in gpus)
    cell = cells.pop()
    return f"GPU{'s' if len(gpus) > 1 else ''} {numbers} {'unknown' if cell == UNKNOWN else f'only {cell}'}"


def _how(frame: Frame) -> str:
    switches = _switches(frame)
    if switches is None:
        return "directly"
    return f"through {counted(switches, 'NVSwitch', 'NVSwitches')}" if switches else "through NVSwitches"


def _switches(frame: Frame) -> int | None:
    """Return the number of NVSwitches, 0 if it is not known; None if the GPUs are joined directly."""
    kinds = {link.remote.kind for g in frame.gpus for link in g.links if link.active}
    if RemoteKind.GPU in kinds:
        return None
    places = {link.remote.pci_bus_id for g in frame.gpus for link in g.links}
    return len([place for place in places if known(place)]) if RemoteKind.SWITCH in kinds else 0


def _refused(m: Matrix) -> str:
    """Return the P2P status of the pairs that may not use NVLink."""
    codes = {
        status
        for i, row in enumerate(m.p2p_nvlink)
        for j, status in enumerate(row)
        if i != j and known(status)
    } - {"OK"}
    return f"P2P {', '.join(sorted(codes))}: not allowed" if codes else ""


def summary_key(frame: Frame) -> tuple[object, ...]:
    """Return what the summary depends on."""
    return frame.inventory, frame.matrix.cells, frame.matrix.p2p_nvlink, is_unconnected(frame)


def rows(view: ViewState, width: int) -> list[Row]:
    """Return the line about the connections of the GPUs."""
    frame = view.frame
    found = view.cache.parts.get("topology", summary_key(frame), lambda: summarize(frame))
    if found is None:
        return []
    more = [(f", {text}", role) for text, role in ((found.odd, "warn"), (found.refused, "error")) if text]
    room = width - len(CAPTION) - sum(len(text) for text, _ in more)
    text = found.text if len(found.text) <= room else fit_text(found.short, max(0, room), view.glyphs)
    spans: list[TextRun] = [(CAPTION, "caption"), (text, ""), *more]
    hint = "x: matrix "
    used = sum(len(text) for text, _ in spans)
    if len(frame.matrix.p2p_nvlink) > 1 and used + len(hint) + 2 <= width:
        spans.append((hint.rjust(width - used), "dim"))
    return [fit([(fit_text(text, width, view.glyphs), role) for text, role in spans], width)]
