"""What is wrong, why we think so, and what to do: the rules, and what becomes of their claims.

A rule group is one module here and one line in `RULE_GROUPS`. Rules are pure: they take a `RuleInput` and
return `Claim`s; the `FindingTracker` decides when a claim has held for long enough to be a finding, and
`causes` which finding follows from which.

The outcome of a group is one of five (`Check.outcome`). `pending` is the state between fine and problem: a
condition is seen now and its delay has not passed; the text says for how long more. A group whose
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
    pcie_link,
    repairs,
    saturation,
    self_checks,
)
from nvltop.analysis.health.causes import with_causes
from nvltop.analysis.health.claim import CheckSummary, Claim, RuleGroup, RuleInput, gpu_names
from nvltop.analysis.health.debounce import FindingTracker
from nvltop.analysis.health.history import RuleHistory
from nvltop.analysis.rates import max_gap_s
from nvltop.model import Check, Finding, Missing, Pending, Severity

RULE_GROUPS: Final[tuple[RuleGroup, ...]] = (
    gpus.PRESENCE,
    driver_access.RULE_GROUP,
    driver_access.UNREAD,
    links.RULE_GROUP,
    errors.RULE_GROUP,
    ber.RULE_GROUP,
    fabric.RULE_GROUP,
    p2p.RULE_GROUP,
    events.RULE_GROUP,
    repairs.RULE_GROUP,
    gpus.CLOCKS,
    pcie_link.RULE_GROUP,
    nics.RULE_GROUP,
    saturation.RULE_GROUP,
    job.RULE_GROUP,
    self_checks.RULE_GROUP,
    driver_access.DESIGN,
)
RULE_INTERVAL_S: Final = 1.0
"""How often the rules are called; nothing they use is read more often."""
"""Severities that make the outcome of a group a problem."""


class RuleEngine:
    """Calls all rules about one moment after the other."""

    def __init__(self) -> None:
        self.history = RuleHistory()
        self._tracker = FindingTracker()
        self._looked: dict[str, CheckSummary] = {}
        self._watched: dict[str, float] = {}
        """CLOCK_MONOTONIC since which a group has been examined without a gap."""
        self._asked_s: float | None = None
        self.findings: tuple[Finding, ...] = ()
        self.pending: tuple[Pending, ...] = ()
        self.checks: tuple[Check, ...] = ()

    @property
    def past(self) -> Sequence[Finding]:
        """Findings that have ended, newest first."""
        return self._tracker.past

    def due(self, now_s: float) -> bool:
        """Whether it is time to call the rules again."""
        return self._asked_s is None or now_s - self._asked_s >= RULE_INTERVAL_S

    def evaluate(self, rule_input: RuleInput) -> None:
        """Call all rules."""
        now_s = rule_input.tick.mono_s
        stopped = self._asked_s is not None and now_s - self._asked_s > max_gap_s(RULE_INTERVAL_S)
        if stopped:
            self._watched.clear()
        self._asked_s = now_s
        self.history.board(rule_input.inventory)
        self.history.update(rule_input.gpus, rule_input.nics, now_s)
        self.history.unread_time.update(rule_input.tick, self.history.last_reading_s)
        claims: list[Claim] = []
        for group in RULE_GROUPS:
            found, looked = group.evaluate(rule_input)
            looked = _of_those_that_answer(looked, rule_input, group.per_gpu)
            self._looked[group.name] = looked
            if isinstance(looked, str):
                self._watched.setdefault(group.name, now_s)
            else:
                self._watched.pop(group.name, None)
            claims += found
        self._tracker.update(claims, now_s, rule_input.tick.wall_s, stopped)
        self.findings = with_causes(self._tracker.findings(now_s), claims)
        self.pending = self._tracker.pending(now_s)
        self.checks = tuple(self._check(f, now_s) for f in RULE_GROUPS if f is not driver_access.DESIGN)

    def _check(self, group: RuleGroup, now_s: float) -> Check:
        looked = self._looked[group.name]
        watched_s = round(now_s - self._watched.get(group.name, now_s), 1)
        standing = [f for f in self.findings if f.rule in group.rules and f.severity is not Severity.INFO]
        coming = [p for p in self.pending if p.finding.rule in group.rules]
        if any(f.severity.is_problem for f in standing):
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
            brief = round(watched_s) <= group.longest_delay_s
            outcome, detail = "fine", f"{looked} (watched {watched_s:.0f} s)" if brief else looked
        return Check(group.name, outcome, detail, watched_s)


def pending_words(pending: Pending) -> str:
    """Say what is seen, and when it becomes a finding."""
    wait = f"in {pending.wait_s:.0f} s if it lasts" if pending.wait_s >= 1 else "with the next readings"
    return f"{pending.finding.headline} ({pending.finding.severity} {wait})"


def _of_those_that_answer(looked: CheckSummary, rule_input: RuleInput, per_gpu: bool) -> CheckSummary:
    """Say which GPUs a group could not examine: what nobody reported is not fine."""
    silent = [g for g in rule_input.gpus if g.state != "ok" or g.stale]
    if isinstance(looked, Missing) or not silent:
        return looked
    if len(silent) == len(rule_input.gpus):
        if any(g.state != "ok" for g in silent):
            return Missing(f"no GPU responds ({silent[0].state_reason or 'the values are old'})")
        if rule_input.tick.not_reading:
            return Missing("nvltop's own reader is not running")
        return Missing("nothing has been read lately")
    if not per_gpu:
        return looked
    why = "lost" if all(g.state == "lost" for g in silent) else "not readable"
    return looked and f"{looked} ({gpu_names(silent)} skipped: {why})"
