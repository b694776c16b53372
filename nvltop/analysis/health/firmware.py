"""A rule about firmware: equal boards of one node have equal versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from nvltop.analysis.health.claim import Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_names
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.model import GpuFrame, Severity, first_missing, known

VERSIONS: Final = {"vbios": "VBIOS", "nvlink_firmware": "NVLink firmware"}
"""Versions that are compared, by field of `Gpu`."""
VBIOS_RELEASE_FIELDS: Final = 4
"""Fields of a VBIOS version, such as 96.00.99.00.01, that name its release.

The last field names a build for a variant of the board. NVIDIA publishes no meaning for it, and it may differ
between GPUs that work together.
"""


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Compare the versions of GPUs of one model and, where it is known, one board part number."""
    boards: dict[tuple[object, object], list[GpuFrame]] = {}
    for g in rule_input.gpus:
        if known(g.gpu.name):
            part = g.gpu.board_part_number
            boards.setdefault((g.gpu.name, part if known(part) else None), []).append(g)
    claims = [claim for alike in boards.values() for claim in _compare(alike)]
    compared = sum(len(alike) for alike in boards.values() if len(alike) > 1)
    if compared < 2:
        return claims, None
    if all(not known(g.gpu.vbios) for g in rule_input.gpus):
        return claims, first_missing(g.gpu.vbios for g in rule_input.gpus)
    return claims, f"the same releases on {compared} GPUs with equal boards"


def _release(key: str, version: str) -> str:
    """Return the part of a version that equal boards share."""
    return ".".join(version.split(".")[:VBIOS_RELEASE_FIELDS]) if key == "vbios" else version


def _compare(alike: Sequence[GpuFrame]) -> Iterator[Claim]:
    for key, name in VERSIONS.items():
        by_version: dict[str, list[GpuFrame]] = {}
        for g in alike:
            version = getattr(g.gpu, key)
            if known(version):
                by_version.setdefault(_release(key, version), []).append(g)
        if len(by_version) < 2:
            continue
        groups = sorted(by_version.items(), key=lambda item: (-len(item[1]), item[0]))
        texts = [f"{gpu_names(gpus)} {version}" for version, gpus in groups]
        yield Claim(
            rule="mixed-firmware",
            gpu=None,
            headline=f"{len(groups)} different versions of the {name}",
            summary=f"The {name} differs between equal boards of this node: {'; '.join(texts)}",
            escalations=(Escalation(Severity.NOTICE, readings=1),),
            evidence={key: {version: [g.gpu.index for g in gpus] for version, gpus in groups}},
            next_step="Bring all GPUs to one version, with the firmware update of the system's vendor",
            identity=key,
        )


RULE_GROUP: Final = RuleGroup(
    "firmware",
    ("mixed-firmware",),
    evaluate,
    longest_delay_s=0.0,
    depends_on=lambda rule_input: (rule_input.inventory,),
)
