"""Debounce of claims: when a claim becomes a finding, how severe it is, and when it has ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from nvltop.analysis.health.claim import HELD_PLACEHOLDER, Claim
from nvltop.formatting import age
from nvltop.frozen import mutable
from nvltop.model import Finding, FindingKey, Pending, Severity

MAX_PAST_FINDINGS: Final = 200
"""Number of ended findings that are kept; the oldest are dropped first."""
CLAIM_GAP_S: Final = 2.0
"""Absence of a claim, seconds, after which its finding ends; one late reading is shorter."""


@mutable
class _TrackedClaim:
    claim: Claim
    """The claim as last returned by its rule."""
    since_s: float
    """CLOCK_MONOTONIC since which it has been claimed without a break."""
    began_s: float
    """Unix time at which its finding began."""
    seen_s: float
    """CLOCK_MONOTONIC at which it was last claimed."""
    readings: int
    """Consecutive readings that confirmed it."""
    severity: Severity | None = None
    """Severity that it has reached; None while it is not a finding."""


class FindingTracker:
    """The claims that hold, and the findings that they have become."""

    def __init__(self) -> None:
        self._tracked: dict[FindingKey, _TrackedClaim] = {}
        """Claims by `Claim.key`."""
        self.past: deque[Finding] = deque(maxlen=MAX_PAST_FINDINGS)
        """Findings that have ended, newest first."""

    def update(self, claims: Iterable[Claim], mono_s: float, wall_s: float, after_gap: bool) -> None:
        """Process the claims of one evaluation.

        `after_gap` says that the rules were not evaluated for a while, so that pending claims start again.
        """
        for claim in claims:
            tracked = self._tracked.get(claim.key)
            if tracked is None or (after_gap and tracked.severity is None):
                began_s = wall_s if claim.began_s is None else claim.began_s
                tracked = self._tracked[claim.key] = _TrackedClaim(claim, mono_s, began_s, mono_s, 1)
            elif claim.read_s != tracked.claim.read_s or not claim.read_s:
                tracked.readings += 1
            tracked.claim, tracked.seen_s = claim, mono_s
            held_s = mono_s - tracked.since_s
            reached = [
                e.severity
                for e in claim.escalations
                if held_s >= e.after_s and tracked.readings >= e.readings
            ]
            if reached:
                tracked.severity = reached[-1]
        for key, tracked in list(self._tracked.items()):
            absent_s = mono_s - tracked.seen_s
            # A pending claim must hold without a break.
            if absent_s > CLAIM_GAP_S or (absent_s > 0 and tracked.severity is None):
                del self._tracked[key]
                if tracked.severity is not None and tracked.severity is not Severity.INFO:
                    ended = replace(_finding(tracked, tracked.severity, tracked.seen_s), ended_s=wall_s)
                    self.past.appendleft(ended)

    def findings(self, mono_s: float) -> tuple[Finding, ...]:
        """Return the active findings, worst first; of equal ones, those with more lost, then older ones."""
        active = [(t.severity, t) for t in self._tracked.values() if t.severity is not None]
        active.sort(key=lambda a: (-a[0].rank, -a[1].claim.lost_share, a[1].since_s))
        return tuple(_finding(tracked, severity, mono_s) for severity, tracked in active)

    def pending(self, mono_s: float) -> tuple[Pending, ...]:
        """Return the present claims that will become worse once their delay has passed.

        A claim that is a notice now and critical later is pending; a claim that will be `info` is not.
        """
        pending = []
        for tracked in self._tracked.values():
            last = tracked.claim.escalations[-1]
            worse = tracked.severity is None or last.severity > tracked.severity
            if tracked.seen_s == mono_s and worse and last.severity is not Severity.INFO:
                wait_s = max(0.0, last.after_s - (mono_s - tracked.since_s))
                pending.append(Pending(_finding(tracked, last.severity, mono_s), wait_s))
        pending.sort(key=lambda p: (-p.finding.severity.rank, p.wait_s))
        return tuple(pending)


def _finding(tracked: _TrackedClaim, severity: Severity, now_s: float) -> Finding:
    claim = tracked.claim
    held = age(now_s - tracked.since_s)
    return Finding(
        rule=claim.rule,
        severity=severity,
        gpu=claim.gpu,
        link=claim.link,
        nic=claim.nic,
        headline=claim.headline.replace(HELD_PLACEHOLDER, held),
        summary=claim.summary.replace(HELD_PLACEHOLDER, held),
        evidence=claim.evidence,
        next_step=claim.next_step,
        source=claim.source,
        confidence=claim.confidence,
        began_s=tracked.began_s,
        key=claim.key,
    )
