"""Jobs and the processes on the GPUs."""

from __future__ import annotations

from nvltop.formatting import UNKNOWN, age, gib
from nvltop.model import Frame, Missing, Process, known, total
from nvltop.report import tables
from nvltop.snapshot.sections.inputs import Snapshot, code_block, escape_markdown
from nvltop.text import counted

MAX_PROCESS_ROWS = 100


def nccl(snapshot: Snapshot) -> str:
    """Return what NCCL's RAS service reported, if the user asked it."""
    return code_block("\n".join(snapshot.nccl_report))


def jobs_and_processes(snapshot: Snapshot) -> str:
    """Return the jobs and their processes."""
    frame = snapshot.frame
    if isinstance(frame.processes, Missing):
        return f"Processes unknown: {escape_markdown(frame.processes.reason)}."
    parts = [code_block(tables.jobs(frame)), _processes(frame, frame.processes.processes)]
    return "\n\n".join(filter(None, parts)) or "No process uses a GPU."


def _processes(frame: Frame, processes: tuple[Process, ...]) -> str:
    index_of = {g.gpu.uuid: str(g.gpu.index) for g in frame.gpus}
    rows = [["PID", "USER", "GPU", "GPU MEM", "RUNS FOR", "COMMAND"]]
    for p in processes[:MAX_PROCESS_ROWS]:
        used = total([use.memory_bytes for use in p.uses])
        memory = gib(used) if known(used) else UNKNOWN
        command = p.executable if known(p.executable) else UNKNOWN
        if known(p.arguments) and p.arguments:
            command += f" {p.arguments}"
        on = ",".join(sorted({index_of.get(use.gpu, UNKNOWN) for use in p.uses}))
        user = p.user if known(p.user) else UNKNOWN
        rows.append([str(p.pid), user, on, memory, _runs_for(frame, p), command])
    if len(rows) == 1:
        return ""
    more = len(processes) - MAX_PROCESS_ROWS
    note = (
        f"\n\n{counted(more, 'more process is', 'more processes are')} in `snapshot.json`."
        if more > 0
        else ""
    )
    return code_block(tables.table(rows, left=6)) + note


def _runs_for(frame: Frame, p: Process) -> str:
    return age(max(0.0, frame.tick.wall_s - p.started_s)) if known(p.started_s) else UNKNOWN
