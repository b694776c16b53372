"""Evaluation of all rules, once a second: from a `RuleInput` to findings, pending conditions and checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.health import RULE_GROUPS
from nvltop.analysis.health.causes import with_causes
from nvltop.analysis.health.claim import Claim
from nvltop.analysis.health.debounce import FindingTracker
from nvltop.analysis.health.gpu_names import gpu_names
from nvltop.analysis.health.history import RuleHistory
from nvltop.analysis.health.rule import (
    READER_NOT_RUNNING,
    CheckSummary,
    RuleGroup,
    RuleInput,
    RuleResult,
)
from nvltop.analysis.rates import max_gap_s
from nvltop.formatting import duration, pending_phrase
from nvltop.model import Check, Finding, Missing, Pending, Severity

RULE_INTERVAL_S: Final = 1.0
"""Interval at which the rules are evaluated, seconds; nothing they use is read more often."""
EARLY_S: Final = 0.1
"""Time by which an evaluation may come early, seconds: ticks that follow readings are not quite regular."""


class RuleEngine:
    """Evaluates all rule groups and keeps their results."""

    def __init__(self) -> None:
        self.history = RuleHistory()
        self._tracker = FindingTracker()
        self._quiet: dict[str, tuple[tuple[object, ...], CheckSummary]] = {}
        """What the result of each group that claims nothing depends on, and its summary, by its name."""
        self._summaries: dict[str, CheckSummary] = {}
        """Last summary of each group, by its name."""
        self._checked_since_s: dict[str, float] = {}
        """CLOCK_MONOTONIC since which each group has been checked without a gap, by its name."""
        self._evaluated_s: float | None = None
        """CLOCK_MONOTONIC of the last evaluation."""
        self.findings: tuple[Finding, ...] = ()
        self.pending: tuple[Pending, ...] = ()
        self.checks: tuple[Check, ...] = ()

    @property
    def past(self) -> Sequence[Finding]:
        """Findings that have ended, newest first."""
        return self._tracker.past

    def due(self, now_s: float) -> bool:
        """Return whether `RULE_INTERVAL_S` has passed since the last evaluation, less `EARLY_S`."""
        return self._evaluated_s is None or now_s - self._evaluated_s >= RULE_INTERVAL_S - EARLY_S

    def evaluate(self, rule_input: RuleInput) -> None:
        """Evaluate all rules and update findings, pending conditions and checks."""
        now_s = rule_input.tick.mono_s
        after_gap = self._evaluated_s is not None and now_s - self._evaluated_s > max_gap_s(RULE_INTERVAL_S)
        if after_gap:
            self._checked_since_s.clear()
        self._evaluated_s = now_s
        self.history.board(rule_input.inventory)
        self.history.update(rule_input.gpus, rule_input.nics, now_s)
        self.history.unread_time.update(rule_input.tick, self.history.last_reading_s)
        claims: list[Claim] = []
        for group in RULE_GROUPS:
            found, summary = self._evaluate_group(group, rule_input)
            if rule_input.unread_gpus:
                summary = _without_unread_gpus(summary, rule_input, group.per_gpu)
            self._summaries[group.name] = summary
            if isinstance(summary, str):
                self._checked_since_s.setdefault(group.name, now_s)
            else:
                self._checked_since_s.pop(group.name, None)
            claims += found
        self._tracker.update(claims, now_s, rule_input.tick.wall_s, after_gap)
        findings = with_causes(self._tracker.findings(now_s), claims)
        if findings != self.findings:
            # Equal ones stay the same objects: many parts of a frame compare them with those of before.
            self.findings = findings
        self.pending = self._tracker.pending(now_s)
        claimed = {f.rule for f in self.findings} | {p.finding.rule for p in self.pending}
        self.checks = tuple(
            [
                self._check(group, now_s, claims=not claimed.isdisjoint(group.rules))
                for group in RULE_GROUPS
                if group.is_check
            ]
        )

    def _evaluate_group(self, group: RuleGroup, rule_input: RuleInput) -> RuleResult:
        """Return the result of a group, without evaluating it if it would be as before."""
        depends_on = group.depends_on(rule_input) if group.depends_on else None
        if depends_on is None:
            return group.evaluate(rule_input)
        before = self._quiet.get(group.name)
        if before and before[0] == depends_on:
            # Where values were read again and are equal, the next comparison is one of identity.
            self._quiet[group.name] = depends_on, before[1]
            return (), before[1]
        found, summary = group.evaluate(rule_input)
        claims = tuple(found)
        if claims:
            self._quiet.pop(group.name, None)
        else:
            self._quiet[group.name] = depends_on, summary
        return claims, summary

    def _check(self, group: RuleGroup, now_s: float, *, claims: bool) -> Check:
        """Return the outcome of a group; `Check.outcome` lists the five there are.

        `claims` says whether the group has findings or pending conditions.
        """
        summary = self._summaries[group.name]
        watched_s = round(now_s - self._checked_since_s.get(group.name, now_s), 1)
        if claims and (seen := self._outcome_of_claims(group)):
            outcome, detail = seen
        elif isinstance(summary, Missing):
            outcome, detail = "unknown", summary.reason
        elif summary is None:
            outcome, detail = "n/a", "not available on this node"
        else:
            # Fine as far as nvltop watched: a delayed condition could still appear.
            brief = round(watched_s) <= group.longest_delay_s
            outcome, detail = "fine", f"{summary} (watched {duration(watched_s)})" if brief else summary
        return Check(group.name, outcome, detail, watched_s)

    def _outcome_of_claims(self, group: RuleGroup) -> tuple[str, str] | None:
        """Return outcome and detail by the findings and pending conditions; None if all are information."""
        findings = [f for f in self.findings if f.rule in group.rules and f.severity is not Severity.INFO]
        pending = [p for p in self.pending if p.finding.rule in group.rules]
        if any(f.severity.is_problem for f in findings):
            return "problem", findings[0].summary
        if pending:
            return "pending", _pending_detail(pending[0])
        return ("unknown", findings[0].summary) if findings else None


def _pending_detail(pending: Pending) -> str:
    """Return the condition that is seen, and when it becomes a finding."""
    return f"{pending.finding.headline} ({pending.finding.severity} {pending_phrase(pending.wait_s)})"


def _without_unread_gpus(summary: CheckSummary, rule_input: RuleInput, per_gpu: bool) -> CheckSummary:
    """Return the summary, extended by the GPUs that could not be checked; unread values are not fine."""
    unread = rule_input.unread_gpus
    if isinstance(summary, Missing):
        return summary
    if len(unread) == len(rule_input.gpus):
        if any(g.state != "ok" for g in unread):
            return Missing(f"no GPU responds ({unread[0].state_reason or 'the values are old'})")
        if rule_input.tick.not_reading:
            return READER_NOT_RUNNING
        return Missing("nothing has been read lately")
    if not per_gpu:
        return summary
    why = "lost" if all(g.state == "lost" for g in unread) else "not readable"
    return summary and f"{summary} ({gpu_names(unread)} skipped: {why})"
