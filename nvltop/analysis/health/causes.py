"""Which findings follow from which: one fault is one root finding, its consequences stand below it.

A relation is either known to the rule itself (`Claim.cause`: the other end of a broken wire, the echo of
another GPU's Xid) or listed in `RELATIONS`. A finding names the root of its chain, not the link before it
in the chain, and a cause is at least as severe as what follows from it, so that the roots alone give the
worst severity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from nvltop.analysis.health.claim import Claim
from nvltop.analysis.health.debounce import key_of
from nvltop.model import Finding


class Relation(NamedTuple):
    """Findings of `cause` explain those of `effects`."""

    cause: str
    effects: tuple[str, ...]
    same_gpu: bool = True
    """Only those about the same GPU; otherwise any of the node."""
    same_link: bool = False


RELATIONS: Final = (
    Relation("lib-mismatch", ("driver-stuck", "no-read", "container-lost"), same_gpu=False),
    Relation("container-lost", ("driver-stuck", "no-read"), same_gpu=False),
    Relation("driver-stuck", ("no-read", "monitor-slow"), same_gpu=False),
    Relation("gpu-lost", ("xid-gpu", "xid-nvlink", "recovery-action", "no-read")),
    Relation(
        "gpu-lost",
        ("link-down", "fewer-links", "stuck-collective", "heartbeat-stopped", "straggler", "link-imbalance"),
        same_gpu=False,
    ),
    Relation("fabric-not-ready", ("p2p-dead", "traffic-disabled"), same_gpu=False),
    Relation("fabric-failed", ("p2p-dead", "traffic-disabled"), same_gpu=False),
    Relation("link-down", ("link-ber", "recovery-failed", "link-chronic", "link-crc"), same_link=True),
    Relation("link-down", ("link-errors-legacy", "link-errors-nvl5", "link-outlier"), same_link=True),
    Relation(
        "link-down",
        ("xid-nvlink", "recovery-action", "fewer-links", "bridge-partial", "fabric-health", "straggler"),
    ),
    Relation("link-down", ("link-imbalance", "p2p-fallback"), same_gpu=False),
    Relation("traffic-disabled", ("link-imbalance", "p2p-fallback"), same_gpu=False),
    Relation("fewer-links", ("fabric-health", "straggler")),
    Relation("fewer-links", ("link-imbalance",), same_gpu=False),
    Relation("bridge-partial", ("link-imbalance",), same_gpu=False),
    Relation("xid-nvlink", ("recovery-action", "recovery-failed")),
    Relation("xid-gpu", ("recovery-action", "remap", "xid-nvlink")),
    Relation("xid-nvlink", ("stuck-collective", "heartbeat-stopped"), same_gpu=False),
    Relation("xid-gpu", ("stuck-collective", "heartbeat-stopped"), same_gpu=False),
    Relation("link-speed", ("link-imbalance",), same_gpu=False),
    Relation("recovery-failed", ("link-errors-nvl5", "link-chronic", "link-outlier"), same_link=True),
    Relation("link-chronic", ("link-errors-legacy", "link-errors-nvl5", "link-outlier"), same_link=True),
    Relation("link-errors-legacy", ("link-crc", "link-outlier"), same_link=True),
    Relation("link-errors-nvl5", ("link-ber", "link-outlier"), same_link=True),
    Relation("link-crc", ("link-outlier",), same_link=True),
    Relation("throttled", ("straggler",)),
    Relation("stuck-collective", ("heartbeat-stopped", "straggler"), same_gpu=False),
    Relation("p2p-dead", ("p2p-fallback",), same_gpu=False),
)
"""The first relation that fits decides, so the more fundamental cause stands first."""


def with_causes(findings: Sequence[Finding], claims: Sequence[Claim]) -> tuple[Finding, ...]:
    """Return the findings with their causes, the roots in the given order and below each what it caused."""
    hints = {key_of(c.where): c.cause for c in claims if c.cause}
    at: dict[tuple[str, str | None], Finding] = {}
    for f in reversed(findings):
        at[f.rule, f.gpu] = f
    cause: dict[str, str] = {}
    for f in findings:
        hint = hints.get(f.key)
        found = at.get(hint) if hint else None
        if found is None or not _explains(found, f):
            found = _related(f, findings)
        if found is not None and _root(found.key, cause) != f.key:
            # Two findings that would explain each other: the first one does.
            cause[f.key] = found.key
    roots = {f.key: _root(f.key, cause) for f in findings}
    place = {f.key: i for i, f in enumerate(findings)}
    ordered = sorted(findings, key=lambda f: (place[roots[f.key]], roots[f.key] != f.key, place[f.key]))
    return tuple(replace(f, caused_by=roots[f.key]) if roots[f.key] != f.key else f for f in ordered)


def _related(f: Finding, findings: Sequence[Finding]) -> Finding | None:
    for relation in RELATIONS:
        if f.rule not in relation.effects:
            continue
        for other in findings:
            if other.rule == relation.cause and _explains(other, f) and _fits(relation, other, f):
                return other
    return None


def _fits(relation: Relation, cause: Finding, effect: Finding) -> bool:
    if relation.same_link:
        links = cause.evidence.get("links")
        same = cause.link == effect.link or (isinstance(links, Sequence) and effect.link in links)
        return cause.gpu == effect.gpu and same
    # A finding about the whole node explains those about its GPUs.
    return not relation.same_gpu or cause.gpu is None or cause.gpu == effect.gpu


def _explains(cause: Finding, effect: Finding) -> bool:
    return cause.key != effect.key and cause.severity >= effect.severity


def _root(key: str, cause: Mapping[str, str]) -> str:
    seen = {key}
    while key in cause and cause[key] not in seen:
        key = cause[key]
        seen.add(key)
    return key
