"""The severities of findings, in order."""

from __future__ import annotations

from enum import Enum


class Severity(str, Enum):
    """Severity of a finding.

    Members compare by severity: the worst finding has the greatest one. Each is equal to its word, which
    JSON, metrics and recordings contain.
    """

    INFO = "info"
    """Worth knowing, not a fault."""
    UNKNOWN = "unknown"
    """A value could not be read or is not plausible."""
    NOTICE = "notice"
    """Unusual, no immediate harm."""
    WARNING = "warning"
    """Degraded, or likely to fail."""
    CRITICAL = "critical"
    """Broken: jobs fail or run much slower."""

    rank: int
    """Position in the order; 0 is the mildest."""

    def __new__(cls, word: str) -> Severity:
        """Create a member from its word; members are defined from the mildest to the worst."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.rank = len(cls.__members__)
        return member

    @property
    def is_problem(self) -> bool:
        """Whether a finding of this severity is a fault of the node."""
        return self.rank >= Severity.NOTICE.rank

    @classmethod
    def worst_first(cls) -> tuple[Severity, ...]:
        """Return all severities, the worst first."""
        return tuple(reversed(cls))

    # `str` would compare the words.
    def __lt__(self, other: str) -> bool:
        return self.rank < Severity(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Severity(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Severity(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Severity(other).rank

    __str__ = str.__str__
    """The word: Python 3.11 and later would format a member as its qualified name."""
