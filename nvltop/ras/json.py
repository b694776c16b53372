"""What NCCL reports of a job, as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from nvltop.ras.answer import Rank, RasReport
from nvltop.ras.diagnosis import CommunicatorDiagnosis
from nvltop.ras.text import conclusion

SCHEMA: Final = "nvltop-ras/1"


def as_object(report: RasReport, diagnoses: Sequence[CommunicatorDiagnosis], where: str) -> dict[str, Any]:
    """Return the report as an object for JSON."""
    return {
        "schema": SCHEMA,
        "address": where,
        "nccl_version": report.nccl_version,
        "conclusion": conclusion(diagnoses),
        "stuck": any(d.stuck for d in diagnoses) if any(d.moved is not None for d in diagnoses) else None,
        "timeouts": report.timeouts,
        "communicators": [
            {
                "hash": d.communicator.hash,
                "size": d.communicator.size,
                "status": d.communicator.status,
                "moved": d.moved,
                "behind": [
                    {
                        **_rank(lag.rank),
                        "collective": lag.collective,
                        "launched": lag.launched,
                        "behind": lag.behind,
                    }
                    for lag in d.behind
                ],
                "faulty": [_rank(rank) for rank in d.faulty],
            }
            for d in diagnoses
        ],
    }


def _rank(rank: Rank) -> dict[str, Any]:
    return {
        "rank": rank.rank,
        "host": rank.host or None,
        "pid": rank.pid,
        "nvml_index": rank.nvml_index,
        "status": rank.status,
    }
