"""The header: meters at the left, the node, NVLink, verdict and health as text at the right."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import zip_longest
from typing import Final

from nvltop.analysis.errors import has_risen
from nvltop.analysis.health.gpu_names import gpu_names
from nvltop.formatting import duration
from nvltop.model import Frame, Severity, known, or_none
from nvltop.model.error_kinds import error_kind
from nvltop.report.activity import activity_of_gpu, describe_briefly
from nvltop.report.findings import severity_counts
from nvltop.report.phrases import node_line, nvlink_line
from nvltop.report.startup import SHOW_AFTER_S, startup_progress
from nvltop.report.timeline import away
from nvltop.tui.render import meters
from nvltop.tui.render.glyphs import Glyphs
from nvltop.tui.render.row import SEPARATOR, Row, TextRun, displayable, fit, fit_text
from nvltop.tui.render.view_state import ViewState

MIN_TEXT_WIDTH: Final = 54
"""Columns of the texts at least: those of a headline, its mark and the number of further findings."""
METERS_SHARE: Final = 3
"""Part of the width that the meters get at most: a third."""
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
SIMULATED: Final = "SIMULATED"
STARTING_STATES: Final = ("starting", "replaced")


def header(view: ViewState, width: int) -> list[Row]:
    """Return the four rows of the header."""
    # The texts matter more than the meters, so the meters are narrowed first.
    left = max(0, min(width // METERS_SHARE, width - len(MARGIN) - MIN_TEXT_WIDTH))
    shown = meters.meters(view)
    number = meters.number_width(shown)
    fit_in = shown if meters.bar_length(left, number) else []
    room = width - (left + len(MARGIN) if fit_in else 0)
    texts = [_nvlink(view, room), _verdict(view.frame)]
    lines = [_node(view, room), *([(fit_text(text, room, view.glyphs), role)] for text, role in texts)]
    lines.append(health(view, room))
    rows = []
    for i, (meter, line) in enumerate(zip_longest(fit_in, lines)):
        # Most rows are as in the frame before.
        parts = meter, line, left, number, room, width, view.glyphs
        rows.append(view.cache.parts.get(("header", i), parts, partial(_row, *parts)))
    return rows


def _row(
    meter: meters.BarMeter | None,
    line: Sequence[TextRun],
    left: int,
    number: int,
    room: int,
    width: int,
    glyphs: Glyphs,
) -> Row:
    """Return a row: a meter in `left` columns, if there is one, and a text in the last `room` columns."""
    before = [(" " * (width - room), "")]
    if meter:
        before = [*meters.bar(meter, left, glyphs, number), (MARGIN, "")]
    return fit([*before, *line], width)


def _node(view: ViewState, room: int) -> list[TextRun]:
    """Return the host name, the GPUs and the driver; a simulated node has no host name."""
    frame = view.frame
    text = view.cache.parts.get("node", (frame.inventory,), lambda: node_line(frame).replace("NVIDIA ", ""))
    host = frame.inventory.hostname
    # In front, so that a narrow screen does not hide which node this is, or that it is not real.
    first = displayable(host, view.glyphs) if known(host) else ""
    if frame.inventory.demo:
        first, text = SIMULATED, text.partition(SEPARATOR + SIMULATED)[0]
    if not text:
        text = "nothing is read" if frame.tick.worker == "ended" else "waiting for the NVIDIA driver"
    shown = fit_text(SEPARATOR.join(filter(None, (first, text))), room, view.glyphs)
    return [(shown[: len(first)], "warn" if frame.inventory.demo else "bold"), (shown[len(first) :], "value")]


def _nvlink(view: ViewState, room: int) -> TextRun:
    frame = view.frame
    gpus = [
        (g.state, g.stale and g.read_age_s, g.nvlink.links_up, g.nvlink.counter, g.fabric) for g in frame.gpus
    ]
    # A finding about errors is another one each second, because of its age: only its rule counts here.
    inputs = frame.inventory, [f.rule for f in frame.findings], frame.tick.not_reading, gpus
    text = view.cache.parts.get("nvlink", inputs, lambda: nvlink_line(frame))
    return text if len(text) <= room else text.replace(" links up", " up"), ""


def _verdict(frame: Frame) -> TextRun:
    found = frame.verdict
    if found.id == "degraded":
        worst = max((f.severity for f in frame.findings if f.headline == found.headline), default=None)
        return found.headline, SEVERITY_ROLES[worst] if worst else "error"
    if found.id in ALARMING_VERDICTS:
        return found.headline, "warn"
    # Green only if there is neither a warning nor anything else that limits the job.
    wrong = any(f.severity >= Severity.WARNING for f in frame.findings)
    limited = found.judgement is not None and bool(found.judgement.limits)
    return found.headline, "ok" if found.id == "carrying" and not wrong and not limited else ""


def health(view: ViewState, room: int) -> list[TextRun]:
    """Return the most important of these: a driver that does not answer, faults, the job, link errors."""
    frame = view.frame
    if not (state := _driver_state(view)) and (found := _findings(view, room)):
        return found
    note = (frame.tick.note, "warn") if frame.tick.note else None
    fault = state or note or _lost_gpus(frame) or events(view, room) or _risen_errors(frame)
    text, role = fault or _activity(view) or _errors(frame)
    return [(fit_text(text, room, view.glyphs), role)]


def events(view: ViewState, room: int) -> TextRun | None:
    """Return how many events nobody has acknowledged, and the worst that is over; None without one."""
    texts = [displayable(text, view.glyphs) for text in away(view.frame, view.acknowledged_s)]
    return (next((t for t in texts if len(t) <= room), texts[-1]), "warn") if texts else None


def _driver_state(view: ViewState) -> TextRun | None:
    tick = view.frame.tick
    if not view.frame.gpus and tick.worker in STARTING_STATES:
        waited_s = tick.wall_s - view.frame.started_s
        return (startup_progress(tick, waited_s), "") if waited_s > SHOW_AFTER_S else None
    if tick.calls:
        call = max(tick.calls, key=lambda c: view.now_s - c.since_s)
        where = "" if call.gpu is None else f" on GPU {call.gpu}"
        return f"driver silent for {duration(view.now_s - call.since_s)}{where} ({call.function})", "error"
    if tick.worker == "ended":
        return tick.note or "nvltop's reading process has ended", "error"
    if tick.worker == "paused":
        return "nvltop's reading process does not run; the numbers are old", "error"
    return None


def _findings(view: ViewState, room: int) -> list[TextRun]:
    """Return the number of findings by severity, and the headline of the worst: `1 critical, 2 warnings: …`.

    Findings that follow from another one are not counted. If the text is too long for `room`, the numbers are
    shortened, never the headline. If the verdict in the row above is the worst headline already, this row
    shows the next one, or the activity of the job.
    """
    frame = view.frame
    found = [f for f in frame.findings if f.severity.is_problem and f.caused_by is None]
    if not found:
        return []
    counts = severity_counts(f.severity for f in found)
    found.sort(key=lambda f: -f.severity.rank)
    others = [f for f in found if f.headline != frame.verdict.headline]
    if not others:
        job = _activity(view)
        rest = SEPARATOR + (job[0] if job else "see Health")
        shown = fit_text(counts + rest, room, view.glyphs)
        return [(shown[: len(counts)], SEVERITY_ROLES[found[0].severity]), (shown[len(counts) :], "")]
    worst, more = others[0], len(found) - 1
    texts = [
        f"{counts}: {worst.headline}",
        f"{worst.severity}{f' +{more}' if more else ''}: {worst.headline}",
        f"! {worst.headline}{f' (+{more})' if more else ''}",
    ]
    text = next((text for text in texts if len(text) <= room), texts[-1])
    return [(fit_text(text, room, view.glyphs), SEVERITY_ROLES[worst.severity])]


def _lost_gpus(frame: Frame) -> TextRun | None:
    lost = [g for g in frame.gpus if g.state != "ok"]
    if not lost:
        return None
    return f"{gpu_names(lost)}: {lost[0].state_reason}", "error"


def _risen_errors(frame: Frame) -> TextRun | None:
    moved = [
        (or_none(error.since_start) or 0, g.gpu.index, link.index, kind)
        for g in frame.gpus
        if known(moving := g.nvlink.errors_since_start) and moving
        for link in g.links
        for kind, error in link.errors.items()
        if has_risen(kind, error)
    ]
    if not moved:
        return None
    since, gpu, link, kind = max(moved, key=lambda m: m[0])
    more = f", {len(moved) - 1} more" if len(moved) > 1 else ""
    return f"GPU {gpu} link {link}: {since} {error_kind(kind).name(since)} since start{more}", "warn"


def _activity(view: ViewState) -> TextRun | None:
    """Return the activity of the selected GPU's job, or the first one; None if the verdict says the same."""
    frame = view.frame
    activity = activity_of_gpu(frame, view.selected.gpu.uuid) if view.selected else None
    text = describe_briefly(frame, activity or frame.activity[0]) if frame.activity else ""
    return (text, "") if text and text.lower() != frame.verdict.headline.lower() else None


def _errors(frame: Frame) -> TextRun:
    linked = [g for g in frame.gpus if g.links]
    unread = [g for g in linked if not known(g.nvlink.errors_since_start)]
    if not linked:
        return "", ""
    if len(unread) == len(linked):
        return "link error counters: not read", ""
    partly = [g for g in linked if g.nvlink.errors_unread_part]
    rest = f"; not read: {gpu_names(unread)}" if unread else ""
    rest += f"; only in part: {gpu_names(partly)}" if partly else ""
    return f"no link error counted since start{rest}", ""
