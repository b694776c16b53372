"""From claims to findings: debounce, severity by duration, when each began and ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from nvltop.analysis.health.claim import HELD_PLACEHOLDER, Claim, Where
from nvltop.formatting import age
from nvltop.model import Finding, Pending, Severity

MAX_PAST_FINDINGS: Final = 200
"""Findings kept after they ended; the oldest go first."""
CLAIM_GAP_S: Final = 2.0
"""A claim may be absent for this long (one late reading) without its finding ending."""


@dataclass(slots=True)
class _TrackedClaim:
    claim: Claim
    since_s: float
    """CLOCK_MONOTONIC since which it has been claimed without a break."""
    began_s: float
    """Unix time of the same."""
    seen_s: float
    readings: int
    severity: Severity | None = None
    """None while it has not held for long enough to be a finding."""


class FindingTracker:
    """Keeps what is claimed, and since when."""

    def __init__(self) -> None:
        self._held: dict[Where, _TrackedClaim] = {}
        self.past: deque[Finding] = deque(maxlen=MAX_PAST_FINDINGS)
        """Findings that have ended, newest first."""

    def update(self, claims: Iterable[Claim], mono_s: float, wall_s: float, stopped: bool) -> None:
        """Take what is claimed now; `stopped` means that the rules were not called for a while."""
        for claim in claims:
            held = self._held.get(claim.where)
            if held is None or (stopped and held.severity is None):
                began_s = wall_s if claim.began_s is None else claim.began_s
                held = self._held[claim.where] = _TrackedClaim(claim, mono_s, began_s, mono_s, 1)
            elif claim.read_s != held.claim.read_s or not claim.read_s:
                held.readings += 1
            held.claim, held.seen_s = claim, mono_s
            seconds = mono_s - held.since_s
            reached = [
                s.severity for s in claim.escalations if seconds >= s.after_s and held.readings >= s.readings
            ]
            if reached:
                held.severity = reached[-1]
        for where, held in list(self._held.items()):
            gone_s = mono_s - held.seen_s
            # A pending claim needs readings that agree without a break.
            if gone_s > CLAIM_GAP_S or (gone_s > 0 and held.severity is None):
                del self._held[where]
                if held.severity is not None and held.severity is not Severity.INFO:
                    self.past.appendleft(replace(_finding(held, held.severity, held.seen_s), ended_s=wall_s))

    def findings(self, mono_s: float) -> tuple[Finding, ...]:
        """Return what lasts, worst first; of equals the one with more damage, then the older one."""
        active = [(h.severity, h) for h in self._held.values() if h.severity is not None]
        active.sort(key=lambda a: (-a[0].rank, -a[1].claim.damage, a[1].since_s))
        return tuple(_finding(h, severity, mono_s) for severity, h in active)

    def pending(self, mono_s: float) -> tuple[Pending, ...]:
        """Return the claims of this moment that get a worse severity once their delay has passed.

        One that is a notice now and critical later is pending, too; one that will be `info` is not.
        """
        found = []
        for held in self._held.values():
            last = held.claim.escalations[-1]
            worse = held.severity is None or last.severity > held.severity
            if held.seen_s == mono_s and worse and last.severity is not Severity.INFO:
                wait_s = max(0.0, last.after_s - (mono_s - held.since_s))
                found.append(Pending(_finding(held, last.severity, mono_s), wait_s))
        found.sort(key=lambda p: (-p.finding.severity.rank, p.wait_s))
        return tuple(found)


def _finding(held: _TrackedClaim, severity: Severity, now_s: float) -> Finding:
    claim = held.claim
    for_s = age(now_s - held.since_s)
    return Finding(
        rule=claim.rule,
        severity=severity,
        gpu=claim.gpu,
        link=claim.link,
        nic=claim.nic,
        headline=claim.headline.replace(HELD_PLACEHOLDER, for_s),
        summary=claim.summary.replace(HELD_PLACEHOLDER, for_s),
        evidence=claim.evidence,
        next_step=claim.next_step,
        source=claim.source,
        confidence=claim.confidence,
        began_s=held.began_s,
        key=key_of(claim.where),
    )


def key_of(where: Where) -> str:
    """Write what identifies a finding as text: `link-down/GPU-5b…/7`."""
    return "/".join(str(part) for part in where if part is not None)
