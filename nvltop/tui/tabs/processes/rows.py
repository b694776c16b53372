"""Rows of the tab Processes: jobs and their processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Final

from nvltop.formatting import UNKNOWN, age, gib, in_seconds
from nvltop.frozen import frozen
from nvltop.model import Frame, Job, Maybe, Missing, Process, Rank, first_missing, known, total
from nvltop.report.activity import describe
from nvltop.report.phrases import unlisted_processes
from nvltop.text import counted, ranges
from nvltop.tui.render.row import SEPARATOR, Column, displayable
from nvltop.tui.render.view_state import ViewState

COLUMNS: Final = (
    Column("pid", "PID", 8, 0),
    Column("user", "USER", 9, 4, left=True),
    Column("gpu", "GPU", 8, 0, left=True),
    Column("gpu_mem", "GPU MEM", 8, 0),
    Column("sm", "SM%", 5, 1),
    Column("comm", "COMM%", 5, 2),
    Column("late", "LATE", 7, 2),
    Column("cpu", "CPU%", 6, 3),
    Column("mem", "MEM", 7, 5),
    Column("time", "TIME+", 7, 6),
)


@frozen
class ProcessEntry:
    """One row: a job, its activity, or a process of it."""

    job: Job
    process: Process | None = None
    ranks: Mapping[str, Rank] = field(default_factory=dict)
    """What is known of the GPUs of the job over the last minute, by UUID."""
    is_activity: bool = False
    """Whether the row describes the activity of the job."""


def entries(frame: Frame, tree: bool) -> list[ProcessEntry]:
    """Return the rows; in the tree, each job comes before its processes."""
    if isinstance(frame.processes, Missing):
        return []
    by_pid = {process.pid: process for process in frame.processes.processes}
    out = []
    for job in frame.jobs:
        if tree:
            out.append(ProcessEntry(job))
            if any(found.job == job.key for found in frame.activity):
                out.append(ProcessEntry(job, is_activity=True))
        ranks = {rank.gpu: rank for its in frame.activity if its.job == job.key for rank in its.ranks}
        out += [ProcessEntry(job, by_pid[pid], ranks) for pid in job.pids if pid in by_pid]
    return out


NO_NVLINK: Final = "no NVLink"


def gpus(frame: Frame, uuids: Sequence[str]) -> str:
    """Return the numbers of GPUs: `0-7`, `0,2`."""
    index_of = {g.gpu.uuid: g.gpu.index for g in frame.gpus}
    numbers = sorted(index_of[uuid] for uuid in set(uuids) if uuid in index_of)
    return ranges(numbers) or UNKNOWN


def job_line(view: ViewState, job: Job) -> str:
    """Return a line about a job: its processes, GPUs and NVLink traffic."""
    ranks = f"{counted(len(job.pids), 'process', 'processes')} on GPU {gpus(view.frame, job.gpus)}"
    shared = "" if job.exact else " (with others on these GPUs)"
    parts = [job.label, ranks]
    window = f" (mean of {in_seconds(job.mean_over_s)})" if job.mean_over_s else ""
    if known(job.tx_bytes_per_s) and known(job.rx_bytes_per_s):
        unit = view.unit
        parts.append(
            f"TX {unit.text(job.tx_bytes_per_s)}, RX {unit.text(job.rx_bytes_per_s)}{shared}{window}"
        )
    elif {g.gpu.remotes for g in view.frame.gpus if g.gpu.uuid in job.gpus} == {()}:
        parts.append(NO_NVLINK)
    elif unread := first_missing((job.tx_bytes_per_s, job.rx_bytes_per_s)):
        parts.append(f"NVLink traffic unknown ({unread.reason})")
    if known(job.unlinked) and job.unlinked and len(job.gpus) > 1 and NO_NVLINK not in parts:
        a, b = job.unlinked[0]
        more = f" and {counted(len(job.unlinked) - 1, 'more pair')}" if len(job.unlinked) > 1 else ""
        parts.append(f"no NVLink between GPU {gpus(view.frame, [a])} and {gpus(view.frame, [b])}{more}")
    return displayable(SEPARATOR.join(filter(None, parts)), view.glyphs)


def activity_line(view: ViewState, job: Job) -> str:
    """Return a line about the activity of a job, such as its step and what limits it."""
    found = [describe(view.frame, its) for its in view.frame.activity if its.job == job.key]
    return displayable("    " + SEPARATOR.join(filter(None, found)), view.glyphs)


def command(process: Process) -> str:
    """Return executable and arguments."""
    name = process.executable if known(process.executable) else UNKNOWN
    return f"{name} {process.arguments}" if known(process.arguments) and process.arguments else name


def value(entry: ProcessEntry, column: str, now_s: float) -> Maybe[float | str]:
    """Return the value that a column shows and by which it is sorted."""
    p = entry.process
    if p is None:
        return ""
    if column == "pid":
        return float(p.pid)
    if column == "user":
        return p.user
    if column == "gpu":
        return min((use.gpu for use in p.uses), default="")
    if column == "gpu_mem":
        return total([use.memory_bytes for use in p.uses])
    if column == "sm":
        return _highest([use.sm_percent for use in p.uses])
    if column in ("comm", "late"):
        ranks = [rank for use in p.uses if (rank := entry.ranks.get(use.gpu))]
        if column == "late":
            return _highest([rank.late_s for rank in ranks])
        shares = [rank.communication for rank in ranks]
        return _highest([100 * share if known(share) else share for share in shares])
    if column == "cpu":
        return p.cpu_percent
    if column == "mem":
        return p.memory_bytes
    return p.started_s if isinstance(p.started_s, Missing) else max(0.0, now_s - p.started_s)


def text(frame: Frame, entry: ProcessEntry, column: str) -> str:
    """Return the text of a cell."""
    if entry.process is None:
        return ""
    if column == "gpu":
        return gpus(frame, [use.gpu for use in entry.process.uses])
    shown = value(entry, column, frame.tick.wall_s)
    if isinstance(shown, Missing):
        return UNKNOWN
    if column in ("gpu_mem", "mem") and isinstance(shown, (int, float)):
        return gib(shown)
    if column == "late" and isinstance(shown, float):
        return f"{shown * 1000:+.0f} ms" if abs(shown) < 1 else f"{shown:+.2g} s"
    if column == "time" and isinstance(shown, float):
        return age(shown)
    return f"{shown:.0f}" if isinstance(shown, (int, float)) else shown


def empty(frame: Frame) -> str:
    """Return the reason why the list is empty."""
    return unlisted_processes(frame) or "no process uses a GPU"


def _highest(values: Sequence[Maybe[float]]) -> Maybe[float]:
    read = [v for v in values if known(v)]
    return max(read) if read else next(iter(values), Missing("not reported"))
