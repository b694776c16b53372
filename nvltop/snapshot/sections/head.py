"""The head of the report: what it is, what is wrong in short, what was removed; and what comes with it."""

from __future__ import annotations

from nvltop.formatting import age
from nvltop.model import Frame
from nvltop.report.findings import severity_counts
from nvltop.report.phrases import node_line, nvlink_line
from nvltop.snapshot.sections.inputs import Snapshot, escape_markdown


def head(snapshot: Snapshot) -> str:
    """Return the head."""
    frame = snapshot.frame
    removed = ", ".join(snapshot.removed)
    lines = [
        f"# nvltop snapshot, {snapshot.when}",
        "",
        f"- **Node:** {escape_markdown(node_line(frame)) or 'no GPU read yet'}",
        f"- **NVLink:** {escape_markdown(nvlink_line(frame))}",
        f"- **Wrong:** {escape_markdown(summary(frame))}",
        f"- **Verdict:** {escape_markdown(frame.verdict.summary)}",
        f"- **Taken because** {escape_markdown(snapshot.cause)}",
        "",
        f"Removed: {removed}. Placeholders such as `GPU-a1`, `node-1` or `user-1` stand for the same thing "
        "throughout this snapshot; they cannot be turned back. The clock is the node's own.",
    ]
    if snapshot.replayed:
        lines.insert(2, "**This is a moment of a recording that was replayed, not a live node.**\n")
    return "\n".join(lines)


def hung_calls(frame: Frame) -> list[str]:
    """Say which calls of the driver have not returned, the longest one first."""
    told = []
    for call in sorted(frame.tick.calls, key=lambda call: call.since_s):
        on = "" if call.gpu is None else f" on GPU {call.gpu}"
        waited = age(max(0.0, frame.tick.mono_s - call.since_s))
        told.append(f"The driver has not returned from {call.function}{on} for {waited}.")
    return told


def summary(frame: Frame) -> str:
    """`1 critical, 2 warnings. GPU 3 link 7 is down: …`."""
    if frame.inventory.problem:
        return f"{frame.inventory.problem.summary}; {frame.inventory.problem.next_step}"
    if counts := severity_counts(f for f in frame.findings if f.caused_by is None):
        return f"{counts}. {frame.findings[0].summary}"
    if silent := hung_calls(frame):
        return silent[0]
    if any(c.outcome == "fine" for c in frame.checks):
        return "nothing was found"
    return "nothing could be checked"


def files(snapshot: Snapshot) -> str:
    """Say what else there is and how it is opened."""
    return "\n".join(
        (
            "- `snapshot.json`: all values of this moment, schema `nvltop/1`",
            "- `screen.svg`: the screen",
            "- `recording.gz`: the last minutes as they were read; `nvltop --replay` shows them, given the "
            "folder or the archive that this report is in",
        )
    )
