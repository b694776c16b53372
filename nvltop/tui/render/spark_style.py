"""The characters of sparklines: braille, blocks or ASCII, upwards or downwards from an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Final, TypeAlias

from nvltop.frozen import frozen

Pair: TypeAlias = tuple[int, int]
"""Heights of the left and the right half of a cell in dots; 0 where nothing is drawn."""


@frozen
class SparkStyle:
    """How the two values of a cell are drawn."""

    steps: int
    """Number of heights in one row of cells, without the empty one."""
    halves: bool
    """Whether a cell shows two values side by side; otherwise it shows their mean."""
    glyph: Callable[[int, int], str]
    """Returns the character of a cell that is filled from below to two heights."""
    glyph_down: Callable[[int, int], str]
    """Returns the character of a cell that is filled from above."""
    _drawn: dict[tuple[int, int, int, bool], Sequence[str]] = field(default_factory=dict)

    # Compared by identity: the styles are constants.
    __eq__, __hash__ = object.__eq__, object.__hash__

    def column(self, left: int, right: int, rows: int, down: bool) -> Sequence[str]:
        """Return the characters of a cell that is `rows` high, from the axis outwards.

        The heights go up to `rows` x `steps`.
        """
        key = left, right, rows, down
        drawn = self._drawn.get(key)
        if drawn is None:
            glyph = self.glyph_down if down else self.glyph
            heights = [
                [min(self.steps, max(0, height - row * self.steps)) for height in (left, right)]
                for row in range(rows)
            ]
            drawn = self._drawn[key] = tuple(glyph(*pair) if any(pair) else " " for pair in heights)
        return drawn


def _braille(left: Sequence[int], right: Sequence[int]) -> Callable[[int, int], str]:
    """Return a function that draws two columns of dots; the arguments are the dots of each height."""
    return lambda a, b: chr(0x2800 + left[a] + right[b])


def _from(levels: str) -> Callable[[int, int], str]:
    """Return a function that draws a height; the second one is not used."""
    return lambda height, _: levels[height - 1]


BRAILLE: Final = SparkStyle(
    4,
    True,
    _braille((0, 0x40, 0x44, 0x46, 0x47), (0, 0x80, 0xA0, 0xB0, 0xB8)),
    _braille((0, 0x01, 0x03, 0x07, 0x47), (0, 0x08, 0x18, 0x38, 0xB8)),
)
BLOCKS: Final = SparkStyle(8, False, _from("▁▂▃▄▅▆▇█"), _from("▔▔▔▀▀▀▀█"))
"""For fonts without braille. Few fonts have blocks that hang from above, so these have three heights."""
SPARK_STYLES: Final = {"braille": BRAILLE, "blocks": BLOCKS}
"""Styles by their names in the settings."""
ASCII_LEVELS: Final = SparkStyle(7, False, _from("_.-=+*#"), _from("_.-=+*#"))
