"""What is wrong, why we think so, and what to do: the rules, and what becomes of what they say.

A family of rules is one module here and one line in `FAMILIES`. Rules are pure: they look at a
`Scene` and give `Claim`s; the `Ledger` decides when a claim has held for long enough to be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.health import (
    ber,
    errors,
    events,
    fabric,
    gpus,
    job,
    links,
    load,
    nics,
    numbers,
    p2p,
    reading,
)
from nvltop.analysis.health.claim import Claim, Family, Looked, Scene, names
from nvltop.analysis.health.ledger import Ledger
from nvltop.analysis.health.memory import Memory
from nvltop.analysis.rates import gap_s
from nvltop.model import Check, Finding, Missing

FAMILIES: Final[tuple[Family, ...]] = (
    gpus.PRESENCE,
    reading.FAMILY,
    reading.UNREAD,
    links.FAMILY,
    errors.FAMILY,
    ber.FAMILY,
    fabric.FAMILY,
    p2p.FAMILY,
    events.FAMILY,
    fabric.RECOVERY,
    gpus.CLOCKS,
    gpus.PCIE,
    nics.FAMILY,
    load.FAMILY,
    job.FAMILY,
    numbers.FAMILY,
    reading.DESIGN,
)
EVERY_S: Final = 1.0
"""How often the rules are asked; nothing they look at is read more often."""
TOLD: Final = ("critical", "warning", "notice")
"""Severities that make a family's outcome a problem."""


class Health:
    """Asks all rules about one moment after the other."""

    def __init__(self) -> None:
        self.memory = Memory()
        self._ledger = Ledger()
        self._looked: dict[str, Looked] = {}
        self._asked_s: float | None = None
        self.findings: tuple[Finding, ...] = ()
        self.checks: tuple[Check, ...] = ()

    @property
    def past(self) -> Sequence[Finding]:
        """Findings that have ended, newest first."""
        return self._ledger.past

    def due(self, now_s: float) -> bool:
        """Whether it is time to ask the rules again."""
        return self._asked_s is None or now_s - self._asked_s >= EVERY_S

    def judge(self, scene: Scene) -> None:
        """Ask all rules."""
        now_s = scene.tick.mono_s
        stopped = self._asked_s is not None and now_s - self._asked_s > gap_s(EVERY_S)
        self._asked_s = now_s
        self.memory.note(scene.gpus, scene.nics, now_s)
        self.memory.silence.note(scene.tick, self.memory.heard_s)
        claims: list[Claim] = []
        for family in FAMILIES:
            found, looked = family.judge(scene)
            self._looked[family.name] = _of_those_that_answer(looked, scene)
            claims += found
        self._ledger.update(claims, now_s, scene.tick.wall_s, stopped)
        self.findings = self._ledger.findings(now_s)
        self.checks = tuple(self._checks())

    def _checks(self) -> list[Check]:
        checks = []
        for family in FAMILIES:
            looked = self._looked[family.name]
            if family is reading.DESIGN:
                continue
            told = [f for f in self.findings if f.rule in family.rules and f.severity != "info"]
            if any(f.severity in TOLD for f in told):
                checks.append(Check(family.name, "problem", told[0].summary))
            elif told:
                checks.append(Check(family.name, "unknown", told[0].summary))
            elif isinstance(looked, Missing):
                checks.append(Check(family.name, "unknown", looked.reason))
            elif looked is not None:
                checks.append(Check(family.name, "fine", looked))
            else:
                checks.append(Check(family.name, "n/a", "nothing of the kind on this node"))
        return checks


def _of_those_that_answer(looked: Looked, scene: Scene) -> Looked:
    """Say which GPUs a family has not looked at: nothing is fine because nobody told of it."""
    silent = [g for g in scene.gpus if g.state != "ok" or g.stale]
    if isinstance(looked, Missing) or not silent:
        return looked
    if len(silent) == len(scene.gpus):
        return Missing(f"no GPU answers ({silent[0].state_reason or 'what was read is old'})")
    return looked and f"{looked}; {names(silent)} not looked at"
