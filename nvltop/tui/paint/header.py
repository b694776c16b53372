"""Meters on the left, what they mean in words on the right."""

from __future__ import annotations

from nvltop.analysis.verdict import pcie_speed
from nvltop.model import Frame, Maybe, Missing, known
from nvltop.report.text import node_line, nvlink_line
from nvltop.tui.paint.row import Row, Span, fit, narrow
from nvltop.tui.paint.view import View
from nvltop.units import UNKNOWN, gib, rate

HEIGHT = 4
MIN_BAR = 18
WORDS = 57
"""Columns that the verdict takes with the blanks before it."""


def meter(
    caption: str, share: Maybe[float], text: str, width: int, role: str, tick: Maybe[float], tick_glyph: str
) -> list[Span]:
    """Draw htop's bar: `CPU[|||||      38.2%]`, the text over the fill, a tick where the ceiling is."""
    if width < MIN_BAR:
        return []
    inner = width - 5
    filled = 0 if isinstance(share, Missing) else round(min(max(share, 0.0), 1.0) * inner)
    if known(share) and share > 0 and inner:
        filled = max(1, filled)
    cells = ["|" if i < filled else " " for i in range(inner)]
    roles = [role if i < filled else "shadow" for i in range(inner)]
    if known(tick) and inner:
        at = min(inner - 1, round(tick * inner))
        cells[at], roles[at] = tick_glyph, "warn"
    text = text[:inner]
    for i, c in enumerate(text, inner - len(text)):
        cells[i] = c
        # Only the fill is coloured; the number on empty ground is grey in htop.
        roles[i] = role if i < filled else "shadow"
    return [(f"{caption:3}", "caption"), ("[", "bracket"), *zip(cells, roles, strict=True), ("]", "bracket")]


def header(view: View, width: int) -> list[Row]:
    """Draw the header in four rows."""
    frame = view.frame
    # The words answer the user's question, so the bars give way first.
    left = max(0, min(width // 2, width - WORDS)) if width < 160 else width * 2 // 5
    g = view.glyphs
    cpu, mem = frame.host.cpu_percent, frame.host
    memory_share: Maybe[float] = (
        mem.memory_used_bytes / mem.memory_total_bytes
        if known(mem.memory_used_bytes) and known(mem.memory_total_bytes) and mem.memory_total_bytes
        else Missing("not read")
    )
    bars = [
        meter(
            "CPU",
            cpu / 100 if known(cpu) else cpu,
            f"{cpu:.1f}%" if known(cpu) else UNKNOWN,
            left,
            "cpu",
            Missing(""),
            g.tick,
        ),
        meter(
            "Mem",
            memory_share,
            f"{gib(mem.memory_used_bytes)}/{gib(mem.memory_total_bytes)}",
            left,
            "memory",
            Missing(""),
            g.tick,
        ),
        _traffic("TX", frame, left, g.tick),
        _traffic("RX", frame, left, g.tick),
    ]
    words = [_node(frame), _nvlink(frame), (frame.verdict.summary, _verdict_role(frame)), health(view)]
    return [
        fit([*bar, ("  ", "") if bar else ("", ""), (_dotted(narrow(text), g.dot), role)], width)
        for bar, (text, role) in zip(bars, words, strict=True)
    ]


def _dotted(text: str, dot: str) -> str:
    return text.replace("·", dot).replace("×", "x" if dot == "-" else "×")


def _node(frame: Frame) -> Span:
    if frame.inventory.demo:
        # First, so that no narrow screen hides that it is not real.
        return f"SIMULATED · {node_line(frame).partition(' · SIMULATED')[0]}", "warn"
    return (node_line(frame) or "waiting for the NVIDIA driver"), "value"


def _nvlink(frame: Frame) -> Span:
    return nvlink_line(frame), ""


def _verdict_role(frame: Frame) -> str:
    if frame.verdict.id in ("saturated", "pcie", "unknown", "no-gpu"):
        return "warn"
    return "ok" if frame.verdict.id == "carrying" else ""


def health(view: View) -> Span:
    """One line on errors and on what stands in the way of reading."""
    frame = view.frame
    tick = frame.tick
    if tick.calls:
        call = max(tick.calls, key=lambda c: view.now_s - c.since_s)
        where = "" if call.gpu is None else f" on GPU {call.gpu}"
        waited = view.now_s - call.since_s
        return f"driver silent for {waited:.0f} s{where} ({call.function})", "error"
    if tick.worker == "ended":
        return "the reading process has ended; the numbers are old", "error"
    if tick.note:
        return tick.note, "warn"
    lost = [g.gpu.index for g in frame.gpus if g.state != "ok"]
    if lost:
        names = ", ".join(map(str, lost))
        return f"GPU {names}: {next(g.state_reason for g in frame.gpus if g.state != 'ok')}", "error"
    moved = [
        (g.gpu.index, link.index, kind, error.since_start)
        for g in frame.gpus
        for link in g.links
        for kind, error in link.errors.items()
        if known(error.since_start) and error.since_start
    ]
    if moved:
        gpu, link, kind, since = max(moved, key=lambda m: m[3])
        more = f", {len(moved) - 1} more" if len(moved) > 1 else ""
        return f"GPU {gpu} link {link}: +{since} {kind} since start{more}", "warn"
    if any(known(g.nvlink.errors_since_start) for g in frame.gpus):
        return "no link error counted since start", ""
    if any(g.links for g in frame.gpus):
        return "link error counters: not read", ""
    return "", ""


def _traffic(caption: str, frame: Frame, width: int, tick_glyph: str) -> list[Span]:
    """The node's NVLink traffic in one direction over what its up links can carry; PCIe without links."""
    way = caption.lower()
    linked = [g.nvlink for g in frame.gpus if known(g.nvlink.links_up) and g.nvlink.links_up > 0]
    nothing = Missing("not read")
    if linked:
        prefix, tick = "", linked[0].ceiling
        rates = [n.tx_bytes_per_s if way == "tx" else n.rx_bytes_per_s for n in linked]
        speeds = [n.speed_bytes_per_s for n in linked]
        speed = sum(s for s in speeds if known(s)) if all(map(known, speeds)) else 0.0
    else:
        prefix, tick = "PCIe ", nothing
        rates = [g.pcie.tx_bytes_per_s if way == "tx" else g.pcie.rx_bytes_per_s for g in frame.gpus]
        speed = sum(pcie_speed(g) for g in frame.gpus)
    if not rates or not all(map(known, rates)):
        return meter(caption, nothing, prefix + UNKNOWN, width, way, tick, tick_glyph)
    total = float(sum(r for r in rates if known(r)))
    return meter(
        caption, total / speed if speed else nothing, prefix + rate(total), width, way, tick, tick_glyph
    )
