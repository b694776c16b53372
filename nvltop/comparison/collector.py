"""A comparison: its differences, and a collector that compares values one by one."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from nvltop.comparison.improvement import is_better
from nvltop.comparison.sides import Pairing, Report, Side
from nvltop.frozen import frozen, mutable
from nvltop.model import Severity


@frozen
class Difference:
    """One value that differs between the two sides."""

    where: str
    """`node`, `GPU 3`, `GPU 3 link 7`, `NIC mlx5_0 port 1` or `GPU0-GPU1`."""
    what: str
    """Name of the value: its JSON key, `finding: RULE` or `errors: KIND`."""
    before: Any
    after: Any
    severity: Severity = Severity.INFO
    note: str = ""
    """What a reader must know to judge the difference."""
    increase: int | None = None
    """Increase of a counter that was not reset."""
    began_s: float | None = None
    """Unix time at which a finding began, or a counter rose first; None if it is not known."""

    @property
    def matters(self) -> bool:
        """Whether the difference decides the exit code."""
        return self.severity > Severity.INFO


@frozen
class Comparison:
    """Two sides and all that differs between them."""

    before: Side
    after: Side
    pairing: Pairing
    differences: tuple[Difference, ...]
    """Those that matter most first."""
    equal: tuple[str, ...]
    """What was compared and is equal, in words."""

    @property
    def over_s(self) -> float | None:
        """Seconds between the two sides; None if a side has no time."""
        if self.before.time_s is None or self.after.time_s is None:
            return None
        return self.after.time_s - self.before.time_s

    @property
    def matters(self) -> bool:
        """Whether anything that matters differs."""
        return any(d.matters for d in self.differences)


@mutable
class Collector:
    """Compares values one by one, and counts those that are equal."""

    reversed: bool = False
    """Whether the second side is the earlier one."""
    found: list[Difference] = field(default_factory=list)
    same: dict[str, int] = field(default_factory=dict)

    def value(
        self, where: str, what: str, before: Report, after: Report, key: str, severity: Severity
    ) -> bool:
        """Compare one key of two objects; return whether both values are known and differ.

        `severity` is that of a difference for the worse; for the better it is a notice at most.
        """
        a, b = before.get(key), after.get(key)
        if a == b and (a is not None or _reason(before, key) == _reason(after, key)):
            if a is not None:
                self.equal(what)
            return False
        if a is None or b is None:
            self._unknown(where, what, (a, _reason(before, key)), (b, _reason(after, key)), severity)
            return False
        self.found.append(Difference(where, what, a, b, self.severity(what, a, b, severity)))
        return True

    def severity(self, what: str, before: Any, after: Any, worse: Severity) -> Severity:
        """Return the severity of a difference: `worse`; at most a notice if it is for the better."""
        earlier, later = (after, before) if self.reversed else (before, after)
        return min(worse, Severity.NOTICE) if is_better(what, earlier, later) else worse

    def equal(self, what: str) -> None:
        """Count a value that is equal on both sides."""
        self.same[what] = self.same.get(what, 0) + 1

    def _unknown(
        self, where: str, what: str, before: tuple[Any, str], after: tuple[Any, str], severity: Severity
    ) -> None:
        """Add a value that only one side has: unknown is not equal to anything."""
        (a, a_reason), (b, b_reason) = before, after
        if a is None and b is None:
            note = f"unknown on both sides ({a_reason or 'not recorded'}; {b_reason or 'not recorded'})"
            severity = Severity.INFO
        else:
            side, reason = ("before", a_reason) if a is None else ("after", b_reason)
            note = f"unknown {side}: {reason or 'not recorded by that version'}"
            # A side that never recorded the value is another version, not another state of the node.
            severity = Severity.UNKNOWN if severity != Severity.INFO and reason else Severity.INFO
        self.found.append(Difference(where, what, a, b, severity, note))


def _reason(of: Report, key: str) -> str:
    missing: Report = of.get("missing") or {}
    return str(missing.get(key, ""))
