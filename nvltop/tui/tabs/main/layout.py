"""How the lines and columns of the tab Main are shared out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIN_LOWER_LINES: Final = 9
"""What matrix and links keep if there are more GPUs than lines: on a screen of 24 lines, which has 18
for a tab, eight GPUs and their matrix fit exactly."""
LOWER_LINES_BEFORE_NICS: Final = 20
"""RowsWidget of matrix or links that go before the NICs."""
MIN_NIC_LINES: Final = 3
MIN_LINKS_COLUMNS: Final = 56
"""What the links need beside the matrix."""
MIN_BOTH_COLUMNS: Final = 100


@dataclass(frozen=True, slots=True)
class MainLayout:
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
    nic_lines: int = 0
    """Of the NICs under the GPUs, with their title; 0 if there is no room for them."""
    nics_below: bool = False
    """Whether the NICs stand where matrix or links do."""


def layout(
    width: int,
    height: int,
    gpus: int,
    matrix_columns: int,
    show_links: bool,
    nics: int = 0,
    show_nics: bool = False,
) -> MainLayout:
    """Give the GPUs as many of the tab's lines as they need, then the NICs, and the rest to matrix and links.

    Where not all NICs have lines of their own, `show_nics` puts them in the place of matrix and links.
    """
    both = width >= max(MIN_BOTH_COLUMNS, matrix_columns + MIN_LINKS_COLUMNS)
    gpu_lines = max(1, min(gpus + 1, height - min(MIN_LOWER_LINES, height // 2)))
    spare = height - gpu_lines - max(MIN_LOWER_LINES, min(gpus + 1, LOWER_LINES_BEFORE_NICS))
    nic_lines = min(nics + 1, spare) if nics and spare >= MIN_NIC_LINES else 0
    below = show_nics and nic_lines <= nics > 0
    nic_lines = 0 if below else nic_lines
    return MainLayout(
        gpu_lines=gpu_lines,
        both=both,
        matrix_columns=matrix_columns + 1 if both else None,
        matrix=not below and (both or not show_links),
        links=not below and (both or show_links),
        nic_lines=nic_lines,
        nics_below=below,
    )
