"""Rows of the page of one link: state, traffic, error counters, findings and events."""

from __future__ import annotations

from typing import Final

from nvltop.analysis.errors import has_risen
from nvltop.analysis.link_capacity import practical_max
from nvltop.analysis.link_quality import data_rate, retry_share
from nvltop.analysis.recent_readings import RECENT_S
from nvltop.analysis.uptime import counted_s
from nvltop.formatting import UNKNOWN, age, count, duration, in_seconds, percent
from nvltop.model import Counter, GpuFrame, Link, LinkState, Missing, known
from nvltop.model.error_kinds import error_kind
from nvltop.report.findings import clock, links_of
from nvltop.report.phrases import or_reason, remote_name, tx_rx_or_reason, unread_count
from nvltop.report.timeline import event_line
from nvltop.tui.dialogs.compared_rows import COMPARED_TITLES, KIND_WIDTH, compared_counters, compared_facts
from nvltop.tui.render.header import SEVERITY_ROLES
from nvltop.tui.render.row import SEPARATOR, Row, TextRun, fill, fit, fit_text
from nvltop.tui.render.sparklines import covered
from nvltop.tui.render.traffic import speed_text
from nvltop.tui.render.view_state import ViewState

MIN_CHART, MAX_CHART = 2, 8
"""Fewest and most lines of each chart."""
FACT_LINES: Final = 3
COMPARED_LINES: Final = 2
"""Lines of facts about a comparison."""
TITLES: Final = (
    f"{'ERRORS':{KIND_WIDTH}}{'LIFETIME':>9}{'IN':>6}{'HOUR+':>7}{'START+':>8}{'PER MIN':>9}  CHANGED"
)
MAX_CHART_S: Final = RECENT_S - 20
"""Longest time that the charts show, seconds; older readings are removed."""
MAX_LOGGED: Final = 50
"""Events of a link that its page lists."""


def rows(view: ViewState, uuid: str, index: int, width: int, height: int, top: int) -> list[Row]:
    """Return the rows of the page; counters and events from index `top` on."""
    g = next((g for g in view.frame.gpus if g.gpu.uuid == uuid), None)
    if g is None or index >= len(g.links):
        gone = "This link is no longer there"
        return [fit([(gone, "title")], width, "title")]
    link = g.links[index]
    tail = _counters(view, g, link) + _findings_and_events(view, g, link)
    above = FACT_LINES + (COMPARED_LINES if view.baseline else 0)
    chart = max(MIN_CHART, min(MAX_CHART, (height - above - 3 - min(len(tail), height // 2)) // 2))
    out = [fit([(f"GPU {g.gpu.index} > link {link.index}", "title")], width, "title")]
    out += [fit([(fit_text(text, width, view.glyphs), "")], width) for text in _facts(view, g, link)]
    out += _charts(view, g, link, width, chart)
    if view.baseline:
        tail = compared_counters(view, view.baseline, g, link) + _findings_and_events(view, g, link)
        head = COMPARED_TITLES
        lines = compared_facts(view, view.baseline, g, link)
        out += [fit(_fit_runs(view, [line], width), width) for line in lines]
    else:
        head = TITLES
    out.append(fit([(head, "title")], width, "title"))
    room = max(0, height - len(out))
    out += [fit(_fit_runs(view, spans, width), width) for spans in tail[top : top + room]]
    return out[:height]


def _fit_runs(view: ViewState, spans: list[TextRun], width: int) -> list[TextRun]:
    return [(fit_text(text, width, view.glyphs), role) for text, role in spans]


def _facts(view: ViewState, g: GpuFrame, link: Link) -> list[str]:
    index_of = {other.gpu.uuid: other.gpu.index for other in view.frame.gpus}
    state = link.state.value + (f" ({link.state_reason})" if link.state_reason else "")
    speed = speed_text(link.speed_bytes_per_s, view.unit, " a direction")
    ages = [
        f"{group} {age(g.age_s[group])} old" for group in ("links", "states", "errors") if group in g.age_s
    ]
    raw = "RAW bytes, with protocol" if g.nvlink.counter is Counter.RAW else "bytes of data"
    both = tx_rx_or_reason(link.tx_bytes_total, link.rx_bytes_total, lambda total: f"{total / 1e12:.3f} TB")
    totals = f"since the driver loaded {both}"
    if known(rate := data_rate(g, link)):
        speed += f", {view.unit.number(rate, 0)} after error correction"
    if known(retries := retry_share(g, link)):
        totals += f"{SEPARATOR}{100 * retries:.2g} % of its blocks sent again"
    return [
        SEPARATOR.join((f"{state}, to {remote_name(link, index_of)}", speed)),
        SEPARATOR.join((raw, totals)),
        SEPARATOR.join(("read: " + ", ".join(ages), _counting(g))),
    ]


def _counting(g: GpuFrame) -> str:
    """Return since when the driver's counters of a GPU count."""
    if isinstance(g.uptime_s, Missing):
        return f"since when it counts is unknown ({g.uptime_s.reason})"
    return f"counting for {duration(g.uptime_s)}"


def _charts(view: ViewState, g: GpuFrame, link: Link, width: int, height: int) -> list[Row]:
    """Return TX above and RX below one axis, `height` lines each, between their captions."""
    key, full = (g.gpu.uuid, link.index), practical_max(link.speed_bytes_per_s, g.nvlink.ceiling)
    cells = min(width, int(MAX_CHART_S / view.spark_shape(1, full).seconds()))
    lines = view.mirrored(((*key, "tx"),), ((*key, "rx"),), cells, full, height)
    seconds = view.spark_shape(cells, full).seconds()
    window = f"last {covered(seconds)}, full height {or_reason(full, view.unit.text)}"
    if known(g.nvlink.ceiling):
        window += " (NCCL max)"
    tx, rx = (_rate(view, g, link, direction) for direction in ("tx", "rx"))
    texts = [f"TX, above RX: {tx}{_span(g, link)}", f"RX: {rx}{SEPARATOR}{window}"]
    above, below = (fit([(fit_text(text, width, view.glyphs), "caption")], width) for text in texts)
    return [above, *(fill(line, cells, width) for line in lines), below]


def _span(g: GpuFrame, link: Link) -> str:
    """Return the time over which the captions state the rates, which differs from that of the tab row."""
    if g.span_s is None or link.state is LinkState.DOWN or isinstance(link.tx_bytes_per_s, Missing):
        return ""
    return f"{SEPARATOR}mean of the last {in_seconds(g.span_s[1] - g.span_s[0])}"


def _rate(view: ViewState, g: GpuFrame, link: Link, direction: str) -> str:
    now, rate = link.tx_bytes_per_s if direction == "tx" else link.rx_bytes_per_s, data_rate(g, link)
    full, base = (rate, "data rate") if known(rate) else (link.speed_bytes_per_s, "speed")
    if link.state is LinkState.DOWN:
        return "nothing, the link is down"
    if isinstance(now, Missing):
        return f"unknown ({now.reason})"
    share = f", {percent(now / full, 0)} % of {base}" if known(full) and full else ""
    return view.unit.text(now) + share


def _counters(view: ViewState, g: GpuFrame, link: Link) -> list[list[TextRun]]:
    lines: list[list[TextRun]] = []
    for kind, error in link.errors.items():
        rose = has_risen(kind, error)
        changed = "-" if error.last_change_s is None else f"{age(error.last_change_s)} ago"
        over_s = counted_s(error, g.uptime_s)
        over = UNKNOWN if isinstance(over_s, Missing) else age(over_s)
        seen = f"{count(error.last_hour, 7)}{count(error.since_start, 8)}{count(error.per_min, 9)}"
        numbers = f"{count(error.total, 9)}{over:>6}{seen}  {changed}"
        why = f" ({unread_count(error)})" if isinstance(error.total, Missing) else ""
        lines.append([(f"{error_kind(kind).plural:{KIND_WIDTH}}{numbers}{why}", "error" if rose else "")])
    return lines or [[("no error counter of this link could be read", "dim")]]


def _findings_and_events(view: ViewState, g: GpuFrame, link: Link) -> list[list[TextRun]]:
    """Return the findings of a link, then what happened to it and to its GPU, the newest first."""
    frame = view.frame
    lines: list[list[TextRun]] = [
        [(f"{f.severity} since {clock(f.began_s)}: {f.headline}", SEVERITY_ROLES[f.severity])]
        for f in frame.findings
        if f.gpu == g.gpu.uuid and link.index in links_of(f)
    ]
    about = [
        e
        for e in reversed(frame.timeline)
        if e.gpu == g.gpu.uuid and (not e.links or link.index in e.links) and not (e.rule and e.lasts)
    ]
    now_s = frame.tick.wall_s
    lines += [[(event_line(e, now_s), SEVERITY_ROLES[e.severity])] for e in about[:MAX_LOGGED]]
    return lines
