"""Layout of the tab Main: distribution of its lines and columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIN_LOWER_LINES: Final = 9
"""Lines reserved for matrix and links if not all GPUs fit. On a screen of 24 lines, where a tab has 18, eight
GPUs and their matrix fit exactly."""
LOWER_LINES_BEFORE_NICS: Final = 20
"""Lines up to which matrix and links take precedence over the NICs."""
MIN_NIC_LINES: Final = 3
MIN_LINKS_COLUMNS: Final = 56
"""Columns that the links need beside the matrix."""
MIN_BOTH_COLUMNS: Final = 100


@dataclass(frozen=True, slots=True)
class MainLayout:
    """Sizes and visibility of the panes."""

    gpu_lines: int
    """Lines of the GPU table, including its title."""
    both: bool
    """Whether matrix and links are shown side by side."""
    matrix_columns: int | None
    """Columns of the matrix; None for the full width."""
    matrix: bool
    """Whether the matrix is shown."""
    links: bool
    nic_lines: int = 0
    """Lines of the NICs below the GPUs, including their title; 0 if they do not fit."""
    nics_below: bool = False
    """Whether the NICs are shown instead of matrix and links."""


def layout(
    width: int,
    height: int,
    gpus: int,
    matrix_columns: int,
    show_links: bool,
    nics: int = 0,
    show_nics: bool = False,
) -> MainLayout:
    """Return the layout: the GPUs get the lines that they need, then the NICs, then matrix and links.

    If not all NICs fit, `show_nics` shows them instead of matrix and links.
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
