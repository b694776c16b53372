"""Which traffic the tables show, NVLink's or PCIe's, and the time that its rates are means over."""

from __future__ import annotations

from collections.abc import Sequence

from nvltop.model import GpuFrame, known


def has_links(gpus: Sequence[GpuFrame]) -> bool:
    """Whether any GPU has a link that is up, or may have."""
    return any(not (known(n := g.nvlink.links_up) and n == 0) for g in gpus)


def mean_window(gpus: Sequence[GpuFrame], linked: bool, long: bool = False) -> str:
    """Name the window of the TX and RX of some GPUs, such as `mean of 2 s`; empty if there is none yet.

    `linked` says whether the rates are those of NVLink, or else those of PCIe.
    """
    spans = [(g.mean_span_s if linked else g.pcie_span_s, g.mean_is_step) for g in gpus]
    seconds = [round(span[1] - span[0], 2) for span, _ in spans if span and span[1] > span[0]]
    if not seconds:
        return ""
    shortest, longest = f"{min(seconds):.2g}", f"{max(seconds):.2g}"
    words = f"mean of {shortest} s" if shortest == longest else f"means of {shortest}-{longest} s"
    if not long:
        return words
    is_step = linked and all(step for span, step in spans if span)
    return f"TX, RX: {words}{', a step of the job' if is_step else ''}"
