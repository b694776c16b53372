"""The header: meters at the left, the node, NVLink, verdict and health as text at the right."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

from nvltop.analysis.health.gpu_names import gpu_names
from nvltop.model import Frame, Severity, known
from nvltop.report.activity import activity_of_gpu, describe_briefly
from nvltop.report.findings import severity_counts
from nvltop.report.phrases import node_line, nvlink_line
from nvltop.report.startup import SHOW_AFTER_S, startup_progress
from nvltop.tui.render import meters
from nvltop.tui.render.row import SEPARATOR, Row, TextRun, fit, fit_text
from nvltop.tui.render.view_state import ViewState

TEXT_WIDTH: Final = 60
"""Columns that the longest texts take, including the blanks before them."""
WIDE_SCREEN: Final = 160
"""Columns from which the meters get two fifths of the width."""
SEVERITY_ROLES: Final = {
    Severity.CRITICAL: "error",
    Severity.WARNING: "warn",
    Severity.NOTICE: "warn",
    Severity.UNKNOWN: "dim",
    Severity.INFO: "",
}
"""Role in which each severity is drawn."""
ALARMING_VERDICTS: Final = ("saturated", "partly", "silent", "pcie", "unknown", "no-gpu")
"""Verdicts that are drawn as warnings."""
MARGIN: Final = "  "
STARTING_STATES: Final = ("starting", "replaced")


def header(view: ViewState, width: int) -> list[Row]:
    """Return the four rows of the header."""
    frame = view.frame
    # The texts matter more than the meters, so the meters are narrowed first.
    left = max(0, min(width // 2, width - TEXT_WIDTH)) if width < WIDE_SCREEN else width * 2 // 5
    texts = [_node(view), _nvlink(view), _verdict(frame), health(view)]
    rows = []
    for meter, (text, role) in zip_longest(meters.meters(view), texts):
        bar = meters.bar(meter, left, view.glyphs) if meter else []
        if bar:
            bar.append((MARGIN, ""))
        room = width - (left + len(MARGIN) if bar else 0)
        rows.append(fit([*bar, (fit_text(text, room, view.glyphs), role)], width))
    return rows


def _node(view: ViewState) -> TextRun:
    frame = view.frame
    text = view.cache.parts.get("node", (frame.inventory,), lambda: node_line(frame).replace("NVIDIA ", ""))
    if frame.inventory.demo:
        # In front, so that a narrow screen does not hide that the node is not real.
        return f"SIMULATED{SEPARATOR}{text.partition(SEPARATOR + 'SIMULATED')[0]}", "warn"
    waiting = "nothing is read" if frame.tick.worker == "ended" else "waiting for the NVIDIA driver"
    return text or waiting, "value"


def _nvlink(view: ViewState) -> TextRun:
    frame = view.frame
    inputs = frame.inventory, frame.findings, [(g.state, g.nvlink.links_up, g.fabric) for g in frame.gpus]
    return view.cache.parts.get("nvlink", inputs, lambda: nvlink_line(frame)), ""


def _verdict(frame: Frame) -> TextRun:
    found = frame.verdict
    if found.id == "degraded":
        return found.headline, "error"
    if found.id in ALARMING_VERDICTS:
        return found.headline, "warn"
    # Green only if there is neither a warning nor anything else that limits the job.
    wrong = any(f.severity >= Severity.WARNING for f in frame.findings)
    limited = found.judgement is not None and bool(found.judgement.limits)
    return found.headline, "ok" if found.id == "carrying" and not wrong and not limited else ""


def health(view: ViewState) -> TextRun:
    """Return the most important of these: a driver that does not answer, faults, the job, link errors."""
    frame = view.frame
    note = (frame.tick.note, "warn") if frame.tick.note else None
    fault = _driver_state(view) or _findings(view) or note or _lost_gpus(frame) or _risen_errors(frame)
    return fault or _activity(view) or _errors(frame)


def _driver_state(view: ViewState) -> TextRun | None:
    tick = view.frame.tick
    if not view.frame.gpus and tick.worker in STARTING_STATES:
        waited_s = tick.wall_s - view.frame.started_s
        return (startup_progress(tick, waited_s), "") if waited_s > SHOW_AFTER_S else None
    if tick.calls:
        call = max(tick.calls, key=lambda c: view.now_s - c.since_s)
        where = "" if call.gpu is None else f" on GPU {call.gpu}"
        return f"driver silent for {view.now_s - call.since_s:.0f} s{where} ({call.function})", "error"
    if tick.worker == "ended":
        return tick.note or "nvltop's reading process has ended", "error"
    if tick.worker == "paused":
        return "nvltop's reading process does not run; the numbers are old", "error"
    return None


def _findings(view: ViewState) -> TextRun | None:
    """Return the number of findings by severity, and the headline of the worst: `1 critical, 2 warnings: …`.

    Findings that follow from another one are not counted. If the text is longer than `TEXT_WIDTH`, the
    numbers are shortened to `critical +3: `. If the verdict in the row above is the worst headline already,
    this row shows the next one, or the activity of the job.
    """
    frame = view.frame
    found = [f for f in frame.findings if f.severity.is_problem and f.caused_by is None]
    if not found:
        return None
    counts = severity_counts(found)
    found.sort(key=lambda f: -f.severity.rank)
    worst = found[0]
    others = [f for f in found if f.headline != frame.verdict.headline]
    if not others:
        job = _activity(view)
        return SEPARATOR.join([counts, *([job[0]] if job else ["see Health"])]), SEVERITY_ROLES[
            worst.severity
        ]
    worst = others[0]
    line = f"{counts}: {worst.headline}"
    if len(line) > TEXT_WIDTH - len(MARGIN):
        more = f" +{len(found) - 1}" if len(found) > 1 else ""
        line = f"{worst.severity}{more}: {worst.headline}"
    return line, SEVERITY_ROLES[worst.severity]


def _lost_gpus(frame: Frame) -> TextRun | None:
    lost = [g for g in frame.gpus if g.state != "ok"]
    if not lost:
        return None
    return f"{gpu_names(lost)}: {lost[0].state_reason}", "error"


def _risen_errors(frame: Frame) -> TextRun | None:
    moved = [
        (error.since_start, g.gpu.index, link.index, kind)
        for g in frame.gpus
        if known(moving := g.nvlink.errors_since_start) and moving
        for link in g.links
        for kind, error in link.errors.items()
        if known(error.since_start) and error.since_start
    ]
    if not moved:
        return None
    since, gpu, link, kind = max(moved, key=lambda m: m[0])
    more = f", {len(moved) - 1} more" if len(moved) > 1 else ""
    return f"GPU {gpu} link {link}: +{since} {kind} since start{more}", "warn"


def _activity(view: ViewState) -> TextRun | None:
    """Return the activity of the selected GPU's job, or of the first job if it has none."""
    frame = view.frame
    activity = activity_of_gpu(frame, view.selected.gpu.uuid) if view.selected else None
    text = describe_briefly(frame, activity or frame.activity[0]) if frame.activity else ""
    return (text, "") if text else None


def _errors(frame: Frame) -> TextRun:
    if any(known(g.nvlink.errors_since_start) for g in frame.gpus):
        return "no link error counted since start", ""
    if any(g.links for g in frame.gpus):
        return "link error counters: not read", ""
    return "", ""
