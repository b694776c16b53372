"""Rows of the tab History: a title, the values at the cursor, a large chart and smaller ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from nvltop.formatting import Unit, in_seconds
from nvltop.frozen import frozen
from nvltop.memo import MemoTable
from nvltop.model import TimelineEvent
from nvltop.report.timeline import brief
from nvltop.tui.render.glyphs import UNICODE
from nvltop.tui.render.row import BLANK, SEPARATOR, Row, displayable, fill, fit, fit_text
from nvltop.tui.render.spark_style import ASCII_LEVELS, BRAILLE, SparkStyle
from nvltop.tui.render.view_state import FINDING_MARKS, ViewState
from nvltop.tui.tabs.history import plot
from nvltop.tui.tabs.history.series import TIME_SPANS, Column, SeriesCache, Window, total, window
from nvltop.tui.tabs.history.subjects import NODE, Subject, concerns, limit, name, parts, series_keys

MIN_PART_LINES: Final = 9
MIN_MAIN_LINES: Final = 13
"""Lines of the large chart at least."""
MIN_PART_COLUMNS: Final = 38
"""Size of a smaller chart; smaller ones would show little more than their frames."""
MIN_LINES_FOR_PARTS: Final = 28
"""Lines of the tab from which smaller charts are shown as well."""
LABEL_WIDTH: Final = 8
"""Columns of the labels of the rate: `100 GB/s`."""
SCALE_STEPS: Final = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
"""Ends of scales, times a power of ten."""
LIMIT_SHOWN_TO: Final = 2.0
"""Ratio of limit to highest rate up to which the scale includes the limit."""
TICK_COLUMNS: Final = 16
"""Columns for each label of the time."""
TICK_STEPS_S: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600)
MAX_REDRAW_S: Final = 10
"""Longest time between two drawings of a chart, seconds."""
NOT_KNOWN: Final = "unknown"
MIN_SCALE: Final = 1e6
"""End of the scale if there is no traffic, bytes/s."""


@frozen
class ChartRequest:
    """What is selected on the tab."""

    subject: Subject = NODE
    span: int = 1
    """Index of the time span in `TIME_SPANS`."""
    cursor_s: float | None = None
    """Time of the cursor, CLOCK_MONOTONIC; None for the newest values."""
    lines: bool = False
    """Whether lines are drawn instead of filled areas."""


def rows(
    view: ViewState, cache: SeriesCache, drawn: MemoTable, wanted: ChartRequest, width: int, height: int
) -> list[Row]:
    """Return the title, the values at the cursor, and the charts; `drawn` keeps the smaller ones."""
    shown = main_window(view, wanted, width)
    smaller = parts(view, wanted.subject) if height >= MIN_LINES_FOR_PARTS else []
    columns = max(1, width // MIN_PART_COLUMNS)
    room = height - 2 - max(MIN_MAIN_LINES, height * 2 // 5)
    lines = 0
    if smaller:
        lines = min(-(-len(smaller) // columns), room // MIN_PART_LINES)
        columns = min(columns, -(-len(smaller) // lines))
    part_height = room // lines if lines else 0
    main_height = height - 2 - lines * part_height
    out = [_title(view, wanted.subject, wanted, shown, width)]
    series = [
        cache.columns(view.history, series_keys(view, wanted.subject, direction), shown)
        for direction in ("tx", "rx")
    ]
    out.append(_values(view, wanted, shown, series, width))
    main = _chart(view, wanted, wanted.subject, shown, series, width)
    out += plot.rows(main, _style(view), view.glyphs is not UNICODE, width, main_height)
    out += [fit([], width)] * (height - lines * part_height - len(out))
    for line in range(lines):
        out += _side_by_side(view, cache, drawn, wanted, smaller[line * columns : (line + 1) * columns],
                             columns, width, part_height)  # fmt: skip
    return out[:height]


def main_window(view: ViewState, wanted: ChartRequest, width: int) -> Window:
    """Return the window of the large chart."""
    area, _ = plot.area_size(width, MIN_PART_LINES, LABEL_WIDTH)
    per_cell = 2 if _style(view) is BRAILLE else 1
    return window(view.history, TIME_SPANS[wanted.span][0], area * per_cell, view.frame.interval_s)


def column_seconds(view: ViewState, wanted: ChartRequest, width: int) -> float:
    """Return the time of one character column of the large chart, in seconds."""
    shown = main_window(view, wanted, width)
    return shown.column_s * (2 if _style(view) is BRAILLE else 1)


def redraw_seconds(view: ViewState, wanted: ChartRequest, width: int) -> int:
    """Return the time between two drawings of a chart, in seconds: about that of a character column.

    Drawing more often would send the same columns again, slightly changed.
    """
    return max(1, min(round(column_seconds(view, wanted, width)), MAX_REDRAW_S))


def drawing_number(view: ViewState, every_s: float) -> float:
    """Return a number that changes when charts that are drawn every `every_s` seconds are due again.

    A replay that is paused shows all that was read until then, since nothing follows that would show it.
    """
    if view.replay and view.replay.paused:
        return view.history.now_s
    return view.history.bucket // every_s


def _side_by_side(
    view: ViewState,
    cache: SeriesCache,
    drawn: MemoTable,
    wanted: ChartRequest,
    subjects: Sequence[Subject],
    columns: int,
    width: int,
    height: int,
) -> list[Row]:
    """Return the rows of smaller charts beside each other."""
    each = (width - (columns - 1)) // columns
    history = view.history
    key = (
        (wanted, each, height, history, history.generation),
        drawing_number(view, redraw_seconds(view, wanted, each)),
        (view.unit, view.glyphs, view.spark_style, view.frame.interval_s),
        (view.frame.inventory, len(view.frame.timeline)),
    )
    charts = [
        drawn.get(subject, key, partial(_small_chart, view, cache, wanted, subject, each, height))
        for subject in subjects
    ]
    used = len(charts) * (each + 1)
    out = []
    for line in range(height):
        runs = [run for chart in charts for run in (*chart[line], BLANK)]
        out.append(fill(runs, used, width))
    return out


def _small_chart(
    view: ViewState, cache: SeriesCache, wanted: ChartRequest, subject: Subject, width: int, height: int
) -> list[Row]:
    """Return the rows of a smaller chart and its title."""
    shown = main_window(view, wanted, width)
    chart = _chart(view, wanted, subject, shown, _series(view, cache, subject, shown), width)
    title = fit([(fit_text(name(view, subject), width, view.glyphs), "caption")], width)
    drawn = plot.rows(chart, _style(view), view.glyphs is not UNICODE, width, height - 1)
    return [title, *drawn, *[fit([], width)] * (height - 1 - len(drawn))]


def _series(view: ViewState, cache: SeriesCache, subject: Subject, shown: Window) -> list[list[Column]]:
    """Return the columns of TX and RX."""
    return [
        cache.columns(view.history, series_keys(view, subject, direction), shown)
        for direction in ("tx", "rx")
    ]


def _style(view: ViewState) -> SparkStyle:
    return view.spark_style if view.glyphs is UNICODE else ASCII_LEVELS


def _title(view: ViewState, subject: Subject, wanted: ChartRequest, shown: Window, width: int) -> Row:
    wanted_s, words = TIME_SPANS[wanted.span]
    span = f"last {words}"
    if shown.known_s < wanted_s * 0.98:
        span += f", known for {_duration(shown.known_s)}"
    parts_of_title = [name(view, subject), "TX above RX", span]
    if not wanted.lines:
        parts_of_title.append("filled: mean, gap: minimum, dotted: maximum")
    text = SEPARATOR.join(parts_of_title)
    return fit([(fit_text(displayable(text, view.glyphs), width, view.glyphs), "title")], width, "title")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _values(
    view: ViewState, wanted: ChartRequest, shown: Window, series: Sequence[Sequence[Column]], width: int
) -> Row:
    """Return the time of the cursor, the values at it, and the event there."""
    place = _cursor_place(view, wanted, shown, series)
    at_s = shown.start_s + (place + 0.5) * shown.column_s
    when = datetime.fromtimestamp(max(0.0, _wall(view, at_s))).strftime("%H:%M:%S")
    texts = [when]
    values = []
    for direction, columns in zip(("TX", "RX"), series, strict=True):
        column = columns[place] if 0 <= place < len(columns) else Column()
        values.append(f"{direction} {_value(view.unit, column)}")
    if values == [f"{direction} {NOT_KNOWN}" for direction in ("TX", "RX")]:
        texts.append("no reading of the traffic at this time")
    else:
        texts.append(f"{'  '.join(values)} {view.unit.name}")
        # A column may be shorter than a reading.
        texts.append(f"mean of {in_seconds(max(shown.column_s, view.frame.interval_s))}")
    near = [e for at, e in _events(view, wanted.subject, shown, len(series[0])) if abs(at - place) <= 2]
    if near:
        worst = max(near, key=lambda e: e.severity.rank)
        texts.insert(1, f"! {brief(view.frame, worst)}")
    text = displayable(SEPARATOR.join(texts), view.glyphs)
    return fit([(fit_text(text, width, view.glyphs), "value")], width)


def _value(unit: Unit, column: Column) -> str:
    """Return mean, minimum and maximum: `178.2 (0.31-358.6)`."""
    if column.mean != column.mean:
        return NOT_KNOWN
    mean, low, high = (unit.number(value).strip() for value in column)
    return mean if low == high else f"{mean} ({low}-{high})"


def _cursor_place(
    view: ViewState, wanted: ChartRequest, shown: Window, series: Sequence[Sequence[Column]]
) -> int:
    """Return the column of the cursor: the newest known one if it was not moved."""
    if wanted.cursor_s is not None:
        return max(0, min(shown.column_at(wanted.cursor_s), shown.columns - 1))
    known = [i for columns in series for i, column in enumerate(columns) if column.mean == column.mean]
    return max(known, default=shown.column_at(view.history.now_s))


def _wall(view: ViewState, mono_s: float) -> float:
    """Return the Unix time of a time of CLOCK_MONOTONIC."""
    return view.frame.tick.wall_s - view.frame.tick.mono_s + mono_s


def _events(view: ViewState, subject: Subject, shown: Window, count: int) -> list[tuple[int, TimelineEvent]]:
    """Return the events of a subject within the window, with their columns."""
    found = []
    for event in view.frame.timeline:
        if concerns(subject, event.gpu, event.nic) and event.severity.is_problem:
            at = shown.column_at(event.began_s - _wall(view, 0.0))
            if 0 <= at < count:
                found.append((at, event))
    return found


def _chart(
    view: ViewState,
    wanted: ChartRequest,
    subject: Subject,
    shown: Window,
    series: Sequence[Sequence[Column]],
    width: int,
) -> plot.Chart:
    """Return what one chart shows."""
    tx, rx = series
    reach, what = limit(view, subject)
    highest = max(total(tx), total(rx))
    unit = view.unit
    wanted_top = max(highest, MIN_SCALE)
    if highest and reach <= highest * LIMIT_SHOWN_TO:
        wanted_top = max(wanted_top, reach)
    full = scale_end(wanted_top * unit.per_byte) / unit.per_byte
    per_cell = 2 if _style(view) is BRAILLE else 1
    events = sorted(_events(view, subject, shown, len(tx)), key=lambda found: found[1].severity.rank)
    cursor = None
    if wanted.cursor_s is not None:
        cursor = _cursor_place(view, wanted, shown, series) // per_cell
    half, end = _rate_label(unit, full / 2), _rate_label(unit, full)
    return plot.Chart(
        tx=tx,
        rx=rx,
        full=full,
        limit=reach,
        limit_label=f"{what} {unit.text(reach)}",
        rate_labels=(half.rjust(LABEL_WIDTH), end.rjust(LABEL_WIDTH)),
        times=_times(view, shown, width),
        marks=[(at // per_cell, FINDING_MARKS.get(e.severity, ("!", "warn"))[1]) for at, e in events],
        cursor=cursor,
        lines=wanted.lines,
    )


def _rate_label(unit: Unit, value: float) -> str:
    """Return a rate with few digits: `3 TB/s`, `250 GB/s`."""
    scaled = value * unit.per_byte
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if scaled >= size:
            return f"{scaled / size:.4g} {prefix}{unit.name[1:]}"
    return f"{scaled:.3g} {unit.name[1:]}"


def scale_end(highest: float) -> float:
    """Return the end of a scale: a round number that is at least `highest`."""
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in SCALE_STEPS if step * power >= highest * 0.999)


def _times(view: ViewState, shown: Window, width: int) -> list[tuple[float, str]]:
    """Return clock times at round minutes or seconds, with their places on the axis."""
    wanted = max(2, (width - LABEL_WIDTH) // TICK_COLUMNS)
    step_s = next((s for s in TICK_STEPS_S if shown.span_s / s <= wanted), TICK_STEPS_S[-1])
    start_s = _wall(view, shown.start_s)
    offset_s = datetime.fromtimestamp(max(0.0, start_s)).astimezone().utcoffset()
    zone_s = offset_s.total_seconds() if offset_s else 0.0
    first_s = math.ceil((start_s + zone_s) / step_s) * step_s - zone_s
    ticks = []
    at_s = first_s
    while at_s <= start_s + shown.span_s:
        form = "%H:%M:%S" if step_s < 60 else "%H:%M"
        share = (at_s - start_s) / shown.span_s
        # A label at the very end would be cut.
        if 0.03 <= share <= 0.97:
            ticks.append((share, datetime.fromtimestamp(max(0.0, at_s)).strftime(form)))
        at_s += step_s
    return ticks
