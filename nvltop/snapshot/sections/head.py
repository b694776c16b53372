"""The head of the report with a summary, and the list of the other files."""

from __future__ import annotations

from nvltop.formatting import age
from nvltop.model import Frame
from nvltop.report.findings import severity_counts
from nvltop.report.phrases import node_line, nvlink_line
from nvltop.snapshot.sections.inputs import Snapshot, escape_markdown


def head(snapshot: Snapshot) -> str:
    """Return the title, the summary, and what was removed."""
    frame = snapshot.frame
    removed = ", ".join(snapshot.removed)
    lines = [
        f"# nvltop snapshot, {snapshot.when}",
        "",
        f"- **Node:** {escape_markdown(node_line(frame)) or 'no GPU read yet'}",
        f"- **NVLink:** {escape_markdown(nvlink_line(frame))}",
        f"- **Findings:** {escape_markdown(summary(frame))}",
        f"- **Verdict:** {escape_markdown(frame.verdict.summary)}",
        f"- **Reason:** {escape_markdown(snapshot.cause)}",
        "",
        f"Removed: {removed}. A placeholder such as `GPU-a1`, `node-1` or `user-1` stands for the same name "
        "throughout this snapshot, and cannot be reversed. Times are those of the node's clock.",
    ]
    if snapshot.replayed:
        lines.insert(2, "**This snapshot is from the replay of a recording, not from a live node.**\n")
    return "\n".join(lines)


def hung_calls(frame: Frame) -> list[str]:
    """Return a sentence for each driver call that has not returned, the longest first."""
    sentences = []
    for call in sorted(frame.tick.calls, key=lambda call: call.since_s):
        on = "" if call.gpu is None else f" on GPU {call.gpu}"
        waited = age(max(0.0, frame.tick.mono_s - call.since_s))
        sentences.append(f"The driver has not returned from {call.function}{on} for {waited}.")
    return sentences


def summary(frame: Frame) -> str:
    """Return `1 critical, 2 warnings. GPU 3 link 7 is down: …`."""
    if frame.inventory.problem:
        return f"{frame.inventory.problem.summary}; {frame.inventory.problem.next_step}"
    if counts := severity_counts(f.severity for f in frame.findings if f.caused_by is None):
        return f"{counts}. {frame.findings[0].summary}"
    if silent := hung_calls(frame):
        return silent[0]
    if any(c.outcome == "fine" for c in frame.checks):
        return "none"
    return "unknown: nothing could be checked"


def files(snapshot: Snapshot) -> str:
    """Return the list of the other files, and how to open them."""
    return "\n".join(
        (
            "- `snapshot.json`: all values, schema `nvltop/1`",
            "- `screen.svg`: the screen",
            "- `recording.gz`: the readings of the last minutes; `nvltop --replay PATH` shows them, with the "
            "folder or archive of this report as PATH",
        )
    )
