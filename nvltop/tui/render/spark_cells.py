"""The cells of a sparkline: heights and colours of the rates that they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from nvltop.model import Maybe, Missing
from nvltop.tui.render.spark_style import SparkStyle

HALF_CEILING: Final = 0.5
"""Share of the ceiling from which a cell has the second colour."""
NEAR_CEILING: Final = 0.9
"""Share of the ceiling from which a cell has the third colour."""


class SparkShape(NamedTuple):
    """What a sparkline looks like, and which time it covers."""

    cells: int
    """Width in columns."""
    half_s: float
    """Time that half of a cell covers, seconds."""
    full: Maybe[float]
    """Rate at full height in bytes/s."""
    style: SparkStyle
    rows: int = 1
    """Height in lines."""
    down: bool = False
    """Whether the axis is at the top."""

    def seconds(self) -> float:
        """Return the time that the cells cover together."""
        return 2 * self.half_s * self.cells

    def with_full(self, full: Maybe[float]) -> SparkShape:
        """Return this shape with another rate at full height, bytes/s."""
        return self._replace(full=full)


def joined(columns: Sequence[Sequence[str]], rows: int) -> Sequence[str]:
    """Return the text of each line, from the axis outwards, for the characters of each cell."""
    return [*map("".join, zip(*columns, strict=True))] or [""] * rows


def draw_cells(
    values: Sequence[float], shape: SparkShape, roles: Sequence[str]
) -> tuple[Sequence[Sequence[str]], tuple[str, ...]]:
    """Return the characters of each cell, from the axis outwards, and its role in all lines.

    `values` are the rates of the two halves of each cell. A blank cell has the role of a low one, so that a
    line which stays blank there is not sent again.
    """
    _, _, full, style, rows, down = shape
    if isinstance(full, Missing):
        full = 0.0
    top, half, near = style.steps * rows - 1, HALF_CEILING * full, NEAR_CEILING * full
    columns, its = [], []
    for i in range(0, len(values), 2):
        left, right = values[i], values[i + 1]
        if not style.halves:
            left, right = _mean(left, right), math.nan
        # Most values are between the ends of the scale.
        low = 1 + int(left / full * top + 0.5) if 0 < left < full else _height(left, full, top)
        high = 1 + int(right / full * top + 0.5) if 0 < right < full else _height(right, full, top)
        columns.append(style.column(low, high, rows, down))
        # Comparisons with NaN are false.
        higher = right if right > left or left != left else left
        its.append(roles[0 if not (low or high) or full <= 0 or higher < half else 1 if higher < near else 2])
    return columns, tuple(its)


def looks_of(lines: Sequence[Sequence[float]], shape: SparkShape) -> list[object]:
    """Return a value for each of some lines; those of lines whose cells are drawn alike are equal.

    `lines` are the rates of the halves of their cells. This costs much less than drawing each.
    """
    _, _, full, style, rows, _ = shape
    if isinstance(full, Missing):
        full = 0.0
    if not style.halves:
        return [*map(tuple, lines)]
    top, half, near = style.steps * rows - 1, HALF_CEILING * full, NEAR_CEILING * full
    halves = [*zip(*lines, strict=True)]
    heights = [
        [1 + int(v / full * top + 0.5) if 0 < v < full else _height(v, full, top) for v in values]
        for values in halves
    ]
    # The higher half decides on the colour; that an unknown one is of the highest class does not matter.
    kinds = [[0 if v < half else 1 if v < near else 2 for v in values] for values in halves]
    return [*zip(*heights, *kinds, strict=True)] or [()] * len(lines)


def level(value: float, shape: SparkShape) -> tuple[int, int]:
    """Return the height of a half, and its class."""
    full = 0.0 if isinstance(shape.full, Missing) else shape.full
    height = _height(value, full, shape.style.steps * shape.rows - 1)
    return height, _class(value, full) if height else 0


def _class(higher: float, full: float) -> int:
    """Return the class of a cell whose higher half has this value: 0 to 2, by its share of the ceiling."""
    if full <= 0 or higher < HALF_CEILING * full:
        return 0
    return 1 if higher < NEAR_CEILING * full else 2


def _mean(left: float, right: float) -> float:
    """Return the mean of the known values."""
    if left != left:
        return right
    return left if right != right else (left + right) / 2


def _height(value: float, full: float, top: int) -> int:
    """Return the height of a value in steps: 1 for zero, `top` + 1 for `full`, 0 if it cannot be drawn."""
    if value != value:
        return 0
    if value <= 0:
        return 1
    if full <= 0:
        return 0  # without a scale only zero can be drawn
    return top + 1 if value >= full else 1 + int(value / full * top + 0.5)
