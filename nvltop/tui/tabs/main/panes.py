"""The panes of the tab Main: what there is to show, and which pane the user wants to see."""

from __future__ import annotations

from typing import Final

from nvltop.model import Missing
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.main import matrix, nics, notes, topology
from nvltop.tui.tabs.main.layout import MIN_LINKS_COLUMNS, Content, MainLayout

PANE_KEYS: Final = {"matrix": "Matrix", "chart": "Chart", "links": "Links", "nics": "NICs", "": "Auto"}
"""Label of F5 for the pane that it shows next."""


def measure(view: ViewState, width: int) -> Content:
    """Return the size of what there is to show."""
    frame, m = view.frame, view.frame.matrix
    found = view.cache.parts.get("topology", topology.summary_key(frame), lambda: topology.summarize(frame))
    several = len(m.p2p_nvlink) > 1
    return Content(
        gpus=max(1, len(view.gpus)),
        links=max((len(g.links) for g in frame.gpus), default=0),
        unconnected=topology.is_unconnected(frame),
        nics=view.cache.parts.get("nic lines", (frame.nics,), lambda: nics.table_lines(frame.nics)),
        matrix=len(m.p2p_nvlink) if several else 0,
        matrix_columns=matrix.width(view, width - MIN_LINKS_COLUMNS),
        summary=found is not None,
        uniform=found is not None and not (found.odd and topology.has_odd(m)),
        notes=notes.count(view, width),
    )


def chosen(view: ViewState) -> str:
    """Return the pane that must be shown."""
    if view.focus != "gpus":
        return view.focus
    return view.pane or ("matrix" if view.matrix_content != "links" else "")


def next_pane(view: ViewState, unchosen: MainLayout) -> str | None:
    """Return the pane that F5 would show next, empty for the original layout; None if all are shown.

    `unchosen` is the layout if the user has chosen no pane.
    """
    order = ["", *unchosen.hidden]
    pane = view.pane if view.pane in order else ""
    return order[(order.index(pane) + 1) % len(order)] if unchosen.hidden else None


def why_not(view: ViewState, where: str) -> str:
    """Return the reason why there is no matrix or no NIC to select; empty if there is."""
    frame = view.frame
    if where == "matrix":
        alone = "a matrix needs two GPUs, this node has one" if frame.gpus else ""
        return "" if len(frame.gpus) > 1 else alone or view.why_no_gpu
    listed = frame.inventory.nics
    if isinstance(listed, Missing):
        return f"NICs: {listed.reason}"
    return "" if frame.nics else "no NIC read yet" if listed else "this node has no NIC"
