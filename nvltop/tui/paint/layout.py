"""How the lines and columns of the tab Main are shared out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LOWER_LINES: Final = 9
"""What matrix and links keep if there are more GPUs than lines: on a screen of 24 lines, which has 18
for a tab, eight GPUs and their matrix fit exactly."""
LINKS_COLUMNS: Final = 56
"""What the links need beside the matrix."""
BOTH_COLUMNS: Final = 100


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of the parts."""

    gpu_lines: int
    """Of the GPU table, with its title."""
    both: bool
    """Whether matrix and links stand side by side."""
    matrix_columns: int | None
    """None for the whole width."""
    matrix: bool
    """Whether the matrix is seen."""
    links: bool


def layout(width: int, height: int, gpus: int, matrix_columns: int, show_links: bool) -> Layout:
    """Give the GPUs as many of the tab's lines as they need, and the rest to matrix and links."""
    both = width >= max(BOTH_COLUMNS, matrix_columns + LINKS_COLUMNS)
    return Layout(
        gpu_lines=max(1, min(gpus + 1, height - min(LOWER_LINES, height // 2))),
        both=both,
        matrix_columns=matrix_columns + 1 if both else None,
        matrix=both or not show_links,
        links=both or show_links,
    )


def first_shown(before: int, selected: int, count: int, height: int) -> int:
    """Return the first row to show so that the selected one is seen, moved no more than needed."""
    top = min(before, max(0, count - height))
    return max(0, min(selected, max(top, selected - height + 1)))
