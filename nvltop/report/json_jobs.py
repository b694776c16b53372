"""Jobs, what they are doing, and their processes, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nvltop.model import NOT_READ, Activity, Job, Maybe, Missing, Process, Processes
from nvltop.report.objects import as_object, utc

NO_JOB: Final = Missing("no process of it is seen")
NO_STRAGGLER: Final = Missing("the others wait for none")


def job(job: Job, index_of: Mapping[str, int]) -> dict[str, Any]:
    """Return one job."""
    unlinked = job.unlinked
    return as_object(
        id=job.key,
        label=job.label,
        kind=job.kind,
        user=job.user,
        pids=list(job.pids),
        gpus=[index_of[uuid] for uuid in job.gpus],
        exclusive=list(job.exclusive),
        tx_bytes_per_s=job.tx_bytes_per_s,
        rx_bytes_per_s=job.rx_bytes_per_s,
        mean_over_s=round(job.mean_over_s, 6) or NOT_READ,
        exact=job.exact,
        unlinked=unlinked
        if isinstance(unlinked, Missing)
        else [[index_of[a], index_of[b]] for a, b in unlinked],
    )


def activity(found: Activity, index_of: Mapping[str, int]) -> dict[str, Any]:
    """Return what one job is doing."""
    beat = found.heartbeat
    waited_for = found.straggler
    return as_object(
        job=found.job or NO_JOB,
        gpus=[index_of.get(uuid) for uuid in found.gpus],
        step_s=beat if isinstance(beat, Missing) else beat.period_s,
        step_confidence=beat if isinstance(beat, Missing) else beat.confidence,
        step_drift=beat if isinstance(beat, Missing) else beat.drift,
        silent_s=beat if isinstance(beat, Missing) else round(beat.silent_s, 3),
        communication_share=found.communication,
        communication_intensity=found.intensity,
        limit=found.limit,
        straggler=index_of.get(waited_for.gpu) if waited_for else NO_STRAGGLER,
        straggler_signs=list(waited_for.signs) if waited_for else [],
        ranks=[
            as_object(
                gpu=index_of.get(rank.gpu),
                moved_bytes_per_s=rank.moved_bytes_per_s,
                communication_share=rank.communication,
                power_w=rank.power_w,
                util_percent=rank.util_percent,
                sm_clock_mhz=rank.sm_clock_mhz,
                late_s=rank.late_s,
            )
            for rank in found.ranks
        ],
    )


def processes(listed: Maybe[Processes], index_of: Mapping[str, int]) -> dict[str, Any]:
    """Return the processes, and why some cannot be seen."""
    if isinstance(listed, Missing):
        return as_object(processes=listed, processes_hidden=listed, processes_reason="")
    reasons = [listed.hidden_reason]
    if isinstance(listed.unread, Missing):
        reasons.append(f"a GPU did not tell its processes: {listed.unread.reason}")
    return {
        "processes": [_process(p, index_of) for p in listed.processes],
        "processes_hidden": listed.hidden,
        "processes_reason": "; ".join(filter(None, reasons)),
    }


def _process(p: Process, index_of: Mapping[str, int]) -> dict[str, Any]:
    return as_object(
        pid=p.pid,
        user=p.user,
        executable=p.executable,
        arguments=p.arguments,
        cpu_percent=p.cpu_percent,
        memory_bytes=p.memory_bytes,
        started=p.started_s if isinstance(p.started_s, Missing) else utc(p.started_s),
        gpus=[
            as_object(
                index=index_of.get(use.gpu),
                kind=use.kind,
                memory_bytes=use.memory_bytes,
                sm_percent=use.sm_percent,
            )
            for use in p.uses
        ],
    )
