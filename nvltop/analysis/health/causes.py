"""Causes of findings: one fault is one root finding, and its consequences are listed below it.

The cause of a finding is either set by its rule (`Claim.cause`: the other end of a broken link, the Xid of
another GPU that this one echoes) or found with `RELATIONS`. A finding always refers to the root of its
chain of causes. A cause is at least as severe as its effects, so that the roots alone determine the worst
severity of the node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from nvltop.analysis.health.claim import Claim
from nvltop.model import Finding, FindingKey


class Relation(NamedTuple):
    """A rule whose findings explain the findings of other rules."""

    cause: str
    effects: tuple[str, ...]
    same_gpu: bool = True
    """Whether it explains only findings about the same GPU; otherwise, about any GPU of the node."""
    same_link: bool = False
    """Whether it explains only findings about the same link of the same GPU."""


LIFETIME_RULES: Final = ("link-outlier", "link-error-rate")
"""Rules about errors of the whole time since the driver initialised the GPU."""

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
    Relation("link-down", ("link-errors-legacy", "link-errors-nvl5", *LIFETIME_RULES), same_link=True),
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
    Relation("recovery-failed", ("link-errors-nvl5", "link-chronic", *LIFETIME_RULES), same_link=True),
    Relation("link-chronic", ("link-errors-legacy", "link-errors-nvl5", *LIFETIME_RULES), same_link=True),
    Relation("link-errors-legacy", ("link-crc", *LIFETIME_RULES), same_link=True),
    Relation("link-errors-nvl5", ("link-ber", *LIFETIME_RULES), same_link=True),
    Relation("link-crc", LIFETIME_RULES, same_link=True),
    Relation("throttled", ("straggler",)),
    Relation("stuck-collective", ("heartbeat-stopped", "straggler"), same_gpu=False),
    # All GPUs of a silent job wait, so none of them can be called slow.
    Relation("heartbeat-stopped", ("straggler",), same_gpu=False),
    Relation("p2p-dead", ("p2p-fallback",), same_gpu=False),
)
"""Relations in order of precedence: the first match decides, so fundamental causes come first."""


def with_causes(findings: Sequence[Finding], claims: Sequence[Claim]) -> tuple[Finding, ...]:
    """Return the findings with their causes: the roots in the given order, each followed by its effects."""
    claimed_causes = {c.key: c.cause for c in claims if c.cause}
    by_rule: dict[tuple[str, str | None], Finding] = {}
    for f in reversed(findings):
        by_rule[f.rule, f.gpu] = f
    cause: dict[FindingKey, FindingKey] = {}
    for f in findings:
        claimed = claimed_causes.get(f.key)
        found = by_rule.get(claimed) if claimed else None
        if found is None or not _explains(found, f):
            found = _related(f, findings)
        if found is not None and _root(found.key, cause) != f.key:
            # If two findings would explain each other, the first one explains the second.
            cause[f.key] = found.key
    roots = {f.key: _root(f.key, cause) for f in findings}
    position = {f.key: i for i, f in enumerate(findings)}
    ordered = sorted(findings, key=lambda f: (position[roots[f.key]], roots[f.key] != f.key, position[f.key]))
    return tuple(replace(f, caused_by=roots[f.key]) if roots[f.key] != f.key else f for f in ordered)


def _related(f: Finding, findings: Sequence[Finding]) -> Finding | None:
    for relation in RELATIONS:
        if f.rule not in relation.effects:
            continue
        for other in findings:
            if other.rule == relation.cause and _explains(other, f) and _applies(relation, other, f):
                return other
    return None


def _applies(relation: Relation, cause: Finding, effect: Finding) -> bool:
    if relation.same_link:
        links = cause.evidence.get("links")
        same = cause.link == effect.link or (isinstance(links, Sequence) and effect.link in links)
        return cause.gpu == effect.gpu and same
    # A finding about the whole node explains those about its GPUs.
    return not relation.same_gpu or cause.gpu is None or cause.gpu == effect.gpu


def _explains(cause: Finding, effect: Finding) -> bool:
    return cause.key != effect.key and cause.severity >= effect.severity


def _root(key: FindingKey, cause: Mapping[FindingKey, FindingKey]) -> FindingKey:
    seen = {key}
    while key in cause and cause[key] not in seen:
        key = cause[key]
        seen.add(key)
    return key
