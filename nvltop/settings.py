"""How one run behaves: the values behind the flags and the config file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIN_INTERVAL_S: Final = 0.1
MAX_INTERVAL_S: Final = 60.0
SCREEN_INTERVAL_S: Final = 0.25
"""Four refreshes a second."""
REPORT_INTERVAL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the screen and the reports can be told."""

    interval_s: float = SCREEN_INTERVAL_S
    color: bool = True
    unicode: bool = True
    mouse: bool = True
    only: tuple[str, ...] = ()
    """GPUs to show: index, UUID or PCI bus id; empty for all."""
    alert: tuple[str, ...] = ()
    """How a new warning is told: `bell`, `desktop`."""
    max_refreshes: int | None = None
    """End after so many refreshes."""
