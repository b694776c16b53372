"""What NCCL reports of a job, as rows, with what is known of the GPUs of the ranks that are behind."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from nvltop.formatting import gb_per_s
from nvltop.model import Frame, GpuFrame, Maybe, known
from nvltop.ras.answer import Rank, RasReport
from nvltop.ras.diagnosis import CommunicatorDiagnosis
from nvltop.ras.text import to_lines
from nvltop.tui.render.row import Row, fit


def answer_lines(
    report: RasReport, diagnoses: Sequence[CommunicatorDiagnosis], where: str, frame: Frame
) -> list[str]:
    """Return the report as lines, followed by the state of each GPU of this node that is named in it."""
    lines = to_lines(report, diagnoses, where)
    named = [lag.rank for d in diagnoses for lag in d.behind] + [r for d in diagnoses for r in d.faulty]
    beside = dict.fromkeys(filter(None, (_gpu_line(frame, rank) for rank in named)))
    return [*lines, "", "On this node now:", *beside] if beside else lines


def _gpu_line(frame: Frame, rank: Rank) -> str:
    """Return what the GPU of a rank does now; empty if its process is not seen on this node."""
    processes = frame.processes.processes if known(frame.processes) else ()
    uuids = {use.gpu for p in processes if p.pid == rank.pid for use in p.uses}
    found: list[GpuFrame] = [g for g in frame.gpus if g.gpu.uuid in uuids]
    return "; ".join(
        f"  rank {rank.rank}: GPU {g.gpu.index} {_number(g.gauges.util_percent)}% busy,"
        f" {_number(g.gauges.power_w)} W, TX {gb_per_s(g.nvlink.mean_tx_bytes_per_s).strip()} GB/s,"
        f" RX {gb_per_s(g.nvlink.mean_rx_bytes_per_s).strip()} GB/s"
        for g in found
    )


def _number(value: Maybe[float]) -> str:
    return f"{value:.0f}" if known(value) else "?"


def wrapped(lines: Sequence[str], width: int) -> list[str]:
    """Return the lines wrapped to a width; continued lines are indented."""
    out: list[str] = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        out += textwrap.wrap(line, max(20, width), subsequent_indent=indent) or [""]
    return out


def rows(title: str, lines: Sequence[str], width: int, height: int, top: int) -> list[Row]:
    """Return the rows of the page, the lines from number `top` on."""
    out = [fit([(title, "title")], width, "title")]
    out += [fit([(line, "")], width) for line in wrapped(lines, width)[top : top + max(0, height - 1)]]
    return out
