"""The pages; the module of each is imported when one is opened for the first time."""

from __future__ import annotations

from collections.abc import Sequence

from nvltop.tui.render.view_state import ViewState
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.tab import Tab


def gpu_page(view: ViewState, output: DirectOutput, uuid: str) -> Tab:
    """Return the page of a GPU."""
    from nvltop.tui.dialogs.gpu_page import GpuPage

    return GpuPage(view, output, uuid)


def link_page(view: ViewState, output: DirectOutput, uuid: str, index: int) -> Tab:
    """Return the page of a link of the GPU `uuid`."""
    from nvltop.tui.dialogs.link_page import LinkPage

    return LinkPage(view, output, uuid, index)


def nic_page(view: ViewState, output: DirectOutput, device: str, port: int) -> Tab:
    """Return the page of a port of a NIC."""
    from nvltop.tui.dialogs.nic_page import NicPage

    return NicPage(view, output, device, port)


def pair_page(view: ViewState, output: DirectOutput, row: int, column: int) -> Tab:
    """Return the page of a cell of the matrix."""
    from nvltop.tui.dialogs.pair_page import PairPage

    return PairPage(view, output, row, column)


def ras_page(view: ViewState, output: DirectOutput, label: str, pids: Sequence[int]) -> Tab:
    """Return the page on which NCCL is asked about the job of some processes."""
    from nvltop.tui.dialogs.ras_page import RasPage

    return RasPage(view, output, label, pids)
