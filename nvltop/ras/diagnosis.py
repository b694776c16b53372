"""Say which ranks are behind, which are missing, and what moved between two answers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from nvltop.frozen import frozen
from nvltop.ras.answer import Communicator, Rank, RasReport

HEALTHY: Final = frozenset({"RUNNING", "INIT", "FINALIZE", "NOCOMM", "UNKNOWN"})
"""Statuses of ranks that are not a fault by themselves."""


@frozen
class Lag:
    """A rank that has launched fewer operations of one collective than others."""

    rank: Rank
    collective: str
    launched: int
    highest: int

    @property
    def behind(self) -> int:
        """Number of operations that others have launched and this rank has not."""
        return self.highest - self.launched


@frozen
class CommunicatorDiagnosis:
    """One communicator, and what is conspicuous in it."""

    communicator: Communicator
    behind: tuple[Lag, ...]
    """Ranks that are behind, the furthest first."""
    faulty: tuple[Rank, ...]
    """Ranks with an error, and ranks that are missing or dead."""
    moved: bool | None
    """Whether any count increased since the earlier answer; None without one."""

    @property
    def conspicuous(self) -> bool:
        """Whether a rank is behind, missing or has an error."""
        return bool(self.behind or self.faulty)

    @property
    def stuck(self) -> bool:
        """Whether ranks are behind or missing and nothing moved between two answers."""
        return self.moved is False and self.conspicuous


def diagnose(report: RasReport, earlier: RasReport | None = None) -> tuple[CommunicatorDiagnosis, ...]:
    """Return the diagnosis of every communicator, the conspicuous ones first."""
    before = {c.hash: c for c in earlier.communicators} if earlier else {}
    found = [
        CommunicatorDiagnosis(c, _behind(c), _faulty(c), _moved(before.get(c.hash), c))
        for c in report.communicators
    ]
    return tuple(sorted(found, key=lambda d: not d.conspicuous))


def answered_for(report: RasReport, pids: Collection[int]) -> bool:
    """Return whether the job that answered has one of these processes.

    Several jobs of one user share the default port, and the kernel picks the process that answers. A text
    report lists few processes, and processes in containers have other numbers there: without any number the
    answer counts as right.
    """
    ranks = [rank for c in report.communicators for rank in (*c.ranks, *c.missing)]
    listed = {rank.pid for rank in ranks if rank.pid is not None}
    return not listed or not report.complete or bool(listed & set(pids))


def _behind(c: Communicator) -> tuple[Lag, ...]:
    lags = []
    highest = dict(c.common_counts)
    for rank in c.ranks:
        for collective, count in rank.counts.items():
            highest[collective] = max(highest.get(collective, 0), count)
    for rank in c.ranks:
        for collective, count in rank.counts.items():
            if count < highest[collective]:
                lags.append(Lag(rank, collective, count, highest[collective]))
    return tuple(sorted(lags, key=lambda lag: (-lag.behind, lag.rank.rank)))


def _faulty(c: Communicator) -> tuple[Rank, ...]:
    return (*c.missing, *(rank for rank in c.ranks if rank.status not in HEALTHY))


def _moved(before: Communicator | None, after: Communicator) -> bool | None:
    if before is None:
        return None
    return _launched(before) != _launched(after)


def _launched(c: Communicator) -> int:
    """Return the sum of all counts."""
    return sum(sum(rank.counts.values()) for rank in c.ranks) + sum(c.common_counts.values())
