"""Rules about which links are up: link-down, fewer-links, bridge-partial, no-bridge, traffic-disabled, link-
speed, link-sleep.

One broken wire is one root finding. What follows from it (`fewer-links` of the same GPU, the other end of
the wire) names it as its cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nvltop.analysis.health import bridges
from nvltop.analysis.health.board import Kind, optional_bridge
from nvltop.analysis.health.claim import (
    DCGM,
    INFO,
    OURS,
    Claim,
    Family,
    Opinion,
    Scene,
    Step,
    first_missing,
    linked,
    named,
    names,
    up_count,
)
from nvltop.analysis.health.dark import POLLS, Dark, blame, dark, judged, one_switch, settling
from nvltop.analysis.link_states import lit
from nvltop.model import GpuFrame, LinkState, Missing, known
from nvltop.text import ranges

NEVER_UP: Final = "since before nvltop started"


def judge(scene: Scene) -> Opinion:
    """Judge the states and speeds of all links."""
    gpus = linked(scene)
    if not gpus:
        unread = first_missing(g.nvlink.links_present for g in scene.gpus if g.gpu.mig is not True)
        return (), unread
    found = dark(scene)
    claims = [*_down(scene, found, blame(scene, found)), *bridges.without(scene)]
    fastest = _fastest(scene)
    partial: dict[str, str] = {}
    for g in judged(scene):
        if optional_bridge(g.gpu):
            claims += bridges.partly(scene, g, partial)
        claims += [*_disabled(scene, g), *_slow(scene, g, fastest.get(g.gpu.name, 0.0)), *_asleep(scene, g)]
    return claims, _looked(scene, gpus)


def _looked(scene: Scene, gpus: Sequence[GpuFrame]) -> str | Missing:
    """Say what was examined, for the case that no rule found anything."""
    dim = [g for g in gpus if lit(g.links).where(LinkState.UNKNOWN)]
    why = next((k.state_reason for g in dim for k in g.links if k.state is LinkState.UNKNOWN), "")
    if why:
        return Missing(why)
    present, up = sum(len(g.links) for g in gpus), sum(up_count(g) for g in gpus)
    if up == present:
        return f"{up} of {present} links up, all at full speed"
    if scene.board.kind is not Kind.BRIDGE and settling(scene):
        return Missing(f"{up} of {present} links up, the others may still be training")
    if not up:
        bridge = " (no bridge, or not trained)" if all(optional_bridge(g.gpu) for g in gpus) else ""
        return f"none of {present} NVLink ports is connected{bridge}"
    return f"{up} of {present} links up, all at full speed; the others are not connected"


def _down(scene: Scene, found: Sequence[Dark], blamed: Mapping[str, str]) -> Iterator[Claim]:
    """Links that were up while we watched, or that peers of the same model have."""
    switch = one_switch(scene, found)
    if switch:
        yield _switch_down(scene, switch, found)
    for d in found:
        uuid = d.gpu.gpu.uuid
        root = blamed.get(uuid)
        if d.all or len(d.links) == d.missing:
            claim = _link_down(scene, d, root)
            yield replace(claim, cause=("link-down", None)) if switch else claim
        if not d.fell:
            yield _fewer(scene, d, root or (uuid if d.all or len(d.links) == d.missing else None))


def _switch_down(scene: Scene, switch: str, found: Sequence[Dark]) -> Claim:
    gpus = [d.gpu for d in found]
    lost = sum(d.missing for d in found)
    return Claim(
        rule="link-down",
        gpu=None,
        identity=f"NVSwitch {switch}",
        headline=f"NVSwitch {switch[-10:]}: links of {len(found)} GPUs DOWN",
        summary=f"All links that are down on {names(gpus)} ({lost}) lead to the NVSwitch {switch}:"
        " the fault is at the switch",
        steps=(Step("critical"),),
        polled_s=scene.polled(gpus[0], "states"),
        evidence=scene.evidence(
            gpus[0], "states", switch=switch, gpus=[g.gpu.index for g in gpus], links_down=lost
        ),
        next_step="Look for SXid lines of that NVSwitch in `dmesg`, then restart the machine. "
        + scene.board.fabric_step,
        confidence="likely",
        damage=max(d.missing / d.usual for d in found),
    )


def _link_down(scene: Scene, d: Dark, root: str | None) -> Claim:
    g, up = d.gpu, up_count(d.gpu)
    one = len(d.links) == 1
    number = ranges(d.links, ", ")
    to = _to(scene, d)
    since = "went down" if d.fell else f"{'is' if one else 'are'} down {NEVER_UP}"
    if d.all:
        headline = f"{named(g)} has lost all {d.missing} NVLinks"
        summary = (
            f"{named(g)} has lost all its {d.missing} NVLinks{'' if d.fell else f' ({NEVER_UP})'}:"
            " it reaches the other GPUs over PCIe at best"
        )
    else:
        which = (
            f"link {number}" if one else f"links {number}" if len(number) <= 10 else f"{len(d.links)} links"
        )
        headline = f"{named(g)} {which} DOWN ({up} of {d.usual} up)"
        summary = (
            f"{named(g)} link{'' if one else 's'} {number}{to} {since}:"
            f" {up} of {d.usual} links are left ({up / d.usual - 1:.0%} bandwidth)"
        )
    if root:
        summary += f", the other end of the fault at {_name(scene, root)}"
    return Claim(
        rule="link-down",
        gpu=g.gpu.uuid,
        link=d.links[0] if one else None,
        identity=g.gpu.uuid,
        headline=headline,
        summary=summary,
        steps=(Step("critical", polls=1 if d.readings >= POLLS else POLLS),),
        polled_s=scene.polled(g, "states"),
        evidence=scene.evidence(g, "states", links=list(d.links), links_up_before=d.usual, links_up_after=up),
        next_step=scene.board.link_step,
        source=DCGM,
        cause=("link-down", root) if root else None,
        damage=d.missing / d.usual,
    )


def _fewer(scene: Scene, d: Dark, root: str | None) -> Claim:
    """Links that peers of the same model have and this GPU has not had since we started."""
    g, up = d.gpu, up_count(d.gpu)
    return Claim(
        rule="fewer-links",
        gpu=g.gpu.uuid,
        headline=f"{named(g)}: {up} of {d.usual} NVLinks up (others {d.usual})",
        summary=f"{named(g)} has {up or 'none'} of {d.usual} NVLinks up {NEVER_UP},"
        f" other GPUs of the same model have {d.usual}",
        steps=(Step("warning", polls=POLLS),),
        polled_s=scene.polled(g, "states"),
        evidence=scene.evidence(g, "states", links_up=up, links_up_of_peers=d.usual),
        next_step="Compare `nvidia-smi nvlink -s` of both GPUs. " + scene.board.fabric_step,
        source=OURS,
        cause=("link-down", root) if root else None,
        damage=d.missing / d.usual,
    )


def _to(scene: Scene, d: Dark) -> str:
    """` (to GPU 5)`, where the links go straight to GPUs."""
    ends = {
        scene.memory.ends[d.gpu.gpu.uuid, k].gpu for k in d.links if (d.gpu.gpu.uuid, k) in scene.memory.ends
    }
    there = [other for other in scene.gpus if other.gpu.uuid in ends]
    return f" (to {names(there)})" if there else ""


def _name(scene: Scene, uuid: str) -> str:
    return next((named(g) for g in scene.gpus if g.gpu.uuid == uuid), "another GPU")


def _disabled(scene: Scene, g: GpuFrame) -> Iterator[Claim]:
    shut = sorted(lit(g.links).where(LinkState.TRAFFIC_DISABLED))
    if not shut:
        return
    whole = len(shut) == len(lit(g.links).active)
    for link in [None] if whole else shut:
        what = f"All NVLinks of {named(g)} are" if link is None else f"{named(g)} link {link} is"
        where = f"{named(g)}: all links" if link is None else f"{named(g)} link {link}:"
        yield Claim(
            rule="traffic-disabled",
            gpu=g.gpu.uuid,
            link=link,
            headline=f"{where} up, traffic disabled",
            summary=f"{what} trained but not allowed to carry traffic",
            steps=(Step("critical" if whole else "warning", polls=POLLS),),
            polled_s=scene.polled(g, "states"),
            evidence=scene.evidence(g, "states", links=shut),
            next_step="Check the partition of this GPU. " + scene.board.fabric_step,
            source="NVML field 165",
            damage=len(shut) / len(g.links),
        )


def _fastest(scene: Scene) -> dict[object, float]:
    """Return the speed of the fastest link of each model, bytes/s one direction."""
    fastest: dict[object, float] = {}
    for g in linked(scene):
        if g.gpu.mig is not True:
            fastest[g.gpu.name] = max(fastest.get(g.gpu.name, 0.0), *lit(g.links).active_speeds, 0.0)
    return fastest


def _slow(scene: Scene, g: GpuFrame, fastest: float) -> Iterator[Claim]:
    """A link slower than the fastest of the same model here."""
    slow = {speed for speed in lit(g.links).active_speeds if 0 < speed < 0.99 * fastest}
    for link in g.links if slow else ():
        speed = link.speed_bytes_per_s
        if link.active and known(speed) and speed in slow:
            yield Claim(
                rule="link-speed",
                gpu=g.gpu.uuid,
                link=link.index,
                headline=f"{named(g)} link {link.index}: {speed / 1e9:.1f} GB/s, others {fastest / 1e9:.1f}",
                summary=f"{named(g)} link {link.index} runs at {speed / 1e9:.1f} GB/s per direction,"
                f" other links of its kind at {fastest / 1e9:.1f} GB/s",
                steps=(Step("warning", polls=POLLS),),
                polled_s=scene.polled(g, "states"),
                evidence=scene.evidence(g, "states", speed_bytes_per_s=speed, fastest_bytes_per_s=fastest),
                next_step="Check the bandwidth mode (`nvidia-smi nvlink -gBwMode`), then reset the GPU",
            )
    mode = g.fabric.bandwidth_mode
    if known(mode) and mode != "full":
        yield Claim(
            rule="link-speed",
            gpu=g.gpu.uuid,
            headline=f"{named(g)}: NVLink bandwidth mode '{mode}'",
            summary=f"The NVLink bandwidth mode of {named(g)} is '{mode}', not 'full'",
            steps=INFO,
            evidence=scene.evidence(g, "fabric", bandwidth_mode=mode),
            next_step="An administrator can set it with `nvidia-smi nvlink -sBwMode FULL`",
        )


def _asleep(scene: Scene, g: GpuFrame) -> Iterator[Claim]:
    # Sleeping links are not down: on an idle node they are all it has.
    asleep = sorted(lit(g.links).where(LinkState.SLEEP))
    if asleep:
        yield Claim(
            rule="link-sleep",
            gpu=g.gpu.uuid,
            headline=f"{named(g)}: {len(asleep)} links asleep (power saving)",
            summary=f"{len(asleep)} links of {named(g)} are asleep to save power; traffic wakes them",
            steps=INFO,
            polled_s=scene.polled(g, "states"),
            evidence=scene.evidence(g, "states", links=asleep),
        )


FAMILY: Final = Family(
    "links",
    (
        "link-down",
        "fewer-links",
        "bridge-partial",
        "no-bridge",
        "traffic-disabled",
        "link-speed",
        "link-sleep",
    ),
    judge,
)
