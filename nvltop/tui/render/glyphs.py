"""The characters of the screen: Unicode, or ASCII for terminals and locales without it."""

from __future__ import annotations

from typing import Final

from nvltop.frozen import frozen


@frozen
class Glyphs:
    """A set of characters, each one column wide."""

    levels: str
    """Levels of a bar chart, from zero to full scale."""
    tick: str
    """Mark of the ceiling on a bar."""
    dot: str
    """Separator of the parts of a line."""
    degree: str
    """Unit behind a temperature."""
    ellipsis: str
    """Mark at the end of a text that was cut."""
    descending: str
    """Mark behind the title of the column by which a list is sorted in descending order."""
    ascending: str
    """Mark behind the title of the column by which a list is sorted in ascending order."""
    estimate: str
    """Mark in front of an estimate."""
    more_rows: str
    """Mark in front of the number of rows below the visible ones."""

    # Compared by identity: there are only two.
    __eq__, __hash__ = object.__eq__, object.__hash__


UNICODE: Final = Glyphs("▁▂▃▄▅▆▇█", "¦", "·", "°", "…", "▽", "△", "≈", "↓")
ASCII: Final = Glyphs("_.-=+*#", "|", "-", "C", "~", "v", "^", "~", "v")
