"""Jobs, their activity and their processes, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nvltop.analysis.job_rates import bus_bandwidth
from nvltop.model import (
    NOT_READ,
    Activity,
    Frame,
    Job,
    Judgement,
    Maybe,
    Missing,
    Process,
    Processes,
    known,
)
from nvltop.report.activity import watched_phrase
from nvltop.report.json_gpus import window
from nvltop.report.json_values import as_object, utc

NO_JOB: Final = Missing("none of its processes is visible")
NOT_JUDGED: Final = Missing("no traffic to judge")
NO_STEP: Final = Missing("no step found")
ALL_ALIKE: Final = Missing("all its GPUs are alike")
NO_NVLS: Final = Missing("no NVLS on this board, or for so few GPUs")
NO_STRAGGLER: Final = Missing("its GPUs wait for none of them")


def job(job: Job, index_of: Mapping[str, int]) -> dict[str, Any]:
    """Return a job."""
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
        mean_over_s=window(round(job.mean_over_s, 6) or NOT_READ, job.tx_bytes_per_s, job.rx_bytes_per_s),
        exact=job.exact,
        unlinked=unlinked
        if isinstance(unlinked, Missing)
        else [[index_of[a], index_of[b]] for a, b in unlinked],
    )


def activity(found: Activity, index_of: Mapping[str, int]) -> dict[str, Any]:
    """Return the activity of a job."""
    step = found.step
    waited_for = found.straggler
    return as_object(
        job=found.job or NO_JOB,
        gpus=[index_of.get(uuid) for uuid in found.gpus],
        step_s=step if isinstance(step, Missing) else step.period_s,
        step_confidence=step if isinstance(step, Missing) else step.confidence,
        step_drift=step if isinstance(step, Missing) else step.drift,
        silent_s=step if isinstance(step, Missing) else round(step.silent_s, 3),
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


def verdict(frame: Frame, index_of: Mapping[str, int]) -> dict[str, Any]:
    """Return the verdict with the numbers that it is based on."""
    found = frame.verdict
    return as_object(
        id=found.id,
        headline=found.headline,
        summary=found.summary,
        watched_s=round(found.watched_s, 1),
        note=watched_phrase(frame),
        other_jobs=found.others,
        judgement=judgement(found.judgement, index_of) if found.judgement else NOT_JUDGED,
    )


def judgement(j: Judgement, index_of: Mapping[str, int]) -> dict[str, Any]:
    """Return the judgement whether NVLink limits a job; shares are of the window."""
    busbw = bus_bandwidth(j)
    return as_object(
        job=j.job or NO_JOB,
        gpus=[index_of.get(uuid) for uuid in j.gpus],
        state=j.state,
        window_s=round(j.window_s, 3),
        step_s=j.step_s if j.step_s is not None else NO_STEP,
        share_with_traffic=j.busy,
        share_without_traffic=1 - j.busy if known(j.busy) else j.busy,
        share_at_limit=j.at_limit,
        share_at_limit_most=j.at_limit_most,
        links=j.links,
        level_of_nccl_max=j.level,
        mean_of_nccl_max=j.mean,
        nvls_level=j.nvls,
        most_limited_gpu=index_of.get(j.gpu) if j.gpu else ALL_ALIKE,
        direction=j.direction,
        overlap=j.overlap
        if isinstance(j.overlap, Missing)
        else {
            "unit": j.overlap.unit,
            "while_links_busy": round(j.overlap.busy, 3),
            "otherwise": round(j.overlap.otherwise, 3),
            "exposed_share": round(j.overlap.exposed, 3),
            "confidence": j.overlap.confidence,
        },
        reached_bytes_per_s=j.reached_bytes_per_s,
        nccl_max_bytes_per_s=j.practical_bytes_per_s,
        gpu_bytes_per_s=j.gpu_bytes_per_s,
        busbw_if_ring_bytes_per_s=busbw if isinstance(busbw, Missing) else busbw.ring,
        busbw_if_nvls_bytes_per_s=busbw if isinstance(busbw, Missing) else busbw.nvls or NO_NVLS,
        silent_s=round(j.silent_s, 1),
        limits=[as_object(kind=limit.kind, share=limit.share, evidence=limit.evidence) for limit in j.limits],
    )


def processes(listed: Maybe[Processes], index_of: Mapping[str, int]) -> dict[str, Any]:
    """Return the processes, and why some are hidden."""
    if isinstance(listed, Missing):
        return as_object(processes=listed, processes_hidden=listed, processes_reason="")
    reasons = [listed.hidden_reason]
    if isinstance(listed.unread, Missing):
        reasons.append(f"the processes of a GPU could not be read: {listed.unread.reason}")
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
