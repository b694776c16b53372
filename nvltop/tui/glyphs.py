"""The characters of the screen: Unicode, or ASCII for terminals and locales without it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of characters, each one column wide."""

    levels: str
    """A sparkline's levels, from nothing to full."""
    gap: str
    """A second of which nothing is known."""
    tick: str
    """The ceiling on a bar."""
    dot: str
    """Between the parts of a line."""
    degree: str


UNICODE: Final = Glyphs("▁▂▃▄▅▆▇█", " ", "¦", "·", "°")
ASCII: Final = Glyphs("_.-:=+*#", " ", "!", "-", "C")


def spark(values: Sequence[float], scale: float, glyphs: Glyphs) -> str:
    """Draw values (bytes/s, NaN for a gap) against a fixed scale, one column each.

    Whatever is not nothing shows as more than the lowest level.
    """
    top = len(glyphs.levels) - 1
    out = []
    for value in values:
        if math.isnan(value):
            out.append(glyphs.gap)
        elif value <= 0 or scale <= 0:
            out.append(glyphs.levels[0])
        else:
            out.append(glyphs.levels[max(1, math.ceil(min(1.0, value / scale) * top))])
    return "".join(out)
