"""Rows of the page of one NIC port: state, traffic, error counters and findings."""

from __future__ import annotations

from typing import Final

from nvltop.analysis.errors import has_risen
from nvltop.analysis.rate_history import FINE_SECONDS
from nvltop.formatting import age, count, percent
from nvltop.model import Maybe, Missing, NicFrame, known
from nvltop.model.error_kinds import error_kind
from nvltop.report.findings import clock
from nvltop.report.nics import nic_kind, nic_name
from nvltop.report.phrases import or_reason, tx_rx_or_reason, unread_count
from nvltop.tui.render.bar_chart import bar_chart
from nvltop.tui.render.glyphs import UNICODE
from nvltop.tui.render.header import SEVERITY_ROLES
from nvltop.tui.render.row import SEPARATOR, Row, TextRun, displayable, fit, fit_text
from nvltop.tui.render.traffic import speed_text
from nvltop.tui.render.view_state import ViewState

MIN_CHART, MAX_CHART = 2, 8
"""Fewest and most lines of each chart."""
KIND_WIDTH: Final = 29
TITLE_AND_FACTS: Final = 4
"""Lines above the charts."""


def find(view: ViewState, device: str, port: int) -> NicFrame | None:
    """Return the port of a NIC in the current frame; None if it is no longer there."""
    return next((f for f in view.frame.nics if (f.nic.device, f.port.port) == (device, port)), None)


def rows(view: ViewState, device: str, port: int, width: int, height: int, top: int) -> list[Row]:
    """Return the rows of the page; counters from index `top` on."""
    f = find(view, device, port)
    if f is None:
        return [fit([("This NIC is no longer there", "title")], width, "title")]
    findings, tail = _findings(view, f), counters(f)
    below = len(findings) + min(len(tail), height // 2)
    chart = max(MIN_CHART, min(MAX_CHART, (height - TITLE_AND_FACTS - 3 - below) // 2))
    name = displayable(f"NIC {nic_name(f)}", view.glyphs)
    out = [fit([(name, "title")], width, "title")]
    out += [fit([(fit_text(text, width, view.glyphs), "")], width) for text in _facts(view, f)]
    out += [fit([(fit_text(text, width, view.glyphs), role)], width) for text, role in findings]
    for direction, rate in (("tx", f.tx_bytes_per_s), ("rx", f.rx_bytes_per_s)):
        out += _chart(view, f, direction, rate, width, chart)
    head = f"{'COUNTERS':{KIND_WIDTH}}{'LIFETIME':>9}{'START+':>8}{'PER MIN':>9}  CHANGED"
    out.append(fit([(head, "title")], width, "title"))
    room = max(0, height - len(out))
    shown = [[(fit_text(text, width, view.glyphs), role)] for text, role in tail[top : top + room]]
    return [*out, *(fit(line, width) for line in shown)][:height]


def _facts(view: ViewState, f: NicFrame) -> list[str]:
    port, nic = f.port, f.nic
    state = or_reason(port.state) + (f" ({port.physical})" if port.physical else "")
    speed = speed_text(port.rate_bytes_per_s, view.unit, " a direction")
    at = nic.location
    place = f"bus id unknown ({at.reason})" if isinstance(at, Missing) else at.pci_bus_id
    kinds = [kind for kind, is_it in (("virtual function", nic.virtual), ("bond", nic.bond)) if is_it]
    first = [state, nic_kind(f), speed, *kinds]
    second = [place, f"model {nic.model}" if nic.model else "", ", ".join(nic.interfaces)]
    ip = []
    if nic_kind(f) == "RoCE":
        ip = [f"IP {tx_rx_or_reason(f.ip_tx_bytes_per_s, f.ip_rx_bytes_per_s, view.unit.text)}"]
    parts = (first, second, [f"read {age(f.age_s)} ago", *ip])
    return [SEPARATOR.join(displayable(part, UNICODE) for part in line if part) for line in parts]


def _chart(
    view: ViewState, f: NicFrame, direction: str, rate: Maybe[float], width: int, height: int
) -> list[Row]:
    speed = f.port.rate_bytes_per_s
    seconds = min(width, FINE_SECONDS - 1)
    if isinstance(rate, Missing):
        text = f"unknown ({rate.reason})"
    else:
        share = f", {percent(rate / speed, 0)} % of speed" if known(speed) and speed else ""
        text = f"{view.unit.text(rate)}{share}"
    head = (
        f"{direction.upper()} {text}{SEPARATOR}last {seconds} s, full is {or_reason(speed, view.unit.text)}"
    )
    values = view.history.second_means(
        (f.nic.device, f.port.port, direction), view.history.bucket - 1, seconds
    )
    caption = fit([(fit_text(head, width, view.glyphs), "caption")], width)
    return [
        caption,
        *(fit([(line, direction)], width) for line in bar_chart(values, speed, height, view.glyphs)),
    ]


def counters(f: NicFrame) -> list[TextRun]:
    """Return a line for each counter of the port."""
    lines = []
    for kind, error in f.errors.items():
        rose = has_risen(kind, error)
        changed = "-" if error.last_change_s is None else f"{age(error.last_change_s)} ago"
        numbers = f"{count(error.total, 9)}{count(error.since_start, 8)}{count(error.per_min, 9)}  {changed}"
        why = f" ({unread_count(error)})" if isinstance(error.total, Missing) else ""
        name = error_kind(kind).plural[: KIND_WIDTH - 1]
        lines.append((f"{name:{KIND_WIDTH}}{numbers}{why}", "error" if rose else ""))
    return lines or [("this port has no error counters", "dim")]


def _findings(view: ViewState, f: NicFrame) -> list[TextRun]:
    lines = []
    for found in view.frame.findings:
        if found.nic == f.nic.device and found.link in (None, f.port.port):
            text = f"{found.severity} since {clock(found.began_s)}: {found.headline}"
            text += SEPARATOR + found.next_step if found.next_step else ""
            lines.append((text, SEVERITY_ROLES[found.severity]))
    return lines
