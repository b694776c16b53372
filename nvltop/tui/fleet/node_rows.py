"""Cells of the table of nodes, and the rows below it: worst links and events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from nvltop.fleet import phrases
from nvltop.fleet.model import Node, WorstLink
from nvltop.fleet.queries import duration
from nvltop.fleet.text import combined, count_cell, link_text, rate_cell
from nvltop.formatting import UNKNOWN, age, percent, spark
from nvltop.model import Maybe, known
from nvltop.tui.fleet.view_state import FleetViewState
from nvltop.tui.render.glyphs import Glyphs
from nvltop.tui.render.header import ALARMING_VERDICTS, SEVERITY_ROLES
from nvltop.tui.render.row import Column, Row, TextRun, displayable, fit, fit_text
from nvltop.tui.render.sparklines import spark_title

COLUMNS: Final = (
    Column("name", "NODE", 12, 0, left=True),
    Column("gpus", "GPUS", 4, 4),
    Column("links", "LINKS", 8, 1),
    Column("tx", "TX GB/s", 8, 0),
    Column("rx", "RX GB/s", 8, 0),
    Column("share", "%MAX", 4, 2),
    Column("errors", "ERR", 6, 0),
    Column("step", "STEP", 6, 3),
    Column("age", "AGE", 5, 0),
)
MIN_PLACE: Final = 26
"""Columns of the place of a link or event."""
MIN_WORST: Final = 24
MAX_WORST: Final = 46
MIN_SPARK: Final = 8
MIN_COLUMN_TITLE: Final = 18
"""Columns above which the title of a sparkline gives the time of a column."""
BLANK: Final = " "
"""Mark of a step whose value is unknown."""
NO_HISTORY: Final = (math.nan,)


def cell(node: Node, column: Column, view: FleetViewState) -> TextRun:
    """Return text and role of a column."""
    quiet = "dim" if node.silent else ""
    texts: dict[str, TextRun] = {
        "name": (displayable(node.name, view.glyphs), "error" if node.silent else "value"),
        "gpus": (str(node.gpus) if known(node.gpus) else UNKNOWN, quiet),
        "links": (phrases.links_text(node.links_up, node.links), _links_role(node)),
        "tx": (rate_cell(node.tx, view.unit.per_byte), quiet or "tx"),
        "rx": (rate_cell(node.rx, view.unit.per_byte), quiet or "rx"),
        "share": (percent(node.limit_share, 4), quiet),
        "errors": (
            count_cell(node.errors),
            "error" if known(node.errors.value) and node.errors.value else quiet,
        ),
        "step": (_step(node), quiet),
        "age": (age(node.age_s) if known(node.age_s) else UNKNOWN, quiet),
    }
    return texts[column.key]


def _step(node: Node) -> str:
    if known(node.step_s):
        return f"{node.step_s:.2f}s" if node.step_s < 100 else f"{node.step_s:.0f}s"
    return UNKNOWN if node.silent else "-"


def _links_role(node: Node) -> str:
    if node.silent:
        return "dim"
    fewer = known(node.links_up.value) and known(node.links) and node.links_up.value < node.links
    return "warn" if fewer or node.links_up.unknown else ""


def value(node: Node, column: str, descending: bool) -> float | str:
    """Return the value by which a column sorts; what is unknown comes last in either order."""
    if column == "name":
        return node.name
    values: dict[str, Maybe[float]] = {
        "gpus": node.gpus,
        "links": node.links_up.value,
        "tx": node.tx.value,
        "rx": node.rx.value,
        "share": node.limit_share,
        "errors": node.errors.value,
        "step": node.step_s,
        "age": node.age_s,
        "worst": _badness(node),
    }
    found = values[column]
    return float(found) if known(found) else -math.inf if descending else math.inf


def _badness(node: Node) -> float:
    """Return how bad the worst finding is: silence is worst, and an echo less than what it follows from."""
    if node.silent:
        return math.inf
    finding = node.worst
    return finding.severity.rank - 0.5 * (finding.role == "follows") if finding else -1.0


def worst(node: Node, width: int = 1000) -> TextRun:
    """Return text and role of the worst finding or verdict of a node, in the longest form that fits."""
    forms = [combined(node) + text for text in phrases.worst_texts(node)]
    text = next((form for form in forms if len(form) <= width), forms[-1])
    if node.silent:
        return text, "error"
    if node.worst:
        return text, "dim" if node.worst.role == "follows" else SEVERITY_ROLES[node.worst.severity]
    return text, "warn" if known(node.verdict) and node.verdict in ALARMING_VERDICTS else ""


def tail_widths(width: int) -> tuple[int, int]:
    """Return the widths of the worst finding and of each sparkline, which is 0 if there is no room."""
    spare = (width - MIN_WORST) // 2 - 1
    if spare < MIN_SPARK:
        return width, 0
    text = min(MAX_WORST, max(MIN_WORST, width - 2 * 61))
    text = max(text, min(MAX_WORST, width // 2))
    return text, min(60, (width - text - 2) // 2)


def tail(node: Node, width: int, view: FleetViewState) -> list[TextRun]:
    """Return the worst finding, and the sparklines of TX and RX if there is room."""
    text_width, spark_width = tail_widths(width)
    text, role = worst(node, text_width)
    runs: list[TextRun] = [(fit_text(text, text_width, view.glyphs).ljust(text_width), role)]
    for direction in ("tx", "rx") if spark_width else ():
        values = view.fleet.histories.get((node.key, direction), NO_HISTORY)
        line = sparkline(values, node.limit, spark_width, view.glyphs)
        runs += [(" ", ""), (line, "dim" if node.silent else direction)]
    return runs


def sparkline(values: Sequence[float], limit: Maybe[float], width: int, glyphs: Glyphs) -> str:
    """Return the last values as a sparkline; full is the limit, or the highest value if that is unknown."""
    shown = values[-width:]
    highest = max((v for v in shown if not math.isnan(v)), default=0.0)
    full = limit if known(limit) else highest or 1.0
    return spark(shown, full, glyphs.levels, BLANK).rjust(width)


def tail_title(width: int, view: FleetViewState) -> str:
    """Return the titles of worst finding and sparklines."""
    text_width, spark_width = tail_widths(width)
    head = "WORST FINDING, OR VERDICT"[:text_width].ljust(text_width)
    if not spark_width:
        return head
    step_s = view.fleet.history_step_s
    if not step_s:
        names = ["TX".ljust(spark_width), "RX".ljust(spark_width)]
    elif spark_width > MIN_COLUMN_TITLE:
        names = [f"{name} (column: {duration(step_s)})".ljust(spark_width) for name in ("TX", "RX")]
    else:
        names = [spark_title(name, spark_width, step_s) for name in ("TX", "RX")]
    return " ".join((head, *names))


def below(view: FleetViewState, domain: str, width: int, height: int) -> list[Row]:
    """Return the worst links of a domain, and its events, in at most `height` rows."""
    members = {node.key for node in view.fleet.nodes if node.domain == domain}
    links = [link for link in view.fleet.worst_links if link.node in members]
    lines = [line for line in phrases.event_lines(view.fleet) if not line.node or line.node in members]
    wanted = [1 + len(part) if part else 0 for part in (links, lines)]
    for_links = min(wanted[0], max(height - wanted[1], height // 2))
    rows: list[Row] = []
    if links and for_links > 1:
        title = (
            f"WORST LINKS{_more(len(links), for_links - 1)} errors of {duration(view.fleet.errors_window_s)}"
        )
        rows.append(fit([(title, "title")], width, "title"))
        rows += [link_row(view, link, width) for link in links[: for_links - 1]]
    room = height - len(rows)
    if lines and room > 1:
        rows.append(fit([(f"WHO BEGAN{_more(len(lines), room - 1)} last hour", "title")], width, "title"))
        rows += [event_row(view, line, width) for line in _most_important(lines, room - 1)]
    return rows


def _most_important(lines: Sequence[phrases.EventLine], count: int) -> list[phrases.EventLine]:
    """Return causes and their echoes, then the worst other events, in order of time."""
    roles = {"began": 2, "follows": 1}
    ranked = sorted(
        range(len(lines)), key=lambda i: (-roles.get(lines[i].role, 0), -lines[i].severity.rank, -i)
    )
    return [lines[i] for i in sorted(ranked[:count])]


def _more(count: int, shown: int) -> str:
    return f" ({shown} of {count})" if count > shown else ""


def needed(view: FleetViewState, domain: str) -> int:
    """Return the number of rows that the part below the table could fill."""
    members = {node.key for node in view.fleet.nodes if node.domain == domain}
    links = sum(link.node in members for link in view.fleet.worst_links)
    lines = sum(not line.node or line.node in members for line in phrases.event_lines(view.fleet))
    return sum(count + 1 for count in (links, lines) if count)


def link_row(view: FleetViewState, link: WorstLink, width: int) -> Row:
    """Return a row about one of the worst links."""
    where = displayable(f"{view.name(link.node)} GPU {link.gpu} link {link.link}", view.glyphs)
    role = SEVERITY_ROLES[link.findings[0].severity] if link.findings else ""
    place = max(MIN_PLACE, min(len(where), width // 2))
    text = fit_text(link_text(link), max(0, width - place - 1), view.glyphs)
    return fit([(f"{where:{place}} ", "value"), (text, role)], width)


def event_row(view: FleetViewState, line: phrases.EventLine, width: int) -> Row:
    """Return a row about an event, or about the echoes of the one before."""
    role = "dim" if line.role == "follows" or not line.active else SEVERITY_ROLES[line.severity]
    ended = "" if line.active else " · ended"
    where = displayable(line.where, view.glyphs)
    place = max(MIN_PLACE, min(len(where), width // 2))
    head = f"{phrases.event_time(line):>9} "
    text = fit_text(line.text + ended, max(0, width - len(head) - 8 - place - 1), view.glyphs)
    return fit([(head, ""), (f"{line.role:8}", "bold"), (f"{where:{place}} ", "value"), (text, role)], width)
