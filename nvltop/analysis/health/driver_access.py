"""Rules about the reading itself: driver-stuck, reader-gone, monitor-slow, no-read, what is so by design."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.health.board import Interconnect
from nvltop.analysis.health.claim import INFO_ONLY, NVLTOP, UNKNOWN_ONLY, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names, short_gpu_names
from nvltop.analysis.health.gpus import unopened
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult, first_missing
from nvltop.analysis.rates import (
    COUNTER_RESET,
    IMPLAUSIBLE_RATE,
    LEARNING_REFRESH,
    NO_SECOND_READING,
    READING_GAP,
    max_gap_s,
)
from nvltop.formatting import age
from nvltop.model import NOT_READ, GpuFrame, LinkState, Missing, Severity, Tick, known

MAX_SWEEP_SHARE: Final = 0.10
"""Share of the interval that one sweep over the link counters may take."""
SLOW_DRIVER_S: Final = 10.0
MIN_SLOW_SWEEP_S: Final = 0.05
"""A sweep that is over so fast is not slow, however short the interval."""
TRANSIENT_REASONS: Final = frozenset(
    {
        NO_SECOND_READING,
        LEARNING_REFRESH,
        READING_GAP,
        COUNTER_RESET,
        IMPLAUSIBLE_RATE,
        NOT_READ,
        Missing("no error counter read yet"),
    }
)
"""Reasons that the next readings will end."""


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Judge whether the driver answers, and how fast."""
    claims = [*_stuck(rule_input), *_silent(rule_input), *_slow(rule_input)]
    cost = rule_input.cost
    if not cost.calls_per_s:
        responds = any(g.state == "ok" and g.age_s for g in rule_input.gpus)
        return claims, "the driver responds" if responds else Missing("not read yet")
    return claims, f"{cost.calls_per_s:.0f} NVML calls/s take {cost.driver_s_per_s:.2%} of the time"


def _stuck(rule_input: RuleInput) -> Iterator[Claim]:
    unread = rule_input.history.unread_time
    limit = max_gap_s(max(rule_input.tick.interval_s, rule_input.cost.interval_s))
    waits = [c for c in rule_input.tick.calls if rule_input.tick.mono_s - c.since_s > limit]
    # A driver that says that it is not there has answered; of GPUs that are left out nothing comes.
    readable = not rule_input.inventory.problem and any(g.state == "ok" for g in rule_input.gpus)
    if unread.unread_s > limit and readable:
        if unread.driver_s <= limit or not unread.blocking_call:
            yield _reader_gone(rule_input.tick, unread.unread_s)
            return
        silent = unread.driver_s
        yield Claim(
            rule="driver-stuck",
            gpu=None,
            headline=f"NVIDIA driver not answering for {age(silent)}",
            summary=f"The NVIDIA driver has not answered for {age(silent)} in {unread.blocking_call};"
            f" the numbers shown are {age(silent)} old",
            escalations=(Escalation(Severity.CRITICAL),),
            evidence={"silent_s": round(silent, 1), "call": unread.blocking_call},
            next_step="Look for Xid 119 or 120 in `dmesg`; do not `kill -9` programs that use the GPU",
            source="NVIDIA/NVSentinel issue 1574",
        )
        return
    for wait in waits:
        if wait.gpu is not None:
            yield _hangs(rule_input, wait.gpu, wait.function, rule_input.tick.mono_s - wait.since_s)


def _reader_gone(tick: Tick, unread_s: float) -> Claim:
    """Say that we have stopped reading: nothing is known of the driver, good or bad."""
    if tick.worker == "ended":
        why = tick.note or "nvltop's reading process has ended"
        next_step = "Report it with this line; the driver and the GPUs need not have a fault"
    elif tick.worker == "paused":
        why = "nvltop's reading process does not run (stopped, frozen, or without CPU time)"
        next_step = "See whether it is stopped (`ps -o stat,cmd`) and whether the machine is overloaded"
    else:
        why = "nvltop's reading process sends nothing, and no driver call holds it up"
        next_step = "See whether the machine is overloaded; `nvidia-smi` tells whether the driver answers"
    return Claim(
        rule="reader-gone",
        gpu=None,
        headline="nvltop's own reader is not running",
        summary=f"Nothing is read: {why}; the numbers shown are {age(unread_s)} old",
        escalations=UNKNOWN_ONLY,
        evidence={"unread_s": round(unread_s, 1), "worker": tick.worker},
        next_step=next_step,
    )


def _hangs(rule_input: RuleInput, index: int, function: str, seconds: float) -> Claim:
    uuid = next((g.gpu.uuid for g in rule_input.gpus if g.gpu.index == index), None)
    return Claim(
        rule="driver-stuck",
        gpu=uuid,
        headline=f"GPU {index}: driver not answering for {age(seconds)}",
        summary=f"The driver has not answered for GPU {index} for {age(seconds)} ({function});"
        " what is shown of it is as old",
        escalations=(Escalation(Severity.CRITICAL),),
        evidence={"silent_s": round(seconds, 1), "call": function},
        next_step="Look for Xid 119 or 120 in `dmesg`; do not `kill -9` programs that use the GPU",
        source="NVIDIA/NVSentinel issue 1574",
    )


def _silent(rule_input: RuleInput) -> Iterator[Claim]:
    """GPUs that hung, that the driver counts but does not open, or that answer nothing but errors."""
    reasons: dict[str, list[GpuFrame]] = {}
    dead = unopened(rule_input)
    for g in rule_input.gpus:
        if g.state == "unreadable" and g not in dead:
            reasons.setdefault(g.state_reason, []).append(g)
    for reason, gpus in reasons.items():
        hung = "hung" in reason
        yield Claim(
            rule="driver-stuck" if hung else "no-read",
            gpu=gpus[0].gpu.uuid if len(gpus) == 1 else None,
            headline=f"{short_gpu_names(gpus)} cannot be read",
            summary=f"{gpu_names(gpus)} cannot be read: {reason}",
            escalations=(Escalation(Severity.CRITICAL),) if hung else UNKNOWN_ONLY,
            evidence=rule_input.evidence(gpus[0], "gauges", answer=reason, gpus=[g.gpu.index for g in gpus]),
            next_step="Look for Xid 119 or 120 in `dmesg`"
            if hung
            else "See `nvidia-smi` and the rights of /dev/nvidia*; it is asked again all the time",
        )


def _slow(rule_input: RuleInput) -> Iterator[Claim]:
    cost = rule_input.cost
    asleep = [g for g in rule_input.gpus if g.gpu.persistence is False]
    limit = max(MAX_SWEEP_SHARE * rule_input.tick.interval_s, MIN_SLOW_SWEEP_S)
    if cost.sweep_s > limit:
        mode = f"; persistence mode is off on {gpu_names(asleep)}" if asleep else ""
        yield Claim(
            rule="monitor-slow",
            gpu=None,
            headline=f"Driver is slow: {cost.sweep_s * 1e3:.0f} ms per reading",
            summary=f"The driver is slow, {cost.sweep_s * 1e3:.0f} ms for the link counters of all GPUs,"
            f" so nvltop refreshes every {max(cost.interval_s, rule_input.tick.interval_s):.3g} s{mode}",
            escalations=(Escalation(Severity.NOTICE, after_s=SLOW_DRIVER_S, readings=3),),
            read_s=rule_input.tick.mono_s,
            evidence={"sweep_s": round(cost.sweep_s, 3), "interval_s": round(cost.interval_s, 3)},
            next_step="Start nvidia-persistenced, or ask less often (`-d`)"
            if asleep
            else "Ask less often (`-d`); see whether other monitors read the driver as well",
            source=NVLTOP,
        )
    elif asleep:
        yield Claim(
            rule="monitor-slow",
            gpu=None,
            headline=f"Persistence mode is off on {short_gpu_names(asleep)}",
            summary=f"Persistence mode is off on {gpu_names(asleep)}:"
            " the first reading after a pause is slow",
            escalations=INFO_ONLY,
            next_step="Start nvidia-persistenced",
        )


def evaluate_unread(rule_input: RuleInput) -> RuleResult:
    """Say where link health is unknown because the counters cannot be read."""
    claims = [
        claim
        for g in rule_input.gpus
        if g.state == "ok" and g.gpu.mig is not True
        for claim in _unread(rule_input, g)
    ]
    linked = [g for g in rule_input.gpus if g.links and g.state == "ok"]
    if not linked:
        return claims, None
    unread = {g.gpu.index: why for g in linked if (why := _not_now(g))}
    if unread:
        hidden = [g for g in linked if g.gpu.index in unread]
        return claims, Missing(f"{gpu_names(hidden)}: {unread[hidden[0].gpu.index]}")
    return claims, f"state, traffic and errors of all links ({gpu_names(linked)})"


def _not_now(g: GpuFrame) -> str | None:
    """Return why the traffic of a GPU cannot be shown at this moment, or None if it is shown."""
    if g.state != "ok" or g.gpu.mig is True or g.nvlink.links_up == 0:
        return None
    if g.stale:
        return f"link counters not read for {age(g.age_s['links'])}"
    unread = first_missing((g.nvlink.tx_bytes_per_s, g.nvlink.rx_bytes_per_s))
    return unread.reason if unread else None


def _unread(rule_input: RuleInput, g: GpuFrame) -> Iterator[Claim]:
    link = g.nvlink
    if isinstance(link.links_present, Missing):
        what, short, why = "The NVLinks", "NVLinks", link.links_present
    elif not link.links_present:
        return
    elif isinstance(link.links_up, Missing) and all(k.state is LinkState.UNKNOWN for k in g.links):
        what, short, why = "The NVLink states", "link states", link.links_up
    elif link.links_up == 0:
        return
    elif "links" in g.age_s and isinstance(link.tx_bytes_per_s, Missing) and _lasting(link.tx_bytes_per_s):
        what, short, why = "The NVLink traffic counters", "traffic counters", link.tx_bytes_per_s
    elif "errors" in g.age_s and isinstance(link.errors_total, Missing) and _lasting(link.errors_total):
        what, short, why = "The NVLink error counters", "error counters", link.errors_total
    else:
        return
    if not _lasting(why):
        return
    denied = why.reason == "no permission"
    yield Claim(
        rule="no-read",
        gpu=g.gpu.uuid,
        headline=f"{gpu_name(g)}: {short} unreadable",
        summary=f"{what} of {gpu_name(g)} cannot be read ({why.reason}), so link health is unknown",
        escalations=(Escalation(Severity.UNKNOWN, readings=2),),
        read_s=rule_input.read_s(g, "gauges"),
        evidence={"answer": why.reason},
        next_step="Run nvltop with the right to read them, or have the administrator set"
        " NVreg_RestrictProfilingToAdminUsers=0"
        if denied
        else "A newer driver may report them",
        source="gpuopenanalytics/pynvml issue 19",
    )


def _lasting(why: Missing) -> bool:
    """Whether a reason is more than a pause between readings."""
    return why not in TRANSIENT_REASONS


def evaluate_design(rule_input: RuleInput) -> RuleResult:
    """Say what is so by design, and is no fault."""
    claims = []
    mig = [g for g in rule_input.gpus if g.gpu.mig is True]
    if mig:
        claims.append(
            Claim(
                "mig-on",
                mig[0].gpu.uuid if len(mig) == 1 else None,
                f"{short_gpu_names(mig)}: MIG on, no NVLink by design",
                f"MIG is on ({gpu_names(mig)}): NVLink between GPUs is off by design",
                INFO_ONLY,
                source="NVIDIA/nccl issue 1716",
            )
        )
    board = rule_input.board
    if board.virtual:
        switched = board.interconnect in (Interconnect.SWITCH, Interconnect.SWITCH5, Interconnect.RACK)
        claims.append(
            Claim(
                "in-vm",
                None,
                "Virtual machine" + (": NVSwitches are outside it" if switched else ""),
                "This is a virtual machine"
                + (": the NVSwitches and their fabric manager are outside it" if switched else ""),
                INFO_ONLY,
                source="NVML virtualization mode",
            )
        )
    counts = [g.nvlink.links_present for g in rule_input.gpus]
    if counts and all(known(c) and c == 0 for c in counts):
        claims.append(Claim("no-nvlink", None, *_without_nvlink(rule_input), INFO_ONLY))
    return claims, None


def _without_nvlink(rule_input: RuleInput) -> tuple[str, str]:
    """Return headline and sentence for a node without NVLink."""
    if all(known(g.gpu.name) and "GB10" in g.gpu.name for g in rule_input.gpus):
        return (
            "GB10: one chip, no NVLink",
            "GB10 is one chip: CPU and GPU share one memory, and there is no NVLink",
        )
    if len(rule_input.gpus) == 1:
        return "No NVLink on this GPU", "This GPU has no NVLink"
    return (
        "No NVLink: GPUs communicate over PCIe",
        "This node has no NVLink, so its GPUs communicate over PCIe",
    )


RULE_GROUP: Final = RuleGroup(
    "driver answers", ("driver-stuck", "reader-gone", "monitor-slow"), evaluate, per_gpu=False
)
UNREAD: Final = RuleGroup("can be read", ("no-read",), evaluate_unread)
DESIGN: Final = RuleGroup("by design", ("mig-on", "in-vm", "no-nvlink"), evaluate_design, is_check=False)
