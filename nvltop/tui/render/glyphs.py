"""The characters of the screen: Unicode, or ASCII for terminals and locales without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nvltop import formatting
from nvltop.model import Maybe


@dataclass(frozen=True, slots=True, eq=False)  # there are two, and each is only itself
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
    ellipsis: str
    """Where a text was cut."""
    descending: str
    ascending: str
    """Behind the title of the column that a list is sorted by."""
    estimate: str
    """In front of an estimate."""
    more_rows: str
    """In front of the number of rows that are not seen."""


UNICODE: Final = Glyphs("▁▂▃▄▅▆▇█", " ", "¦", "·", "°", "…", "▽", "△", "≈", "↓")
ASCII: Final = Glyphs("_.-:=+*#", " ", "!", "-", "C", "~", "v", "^", "~", "v")


def spark(values: Sequence[float], scale: Maybe[float], glyphs: Glyphs) -> str:
    """Draw values (bytes/s, NaN for a gap) against a fixed scale, one column each."""
    return formatting.spark(values, scale, glyphs.levels, glyphs.gap)
