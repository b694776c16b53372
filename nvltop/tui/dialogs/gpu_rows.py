"""Rows of the page of one GPU: identity, links, clocks, findings and events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from nvltop.analysis.health.repairs import RECOVERY_ACTIONS
from nvltop.analysis.link_quality import data_rate, worst_retry_share
from nvltop.formatting import age, duration, percent
from nvltop.model import GpuFrame, LinkState, Maybe, Missing, known
from nvltop.report.findings import clock
from nvltop.report.phrases import or_reason, tx_rx_or_reason
from nvltop.report.timeline import event_line
from nvltop.text import ranges
from nvltop.tui.render.header import SEVERITY_ROLES
from nvltop.tui.render.load_roles import HOT_C
from nvltop.tui.render.row import SEPARATOR, Row, TextRun, fit, fit_text
from nvltop.tui.render.view_state import ViewState

MAX_EVENTS: Final = 50
"""Number of events of a GPU that its page lists."""
CELSIUS: Final = "°C"
CAPTION_WIDTH: Final = 12
"""Columns of the captions."""


def lines(view: ViewState, g: GpuFrame) -> list[list[TextRun]]:
    """Return the lines of the page below its title."""
    out = [[(f"{caption:{CAPTION_WIDTH}}", "caption"), (text, "")] for caption, text in _facts(view, g)]
    frame, uuid = view.frame, g.gpu.uuid
    findings = [f for f in frame.findings if f.gpu == uuid]
    out.append([("FINDINGS", "title")])
    out += [
        [(f"{f.severity} since {clock(f.began_s)}: {f.headline}", SEVERITY_ROLES[f.severity])]
        for f in findings
    ] or [[("none", "dim")]]
    events = [e for e in reversed(frame.timeline) if e.gpu == uuid and not (e.rule and e.lasts)]
    out.append([("EVENTS", "title")])
    out += [
        [(event_line(e, frame.tick.wall_s), SEVERITY_ROLES[e.severity])] for e in events[:MAX_EVENTS]
    ] or [[("none", "dim")]]
    return out


def rows(view: ViewState, uuid: str, width: int, height: int, top: int) -> list[Row]:
    """Return the rows of the page; the lines from index `top` on."""
    g = next((g for g in view.frame.gpus if g.gpu.uuid == uuid), None)
    if g is None:
        return [fit([("This GPU is no longer there", "title")], width, "title")]
    out = [fit([(f"GPU {g.gpu.index}{SEPARATOR}{or_reason(g.gpu.name)}", "title")], width, "title")]
    for runs in lines(view, g)[top : top + height - 1]:
        left, row = width, []
        for text, role in runs:
            row.append((fit_text(text, max(0, left), view.glyphs), role))
            left -= len(text)
        out.append(fit(row, width, "title" if runs[0][1] == "title" else None))
    return out


def _facts(view: ViewState, g: GpuFrame) -> Iterator[tuple[str, str]]:
    """Yield what is known about a GPU, each with its caption; what its board does not have is left out."""
    gpu, fabric = g.gpu, g.fabric
    state = g.state + (f" ({g.state_reason})" if g.state_reason else "")
    if isinstance(g.uptime_s, Missing):
        uptime = f"since when its counters count is unknown ({g.uptime_s.reason})"
    else:
        uptime = f"the driver initialised it {duration(g.uptime_s)} ago"
    yield "State", SEPARATOR.join((state, uptime))
    yield "Recovery", _recovery(fabric.recovery_action)
    yield "PCI", SEPARATOR.join((or_reason(gpu.pci_bus_id), f"NUMA node {or_reason(gpu.numa_node)}"))
    firmware = f"VBIOS {or_reason(gpu.vbios)}", f"board {or_reason(gpu.board_part_number)}"
    nvlink = (f"NVLink {gpu.nvlink_firmware}",) if known(gpu.nvlink_firmware) else ()
    yield "Firmware", SEPARATOR.join((*firmware, *nvlink))
    now = or_reason(g.gauges.temperature_c, lambda c: f"{c:.0f} {CELSIUS}")
    yield "Temperature", SEPARATOR.join((now, _limit(g)))
    if g.links:
        yield "Links", _links(view, g)
    rates = [rate for k in g.links if known(rate := data_rate(g, k))]
    if rates:
        low, high = view.unit.number(min(rates), 0), view.unit.number(max(rates), 0)
        span = low if low == high else f"{low} to {high}"
        yield "Data rate", f"{span} {view.unit.name} a link and direction, after error correction"
    if (worst := worst_retry_share(g)) is not None:
        yield "Retries", f"{100 * worst[1]:.2g} % of the blocks sent, at most (link {worst[0]})"
    if known(gpu.c2c.links) and gpu.c2c.links:
        counts = (("CRC errors", fabric.c2c_crc_errors), ("replays", fabric.c2c_replays),
                  ("back-to-back", fabric.c2c_back_to_back_replays))  # fmt: skip
        errors = ", ".join(f"{name} {or_reason(count)}" for name, count in counts)
        links = f"{or_reason(gpu.c2c.links_up)} of {gpu.c2c.links} links up"
        yield "C2C", SEPARATOR.join((links, errors, f"power {or_reason(fabric.c2c_power_state)}"))
    yield "Fabric", f"{or_reason(fabric.state)}{SEPARATOR}health {or_reason(fabric.health_summary)}"
    t = g.throttling
    if known(t.over_s):
        shares = (("power limit", t.power_cap), ("heat (software)", t.sw_thermal),
                  ("heat (hardware)", t.hw_thermal), ("power brake", t.power_brake))  # fmt: skip
        listed = ", ".join(f"{name} {or_reason(share, _percent)}" for name, share in shares)
        yield "Slowed by", f"{listed} of the last {age(t.over_s)}"


def _links(view: ViewState, g: GpuFrame) -> str:
    states = Counter(k.state for k in g.links)
    down = [k.index for k in g.links if k.state is LinkState.DOWN]
    counted = ", ".join(f"{n} {state.value}" for state, n in states.items())
    rates = tx_rx_or_reason(g.nvlink.mean_tx_bytes_per_s, g.nvlink.mean_rx_bytes_per_s, view.unit.text)
    part = g.nvlink.errors_unread_part
    errors = f"errors since the start {or_reason(g.nvlink.errors_since_start)}"
    errors += f"+? ({part.reason})" if part else ""
    read_s = g.age_s.get("errors")
    if g.stale and read_s is not None and known(g.nvlink.errors_since_start):
        errors += f" (read {age(read_s)} ago)"
    which = f" (down: {ranges(down)})" if down else ""
    return SEPARATOR.join((f"{len(g.links)}: {counted}{which}", rates, errors))


def _limit(g: GpuFrame) -> str:
    """Return the temperature that is drawn as the limit of a GPU, and where it comes from."""
    slowdown_c = g.gpu.slowdown_c
    if not isinstance(slowdown_c, Missing):
        return f"the hardware slows it down from {slowdown_c} {CELSIUS} (NVML's threshold)"
    return f"limit {HOT_C:.0f} {CELSIUS} assumed, its own is unknown ({slowdown_c.reason})"


def _recovery(action: Maybe[int]) -> str:
    if isinstance(action, Missing):
        return f"what the driver requests is unknown ({action.reason})"
    if not action:
        return "the driver requests nothing"
    requested = RECOVERY_ACTIONS.get(action)
    return f"the driver requests {requested[0] if requested else f'action {action}'}"


def _percent(share: float) -> str:
    return f"{percent(share, 0)} %"
