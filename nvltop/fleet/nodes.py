"""Nodes from the samples of a query, with their names, and what is unknown of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field

from nvltop.fleet.model import NOT_EXPORTED, Node, PartialSum
from nvltop.fleet.queries import NODE_LABELS, VALUE_LABEL
from nvltop.fleet.source import Labels, Sample
from nvltop.frozen import mutable
from nvltop.model import Maybe, Missing, known


@mutable
class Member:
    """A node that was seen in the last 24 hours."""

    key: str
    labels: Labels
    last_seen_s: float = 0.0
    """Unix time of its last scrape; 0 if unknown."""
    first_seen_s: float = 0.0
    """Unix time of its first scrape in the last 24 hours; 0 if unknown."""
    gpus: int | None = None
    domain: tuple[str, str] = ("", "")
    """Cluster UUID and clique; empty if it is in no fabric or none is known."""
    tray: int | None = None


@mutable
class Values:
    """The values of one node in the answer to a query."""

    numbers: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """Values that are labels, such as the verdict."""
    xids: dict[str, float] = field(default_factory=dict)
    """Last Xid by GPU, where only dcgm-exporter reports it."""


def node_labels(labels: Labels) -> dict[str, str]:
    """Return the labels that identify a node."""
    return {name: labels[name] for name in NODE_LABELS if labels.get(name)}


def host_name(labels: Labels) -> str:
    """Return the name of a node: its host name if it is exported, else the scraped address."""
    return labels.get("Hostname") or labels.get("hostname") or labels.get("instance") or "?"


def node_key(labels: Labels) -> str:
    """Return the key of a node: what is scraped. Host names are not unique (clones, containers)."""
    scraped = labels.get("instance") or host_name(labels)
    return "/".join(filter(None, (labels.get("cluster"), labels.get("job"), scraped)))


def by_node(samples: Iterable[Sample]) -> dict[str, tuple[Labels, Values]]:
    """Return the values of each node."""
    found: dict[str, tuple[Labels, Values]] = {}
    for sample in samples:
        name = sample.labels.get(VALUE_LABEL, "")
        key = node_key(sample.labels)
        _, values = found.setdefault(key, (node_labels(sample.labels), Values()))
        if name == "xid":
            values.xids[sample.labels.get("gpu", "")] = sample.value
        elif name == "verdict":
            values.texts[name] = sample.labels.get("verdict", "")
        else:
            values.numbers[name] = sample.value
    return found


def short_names(members: Iterable[Member]) -> dict[str, str]:
    """Return the names of the nodes by key; addresses and ports only where the names would be equal."""
    listed = list(members)
    names = {member.key: host_name(member.labels) for member in listed}
    short = {key: _without_port(name) for key, name in names.items()}
    counts = Counter(short.values())
    whole = {m.key: " ".join(dict.fromkeys((names[m.key], m.labels.get("instance", "")))) for m in listed}
    return {key: name if counts[name] == 1 else whole[key] for key, name in short.items()}


def _without_port(name: str) -> str:
    host, colon, port = name.rpartition(":")
    return host.strip("[]") if colon and port.isdigit() and host else name


def answering(member: Member, name: str, values: Values, errors: PartialSum, time_s: float) -> Node:
    """Return a node that answers, from its values and those of its error counters."""
    numbers = values.numbers
    gpus = _count(numbers, "gpus")
    links = _count(numbers, "links")
    # Without its number of GPUs, at least one is unknown.
    linked = 1 if gpus is None else gpus - int(numbers.get("linkless", 0))
    up = PartialSum(Missing("no GPU reports its links"), linked)
    if "links_up" in numbers:
        # A GPU without NVLink reports 0 active links or none at all.
        unread = 1 if gpus is None else max(0, gpus - int(numbers.get("links_read", 0)))
        up = PartialSum(numbers["links_up"], min(unread, linked))
    elif gpus is not None and not linked:
        up = PartialSum(0.0)
    rated = 0 if gpus is None else int(numbers.get("rated", 0))
    tx, rx = (_rate(numbers, direction, linked, rated) for direction in ("tx", "rx"))
    limit = _limit(numbers, up)
    verdict = values.texts.get("verdict")
    return Node(
        member.key,
        name,
        member.labels,
        domain=domain_key(member.domain),
        tray=NOT_EXPORTED if member.tray is None else member.tray,
        silent_since_s=Missing("it answers"),
        age_s=max(0.0, numbers.get("age", time_s - numbers["scraped"])),
        gpus=NOT_EXPORTED if gpus is None else gpus,
        links=NOT_EXPORTED if links is None else links,
        links_up=up,
        tx=tx,
        rx=rx,
        combined=_combined(numbers, gpus or 0),
        limit_share=_limit_share(limit, tx, rx),
        limit=limit,
        errors=errors,
        step_s=numbers["step"] if numbers.get("step", 0) > 0 else Missing("no step period"),
        verdict=verdict or Missing("not in the metrics"),
    )


def silent(member: Member, name: str, why: Missing) -> Node:
    """Return a node whose values are all unknown, because there was no scrape for some time."""
    unknown = PartialSum(why, member.gpus or 1)
    return Node(
        member.key,
        name,
        member.labels,
        domain=domain_key(member.domain),
        tray=NOT_EXPORTED if member.tray is None else member.tray,
        silent=why,
        silent_since_s=member.last_seen_s or Missing("seen in the last 24 hours"),
        age_s=why,
        gpus=NOT_EXPORTED if member.gpus is None else member.gpus,
        links=why,
        links_up=unknown,
        tx=unknown,
        rx=unknown,
        combined=why,
        limit_share=why,
        limit=why,
        errors=unknown,
        step_s=why,
        verdict=why,
    )


def domain_key(domain: tuple[str, str]) -> str:
    """Return the key of an NVLink domain; empty if there is none."""
    return f"{domain[0]}/{domain[1]}" if domain[0] else ""


def _count(numbers: Mapping[str, float], name: str) -> int | None:
    return int(numbers[name]) if name in numbers else None


def _rate(numbers: Mapping[str, float], direction: str, linked: int, rated: int) -> PartialSum:
    """Return the sum of the rates of the GPUs with NVLink; the others have no rate and are not unknown."""
    if linked and "begun" not in numbers:
        return PartialSum(Missing("scraped for less than the window of the rates"), linked)
    if direction in numbers:
        return PartialSum(numbers[direction], max(0, linked - rated))
    return PartialSum(Missing("no rate of any GPU"), linked) if linked else PartialSum(0.0)


def _combined(numbers: Mapping[str, float], gpus: int) -> Maybe[float]:
    if "both" not in numbers:
        return NOT_EXPORTED
    if numbers.get("both_read", 0) < gpus:
        return Missing("not of every GPU")
    return numbers["both"]


def _limit(numbers: Mapping[str, float], up: PartialSum) -> Maybe[float]:
    if not known(up.complete):
        return Missing("the links of a GPU are unknown")
    return numbers["limit"] if numbers.get("limit", 0) > 0 else Missing("the speed of the links is unknown")


def _limit_share(limit: Maybe[float], tx: PartialSum, rx: PartialSum) -> Maybe[float]:
    out, into = tx.complete, rx.complete
    if not known(out) or not known(into):
        return Missing("the traffic of a GPU is unknown")
    return max(out, into) / limit if known(limit) else limit
