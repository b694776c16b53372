"""GPUs that began a fault which other GPUs report as well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from nvltop.kernel_log.catalog import ECHOES, SOURCES
from nvltop.model import Culprit, Event, Incident

NEAR_S: Final = 5.0
"""Difference up to which the times of NVML and of the log denote the same Xid, seconds."""


def culprits(
    events: Iterable[Event], incidents: Sequence[Incident], by_bus: Mapping[str, str]
) -> tuple[Culprit, ...]:
    """Return the GPUs that began a fault which others only echo (marin-community/marin issue 9086).

    `by_bus` has the UUID of each GPU by its PCI bus id. The incident decides which GPU began it: by the lines
    of the kernel log or the driver's own marks if there are any, otherwise by the codes alone. No GPU is
    blamed if all log 74, or if the origin is a switch or an unknown end of a link.
    """
    xids = [e for e in events if e.kind == "xid" and e.gpu is not None]
    return tuple(_culprits(xids, incidents, by_bus)) if xids else ()


def _culprits(
    xids: Sequence[Event], incidents: Sequence[Incident], by_bus: Mapping[str, str]
) -> Iterator[Culprit]:
    found: dict[str, Culprit] = {}
    for incident in incidents:
        origin = incident.origin
        source = by_bus.get(origin.pci_bus_id or "")
        if source is None or origin.sure == "unknown" or incident.before_start_s is not None:
            continue
        reported = {by_bus.get(e.fault.pci_bus_id or "") for e in incident.events} - {source}
        began_s, ended_s = incident.began_s or 0.0, incident.ended_s or 0.0
        # A GPU that blames this one for its failed link echoes it as well.
        codes = ECHOES | SOURCES if origin.blames == "remote-end" else ECHOES
        echoes = tuple(
            e
            for e in xids
            if e.gpu in reported
            and (e.code in codes or e.marked == "propagated")
            and began_s - NEAR_S <= e.wall_s <= ended_s + NEAR_S
        )
        if echoes:
            found[source] = Culprit(source, origin.sure, echoes)
    yield from found.values()
