"""A series as bars, several lines high."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nvltop.model import Maybe, Missing
from nvltop.tui.render.glyphs import Glyphs


def bar_chart(values: Sequence[float], scale: Maybe[float], height: int, glyphs: Glyphs) -> list[str]:
    """Return the lines of a bar chart, from top to bottom: one column per value, against a fixed scale.

    Zero is drawn as a baseline, any larger value is visibly higher, and a gap (NaN) is blank.
    """
    full = 0.0 if isinstance(scale, Missing) else scale
    top = len(glyphs.levels) - 1
    lines = []
    for row in reversed(range(height)):
        out = []
        for value in values:
            if math.isnan(value) or full <= 0:
                out.append(" ")
                continue
            steps = math.ceil(min(1.0, max(0.0, value) / full) * top * height) - row * top
            if steps <= 0:
                out.append(glyphs.levels[0] if row == 0 else " ")
            else:
                out.append(glyphs.levels[min(top, steps)])
        lines.append("".join(out))
    return lines
