"""Tells the user of a new finding when the screen is not being looked at: bell, or desktop notification."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from nvltop.model import Finding, FindingKey, Severity

ALERTED_FROM: Final = Severity.WARNING
"""The mildest severity that causes an alert."""
BELL: Final = "\a"
NOTIFICATION_TITLE: Final = "nvltop"


class Alerts:
    """Remembers what has been told, so that a finding is told once for as long as it lasts."""

    def __init__(self, ways: Sequence[str]) -> None:
        """Take the ways to tell: `bell`, `desktop`."""
        self._ways = ways
        self._told: set[tuple[FindingKey, Severity]] = set()

    def escapes(self, findings: Sequence[Finding]) -> str:
        """Return what to send to the terminal; empty if nothing new is wrong."""
        if not self._ways:
            return ""
        now = {(f.key, f.severity): f for f in findings if f.severity >= ALERTED_FROM}
        fresh = [f for key, f in now.items() if key not in self._told and f.caused_by is None]
        self._told = set(now)
        if not fresh:
            return ""
        text = fresh[0].headline + (f" (and {len(fresh) - 1} more)" if len(fresh) > 1 else "")
        out = BELL if "bell" in self._ways else ""
        return out + (
            notification(f"{fresh[0].severity}: {text}", os.environ) if "desktop" in self._ways else ""
        )


def notification(text: str, environ: Mapping[str, str]) -> str:
    """Return the escapes of a desktop notification: OSC 9 (iTerm2, kitty, ConEmu) and OSC 777 (others).

    A terminal that knows neither ignores both. Text that comes here is clean of control characters.
    """
    osc_9 = f"\x1b]9;{NOTIFICATION_TITLE}: {text}\a"
    osc_777 = f"\x1b]777;notify;{NOTIFICATION_TITLE};{text.replace(';', ',')}\a"
    escapes = osc_9 + osc_777
    if "TMUX" not in environ:
        return escapes
    # tmux hands on what is wrapped (with `allow-passthrough`), each escape doubled.
    return "\x1bPtmux;" + escapes.replace("\x1b", "\x1b\x1b") + "\x1b\\"
