"""Mean, minimum and maximum of traffic for each column of a chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from nvltop.analysis.rate_history import RESOLUTIONS, RateHistory, SeriesKey
from nvltop.analysis.recent_readings import RECENT_S

TIME_SPANS: Final = (
    (60, "1 min"),
    (300, "5 min"),
    (900, "15 min"),
    (3600, "1 h"),
    (6 * 3600, "6 h"),
    (24 * 3600, "24 h"),
)
SHORTER_SPANS_S: Final = (
    15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1350, 1800, 2700, 3600, 5400,
    2 * 3600, 3 * 3600, 4 * 3600, 6 * 3600, 9 * 3600, 12 * 3600, 18 * 3600,
)  # fmt: skip
"""Spans that replace a longer one while less than that is known."""
MOVES: Final = 10
"""Number of moves to the left in which the whole chart is replaced; between them only its end changes."""
UNKNOWN: Final = math.nan


class Column(NamedTuple):
    """The traffic in the time of one column, in bytes/s; NaN where unknown."""

    mean: float = UNKNOWN
    low: float = UNKNOWN
    high: float = UNKNOWN


NO_READING: Final = Column()


class Window(NamedTuple):
    """The time that a chart shows, and its division into columns; all times are CLOCK_MONOTONIC."""

    start_s: float
    column_s: float
    """Time of one column."""
    columns: int
    sub_s: float
    """Length of the values that the columns are made of: readings, or the buckets of longer times."""
    known_s: float
    """Time from the first reading until now."""

    @property
    def span_s(self) -> float:
        """Length of the whole window."""
        return self.column_s * self.columns

    def column_at(self, time_s: float) -> int:
        """Return the number of the column that contains a time; outside the window it is out of range."""
        return math.floor((time_s - self.start_s) / self.column_s)


def shown_span(wanted_s: float, known_s: float) -> float:
    """Return the span to show: the wanted one, or a shorter one if it would be mostly unknown."""
    fitting = [its for its in SHORTER_SPANS_S if known_s <= its < wanted_s]
    return min(fitting, default=wanted_s)


def window(history: RateHistory, wanted_s: float, columns: int, reading_s: float) -> Window:
    """Return the window of the newest `wanted_s` seconds in a number of columns."""
    first_s = history.origin_s if history.origin_s is not None else history.now_s
    known_s = max(0.0, history.now_s - first_s)
    span_s = shown_span(wanted_s, known_s)
    step = max(1, columns // MOVES)
    # The last columns are empty until the time has come, so that the chart need not move with each of them.
    column_s = span_s / max(1, columns - step)
    if span_s <= RECENT_S:
        sub_s = column_s / max(1, round(column_s / max(reading_s, 0.05)))
        origin_s = first_s
    else:
        sub_s = next((b for b, size in RESOLUTIONS[1:] if b * size >= span_s), RESOLUTIONS[-1][0])
        origin_s = 0.0
    now = math.floor((history.now_s - origin_s) / column_s)
    end = (now // step + 1) * step
    return Window(origin_s + (end - columns) * column_s, column_s, columns, sub_s, known_s)


class SeriesCache:
    """The columns of series that are over, so that only new ones are computed in each frame."""

    def __init__(self) -> None:
        self._source: tuple[RateHistory, int] | None = None
        self._over: dict[tuple[tuple[SeriesKey, ...], float, int], dict[int, Column]] = {}
        """Columns that are over, by the number of their first cell, for some series and cells a column."""

    def columns(self, history: RateHistory, keys: tuple[SeriesKey, ...], shown: Window) -> list[Column]:
        """Return the columns of the sum of some series."""
        if not keys:
            return [NO_READING] * shown.columns
        if shown.column_s * shown.columns > RECENT_S * (1 + 2 / MOVES):
            return _from_buckets(history, keys, shown)
        source = history, history.generation
        if self._source is None or self._source[0] is not history or self._source != source:
            self._over.clear()
            self._source = source
        per_column = max(1, round(shown.column_s / shown.sub_s))
        first = round((shown.start_s - (history.origin_s or 0.0)) / shown.sub_s)
        return self._recent(history, keys, shown.sub_s, per_column, first, shown.columns)

    def _recent(
        self,
        history: RateHistory,
        keys: tuple[SeriesKey, ...],
        sub_s: float,
        per_column: int,
        first: int,
        count: int,
    ) -> list[Column]:
        """Return `count` columns from cell `first` of `sub_s` on; cells that are not over are unknown."""
        over = self._over.setdefault((keys, sub_s, per_column), {})
        places = range(first, first + count * per_column, per_column)
        until_s = history.read_until_s(keys)
        end = min(places.stop, history.cell_at(until_s, sub_s)) if math.isfinite(until_s) else first
        begin = next((place for place in places if place not in over), end)
        new: dict[int, Column] = {}
        if begin < end:
            means = history.cell_means(keys, sub_s, end - 1, end - begin)
            for place in range(begin, end, per_column):
                new[place] = _column(means[place - begin : place - begin + per_column])
        out = [over.get(place) or new.get(place, NO_READING) for place in places]
        over |= {
            place: column for place, column in new.items() if place + per_column <= end and place not in over
        }
        if len(over) > 2 * count:
            for place in [place for place in over if place < first]:
                del over[place]
        return out


def _from_buckets(history: RateHistory, keys: Sequence[SeriesKey], shown: Window) -> list[Column]:
    """Return columns made of the buckets of older times; a bucket may fill several columns."""
    # The last tenth of the window may lie in the future: without it finer buckets reach back far enough.
    bucket_s, sums = history.sum_over(keys, shown.span_s * (1 - 1 / MOVES))
    oldest = history.bucket // bucket_s - len(sums)
    out = []
    for i in range(shown.columns):
        start_s = shown.start_s + i * shown.column_s
        first = math.floor(start_s / bucket_s) - oldest
        last = max(first, math.ceil((start_s + shown.column_s) / bucket_s) - 1 - oldest)
        out.append(_column([sums[n] for n in range(first, last + 1) if 0 <= n < len(sums)]))
    return out


def _column(values: Sequence[float]) -> Column:
    known = [value for value in values if value == value]
    return Column(sum(known) / len(known), min(known), max(known)) if known else NO_READING


def total(columns: Sequence[Column]) -> float:
    """Return the highest known value, 0 if there is none."""
    return max((column.high for column in columns if column.high == column.high), default=0.0)
