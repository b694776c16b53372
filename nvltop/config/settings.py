"""How one run behaves: the values behind the flags and the config file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIN_INTERVAL_S: Final = 0.1
MAX_INTERVAL_S: Final = 60.0
SCREEN_INTERVAL_S: Final = 0.25
"""Four refreshes a second."""
REPORT_INTERVAL_S: Final = 1.0

THEMES: Final = ("default", "light", "high-contrast", "colour-blind", "monochrome")
UNITS: Final = ("GB/s", "Gb/s")
"""Of traffic: 10^9 bytes, or bits, a second."""
LAYOUTS: Final = ("matrix", "links")
"""What stands below the GPUs where there is no room for both."""
ALERTS: Final = ("bell", "desktop")
METERS: Final = ("cpu", "memory", "tx", "rx", "pcie-tx", "pcie-rx", "power")
HIDEABLE_COLUMNS: Final = ("name", "util", "mem", "power", "temp", "share", "links", "errors", "bus", "numa")
"""Columns of the GPU table that can be hidden."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the screen and the reports can be told."""

    interval_s: float = SCREEN_INTERVAL_S
    theme: str = "default"
    unicode: bool = True
    mouse: bool = True
    units: str = "GB/s"
    layout: str = "matrix"
    meters: tuple[str, ...] = ("cpu", "memory", "tx", "rx")
    """From top to bottom, four at most."""
    hidden_columns: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    """GPUs to show: index, UUID or PCI bus id; empty for all."""
    alert: tuple[str, ...] = ()
    """How a new warning is told: `bell`, `desktop`."""
    readonly: bool = False
    """Nothing on the machine can be changed from the screen."""
    full: bool = False
    """Snapshots keep the arguments of processes, without secrets."""
    snapshot_on_critical: bool = False
    """Write a snapshot when something critical is found."""
    max_refreshes: int | None = None
    """End after so many refreshes."""
    config: Path | None = None
    """Where changes made on the screen are written; None for nowhere."""
    config_problems: tuple[str, ...] = ()
    """What of the config file cannot be used, each in one line."""
