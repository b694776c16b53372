"""What NCCL reports of a job, in words for someone whose job hangs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.ras.answer import Rank, RasReport
from nvltop.ras.diagnosis import CommunicatorDiagnosis, Lag
from nvltop.text import counted

MAX_RANKS_SHOWN: Final = 16
"""Ranks of one communicator that are listed; the others are counted."""
LIMITS: Final = (
    "NCCL counts operations that were launched, not those that completed, and no point-to-point operations."
)


def to_lines(report: RasReport, diagnoses: Sequence[CommunicatorDiagnosis], where: str) -> list[str]:
    """Return the report as lines of text."""
    total = len(report.communicators)
    lines = [f"NCCL {report.nccl_version} answered on {where}: {total} communicator{'s' * (total != 1)}"]
    conspicuous = [d for d in diagnoses if d.conspicuous]
    for d in conspicuous:
        lines += ["", *_communicator(d)]
    quiet = [d for d in diagnoses if not d.conspicuous]
    if quiet:
        moved = [d.moved for d in quiet if d.moved is not None]
        note = f", {sum(moved)} of them moved since the first query" if moved else ""
        lines += ["", f"{len(quiet)} communicator{'s' * (len(quiet) != 1)} without a rank behind{note}"]
    if report.timeouts:
        lines += ["", f"{counted(report.timeouts, 'timeout')} while NCCL gathered the data"]
    lines += ["", conclusion(diagnoses), LIMITS]
    return lines


OTHER_JOB: Final = (
    "Another job answered: several jobs of a user share this port, and the kernel picks one. Ask again, or"
    " give each job a port of its own (NCCL_RAS_ADDR)."
)


def conclusion(diagnoses: Sequence[CommunicatorDiagnosis]) -> str:
    """Return the result in one sentence."""
    stuck = [d for d in diagnoses if d.stuck]
    if stuck:
        names = sorted({_place(lag.rank) for d in stuck for lag in d.behind})
        who = f"; behind: {', '.join(names[:4])}{' …' if len(names) > 4 else ''}" if names else ""
        return f"Stuck: nothing moved between two queries{who}."
    if any(d.conspicuous and d.moved for d in diagnoses):
        return "Not stuck: ranks are behind, but operations were launched between the two queries."
    if any(d.conspicuous for d in diagnoses):
        return (
            "One query cannot show a hang: ranks may differ for a moment while the job runs. "
            "Ask again; what does not move between two queries is stuck."
        )
    return "No rank is behind or missing."


def _communicator(d: CommunicatorDiagnosis) -> list[str]:
    c = d.communicator
    moved = {None: "", True: ", moved since the first query", False: ", nothing moved since the first query"}
    errors = f", {c.errors}" if c.errors else ""
    lines = [f"Communicator {c.hash}: {counted(c.size, 'rank')}, {c.status}{errors}{moved[d.moved]}"]
    lines += _limited([_behind(lag) for lag in d.behind])
    return lines + _limited([f"  {_place(rank)}: {_fault(rank)}" for rank in d.faulty])


def _limited(lines: list[str]) -> list[str]:
    more = len(lines) - MAX_RANKS_SHOWN
    return [*lines[:MAX_RANKS_SHOWN], f"  and {more} more"] if more > 0 else lines


def _behind(lag: Lag) -> str:
    kind = "operation" if lag.collective == "any" else lag.collective
    return (
        f"  {_place(lag.rank)} is {lag.behind} behind: launched {kind} {lag.launched}, others {lag.highest}"
    )


def _place(rank: Rank) -> str:
    where = [f"GPU {rank.nvml_index}"] if rank.nvml_index is not None else []
    where += [f"process {rank.pid}"] if rank.pid is not None else []
    where += [rank.host] if rank.host else []
    return f"rank {rank.rank}" + (f" ({', '.join(where)})" if where else "")


def _fault(rank: Rank) -> str:
    if rank.status == "DEAD":
        return "considered dead by NCCL: its process has not answered for a minute"
    if rank.status == "UNRESPONSIVE":
        return "did not answer: its process hangs, is stopped, or has ended"
    return rank.status
