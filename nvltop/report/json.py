"""The JSON report, for programs: schema `nvltop/1`.

A value that could not be read is null, and the object that holds it gives the reason under `missing`.
Later versions add keys and rename none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from nvltop import __version__
from nvltop.analysis.activity.pair_estimate import PairTable, estimate_pairs
from nvltop.analysis.link_quality import data_rate, retry_share
from nvltop.analysis.uptime import counted_s, per_day
from nvltop.model import (
    NOT_READ,
    ErrorCount,
    Frame,
    GpuFrame,
    Link,
    Matrix,
    Maybe,
    Missing,
    NicFrame,
    PciLocation,
    Remote,
)
from nvltop.report import incidents, json_gpus, json_jobs, timeline
from nvltop.report.json_gpus import length, window
from nvltop.report.json_values import as_object, as_value, utc

if TYPE_CHECKING:
    from nvltop.report.formats import RenderOptions

SCHEMA: Final = "nvltop/1"


def render(frame: Frame, options: RenderOptions) -> str:
    """Return a frame as a JSON text: indented if it is the only one, else on one line."""
    values = to_json(frame, options.only, estimate_pairs(frame) if options.estimate else None)
    indent = None if options.several else 1
    return json.dumps(values, indent=indent, ensure_ascii=options.ascii_only, allow_nan=False)


def to_json(
    frame: Frame, only: Iterable[str] | None = None, estimated: PairTable | None = None
) -> dict[str, Any]:
    """Return a frame as JSON values.

    `only` holds the UUIDs of the GPUs to list; `estimated` is the estimated traffic between pairs of GPUs.
    """
    wanted = None if only is None else set(only)
    index_of = {g.gpu.uuid: g.gpu.index for g in frame.gpus}
    inventory = frame.inventory
    return {
        "schema": SCHEMA,
        "version": __version__,
        "time": utc(frame.tick.wall_s),
        "interval_s": frame.tick.interval_s,
        "node": as_object(
            driver_version=inventory.driver_version,
            cuda_driver_version=inventory.cuda_driver_version,
            nvml_version=inventory.nvml_version,
            hostname=inventory.hostname,
            demo=inventory.demo,
            problem=inventory.problem.summary if inventory.problem else None,
            cpu_percent=frame.host.cpu_percent,
            memory_used_bytes=frame.host.memory_used_bytes,
            memory_total_bytes=frame.host.memory_total_bytes,
        ),
        "gpus": [
            _gpu(g, index_of, frame.tick.mono_s) for g in frame.gpus if wanted is None or g.gpu.uuid in wanted
        ],
        "matrix": _matrix(frame.matrix, estimated),
        **_nics(frame),
        "jobs": [json_jobs.job(job, index_of) for job in frame.jobs],
        "activity": [json_jobs.activity(a, index_of) for a in frame.activity],
        **json_jobs.processes(frame.processes, index_of),
        "events": timeline.events(frame),
        "incidents": [incidents.incident_object(i) for i in frame.incidents],
        "kernel_log": {"readable": not frame.log_access, "next_step": frame.log_access},
        "fabric_manager": incidents.fabric_object(frame),
        "verdict": json_jobs.verdict(frame, index_of),
        "judgements": [json_jobs.judgement(j, index_of) for j in frame.judgements],
        "findings": [
            {
                "rule": f.rule,
                "severity": f.severity,
                "gpu": index_of.get(f.gpu or ""),
                "link": f.link,
                "nic": f.nic,
                "summary": f.summary,
                "evidence": dict(f.evidence),
                "next_step": f.next_step,
                "source": f.source,
                "confidence": f.confidence,
                "since": None if f.began_s is None else utc(f.began_s),
                "headline": f.headline,
                "key": f.key,
                "caused_by": f.caused_by,
            }
            for f in frame.findings
        ],
        "pending": [
            {
                "rule": p.finding.rule,
                "severity": p.finding.severity,
                "gpu": index_of.get(p.finding.gpu or ""),
                "link": p.finding.link,
                "nic": p.finding.nic,
                "headline": p.finding.headline,
                "summary": p.finding.summary,
                "wait_s": round(p.wait_s, 1),
            }
            for p in frame.pending
        ],
        "checks": [
            {"name": c.name, "outcome": c.outcome, "detail": c.detail, "watched_s": c.watched_s}
            for c in frame.checks
        ],
        "monitor": {
            "worker": frame.tick.worker,
            "note": frame.tick.note,
            "nvml_calls_per_s": round(frame.cost.calls_per_s, 1),
            "driver_s_per_s": round(frame.cost.driver_s_per_s, 6),
            "effective_interval_s": frame.cost.interval_s,
        },
    }


def _gpu(g: GpuFrame, index_of: Mapping[str, int], now_s: float) -> dict[str, Any]:
    gpu, gauges, nvlink, fabric = g.gpu, g.gauges, g.nvlink, g.fabric
    rates = nvlink.tx_bytes_per_s, nvlink.rx_bytes_per_s
    link_rates = [rate for link in g.links for rate in (link.tx_bytes_per_s, link.rx_bytes_per_s)]
    return as_object(
        index=gpu.index,
        name=gpu.name,
        uuid=gpu.uuid,
        pci_bus_id=gpu.pci_bus_id,
        architecture=gpu.architecture,
        numa_node=gpu.numa_node,
        numa_affinity=gpu.numa_affinity,
        gpu_numa_id=gpu.numa_id,
        cpu_affinity=gpu.cpu_affinity,
        module_id=gpu.module_id,
        virtualization=gpu.virtualization,
        state=g.state,
        state_reason=g.state_reason,
        stale=g.stale,
        age_s={group: round(age, 3) for group, age in g.age_s.items()},
        util_percent=gauges.util_percent,
        memory_used_bytes=gauges.memory_used_bytes,
        memory_total_bytes=gauges.memory_total_bytes,
        power_w=gauges.power_w,
        power_limit_w=gpu.power_limit_w,
        temperature_c=gauges.temperature_c,
        slowdown_temperature_c=gpu.slowdown_c,
        sm_clock_mhz=gauges.sm_clock_mhz,
        pstate=gauges.pstate,
        event_reasons=gauges.event_reasons,
        mig=gpu.mig,
        persistence=gpu.persistence,
        vbios=gpu.vbios,
        board_part_number=gpu.board_part_number,
        nvlink_firmware=gpu.nvlink_firmware,
        nvlink_encryption=gpu.nvlink_encryption,
        platform=as_object(
            chassis_serial=gpu.chassis_serial, slot=gpu.slot, tray=gpu.tray, host_id=gpu.host_id
        ),
        uptime_s=_rounded(g.uptime_s, 1),
        pcie=json_gpus.pcie(g),
        c2c=as_object(
            links=gpu.c2c.links,
            links_up=gpu.c2c.links_up,
            speed_bytes_per_s=gpu.c2c.speed_bytes_per_s,
            tx_bytes_per_s=g.c2c.tx_bytes_per_s,
            rx_bytes_per_s=g.c2c.rx_bytes_per_s,
            **(json_gpus.c2c_errors(fabric) if gpu.c2c.links else {}),
        ),
        compute=json_gpus.compute(g),
        throttling=json_gpus.throttling(g.throttling),
        fabric=as_object(
            state=fabric.state,
            status=fabric.status,
            health=fabric.health_summary,
            health_mask=fabric.health_mask,
            cluster_uuid=fabric.cluster_uuid,
            clique_id=fabric.clique_id,
        ),
        recovery_action=fabric.recovery_action,
        nvlink=as_object(
            generation=gpu.nvlink_generation,
            links_present=nvlink.links_present,
            links_up=nvlink.links_up,
            speed_bytes_per_s=nvlink.speed_bytes_per_s,
            tx_bytes_per_s=nvlink.tx_bytes_per_s,
            rx_bytes_per_s=nvlink.rx_bytes_per_s,
            counter=nvlink.counter,
            scope=nvlink.scope,
            ceiling=nvlink.ceiling,
            recent_share=nvlink.recent_share,
            mean_tx_bytes_per_s=nvlink.mean_tx_bytes_per_s,
            mean_rx_bytes_per_s=nvlink.mean_rx_bytes_per_s,
            peak_tx_bytes_per_s=nvlink.peak_tx_bytes_per_s,
            peak_rx_bytes_per_s=nvlink.peak_rx_bytes_per_s,
            mean_over_s=length(g.mean_span_s),
            mean_is_step=g.mean_is_step,
            recent_over_s=window(round(nvlink.recent_s, 3) or NOT_READ, nvlink.recent_share),
            rates_over_s=window(length(g.span_s), *rates, *link_rates),
            rates_age_s=window(
                round(max(0.0, now_s - g.span_s[1]), 3) if g.span_s else NOT_READ, *rates, *link_rates
            ),
        ),
        links=[_link(g, link, index_of) for link in g.links],
    )


def _quality(g: GpuFrame, link: Link) -> dict[str, Maybe[object]]:
    """Return what newer boards and drivers say about the quality of a link."""
    found: dict[str, Maybe[object]] = {}
    if g.ber is not None and g.ber.data_rate:
        found["data_rate_bytes_per_s"] = data_rate(g, link)
    if g.ber is not None and g.ber.plr_blocks:
        found["plr_retry_share"] = retry_share(g, link)
    return found


def _link(g: GpuFrame, link: Link, index_of: Mapping[str, int]) -> dict[str, Any]:
    return as_object(
        index=link.index,
        state=link.state,
        **({"state_reason": link.state_reason} if link.state_reason else {}),
        speed_bytes_per_s=link.speed_bytes_per_s,
        remote=_remote(link.remote, index_of),
        tx_bytes_per_s=link.tx_bytes_per_s,
        rx_bytes_per_s=link.rx_bytes_per_s,
        tx_bytes_total=link.tx_bytes_total,
        rx_bytes_total=link.rx_bytes_total,
        mean_tx_bytes_per_s=link.mean_tx_bytes_per_s,
        mean_rx_bytes_per_s=link.mean_rx_bytes_per_s,
        **_quality(g, link),
        errors={kind: _link_error(count, g.uptime_s) for kind, count in link.errors.items()},
    )


def _remote(remote: Remote, index_of: Mapping[str, int]) -> dict[str, Any]:
    return as_object(
        kind=remote.kind,
        pci_bus_id=remote.pci_bus_id,
        gpu=index_of.get(remote.gpu) if remote.gpu else None,
        link=remote.link,
    )


def _error(count: ErrorCount, **more: object) -> dict[str, Any]:
    return as_object(
        total=count.total,
        since_start=count.since_start,
        per_min=count.per_min,
        last_change_s=None if count.last_change_s is None else round(count.last_change_s, 3),
        **more,
    )


def _link_error(count: ErrorCount, uptime_s: Maybe[float]) -> dict[str, Any]:
    """Return the counter of a link; of a counter at 0, the time is that of its GPU (`uptime_s`)."""
    if count.total == 0 and not count.last_hour:
        return _error(count)
    return _error(
        count,
        last_hour=count.last_hour,
        over_s=_rounded(counted_s(count, uptime_s), 1),
        per_day=_rounded(per_day(count, uptime_s), 3),
    )


def _rounded(value: Maybe[float], digits: int) -> Maybe[float]:
    return value if isinstance(value, Missing) else round(value, digits)


def _nics(frame: Frame) -> dict[str, Any]:
    listed = frame.inventory.nics
    if isinstance(listed, Missing) and not frame.nics:
        return as_object(nics=listed)
    return {"nics": [_nic(port) for port in frame.nics]}


def _nic(frame: NicFrame) -> dict[str, Any]:
    nic, port = frame.nic, frame.port
    place = nic.location
    return as_object(
        name=nic.device,
        label=frame.label,
        port=port.port,
        rdma=nic.rdma,
        link_layer=port.link_layer,
        state=port.state,
        physical_state=port.physical,
        speed_bytes_per_s=port.rate_bytes_per_s,
        tx_bytes_per_s=frame.tx_bytes_per_s,
        rx_bytes_per_s=frame.rx_bytes_per_s,
        ip_tx_bytes_per_s=frame.ip_tx_bytes_per_s,
        ip_rx_bytes_per_s=frame.ip_rx_bytes_per_s,
        rates_over_s=window(length(frame.span_s), frame.tx_bytes_per_s, frame.rx_bytes_per_s),
        tx_bytes_total=port.tx_bytes,
        rx_bytes_total=port.rx_bytes,
        errors={kind: _error(count) for kind, count in frame.errors.items()},
        pci_bus_id=place if isinstance(place, Missing) else place.pci_bus_id,
        numa_node=_numa_node(place),
        interfaces=list(nic.interfaces),
        firmware=nic.firmware,
        virtual_function=nic.virtual,
        role=nic.role or "data",
        bond=nic.bond,
        age_s=round(frame.age_s, 3),
    )


def _numa_node(place: Maybe[PciLocation]) -> Maybe[int]:
    if isinstance(place, Missing):
        return place
    return Missing("the kernel knows no NUMA nodes") if place.numa_node is None else place.numa_node


def _matrix(matrix: Matrix, estimated: PairTable | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "labels": list(matrix.labels),
        "cells": [list(row) for row in matrix.cells],
        "p2p_nvlink": [[as_value(v) for v in row] for row in matrix.p2p_nvlink],
        "pair_tx_bytes_per_s": [[as_value(v) for v in row] for row in matrix.pair_tx_bytes_per_s],
    }
    if matrix.legend:
        found["legend"] = dict(matrix.legend)
    missing = {f"cells:{pair}": why for pair, why in matrix.missing.items()}
    tables = {"p2p_nvlink": matrix.p2p_nvlink, "pair_tx_bytes_per_s": matrix.pair_tx_bytes_per_s}
    if estimated is not None:
        tables["estimated_pair_tx_bytes_per_s"] = estimated
        found["estimated_pair_tx_bytes_per_s"] = [[as_value(v) for v in row] for row in estimated]
    for key, table in tables.items():
        for i, row in enumerate(table):
            for j, value in enumerate(row):
                if isinstance(value, Missing):
                    missing[f"{key}:{matrix.labels[i]},{matrix.labels[j]}"] = value.reason
    if missing:
        found["missing"] = missing
    return found
