"""The kind of traffic that the tables show, NVLink or PCIe, and the averaging window of its rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.formatting import Unit, in_seconds
from nvltop.model import GpuFrame, Maybe, known
from nvltop.report.phrases import SAMPLES, or_reason, pcie_is_sampled

PCIE_INTERVAL_S: Final = 2.0
"""Time between two readings of the PCIe traffic, seconds."""


def has_links(gpus: Sequence[GpuFrame]) -> bool:
    """Return whether any GPU has an active link, or may have one."""
    return any(not (known(n := g.nvlink.links_up) and n == 0) for g in gpus)


def linked(gpus: Sequence[GpuFrame]) -> list[GpuFrame]:
    """Return the GPUs whose NVLink traffic the meters add up; without any, they show PCIe."""
    return [g for g in gpus if known(g.nvlink.links_up) and g.nvlink.links_up > 0]


def speed_text(speed_bytes_per_s: Maybe[float], unit: Unit, suffix: str = "") -> str:
    """Return the speed of a link or port: `speed 26.56 GB/s`, `speed ? (link is down)`.

    `suffix` follows a speed that is known, where there is room to say that it is that of a direction.
    """
    return f"speed {or_reason(speed_bytes_per_s, lambda s: f'{unit.number(s, 0)} {unit.name}{suffix}')}"


def mean_window(gpus: Sequence[GpuFrame], nvlink: bool) -> str:
    """Return the averaging window of TX and RX, such as `mean of 2 s`; empty if there is none yet.

    With `nvlink`, the rates are those of NVLink, otherwise those of PCIe.
    """
    if not nvlink and pcie_is_sampled(gpus):
        return SAMPLES
    spans = [g.mean_span_s if nvlink else g.pcie_span_s for g in gpus]
    seconds = [round(span[1] - span[0], 2) for span in spans if span and span[1] > span[0]]
    if not seconds:
        return ""
    shortest, longest = in_seconds(min(seconds)), in_seconds(max(seconds))
    return f"mean of {shortest}" if shortest == longest else f"means of {shortest[:-2]}-{longest}"


def in_full(window: str, gpus: Sequence[GpuFrame], nvlink: bool) -> str:
    """Return an averaging window, if there is one, with what is averaged, and whether it is a step."""
    if not window:
        return ""
    is_step = nvlink and all(g.mean_is_step for g in gpus if g.mean_span_s)
    return f"TX, RX: {window}{', a step of the job' if is_step else ''}"
