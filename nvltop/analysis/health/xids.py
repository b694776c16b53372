"""Severity of an Xid, by the evidence that the GPU shows beside it.

An Xid alone rarely shows how bad it is: NVIDIA's catalog has fatal and harmless rows for the same code. The
evidence that decides is:

- the recovery action (field 230): whether the driver requests a reset or a reboot;
- links that went down, error counters that rose, a GPU that is lost;
- whether other GPUs reported the same at once, and whether one of them reported a fault of its own.

If there is no such evidence for `CALM_S`, the severity drops by one; after `MILD_S` the finding ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.health.rule import RuleInput
from nvltop.analysis.link_states import NO_LINKS, summarize
from nvltop.frozen import frozen
from nvltop.kernel_log.catalog import ECHOES, PEER_ACCESS, SOURCES, UNDECIDED, lookup
from nvltop.model import Event, GpuFrame, LinkState, Severity, known

TOGETHER_S: Final = 60.0
"""Time within which faults of several GPUs belong together, seconds."""
AT_ONCE_S: Final = 2.0
"""Time within which all GPUs must report a code for it to count as simultaneous, seconds."""
CALM_S: Final = 600.0
"""Time without further evidence after which the severity drops by one, seconds."""
MILD_S: Final = 3600.0
"""Time without further evidence after which the finding of an Xid ends, seconds."""
MILDER: Final = {Severity.CRITICAL: Severity.WARNING, Severity.WARNING: Severity.NOTICE}
"""The severity that an Xid gets after `CALM_S` without further evidence."""


@frozen
class Evidence:
    """What one GPU shows after an Xid."""

    action: int | None
    """Recovery action; None if the driver does not report it."""
    action_after: bool
    """Whether the recovery action was read after the Xid."""
    links_down: tuple[int, ...]
    """Links that went down while nvltop was running."""
    errors: int
    """Link errors since nvltop started."""
    lost: bool

    @property
    def damage(self) -> bool:
        """Whether there is any fault besides the Xid itself."""
        return bool(self.action or self.links_down or self.errors or self.lost)

    @property
    def clean(self) -> bool:
        """Whether the recovery action was read after the Xid and there is no fault."""
        return self.action == 0 and self.action_after and not self.damage


def evidence(rule_input: RuleInput, g: GpuFrame | None, last_s: float) -> Evidence:
    """Return the evidence of a GPU; `last_s` is CLOCK_MONOTONIC of its last Xid."""
    if g is None:
        return Evidence(None, False, (), 0, False)
    action, count = g.fabric.recovery_action, g.nvlink.errors_since_start
    went_down = summarize(g.links).in_state(LinkState.DOWN) & rule_input.history.ever_active.get(
        g.gpu.uuid, NO_LINKS
    )
    return Evidence(
        action=action if known(action) else None,
        action_after=rule_input.read_s(g, "fabric") > last_s,
        links_down=tuple(sorted(went_down)),
        errors=count if known(count) else 0,
        lost=g.state != "ok",
    )


def severity(codes: Sequence[int], seen: Evidence, quiet_s: float, blamed: bool = False) -> Severity | None:
    """Return how severe the Xids of one GPU are now, None if they are over.

    `quiet_s` is the time since the last Xid; `blamed` says that other GPUs echo the fault of this one.
    """
    worst = max(_severity(code, codes, seen, blamed) for code in codes)
    if worst is Severity.CRITICAL and not seen.clean:
        return worst
    if quiet_s >= MILD_S:
        return None
    return MILDER.get(worst, worst) if quiet_s >= CALM_S else worst


def _severity(code: int, codes: Sequence[int], seen: Evidence, blamed: bool) -> Severity:
    published = lookup(code).severity
    if code not in UNDECIDED or seen.damage or blamed:
        return published
    # A forbidden peer access of a program (137) is accompanied by a non-fatal code of the link unit.
    program = PEER_ACCESS in codes and SOURCES.isdisjoint(codes)
    return Severity.NOTICE if program else Severity.WARNING


def at_once(rule_input: RuleInput, xids: Sequence[Event]) -> list[Event]:
    """Return the Xids that all linked GPUs reported at once while none reported a fault of its own."""
    members = {g.gpu.uuid for g in rule_input.linked_gpus}
    if len(members) < 2:
        return []
    found: dict[int, Event] = {}
    for code in sorted({e.code for e in xids if e.code in ECHOES}):
        same = sorted((e for e in xids if e.code == code and e.gpu in members), key=lambda e: e.mono_s)
        first = 0
        for last, event in enumerate(same):
            while event.mono_s - same[first].mono_s > AT_ONCE_S:
                first += 1
            near = same[first : last + 1]
            if len(near) >= len(members) and {e.gpu for e in near} == members and not _own_fault(xids, event):
                found |= {id(e): e for e in near}
    return list(found.values())


def _own_fault(xids: Sequence[Event], event: Event) -> bool:
    return any(e.code in SOURCES and abs(e.mono_s - event.mono_s) <= TOGETHER_S for e in xids)
