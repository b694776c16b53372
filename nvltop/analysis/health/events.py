"""Rules about what the driver told by itself: xid-nvlink, xid-gpu; and which GPU began it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from nvltop.analysis.health.catalog import ECHOES, SOURCES, UNKNOWN_XID, Xid, lookup
from nvltop.analysis.health.claim import XID_CATALOG, Claim, Family, Opinion, Scene, Step
from nvltop.model import Event, Missing

TOGETHER_S: Final = 60.0
"""Faults of several GPUs within so long belong together."""
MILD_S: Final = 3600.0
"""How long an XID that asks for nothing is told of; the others stay until nvltop ends."""


def culprits(events: Sequence[Event]) -> dict[str, list[Event]]:
    """Return the GPUs that likely began a fault which others only echo, each with the echoes.

    A GPU that logs a fault of its own (79, 149, …) within a minute of peers that log 45, 74 or 145
    is the likely source (marin-community/marin issue 9086). Where all log 74, nobody can tell.
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


def judge(scene: Scene) -> Opinion:
    """Judge the events since nvltop started; what came before is only in the kernel log."""
    xids = [e for e in scene.events if e.kind == "xid"]
    claims = list(_claims(scene, xids))
    if scene.listening is None:
        return claims, Missing("not listening yet")
    if not scene.listening.code:
        return claims, Missing("this driver tells no events here; look for Xid lines in `dmesg`")
    since = datetime.fromtimestamp(scene.listening.wall_s)
    return claims, f"none since {since:%H:%M:%S}; earlier ones, and those of NVSwitches, only in `dmesg`"


def _claims(scene: Scene, xids: Sequence[Event]) -> Iterator[Claim]:
    index_of = {g.gpu.uuid: g.gpu.index for g in scene.gpus}
    began = culprits(xids)
    groups: dict[tuple[str | None, bool], list[tuple[Event, Xid]]] = {}
    for event in xids:
        xid = lookup(event.code)
        mild = xid.severity in ("info", "notice", "warning")
        if not mild or scene.tick.mono_s - event.mono_s < MILD_S:
            groups.setdefault((event.gpu, xid.nvlink), []).append((event, xid))
    order = ("critical", "warning", "notice", "info")
    for (gpu, nvlink), told in groups.items():
        # The worst speaks for the GPU, the newest of equals.
        event, xid = min(told, key=lambda pair: (order.index(pair[1].severity), -pair[0].mono_s))
        where = f"GPU {index_of[gpu]}" if gpu in index_of else "a GPU"
        code = "an unknown Xid" if event.code == UNKNOWN_XID else f"Xid {event.code}"
        summary = f"{where} reported {code}: {xid.meaning}"
        likely = began.get(gpu or "")
        if likely and event.code in SOURCES:
            who = sorted({index_of.get(e.gpu or "", -1) for e in likely})
            codes = ", ".join(map(str, sorted({e.code for e in likely})))
            count = f"{len(who)} peer{'s' if len(who) > 1 else ''}"
            summary += f". {count} reported {codes}, so {where} is the likely source"
        elif any(gpu in {e.gpu for e in echoes} for echoes in began.values()):
            source = next(g for g, echoes in began.items() if gpu in {e.gpu for e in echoes})
            summary += f". It likely echoes the fault of GPU {index_of.get(source, '?')}"
        times = sum(e.code == event.code for e, _ in told)
        if times > 1:
            summary += f" ({times} times)"
        yield Claim(
            rule="xid-nvlink" if nvlink else "xid-gpu",
            gpu=gpu,
            summary=summary,
            steps=(Step(xid.severity),),
            evidence={
                "xid": event.code,
                "times": times,
                "codes": sorted({e.code for e, _ in told}),
                "last_unix_s": round(max(e.wall_s for e, _ in told), 3),
            },
            next_step=xid.action,
            source=XID_CATALOG,
            confidence="likely" if likely else "certain",
            began_s=min(e.wall_s for e, _ in told),
        )


FAMILY: Final = Family("Xids", ("xid-nvlink", "xid-gpu"), judge)
