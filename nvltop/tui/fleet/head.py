"""Header and tab row of the screen of many nodes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from nvltop.fleet import phrases
from nvltop.fleet.model import FleetView, PartialSum
from nvltop.fleet.queries import duration
from nvltop.formatting import age
from nvltop.model import Maybe, Missing, known
from nvltop.report.findings import severity_counts
from nvltop.text import counted
from nvltop.tui.fleet.view_state import FleetViewState
from nvltop.tui.render.header import MARGIN, METERS_SHARE, MIN_TEXT_WIDTH, SEVERITY_ROLES
from nvltop.tui.render.meters import BarMeter, bar, number_width
from nvltop.tui.render.row import ClickAreas, Row, TextRun, fit, fit_text
from nvltop.tui.render.tab_row import SLOWED_RATIO

LATE_REFRESHES: Final = 3
"""Number of intervals without an answer after which the age of the data is shown."""


def header(view: FleetViewState, width: int) -> list[Row]:
    """Return the four rows of the header: sums, source, the worst finding, what began or is wrong."""
    left = max(0, min(width // METERS_SHARE, width - len(MARGIN) - MIN_TEXT_WIDTH))
    fleet = view.fleet
    meters = [_meter(view, direction) for direction in ("TX", "RX")] if fleet.nodes else []
    number = number_width(meters)
    texts = [_sums(fleet), _source(view), _findings(fleet), _events(view)]
    rows = []
    for meter, (text, role) in zip_longest(meters, texts):
        drawn = bar(meter, left, view.glyphs, number) if meter else []
        if drawn:
            drawn.append((MARGIN, ""))
        room = width - (left + len(MARGIN) if drawn else 0)
        rows.append(fit([*drawn, (fit_text(text, room, view.glyphs), role)], width))
    return rows


def _meter(view: FleetViewState, direction: str) -> BarMeter:
    domains = view.fleet.domains
    moved = PartialSum.of(d.tx if direction == "TX" else d.rx for d in domains)
    limit = PartialSum.of(d.limit for d in domains)
    unknown = sum((d.tx if direction == "TX" else d.rx).unknown for d in domains)
    share: Maybe[float] = Missing("unknown")
    if (
        known(moved.value)
        and known(limit.value)
        and limit.value
        and unknown == sum(d.limit.unknown for d in domains)
    ):
        share = moved.value / limit.value
    text = view.unit.text(moved.value) + (f"+{unknown}?" if unknown and known(moved.value) else "")
    return BarMeter(direction, share, text, direction.lower())


def _sums(fleet: FleetView) -> TextRun:
    if not fleet.nodes:
        return "", ""
    silent = sum(node.silent is not None for node in fleet.nodes)
    nodes = counted(len(fleet.nodes), "node") + (f", {silent} silent" if silent else "")
    parts = [nodes, f"{phrases.count_sum(_total(fleet, 'gpus'))} GPUs"]
    parts.append(f"{phrases.count_sum(_total(fleet, 'links_up'))} links up")
    return " · ".join(parts), "warn" if silent else "value"


def _total(fleet: FleetView, name: str) -> PartialSum:
    """Return a sum over all nodes; `unknown` counts nodes."""
    if name == "gpus":
        return PartialSum.of(PartialSum(n.silent or n.gpus) for n in fleet.nodes)
    return PartialSum.of(n.links_up for n in fleet.nodes)


def _source(view: FleetViewState) -> TextRun:
    fleet = view.fleet
    if fleet.simulated:
        return f"SIMULATED {fleet.simulated}", "warn"
    if note := phrases.source_note(fleet):
        return note, "warn"
    every = f" · scraped every {duration(fleet.scrape_interval_s)}" if known(fleet.scrape_interval_s) else ""
    return f"{view.source}{every}", ""


def _findings(fleet: FleetView) -> TextRun:
    """Return the number of findings by severity, without echoes, and the worst of them."""
    names = {node.key: node.name for node in fleet.nodes}
    found = [f for f in fleet.findings if f.active and f.role != "follows" and f.severity.is_problem]
    if found:
        worst = max(found, key=lambda f: (f.severity.rank, f.role == "began", f.first_s or 0.0))
        where = phrases.place(worst, names.get(worst.node, ""))
        counted = severity_counts(f.severity for f in found)
        return f"{counted}: {phrases.described(worst)} · {where}", SEVERITY_ROLES[worst.severity]
    silent = [node for node in fleet.nodes if node.silent]
    if silent:
        more = f", {len(silent) - 1} more" if len(silent) > 1 else ""
        return f"{silent[0].name} {phrases.reason(silent[0].silent)}{more}", "error"
    return ("no findings and no Xid in the last hour", "") if fleet.source == "nvltop" else ("", "")


def _events(view: FleetViewState) -> TextRun:
    if view.problem:
        since = f"no data for {age(view.now_s - view.problem_since_s)}: " if view.received_s else ""
        return since + view.problem, "error"
    fleet = view.fleet
    if not view.received_s:
        return f"waiting for {view.source}", ""
    if not fleet.source:
        return "no metrics of nvltop (nvltop_gpus) or dcgm-exporter for this selection", "error"
    if fleet.warnings:
        more = f" · {len(fleet.warnings) - 1} more" if len(fleet.warnings) > 1 else ""
        return f"warning: {fleet.warnings[0]}{more}", "warn"
    began = [line for line in phrases.event_lines(fleet) if line.role in ("began", "follows")]
    if began:
        last = max(i for i, line in enumerate(began) if line.role == "began")
        parts = [f"began {phrases.event_time(began[last])} {began[last].where}"]
        parts += [f"{line.where}: {line.text}" for line in began[last + 1 : last + 2]]
        return " · ".join(parts), "warn"
    return "", ""


def tab_row(view: FleetViewState, width: int, names: Sequence[str], current: int) -> tuple[Row, ClickAreas]:
    """Return the tab row, with windows, data age and clock at its right end, and the areas of the tabs."""
    fleet = view.fleet
    right: list[TextRun] = []
    if fleet.window_s:
        right.append((f"{phrases.windows_text(fleet)}  ", "dim"))
    if view.paused:
        right.append((" PAUSED ", "paused"))
    elif view.received_s and view.old_s > LATE_REFRESHES * max(view.interval_s, view.effective_s):
        right.append((f"data {age(view.old_s)} old  ", "error"))
    every_s = max(view.interval_s, view.effective_s)
    slow = every_s > SLOWED_RATIO * view.interval_s
    right.append((f"every {every_s:.3g}s{' (slow server)' if slow else ''}  ", "warn" if slow else ""))
    if fleet.time_s:
        right.append((f"{phrases.clock(fleet.time_s)} ", "bold"))
    left: list[TextRun] = []
    clicks: ClickAreas = []
    column = 0
    for i, name in enumerate(names):
        left.append((f" {name} ", "tab-current" if i == current else "tab"))
        clicks.append((column, column + len(name) + 2, f"show_tab({i})"))
        column += len(name) + 2
    while len(right) > 1 and column + sum(len(text) for text, _ in right) >= width:
        right.pop(0 if right[0][1] == "dim" else -2)
    gap = width - column - sum(len(text) for text, _ in right)
    return fit([*left, (" " * max(1, gap), ""), *right], width), clicks
