"""What is wrong, why we think so, and what to do: the rules, and what becomes of their claims.

A family of rules is one module here and one line in `FAMILIES`. Rules are pure: they take a `Scene` and
return `Claim`s; the `Ledger` decides when a claim has held for long enough to be a finding, and `causes`
which finding follows from which.

A family's outcome is one of five (`Check.outcome`). `pending` is the state between fine and problem: a
condition is seen now and its delay has not passed; the text says for how long more. A family whose
conditions were not seen is fine for as long as it was watched, also if that is shorter than its rules'
delays: its text says how long that was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.health import (
    ber,
    driver_access,
    errors,
    events,
    fabric,
    gpus,
    job,
    links,
    nics,
    p2p,
    repairs,
    saturation,
    self_checks,
    slots,
)
from nvltop.analysis.health.causes import with_causes
from nvltop.analysis.health.claim import Claim, Family, Looked, Scene, names
from nvltop.analysis.health.debounce import Ledger
from nvltop.analysis.health.history import Memory
from nvltop.analysis.health.silence import NOT_READING
from nvltop.analysis.rates import gap_s
from nvltop.model import Check, Finding, Missing, Pending

FAMILIES: Final[tuple[Family, ...]] = (
    gpus.PRESENCE,
    driver_access.FAMILY,
    driver_access.UNREAD,
    links.FAMILY,
    errors.FAMILY,
    ber.FAMILY,
    fabric.FAMILY,
    p2p.FAMILY,
    events.FAMILY,
    repairs.FAMILY,
    gpus.CLOCKS,
    slots.FAMILY,
    nics.FAMILY,
    saturation.FAMILY,
    job.FAMILY,
    self_checks.FAMILY,
    driver_access.DESIGN,
)
EVERY_S: Final = 1.0
"""How often the rules are called; nothing they use is read more often."""
PROBLEMS: Final = ("critical", "warning", "notice")
"""Severities that make a family's outcome a problem."""


class Health:
    """Calls all rules about one moment after the other."""

    def __init__(self) -> None:
        self.memory = Memory()
        self._ledger = Ledger()
        self._looked: dict[str, Looked] = {}
        self._watched: dict[str, float] = {}
        """CLOCK_MONOTONIC since which a family has been examined without a gap."""
        self._asked_s: float | None = None
        self.findings: tuple[Finding, ...] = ()
        self.pending: tuple[Pending, ...] = ()
        self.checks: tuple[Check, ...] = ()

    @property
    def past(self) -> Sequence[Finding]:
        """Findings that have ended, newest first."""
        return self._ledger.past

    def due(self, now_s: float) -> bool:
        """Whether it is time to call the rules again."""
        return self._asked_s is None or now_s - self._asked_s >= EVERY_S

    def judge(self, scene: Scene) -> None:
        """Call all rules."""
        now_s = scene.tick.mono_s
        stopped = self._asked_s is not None and now_s - self._asked_s > gap_s(EVERY_S)
        if stopped:
            self._watched.clear()
        self._asked_s = now_s
        self.memory.board(scene.inventory)
        self.memory.note(scene.gpus, scene.nics, now_s)
        self.memory.silence.note(scene.tick, self.memory.heard_s)
        claims: list[Claim] = []
        for family in FAMILIES:
            found, looked = family.judge(scene)
            looked = _of_those_that_answer(looked, scene, family.of_gpus)
            self._looked[family.name] = looked
            if isinstance(looked, str):
                self._watched.setdefault(family.name, now_s)
            else:
                self._watched.pop(family.name, None)
            claims += found
        self._ledger.update(claims, now_s, scene.tick.wall_s, stopped)
        self.findings = with_causes(self._ledger.findings(now_s), claims)
        self.pending = self._ledger.pending(now_s)
        self.checks = tuple(self._check(f, now_s) for f in FAMILIES if f is not driver_access.DESIGN)

    def _check(self, family: Family, now_s: float) -> Check:
        looked = self._looked[family.name]
        watched_s = round(now_s - self._watched.get(family.name, now_s), 1)
        standing = [f for f in self.findings if f.rule in family.rules and f.severity != "info"]
        coming = [p for p in self.pending if p.finding.rule in family.rules]
        if any(f.severity in PROBLEMS for f in standing):
            outcome, detail = "problem", standing[0].summary
        elif coming:
            outcome, detail = "pending", pending_words(coming[0])
        elif standing:
            outcome, detail = "unknown", standing[0].summary
        elif isinstance(looked, Missing):
            outcome, detail = "unknown", looked.reason
        elif looked is None:
            outcome, detail = "n/a", "not available on this node"
        else:
            brief = round(watched_s) <= family.needs_s
            outcome, detail = "fine", f"{looked} (watched {watched_s:.0f} s)" if brief else looked
        return Check(family.name, outcome, detail, watched_s)


def pending_words(pending: Pending) -> str:
    """Say what is seen, and when it becomes a finding."""
    wait = f"in {pending.wait_s:.0f} s if it lasts" if pending.wait_s >= 1 else "with the next readings"
    return f"{pending.finding.headline} ({pending.finding.severity} {wait})"


def _of_those_that_answer(looked: Looked, scene: Scene, of_gpus: bool) -> Looked:
    """Say which GPUs a family could not examine: what nobody reported is not fine."""
    silent = [g for g in scene.gpus if g.state != "ok" or g.stale]
    if isinstance(looked, Missing) or not silent:
        return looked
    if len(silent) == len(scene.gpus):
        if any(g.state != "ok" for g in silent):
            return Missing(f"no GPU responds ({silent[0].state_reason or 'the values are old'})")
        if scene.tick.worker in NOT_READING:
            return Missing("nvltop's own reader is not running")
        return Missing("nothing has been read lately")
    if not of_gpus:
        return looked
    why = "lost" if all(g.state == "lost" for g in silent) else "not readable"
    return looked and f"{looked} ({names(silent)} skipped: {why})"
