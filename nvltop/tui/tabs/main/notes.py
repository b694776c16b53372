"""Rows about jobs and findings: who uses the GPUs, what is wrong, and what to do next."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from nvltop.model import Finding, Frame, Job, Severity, known, total
from nvltop.report.activity import summarize_parts
from nvltop.report.findings import severity_counts
from nvltop.report.phrases import counted_gpus
from nvltop.text import counted, ranges
from nvltop.tui.render.glyphs import UNICODE
from nvltop.tui.render.header import SEVERITY_ROLES
from nvltop.tui.render.row import SEPARATOR, Row, TextRun, displayable, fill, fit, fit_text
from nvltop.tui.render.view_state import FINDING_MARKS, ViewState

JOB_CAPTION: Final = "job "
NEXT_CAPTION: Final = "next "
INDENT: Final = "  "
MAX_JOBS: Final = 4
MAX_FINDINGS: Final = 6


def count(view: ViewState, width: int) -> int:
    """Return the number of lines that jobs and findings need, without the title."""
    return len(_lines(view, width, brief=False))


def rows(view: ViewState, width: int, height: int) -> list[Row]:
    """Return the lines that fit, the most important first, with a title if there is room for it."""
    lines = _lines(view, width, brief=False)
    if len(lines) > height:
        lines = _lines(view, width, brief=True)
    out = [fit([(_title(view.frame), "title")], width, "title")] if height > len(lines) else []
    room = height - len(out)
    if len(lines) > room > 0:
        more = f" +{len(lines) - room} more: see Health"
        out += [fit(line, width) for line in lines[: room - 1]]
        return [*out, _with_more(view, lines[room - 1], more, width)]
    return out + [fit(line, width) for line in lines]


def _with_more(view: ViewState, line: Sequence[TextRun], more: str, width: int) -> Row:
    """Return a line, cut if it is too long, that ends with the number of lines that did not fit."""
    *first, (text, role) = line
    room = width - len(more) - sum(len(part) for part, _ in first)
    kept = fit([*first, (fit_text(text, max(0, room), view.glyphs), role)], width - len(more))
    return fill((*kept, (more, "dim")), width, width)


def _title(frame: Frame) -> str:
    found = [f for f in frame.findings if f.severity.is_problem and f.caused_by is None]
    counts = severity_counts(f.severity for f in found)
    jobs = counted(len(frame.jobs), "JOB", "JOBS")
    pending = any(check.outcome == "pending" for check in frame.checks)
    none = f"NO FAULT FOUND{' YET: SEE HEALTH' if pending else ''}"
    if frame.tick.not_reading or counted_gpus(frame.gpus)[1]:
        none = "FAULTS UNKNOWN: SEE HEALTH"  # nothing that is read now could show one
    return f"{jobs}, {counts.upper() or none}"


def _lines(view: ViewState, width: int, *, brief: bool) -> list[list[TextRun]]:
    frame = view.frame
    unlinked = all(j.state == "no-traffic" for j in frame.judgements)
    pcie = tuple(g.pcie for g in frame.gpus) if unlinked else ()
    key = frame.jobs, frame.activity, frame.judgements, frame.findings, pcie, width, view.glyphs, view.unit
    return view.cache.parts.get(("notes", brief), key, lambda: _make_lines(view, width, brief=brief))


def _make_lines(view: ViewState, width: int, *, brief: bool) -> list[list[TextRun]]:
    """Return the lines of all jobs and findings; a brief next step is cut after one line."""
    frame = view.frame
    lines = [_job_line(view, job, width) for job in frame.jobs[:MAX_JOBS]]
    for finding in _shown_findings(frame):
        lines += _finding_lines(view, finding, width, brief=brief)
    return lines


def _shown_findings(frame: Frame) -> Sequence[Finding]:
    """Return the findings with a next step: faults, then what limits the jobs."""
    roots = [f for f in frame.findings if f.caused_by is None]
    faults = sorted((f for f in roots if f.severity.is_problem), key=lambda f: -f.severity.rank)
    hints = [f for f in roots if f.severity is Severity.INFO and f.next_step]
    return (faults + hints)[:MAX_FINDINGS]


def _job_line(view: ViewState, job: Job, width: int) -> list[TextRun]:
    """Return `job torchrun 41000 · ada · GPU 0-7 · step 2 s · 61% comm at 96% of NCCL max`."""
    frame = view.frame
    index_of = {g.gpu.uuid: g.gpu.index for g in frame.gpus}
    numbers = ranges(sorted(index_of[uuid] for uuid in set(job.gpus) if uuid in index_of))
    parts = [job.label, *([job.user] if known(job.user) else []), f"GPU {numbers or '?'}"]
    found = [part for a in frame.activity if a.job == job.key for part in summarize_parts(frame, a)]
    states = {j.state for j in frame.judgements if j.job == job.key}
    parts += _unlinked(job, index_of)
    parts += _pcie_traffic(view, job) if states <= {"no-traffic"} else found
    text = SEPARATOR.join(displayable(part, UNICODE) for part in parts if part)
    return [(JOB_CAPTION, "caption"), (fit_text(text, width - len(JOB_CAPTION), view.glyphs), "")]


def _unlinked(job: Job, index_of: Mapping[str, int]) -> list[str]:
    """Return `PCIe only: GPU 2` for the GPUs of a job that no NVLink joins to any other GPU of it."""
    used = sorted({index_of[uuid] for uuid in job.gpus if uuid in index_of})
    if not known(job.unlinked) or not job.unlinked or len(used) < 2:
        return []
    apart = [{index_of.get(uuid) for uuid in pair} for pair in job.unlinked]
    alone = [n for n in used if all({n, m} in apart for m in used if m != n)]
    if alone and len(alone) < len(used):
        return [f"PCIe only: GPU {ranges(alone)}"]
    return []


def _pcie_traffic(view: ViewState, job: Job) -> list[str]:
    """Return the PCIe traffic of the GPUs of a job that does not use NVLink."""
    used = [g.pcie for g in view.frame.gpus if g.gpu.uuid in job.gpus]
    tx, rx = total([p.tx_bytes_per_s for p in used]), total([p.rx_bytes_per_s for p in used])
    return (
        [f"PCIe TX {view.unit.text(tx)}, RX {view.unit.text(rx)}"] if used and known(tx) and known(rx) else []
    )


def _finding_lines(view: ViewState, f: Finding, width: int, *, brief: bool) -> list[list[TextRun]]:
    """Return a finding and its next step, on one line if they fit."""
    mark = FINDING_MARKS.get(f.severity, (view.glyphs.dot, ""))[0]
    role = SEVERITY_ROLES[f.severity]
    head: list[TextRun] = [(f"{mark} {f.headline}", role)]
    if not f.next_step:
        return [head]
    used = len(mark) + 1 + len(f.headline)
    step = displayable(f.next_step, view.glyphs)
    if used + len(INDENT) + len(NEXT_CAPTION) + len(step) <= width:
        return [[*head, (INDENT + NEXT_CAPTION, "caption"), (step, "")]]
    indent = INDENT + NEXT_CAPTION
    if brief:
        return [head, [(indent, "caption"), (fit_text(step, width - len(indent), view.glyphs), "")]]
    wrapped = textwrap.wrap(step, max(20, width - len(indent))) or [""]
    lines: list[list[TextRun]] = [head, [(indent, "caption"), (wrapped[0], "")]]
    return lines + [[(" " * len(indent) + text, "")] for text in wrapped[1:]]
