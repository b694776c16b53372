"""From claims to findings: debounce, severity by how long, when each began and ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from nvltop.analysis.health.claim import HELD, Claim
from nvltop.model import Finding
from nvltop.units import age

SEVERITIES: Final = ("critical", "warning", "notice", "unknown", "info")
"""Worst first."""
MAX_PAST: Final = 200
"""Findings kept after they ended; the oldest go first."""
ENDED_S: Final = 2.0
"""A claim may be missing for so long (one reading late) without its finding ending."""

Where: TypeAlias = "tuple[str, str | None, int | None, str | None]"


@dataclass(slots=True)
class _Held:
    claim: Claim
    since_s: float
    """CLOCK_MONOTONIC from which on it has been claimed without a break."""
    began_s: float
    """Unix time of the same."""
    seen_s: float
    polls: int
    severity: str | None = None
    """None while it has not held for long enough to be told."""


class Ledger:
    """Keeps what is claimed, and since when."""

    def __init__(self) -> None:
        self._held: dict[Where, _Held] = {}
        self.past: deque[Finding] = deque(maxlen=MAX_PAST)
        """Findings that have ended, newest first."""

    def update(self, claims: Iterable[Claim], mono_s: float, wall_s: float, stopped: bool) -> None:
        """Take what is claimed now; `stopped` says that nothing was looked at for a while."""
        for claim in claims:
            key = (claim.rule, claim.gpu, claim.link, claim.nic)
            held = self._held.get(key)
            if held is None or (stopped and held.severity is None):
                began_s = wall_s if claim.began_s is None else claim.began_s
                held = self._held[key] = _Held(claim, mono_s, began_s, mono_s, 1)
            elif claim.polled_s != held.claim.polled_s or not claim.polled_s:
                held.polls += 1
            held.claim, held.seen_s = claim, mono_s
            seconds = mono_s - held.since_s
            for step in claim.steps:
                if seconds >= step.after_s and held.polls >= step.polls:
                    held.severity = step.severity
        for key, held in list(self._held.items()):
            gone_s = mono_s - held.seen_s
            # What has not been told yet needs readings that agree without a break.
            if gone_s > ENDED_S or (gone_s > 0 and held.severity is None):
                del self._held[key]
                if held.severity is not None and held.severity != "info":
                    self.past.appendleft(replace(_finding(held, held.seen_s), ended_s=wall_s))

    def findings(self, mono_s: float) -> tuple[Finding, ...]:
        """Return what lasts, worst first, the older of equals first."""
        told = [h for h in self._held.values() if h.severity is not None]
        told.sort(key=lambda h: (SEVERITIES.index(h.severity or "info"), h.since_s))
        return tuple(_finding(h, mono_s) for h in told)


def _finding(held: _Held, now_s: float) -> Finding:
    claim = held.claim
    return Finding(
        rule=claim.rule,
        severity=held.severity or "info",
        gpu=claim.gpu,
        link=claim.link,
        nic=claim.nic,
        summary=claim.summary.replace(HELD, age(now_s - held.since_s)),
        evidence=claim.evidence,
        next_step=claim.next_step,
        source=claim.source,
        confidence=claim.confidence,
        began_s=held.began_s,
    )
