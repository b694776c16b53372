"""The links of each GPU, and the error counters that are not 0."""

from __future__ import annotations

from nvltop.analysis.uptime import counted_s
from nvltop.formatting import UNKNOWN, age
from nvltop.model import Counter, GpuFrame, LinkState, Missing, known
from nvltop.report import tables
from nvltop.report.nvidia_smi import nvlink
from nvltop.report.phrases import text_or_unknown
from nvltop.report.tables import table
from nvltop.snapshot.sections.inputs import Snapshot, code_block, details
from nvltop.text import counted

MAX_ERROR_ROWS = 60


def links(snapshot: Snapshot) -> str:
    """Return a table of links for each GPU."""
    return "\n\n".join(_of_gpu(snapshot, g) for g in snapshot.frame.gpus if g.links)


def faulty_links(snapshot: Snapshot) -> str:
    """Return the tables of the GPUs with a finding or a link that is not up."""
    shown = [g for g in snapshot.frame.gpus if g.links and _is_faulty(snapshot, g)]
    left_out = [str(g.gpu.index) for g in snapshot.frame.gpus if g.links and g not in shown]
    note = f"GPU {', '.join(left_out)}: all links up, no finding; see `snapshot.json`." * bool(left_out)
    return "\n\n".join([*(_of_gpu(snapshot, g) for g in shown), note]).strip()


def _of_gpu(snapshot: Snapshot, g: GpuFrame) -> str:
    up = sum(link.state is LinkState.UP for link in g.links)
    raw = ", RAW bytes with protocol overhead" if g.nvlink.counter is Counter.RAW else ""
    errors, part = "errors unknown", g.nvlink.errors_unread_part
    if known(rose := g.nvlink.errors_since_start):
        number = f"{rose}+? errors" if part else counted(rose, "error")
        errors = f"{number} since the start" + (f" (in part unknown: {part.reason})" if part else "")
    title = f"GPU {g.gpu.index}: {up} of {len(g.links)} links up, {errors}{raw}"
    parts = (tables.links(g, snapshot.frame), tables.link_errors(g) if nvlink.errors(g) else "")
    return details(title, code_block("\n\n".join(filter(None, parts))))


def _is_faulty(snapshot: Snapshot, g: GpuFrame) -> bool:
    found = any(f.gpu == g.gpu.uuid and f.severity.is_problem for f in snapshot.frame.findings)
    return found or any(link.state is not LinkState.UP for link in g.links)


def has_errors(snapshot: Snapshot) -> bool:
    """Return whether an error counter of a link is not 0, or could not be read."""
    counts = (error.total for g in snapshot.frame.gpus for link in g.links for error in link.errors.values())
    return any(not known(count) or count for count in counts)


def errors(snapshot: Snapshot) -> str:
    """Return the counters that are not 0; those that have increased come first."""
    rows = []
    unread = 0
    for g in snapshot.frame.gpus:
        for link in g.links:
            for kind, error in link.errors.items():
                unread += not known(error.total)
                if not known(error.total) or not error.total:
                    continue
                rose = error.since_start if known(error.since_start) else 0  # for the order
                over_s = counted_s(error, g.uptime_s)
                per_min = f"{error.per_min:.0f}" if known(error.per_min) else UNKNOWN
                changed = "-" if error.last_change_s is None else f"{age(error.last_change_s)} ago"
                cells = [
                    str(g.gpu.index),
                    str(link.index),
                    kind,
                    str(error.total),
                    UNKNOWN if isinstance(over_s, Missing) else age(over_s),
                    text_or_unknown(error.since_start),
                    per_min,
                    changed,
                ]
                rows.append((-rose, -error.total, cells))
    if not any(g.links for g in snapshot.frame.gpus):
        return ""
    note = f"{counted(unread, 'counter')} could not be read." if unread else ""
    if not rows:
        return " ".join(filter(None, ("All counters that could be read are 0.", note)))
    head = ["GPU", "LINK", "KIND", "LIFETIME", "IN", "SINCE START", "PER MIN", "LAST CHANGE"]
    shown = [cells for *_, cells in sorted(rows)[:MAX_ERROR_ROWS]]
    if len(rows) > MAX_ERROR_ROWS:
        more = counted(len(rows) - MAX_ERROR_ROWS, "more counter is", "more counters are")
        note = f"{more} in `snapshot.json`. {note}"
    return "\n\n".join(filter(None, (code_block(table([head, *shown], left=3)), note.strip())))
