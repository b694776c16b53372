"""Settings of the garbage collector for a program that runs for days.

Searching the objects that exist since start-up for cycles took a fifth of the time of the screen, with pauses
of up to 100 ms. Objects made for a reading have no cycles and are freed without the collector.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 10, 10)
"""Arguments of `gc.set_threshold()`: new objects per collection of the youngest generation, and so on."""
COLLECT_S: Final = 60.0
"""Time between two calls of `collect`, seconds; a call takes a millisecond or two."""


def disable_during_startup() -> None:
    """Disable collection during start-up: imports create almost no garbage.

    Collection took a tenth of the time to the first frame.
    """
    gc.disable()


def freeze_startup_objects() -> None:
    """Collect once and freeze all live objects (`gc.freeze()`); call this when start-up is complete."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def collect() -> None:
    """Collect all generations, after which Python also frees the tuples that it keeps for reuse.

    It keeps up to 2000 of each size, between which the objects that stay are spread over more and more pages:
    2.4 MB after half an hour.
    """
    gc.collect()
