"""Rules about access to the driver, and facts that are by design.

- Driver responses: driver-stuck, reader-gone, monitor-slow.
- Values that cannot be read: no-read.
- By design: mig-on, in-vm, no-nvlink.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.errors import NO_COUNTER_READ
from nvltop.analysis.health.board import Interconnect
from nvltop.analysis.health.claim import INFO_ONLY, NVLTOP, UNKNOWN_ONLY, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names, short_gpu_names
from nvltop.analysis.health.gpus import unopened
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.analysis.rates import (
    COUNTER_RESET,
    IMPLAUSIBLE_RATE,
    LEARNING_REFRESH,
    NO_SECOND_READING,
    READING_GAP,
    max_gap_s,
)
from nvltop.formatting import age
from nvltop.model import NOT_READ, GpuFrame, LinkState, Missing, Severity, Tick, first_missing, known

MAX_SWEEP_SHARE: Final = 0.10
"""Share of the interval above which reading the link counters of all GPUs is slow."""
MIN_SLOW_SWEEP_S: Final = 0.05
"""Duration of that reading, seconds, below which it is never slow, however short the interval."""
SLOW_DRIVER_S: Final = 10.0
"""Time after which a slow driver is reported, seconds."""
TRANSIENT_REASONS: Final = frozenset(
    {
        NO_SECOND_READING,
        LEARNING_REFRESH,
        READING_GAP,
        COUNTER_RESET,
        IMPLAUSIBLE_RATE,
        NOT_READ,
        NO_COUNTER_READ,
    }
)
"""Reasons for a missing value that the next readings will resolve."""
CHECK_RM_XIDS_STEP: Final = "Look for Xid 119 or 120 in `dmesg`"


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check whether the driver responds, and how fast."""
    claims = [
        *_not_answering(rule_input),
        *_unreadable(rule_input),
        *_slow(rule_input),
        *_slow_gpus(rule_input),
    ]
    cost = rule_input.cost
    if not cost.calls_per_s:
        responds = any(g.state == "ok" and g.age_s for g in rule_input.gpus)
        return claims, "the driver responds" if responds else Missing("not read yet")
    calls = f"{cost.calls_per_s:.0f} NVML calls/s"
    if cost.driver_s_per_s > 1:
        return claims, f"{calls}, {cost.driver_s_per_s:.1f} threads wait for the driver on average"
    return claims, f"{calls} take {cost.driver_s_per_s:.2%} of the time"


def _not_answering(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that a driver call hangs, or that our own reader does."""
    unread = rule_input.history.unread_time
    limit = max_gap_s(rule_input.cost.effective_interval_s(rule_input.tick.interval_s))
    # A driver that reports a problem has answered, and nothing is read from excluded GPUs.
    readable = not rule_input.inventory.problem and any(g.state == "ok" for g in rule_input.gpus)
    if unread.unread_s > limit and readable:
        if unread.driver_s <= limit or not unread.blocking_call:
            yield _reader_gone(rule_input.tick, unread.unread_s)
            return
        held = age(unread.driver_s)
        yield _driver_stuck(
            None,
            f"NVIDIA driver not answering for {held}",
            f"The NVIDIA driver has not answered for {held} in {unread.blocking_call};"
            f" the numbers shown are {held} old",
            unread.driver_s,
            unread.blocking_call,
        )
        return
    # The oldest call of each GPU, which is the one that the header shows.
    newest_first = sorted(rule_input.tick.calls, key=lambda call: -call.since_s)
    for call in {call.gpu: call for call in newest_first}.values():
        waited_s = rule_input.tick.mono_s - call.since_s
        if call.gpu is not None and waited_s > limit:
            held = age(waited_s)
            yield _driver_stuck(
                next((g.gpu.uuid for g in rule_input.gpus if g.gpu.index == call.gpu), None),
                f"GPU {call.gpu}: driver not answering for {held}",
                f"The driver has not answered for GPU {call.gpu} for {held} ({call.function});"
                " the values shown for it are as old",
                waited_s,
                call.function,
            )


def _driver_stuck(gpu: str | None, headline: str, summary: str, waited_s: float, function: str) -> Claim:
    return Claim(
        rule="driver-stuck",
        gpu=gpu,
        headline=headline,
        summary=summary,
        escalations=(Escalation(Severity.CRITICAL),),
        evidence={"silent_s": round(waited_s, 1), "call": function},
        next_step=f"{CHECK_RM_XIDS_STEP}; do not `kill -9` programs that use the GPU",
        source="NVIDIA/NVSentinel issue 1574",
    )


def _reader_gone(tick: Tick, unread_s: float) -> Claim:
    """Claim that our own reader does not read, so that the state of the driver is unknown."""
    if tick.worker == "ended":
        why = tick.note or "nvltop's reading process has ended"
        next_step = "Report it with this line; the driver and the GPUs need not have a fault"
    elif tick.worker == "paused":
        why = "nvltop's reading process does not run (stopped, frozen, or without CPU time)"
        next_step = "See whether it is stopped (`ps -o stat,cmd`) and whether the machine is overloaded"
    else:
        why = "nvltop's reading process sends nothing, and no driver call holds it up"
        next_step = "See whether the machine is overloaded; `nvidia-smi` shows whether the driver answers"
    return Claim(
        rule="reader-gone",
        gpu=None,
        headline="nvltop's own reader is not running",
        summary=f"Nothing is read: {why}; the numbers shown are {age(unread_s)} old",
        escalations=UNKNOWN_ONLY,
        evidence={"unread_s": round(unread_s, 1), "worker": tick.worker},
        next_step=next_step,
    )


def _unreadable(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that GPUs cannot be read: a call hung, or the driver returns an error."""
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
            next_step=CHECK_RM_XIDS_STEP
            if hung
            else "See `nvidia-smi` and the permissions of /dev/nvidia*; nvltop keeps trying to read it",
        )


def _slow(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that the driver is slow, or that it will be because persistence mode is off."""
    cost = rule_input.cost
    not_persistent = [g for g in rule_input.gpus if g.gpu.persistence is False]
    limit = max(MAX_SWEEP_SHARE * rule_input.tick.interval_s, MIN_SLOW_SWEEP_S)
    if cost.sweep_s > limit:
        effective_s = cost.effective_interval_s(rule_input.tick.interval_s)
        is_longer = effective_s > rule_input.tick.interval_s
        consequence = f", so nvltop refreshes every {effective_s:.3g} s" if is_longer else ""
        mode = f"; persistence mode is off on {gpu_names(not_persistent)}" if not_persistent else ""
        yield Claim(
            rule="monitor-slow",
            gpu=None,
            headline=f"Driver is slow: {cost.sweep_s * 1e3:.0f} ms per reading",
            summary=f"The driver is slow, {cost.sweep_s * 1e3:.0f} ms for the link counters of all GPUs"
            f"{consequence}{mode}",
            escalations=(Escalation(Severity.NOTICE, after_s=SLOW_DRIVER_S, readings=3),),
            read_s=rule_input.tick.mono_s,
            evidence={"sweep_s": round(cost.sweep_s, 3), "interval_s": round(cost.interval_s, 3)},
            next_step="Start nvidia-persistenced, or refresh less often (`-d`)"
            if not_persistent
            else "Refresh less often (`-d`); see whether other monitors query the driver as well",
            source=NVLTOP,
        )
    elif not_persistent:
        yield Claim(
            rule="monitor-slow",
            gpu=None,
            headline=f"Persistence mode is off on {short_gpu_names(not_persistent)}",
            summary=f"Persistence mode is off on {gpu_names(not_persistent)}:"
            " the first reading after a pause is slow",
            escalations=INFO_ONLY,
            next_step="Start nvidia-persistenced",
        )


def _slow_gpus(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that single GPUs answer slowly, so that their links are read less often than those of others."""
    usual_s = rule_input.cost.effective_interval_s(rule_input.tick.interval_s)
    gpus = {g.gpu.index: g for g in rule_input.gpus if g.state == "ok"}
    for other in rule_input.cost.other_intervals:
        g = gpus.get(other.gpu)
        if g is None or other.interval_s <= usual_s:
            continue
        yield Claim(
            rule="monitor-slow",
            gpu=g.gpu.uuid,
            headline=f"{gpu_name(g)}: driver is slow, read every {other.interval_s:.2g} s",
            summary=f"The driver answers slowly for {gpu_name(g)}, so its link counters are read every"
            f" {other.interval_s:.2g} s, those of the other GPUs every {usual_s:.2g} s",
            escalations=(Escalation(Severity.NOTICE, after_s=SLOW_DRIVER_S, readings=3),),
            read_s=rule_input.tick.mono_s,
            evidence={"interval_s": round(other.interval_s, 3), "other_interval_s": round(usual_s, 3)},
            next_step=f"{CHECK_RM_XIDS_STEP}; see whether other monitors query this GPU as well",
            source=NVLTOP,
        )


def evaluate_unread(rule_input: RuleInput) -> RuleResult:
    """Check whether states, traffic and errors of all links can be read."""
    claims = [
        claim
        for g in rule_input.gpus
        if g.state == "ok" and g.gpu.mig is not True
        for claim in _unread(rule_input, g)
    ]
    gpus = rule_input.linked_gpus
    if not gpus:
        return claims, None
    unread = [(g, why) for g in gpus if (why := _why_no_traffic(g))]
    if unread:
        return claims, Missing(f"{gpu_names([g for g, _ in unread])}: {unread[0][1]}")
    return claims, f"state, traffic and errors of all links ({gpu_names(gpus)})"


def _reads_depend_on(rule_input: RuleInput) -> tuple[object, ...] | None:
    """Return what the result depends on: only the inventory, while everything can be read."""
    for g in rule_input.gpus:
        n = g.nvlink
        needed = (n.links_up, n.tx_bytes_per_s, n.rx_bytes_per_s, n.errors_total)
        if g.state != "ok" or g.stale or not n.links_up or Missing in map(type, needed):
            return None
    return (rule_input.inventory,)


def _why_no_traffic(g: GpuFrame) -> str | None:
    """Return why the traffic of a GPU cannot be shown now; None if it can."""
    if g.state != "ok" or g.gpu.mig is True or g.nvlink.links_up == 0:
        return None
    if g.stale:
        read_s = g.age_s.get("links")
        return "link counters not read yet" if read_s is None else f"link counters not read for {age(read_s)}"
    unread = first_missing((g.nvlink.tx_bytes_per_s, g.nvlink.rx_bytes_per_s))
    return unread.reason if unread else None


def _unread(rule_input: RuleInput, g: GpuFrame) -> Iterator[Claim]:
    """Claim that link states or counters of a GPU cannot be read for a lasting reason."""
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
    """Return whether a reason will not be resolved by the next readings."""
    return why not in TRANSIENT_REASONS


def evaluate_design(rule_input: RuleInput) -> RuleResult:
    """Return what is by design and not a fault."""
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
    """Return the headline and the summary for a node without NVLink."""
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
UNREAD: Final = RuleGroup("can be read", ("no-read",), evaluate_unread, depends_on=_reads_depend_on)
DESIGN: Final = RuleGroup("by design", ("mig-on", "in-vm", "no-nvlink"), evaluate_design, is_check=False)
