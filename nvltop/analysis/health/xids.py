"""What a GPU shows beside an Xid: the evidence that decides how severe it is.

An Xid alone rarely says how bad it is: NVIDIA's catalog has fatal and harmless rows for one code. What
decides is what the driver and the links show afterwards:

- the recovery action (field 230): the driver itself requests a reset or a reboot, or nothing;
- links that went down, error counters that rose, a GPU that is lost;
- whether other GPUs reported the same at once, and whether one of them reported a fault of its own.

Where all of it is clean for `CALM_S`, a critical outcome becomes a warning and a warning a notice; after
`MILD_S` the finding ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nvltop.analysis.health.rule import RuleInput
from nvltop.analysis.link_states import NO_LINKS, lit
from nvltop.kernel_log.catalog import ECHOES, PEER_ACCESS, SOURCES, UNDECIDED, lookup
from nvltop.model import Event, GpuFrame, LinkState, Severity, known

TOGETHER_S: Final = 60.0
"""Seconds within which faults of several GPUs belong together."""
AT_ONCE_S: Final = 2.0
"""Seconds within which all GPUs must report a code for it to count as simultaneous."""
CALM_S: Final = 600.0
"""Seconds without further evidence after which a severity falls by one."""
MILD_S: Final = 3600.0
"""Seconds after which an Xid without further evidence is no finding any more."""
MILDER: Final = {Severity.CRITICAL: Severity.WARNING, Severity.WARNING: Severity.NOTICE}
"""The severity that an Xid gets after `CALM_S` without further evidence."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one GPU shows after an Xid."""

    action: int | None
    """Recovery action; None if the driver does not report it."""
    action_after: bool
    """It was read after the Xid."""
    links_down: tuple[int, ...]
    errors: int
    lost: bool

    @property
    def damage(self) -> bool:
        """Whether anything but the Xid itself is wrong."""
        return bool(self.action or self.links_down or self.errors or self.lost)

    @property
    def clean(self) -> bool:
        """Whether the driver was asked after the Xid and nothing is wrong."""
        return self.action == 0 and self.action_after and not self.damage


def evidence(rule_input: RuleInput, g: GpuFrame | None, last_s: float) -> Evidence:
    """Return what a GPU shows; `last_s` is CLOCK_MONOTONIC of its last Xid."""
    if g is None:
        return Evidence(None, False, (), 0, False)
    action, count = g.fabric.recovery_action, g.nvlink.errors_since_start
    fell = lit(g.links).where(LinkState.DOWN) & rule_input.history.ever_active.get(g.gpu.uuid, NO_LINKS)
    return Evidence(
        action=action if known(action) else None,
        action_after=rule_input.read_s(g, "fabric") > last_s,
        links_down=tuple(sorted(fell)),
        errors=count if known(count) else 0,
        lost=g.state != "ok",
    )


def severity(codes: Sequence[int], seen: Evidence, quiet_s: float, blamed: bool = False) -> Severity | None:
    """Return how severe the Xids of one GPU are now, None if they are over.

    `quiet_s` is the time since the last of them, `blamed` says that other GPUs echo them.
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
    # A forbidden access of a program (137) comes with a non-fatal code of the link's unit.
    program = PEER_ACCESS in codes and SOURCES.isdisjoint(codes)
    return Severity.NOTICE if program else Severity.WARNING


def culprits(events: Sequence[Event]) -> dict[str, list[Event]]:
    """Return the GPUs that likely began a fault which others only echo, each with the echoes.

    A GPU that logs a fault of its own (79, 149, …) within a minute of peers that log 45, 74 or 145
    is the likely source (marin-community/marin issue 9086). Where all log 74, nobody can know.
    """
    xids = [e for e in events if e.kind == "xid" and e.gpu is not None]
    found: dict[str, list[Event]] = {}
    for event in xids:
        if event.code not in SOURCES or event.gpu is None:
            continue
        near = [e for e in xids if abs(e.mono_s - event.mono_s) <= TOGETHER_S and e.gpu != event.gpu]
        echoes = [e for e in near if e.code in ECHOES]
        if echoes and not any(e.code in SOURCES for e in near):
            found[event.gpu] = echoes
    return found


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
