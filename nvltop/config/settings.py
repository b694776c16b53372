"""The settings of a run, from flags, environment and config file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nvltop.frozen import frozen

MIN_INTERVAL_S: Final = 0.1
MAX_INTERVAL_S: Final = 60.0
SCREEN_INTERVAL_S: Final = 0.25
"""Interval of the readings for the live screen: four per second."""
FRAME_INTERVAL_S: Final = 1.0
"""Shortest time between two frames of the live screen, seconds, once the first values are shown.

A table shows means over two seconds, which more frames make no easier to read; htop draws every 1.5 s.
"""
REPORT_INTERVAL_S: Final = 1.0

THEMES: Final = ("default", "light", "high-contrast", "colour-blind", "monochrome")
UNITS: Final = ("GB/s", "Gb/s")
"""Units of traffic: 10^9 bytes or bits per second."""
LAYOUTS: Final = ("matrix", "links")
"""Tables shown below the GPUs where there is not enough space for both."""
SPARKLINES: Final = ("braille", "blocks")
"""Characters of the sparklines."""
SPARK_CELLS_S: Final = {"2 readings": 0.0, "1 s": 1.0, "2 s": 2.0}
"""Time that a column of a sparkline covers, seconds; 0 for two readings. Longer ones send fewer bytes."""
ALERTS: Final = ("bell", "desktop")
METERS: Final = ("cpu", "memory", "tx", "rx", "pcie-tx", "pcie-rx", "power")
HIDEABLE_COLUMNS: Final = ("name", "util", "mem", "power", "temp", "share", "links", "errors", "bus", "numa")
"""Columns of the GPU table that can be hidden."""
EXTRA_COLUMNS: Final = ("pcie", "c2c", "clock", "limit", "throttling")
"""Columns of the GPU table that are shown only if they were chosen."""
INTERVALS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Refresh intervals that the screen offers, seconds."""


@frozen
class Settings:
    """Settings of the screen and of reports."""

    interval_s: float = SCREEN_INTERVAL_S
    theme: str = "default"
    unicode: bool = True
    mouse: bool = True
    units: str = "GB/s"
    layout: str = "matrix"
    meters: tuple[str, ...] = ("cpu", "memory", "tx", "rx")
    """Meters from top to bottom, at most four."""
    hidden_columns: tuple[str, ...] = ()
    extra_columns: tuple[str, ...] = ()
    sparklines: str = "braille"
    sparkline_cell: str = "2 readings"
    """Time that a column of a sparkline covers, one of `SPARK_CELLS_S`."""
    only: tuple[str, ...] = ()
    """GPUs to show, by index, UUID or PCI bus id; empty for all."""
    alert: tuple[str, ...] = ()
    """How new warnings are signalled: `bell`, `desktop`."""
    readonly: bool = False
    """Whether the screen must not change anything on the machine."""
    full: bool = False
    """Whether snapshots keep the arguments of processes, with secrets removed."""
    snapshot_on_critical: bool = False
    """Whether to write a snapshot when a finding is critical."""
    max_refreshes: int | None = None
    """Number of refreshes after which the run ends; None for no limit."""
    config: Path | None = None
    """Config file to which changes made on the screen are written, if any."""
    config_problems: tuple[str, ...] = ()
    """One line for each invalid setting in the config file."""


def next_interval(interval_s: float, by: int) -> float:
    """Return the next longer (1) or shorter (-1) interval in seconds; at the ends the same one."""
    if by > 0:
        return next((its for its in INTERVALS_S if its > interval_s), interval_s)
    return next((its for its in reversed(INTERVALS_S) if its < interval_s), interval_s)
