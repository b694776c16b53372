"""Alerts for a user who does not watch the screen: the bell and desktop notifications."""

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
    """Announces each finding once for as long as it lasts."""

    def __init__(self, methods: Sequence[str]) -> None:
        """Use the given methods: `bell`, `desktop`, both or none."""
        self._methods = methods
        self._announced: set[tuple[FindingKey, Severity]] = set()

    def escapes(self, findings: Sequence[Finding]) -> str:
        """Return the escape sequences that announce new findings; empty if there are none."""
        if not self._methods:
            return ""
        now = {(f.key, f.severity): f for f in findings if f.severity >= ALERTED_FROM}
        fresh = [f for key, f in now.items() if key not in self._announced and f.caused_by is None]
        self._announced = set(now)
        if not fresh:
            return ""
        text = fresh[0].headline + (f" (and {len(fresh) - 1} more)" if len(fresh) > 1 else "")
        out = BELL if "bell" in self._methods else ""
        return out + (
            notification(f"{fresh[0].severity}: {text}", os.environ) if "desktop" in self._methods else ""
        )


def notification(text: str, environ: Mapping[str, str]) -> str:
    """Return the escape sequences of a desktop notification: OSC 9 (iTerm2, kitty, ConEmu) and OSC 777.

    Terminals ignore a sequence that they do not support. `text` must not contain control characters.
    """
    osc_9 = f"\x1b]9;{NOTIFICATION_TITLE}: {text}\a"
    osc_777 = f"\x1b]777;notify;{NOTIFICATION_TITLE};{text.replace(';', ',')}\a"
    escapes = osc_9 + osc_777
    if "TMUX" not in environ:
        return escapes
    # tmux passes a wrapped sequence on (with `allow-passthrough`); each escape in it is doubled.
    return "\x1bPtmux;" + escapes.replace("\x1b", "\x1b\x1b") + "\x1b\\"
