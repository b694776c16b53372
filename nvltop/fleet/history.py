"""Rates at regular steps, for sparklines and charts: one query for the past, then only what is new."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from nvltop.fleet.queries import VALUE_LABEL
from nvltop.fleet.source import Series

STEPS: Final = 60
"""Number of steps that are kept."""
NAN: Final = math.nan


class History:
    """The last `STEPS` values of each series, on a grid of steps of the server's clock."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        self._end = -1
        """Number of the last step."""
        self._values: dict[tuple[str, str], dict[int, float]] = {}

    def missing(self, time_s: float) -> tuple[float, float] | None:
        """Return begin and end of the range to query at `time_s`; None if nothing is new."""
        end = int(time_s // self.step_s)
        if end <= self._end:
            return None
        return (max(end - STEPS, self._end) + 1) * self.step_s, end * self.step_s

    def add(self, keyed: Iterable[tuple[str, Series]], time_s: float) -> None:
        """Add the series of a range up to `time_s`, each with the key of its node, GPU or link."""
        self._end = int(time_s // self.step_s)
        for key, series in keyed:
            values = self._values.setdefault((key, series.labels.get(VALUE_LABEL, "")), {})
            for moment_s, value in series.points:
                values[round(moment_s / self.step_s)] = value
        begin = self._end - STEPS
        for place in list(self._values):
            kept = {step: value for step, value in self._values[place].items() if step > begin}
            if kept:
                self._values[place] = kept
            else:
                del self._values[place]

    def columns(self) -> Mapping[tuple[str, str], tuple[float, ...]]:
        """Return the values of all steps, the newest last; NaN for a gap."""
        steps = range(self._end - STEPS + 1, self._end + 1)
        return {key: tuple(values.get(step, NAN) for step in steps) for key, values in self._values.items()}
