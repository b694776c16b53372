"""The garbage collector in a program that runs for days.

Looking for cycles among the objects that are there from the start was a fifth of what the screen cost,
with pauses of up to 100 ms; what comes and goes with the readings has no cycles and is freed at once.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 10, 10)
"""New objects before a look at the youngest, and how many looks before the next generation's."""


def disable_during_startup() -> None:
    """Look for none during the start: next to nothing of what modules make is garbage.

    Looking all the same was a tenth of the time to the first picture.
    """
    gc.disable()


def freeze_startup_objects() -> None:
    """Leave what there is now alone from now on; to be called once the start is over."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
