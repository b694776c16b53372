"""The phrase for a first reading that takes long, on the screen and on the status line."""

from __future__ import annotations

from typing import Final

from nvltop.formatting import age
from nvltop.model import Tick

SHOW_AFTER_S: Final = 1.0
"""Seconds after which an operation shows its progress."""


def startup_progress(tick: Tick, waited_s: float) -> str:
    """Return the call that is waited for: `GPU 1: nvmlDeviceGetNvLinkState for 3 s, 42 s in all`."""
    total = f"{age(waited_s)} in all"
    if not tick.calls:
        return f"first reading of the node, {total}"
    call = max(tick.calls, key=lambda c: c.since_s)
    where = "driver" if call.gpu is None else f"GPU {call.gpu}"
    return f"{where}: {call.function} for {age(max(0.0, tick.mono_s - call.since_s))}, {total}"
