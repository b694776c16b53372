"""Rows of the tab History: charts of traffic over time, drawn by plotext."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nvltop.analysis.link_capacity import PCIE_LANE_BYTES_PER_S
from nvltop.analysis.rate_history import SeriesKey
from nvltop.model import known
from nvltop.tui.render.glyphs import UNICODE
from nvltop.tui.render.row import SEPARATOR, Row, displayable, fit, fit_text
from nvltop.tui.render.view_state import ViewState

TIME_SPANS: Final = (
    (60, "1 min"),
    (300, "5 min"),
    (900, "15 min"),
    (3600, "1 h"),
    (6 * 3600, "6 h"),
    (24 * 3600, "24 h"),
)
TIME_TICKS: Final = 4
ASCII_FRAME: Final = str.maketrans("┌┐└┘├┤┬┴┼│─", "+++++++++|-")
DIRECTIONS: Final = ("tx", "rx")
ALL_NICS: Final = ("", 0)


@dataclass(frozen=True, slots=True)
class ChartRequest:
    """The selected chart: whose traffic, which time span, and where the cursor is."""

    gpu: str | None = None
    """UUID; None for the node."""
    link: int | None = None
    nic: tuple[str, int] | None = None
    """Device and port of a NIC, or `ALL_NICS`."""
    pcie: bool = False
    span: int = 1
    """Index of the time span in `TIME_SPANS`."""
    cursor: int = 0
    """Number of values between the newest one and the cursor."""


def keys(view: ViewState, wanted: ChartRequest, way: str) -> list[SeriesKey]:
    """Return the series whose sum is drawn."""
    if wanted.nic:
        return [
            (*at, way) for f in view.frame.nics if wanted.nic in (ALL_NICS, at := (f.nic.device, f.port.port))
        ]
    name = f"pcie_{way}" if wanted.pcie else way
    if wanted.gpu:
        return [(wanted.gpu, None if wanted.pcie else wanted.link, name)]
    return [(g.gpu.uuid, None, name) for g in view.gpus if wanted.pcie or g.nvlink.links_up]


def rows(view: ViewState, wanted: ChartRequest, width: int, height: int) -> list[Row]:
    """Return the title, the values at the cursor, and the charts of TX and RX."""
    seconds = TIME_SPANS[wanted.span][0]
    series = {way: view.history.sum_over(keys(view, wanted, way), seconds) for way in DIRECTIONS}
    step, values = series["tx"]
    place = max(0, len(values) - 1 - wanted.cursor)
    out = [fit([(title(view, wanted), "title")], width, "title")]
    at_s = view.frame.tick.wall_s - (wanted.cursor + 1) * step
    when = datetime.fromtimestamp(max(0.0, at_s)).strftime("%m-%d %H:%M:%S")
    rates = [f"{way.upper()} {_value(view, series[way][1][place])}" for way in DIRECTIONS]
    text = SEPARATOR.join((when, *rates, f"mean of {step} s"))
    out.append(fit([(fit_text(text, width, view.glyphs), "value")], width))
    each = max(4, (height - len(out)) // 2)
    top = _scale_top(view, wanted, [v for way in DIRECTIONS for v in series[way][1]])
    marker = "braille" if view.glyphs is UNICODE else "*"
    for way in DIRECTIONS:
        in_unit = [v * view.unit.per_byte for v in series[way][1]]
        full = top * view.unit.per_byte
        for line in plot(in_unit, seconds, full, width, each, place, way.upper(), marker):
            text = line if view.glyphs is UNICODE else line.translate(ASCII_FRAME)
            out.append(fit([(text, way)], width))
    return out[:height]


def title(view: ViewState, wanted: ChartRequest) -> str:
    """Return the title of the chart."""
    g = next((g for g in view.frame.gpus if g.gpu.uuid == wanted.gpu), None)
    name = f"GPU {g.gpu.index}" if g else "all GPUs"
    if wanted.link is not None and not wanted.pcie:
        name += f" > link {wanted.link}"
    if wanted.nic:
        name = "all NICs" if wanted.nic == ALL_NICS else f"NIC {wanted.nic[0]}"
        return displayable(
            f"traffic of {name}, last {TIME_SPANS[wanted.span][1]}, {view.unit.name}", view.glyphs
        )
    what = "PCIe" if wanted.pcie else "NVLink"
    return f"{what} of {name}, last {TIME_SPANS[wanted.span][1]}, {view.unit.name}"


def _value(view: ViewState, value: float) -> str:
    return "unknown" if math.isnan(value) else view.unit.text(value)


def _scale_top(view: ViewState, wanted: ChartRequest, values: Sequence[float]) -> float:
    """Return the top of the scale: the speed of the links, or a round number above the highest rate."""
    if wanted.nic:
        ports = [f for f in view.frame.nics if wanted.nic in (ALL_NICS, (f.nic.device, f.port.port))]
        rated = sum(r for f in ports if f.active and known(r := f.port.rate_bytes_per_s))
        return rated or _round_number_above(values)
    gpus = [g for g in view.frame.gpus if wanted.gpu in (None, g.gpu.uuid)]
    if wanted.pcie:
        return PCIE_LANE_BYTES_PER_S[5] * 16 * max(1, len(gpus))
    if wanted.link is not None and gpus and wanted.link < len(gpus[0].links):
        speed = gpus[0].links[wanted.link].speed_bytes_per_s
        if known(speed) and speed:
            return speed
    total = sum(s for g in gpus if known(s := g.nvlink.speed_bytes_per_s))
    return total or _round_number_above(values)


def _round_number_above(values: Sequence[float]) -> float:
    """Return a round number above all values."""
    highest = max((v for v in values if not math.isnan(v)), default=0.0)
    return max(1e9, math.pow(10.0, math.ceil(math.log10(max(highest, 1.0)))))


def plot(
    values: Sequence[float],
    seconds: float,
    full: float,
    width: int,
    height: int,
    cursor: int,
    caption: str,
    marker: str,
) -> list[str]:
    """Return a chart of bytes/s as lines of text, with gaps, and a vertical line at the cursor."""
    # Imported here because it takes a tenth of a second to load and only this tab needs it.
    from plotext import figure, terminal, uncolorize

    # The size is that of the tab, not of the terminal that plotext detects.
    terminal.limit(False, False)
    figure.clear()
    figure.clear.data()
    figure.plot_size(width, height)
    n = len(values)
    times = [-(n - 1 - i) * seconds / max(1, n - 1) for i in range(n)]
    for begin, end in _gapless_runs(values):
        run = figure.signal(times[begin:end], [v / 1e9 for v in values[begin:end]], marker=marker)
        run.lines()
        figure.draw(run)
    across, up = figure.ruler(axis=0), figure.ruler(axis=1)
    across.lim(-seconds, 0)
    up.lim(0, full / 1e9)
    marks = [full / 1e9 * i / 2 for i in range(3)]
    up.ticks(marks, [f"{m:.4g}".rjust(6) for m in marks])
    ticks = [-seconds * i / TIME_TICKS for i in range(TIME_TICKS + 1)]
    across.ticks(ticks, [_ago(-t) for t in ticks])
    lines = uncolorize(str(figure.build())).splitlines()
    return [_with_cursor(line, n, cursor, i, caption) for i, line in enumerate(lines[:height])]


def _gapless_runs(values: Sequence[float]) -> list[tuple[int, int]]:
    """Return start and end of each run of known values."""
    runs = []
    begin = None
    for i, value in enumerate([*values, math.nan]):
        if math.isnan(value):
            if begin is not None:
                runs.append((begin, i))
            begin = None
        elif begin is None:
            begin = i
    return runs


def _ago(seconds: float) -> str:
    if seconds == 0:
        return "now"
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds >= size:
            return f"-{seconds / size:.3g}{unit}"
    return f"-{seconds:.3g}s"


def _with_cursor(line: str, count: int, cursor: int, row: int, caption: str) -> str:
    """Return a line of the plot with the cursor, or the first line with the caption."""
    left = next((i for i, c in enumerate(line) if c in "│┤┌"), 0) + 1
    right = len(line) - 1
    if row == 0:
        return line[:left] + caption + line[left + len(caption) :]
    if cursor >= count - 1 or not line[left - 1 : left] or line[left - 1] not in "│┤":
        return line
    at = left + round(cursor / max(1, count - 1) * (right - left - 1))
    return f"{line[:at]}│{line[at + 1 :]}"
