"""Rules about which links are up: link-down, fewer-links, bridge-partial, traffic-disabled, link-speed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

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
    up_count,
)
from nvltop.analysis.rows import NO_LINKS, lit
from nvltop.model import GpuFrame, LinkState, Maybe, Missing, known

POLLS: Final = 3
"""States flicker while links train (NVIDIA/NVSentinel#1701)."""
TRAINING_S: Final = 30.0
"""As long as links come up for the first time, others may follow."""
BOOT_S: Final = 120.0
"""A machine that was switched on so recently may still be training its links."""
BRIDGE_LINKS: Final = 4
"""Links of one bridge; a card with fewer links has them all in one."""

_BRIDGED: Final = re.compile(r"PCI-?E|\bNVL\b|RTX|GeForce|Quadro|TITAN|\bA(2|10|16|30|40)\b|\bA\d{4}\b", re.I)

RESET: Final = (
    "Look for Xid 74 or 149 in `dmesg`, drain the GPU and reset it (`nvidia-smi -r`);"
    " if the link goes down again, ask for NVIDIA's field diagnostic"
)


def optional_bridge(gpu: GpuFrame) -> bool:
    """Whether links of this model are joined by bridges that a machine may have or not."""
    return known(gpu.gpu.name) and _BRIDGED.search(gpu.gpu.name) is not None


def settling(scene: Scene) -> bool:
    """Whether links that are not up yet may still be training."""
    new, boot = scene.memory.new_link_s, scene.inventory.booted_s
    if new is not None and scene.tick.mono_s - new < TRAINING_S:
        return True
    return known(boot) and 0 <= scene.tick.wall_s - boot < BOOT_S


def judge(scene: Scene) -> Opinion:
    """Judge the states and speeds of all links."""
    gpus = linked(scene)
    if not gpus:
        unread = first_missing(g.nvlink.links_present for g in scene.gpus if g.gpu.mig is not True)
        return (), unread
    judged = [g for g in gpus if g.gpu.mig is not True and "states" in g.age_s]
    most = _most(scene)
    claims = [claim for g in judged for claim in _gpu(scene, g, most[g.gpu.name])]
    dim = [g for g in gpus if lit(g.links).where(LinkState.UNKNOWN)]
    why = next((k.state_reason for g in dim for k in g.links if k.state is LinkState.UNKNOWN), "")
    if why:
        return claims, Missing(why)
    present = sum(len(g.links) for g in gpus)
    up = sum(up_count(g) for g in gpus)
    return claims, f"{up} of {present} links up, and of the speed of their peers"


class _Most(NamedTuple):
    """What the GPUs of one model have at most."""

    links_up: int
    bytes_per_s: float
    """Of one link."""


NOTHING: Final = _Most(0, 0.0)


def _most(scene: Scene) -> dict[Maybe[str], _Most]:
    """Return the most of each model among GPUs that answer and have no MIG."""
    most: dict[Maybe[str], _Most] = {}
    for g in scene.gpus:
        if g.state != "ok" or g.gpu.mig is True:
            continue
        before = most.get(g.gpu.name, NOTHING)
        most[g.gpu.name] = _Most(
            max(before.links_up, up_count(g) if "states" in g.age_s else 0),
            max(before.bytes_per_s, *lit(g.links).active_speeds, 0.0),
        )
    return most


def _gpu(scene: Scene, g: GpuFrame, most: _Most) -> Iterator[Claim]:
    # Sleeping links are not down: on a node at rest they are all it has.
    fell = sorted(lit(g.links).where(LinkState.DOWN) & scene.memory.lit.get(g.gpu.uuid, NO_LINKS))
    yield from _fell(scene, g, fell)
    if optional_bridge(g):
        yield from _bridge(scene, g)
    elif up_count(g) + len(fell) < most.links_up and not settling(scene):
        yield from _fewer(scene, g, fell, most.links_up)
    yield from _disabled(scene, g)
    yield from _slow(scene, g, most.bytes_per_s)
    asleep = sorted(lit(g.links).where(LinkState.SLEEP))
    if asleep:
        yield Claim(
            rule="link-sleep",
            gpu=g.gpu.uuid,
            summary=f"{len(asleep)} links of {named(g)} are asleep to save power; traffic wakes them",
            steps=INFO,
            polled_s=scene.polled(g, "states"),
            evidence=scene.evidence(g, "states", links=asleep),
        )


def _link_down(scene: Scene, g: GpuFrame, link: int | None, summary: str, **seen: object) -> Claim:
    return Claim(
        rule="link-down",
        gpu=g.gpu.uuid,
        link=link,
        summary=summary,
        steps=(Step("critical", polls=POLLS),),
        polled_s=scene.polled(g, "states"),
        evidence=scene.evidence(g, "states", **seen),
        next_step=RESET,
        source=DCGM,
    )


def _fell(scene: Scene, g: GpuFrame, fell: list[int]) -> Iterator[Claim]:
    """Links that were active while we watched."""
    before = len(scene.memory.lit.get(g.gpu.uuid, ()))
    if len(fell) > 1 and up_count(g) == 0 and len(fell) == before:
        yield _link_down(
            scene,
            g,
            None,
            f"All {before} NVLinks of {named(g)} went down; it reaches the others over PCIe at best",
            links_up_before=before,
            links_up_after=0,
        )
        return
    for link in fell:
        yield _link_down(
            scene,
            g,
            link,
            f"{named(g)} link {link}{_to(scene, g, link)} went down;"
            f" {up_count(g)} of {before} links are left, so less bandwidth",
            links_up_before=before,
            links_up_after=up_count(g),
        )


def _to(scene: Scene, g: GpuFrame, link: int) -> str:
    """` (to GPU 5)`, where the link goes straight to one."""
    ends = {other.gpu.uuid: other for other in scene.gpus}
    there = ends.get(g.links[link].remote.gpu or "") if link < len(g.links) else None
    return f" (to {named(there)})" if there else ""


def _fewer(scene: Scene, g: GpuFrame, fell: list[int], most: int) -> Iterator[Claim]:
    """Links that peers of the same model have and this GPU has not had since we started."""
    # Peers that fell while we watched say nothing of what is normal; the most that any has does.
    whole = [p for p in scene.peers(g) if "states" in p.age_s and up_count(p) == most]
    here = up_count(g) + len(fell)
    usual = NO_LINKS.union(*[lit(p.links).active for p in whole])
    dark = sorted((lit(g.links).where(LinkState.DOWN) & usual).difference(fell))
    if up_count(g) and len(dark) == most - here:
        for link in dark:
            yield _link_down(
                scene,
                g,
                link,
                f"{named(g)} link {link}{_to(scene, g, link)} is down;"
                f" its peers have {most} links, it has {up_count(g)}",
                links_up=up_count(g),
                links_up_of_peers=most,
            )
    has = f"has {here} NVLinks up" if here else "has no NVLink up"
    yield Claim(
        rule="fewer-links",
        gpu=g.gpu.uuid,
        summary=f"{named(g)} {has}, GPUs of the same model {most}; it was so when nvltop started",
        steps=(Step("warning", polls=POLLS),),
        polled_s=scene.polled(g, "states"),
        evidence=scene.evidence(g, "states", links_up=here, links_up_of_peers=most),
        next_step="Compare `nvidia-smi nvlink -s` of both, and read the fabric manager's log"
        " (`journalctl -u nvidia-fabricmanager`)",
        source=OURS,
    )


def _bridge(scene: Scene, g: GpuFrame) -> Iterator[Claim]:
    """A bridge gives all its links or none."""
    each = min(BRIDGE_LINKS, len(g.links))
    up = up_count(g)
    if lit(g.links).where(LinkState.UNKNOWN) or up % each == 0:
        return
    whole = (up // each + 1) * each
    yield Claim(
        rule="bridge-partial",
        gpu=g.gpu.uuid,
        summary=f"The NVLink bridge of {named(g)} gives {up} of {whole} links: it may not be seated well",
        steps=(Step("warning", polls=POLLS),),
        polled_s=scene.polled(g, "states"),
        evidence=scene.evidence(g, "states", links_up=up, links_per_bridge=each),
        next_step="Switch the machine off, reseat the bridge and clean its contacts",
    )


def _disabled(scene: Scene, g: GpuFrame) -> Iterator[Claim]:
    shut = sorted(lit(g.links).where(LinkState.TRAFFIC_DISABLED))
    if not shut:
        return
    whole = len(shut) == len(lit(g.links).active)
    for link in [None] if whole else shut:
        what = f"All NVLinks of {named(g)} are" if link is None else f"{named(g)} link {link} is"
        yield Claim(
            rule="traffic-disabled",
            gpu=g.gpu.uuid,
            link=link,
            summary=f"{what} trained but not allowed to carry traffic",
            steps=(Step("critical" if whole else "warning", polls=POLLS),),
            polled_s=scene.polled(g, "states"),
            evidence=scene.evidence(g, "states", links=shut),
            next_step="Check the fabric manager and the partition of this GPU"
            " (`systemctl status nvidia-fabricmanager`; in a VM, ask the host)",
            source="NVML field 165",
        )


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
                summary=f"{named(g)} link {link.index} runs at {speed / 1e9:.1f} GB/s a direction,"
                f" others of its kind at {fastest / 1e9:.1f}",
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
            summary=f"The NVLink bandwidth mode of {named(g)} is '{mode}', not 'full'",
            steps=INFO,
            evidence=scene.evidence(g, "fabric", bandwidth_mode=mode),
            next_step="An administrator can set it with `nvidia-smi nvlink -sBwMode FULL`",
        )


FAMILY: Final = Family(
    "links",
    ("link-down", "fewer-links", "bridge-partial", "traffic-disabled", "link-speed", "link-sleep"),
    judge,
)
