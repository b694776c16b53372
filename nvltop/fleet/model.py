"""What is known of a group of nodes at one moment: frozen dataclasses, and sums that keep the unknown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import field

from nvltop.frozen import frozen
from nvltop.model import NOT_READ, Maybe, Missing, Severity, known

NOT_EXPORTED = Missing("not in the metrics")


@frozen
class PartialSum:
    """A sum over members whose values may be unknown."""

    value: Maybe[float]
    """Sum of the known parts; missing if nothing is known."""
    unknown: int = 0
    """Number of members whose value is unknown, completely or in part; they are not counted as 0."""

    @classmethod
    def of(cls, parts: Iterable[PartialSum]) -> PartialSum:
        """Return the sum of members; one that is known in part adds its known part."""
        all_parts = list(parts)
        values = [part.value for part in all_parts if known(part.value)]
        unknown = sum(bool(part.unknown) or not known(part.value) for part in all_parts)
        if not values:
            why = next((p.value for p in all_parts if isinstance(p.value, Missing)), NOT_READ)
            return cls(why, unknown)
        return cls(math.fsum(values), unknown)

    @property
    def complete(self) -> Maybe[float]:
        """The sum if every member is known, else a missing value."""
        if self.unknown and known(self.value):
            return Missing(f"{self.unknown} unknown")
        return self.value


@frozen
class FleetFinding:
    """A finding of nvltop on a node, or an Xid of one of its GPUs."""

    node: str
    """Key of the node."""
    kind: str
    """`finding` or `xid`."""
    rule: str
    """Id of the rule, or `xid-149`."""
    severity: Severity
    gpu: str = ""
    """Number of the GPU; empty if it concerns the whole node."""
    link: str = ""
    device: str = ""
    """NIC, with its port."""
    first_s: float | None = None
    """Unix time: of an Xid its own, of a finding the first scrape that had it. None if unknown."""
    exact: bool = False
    """Whether `first_s` is the time of the event itself, not that of a scrape."""
    active: bool = True
    """Whether the last scrape of the node still had it; of a silent node, whether its last one had it."""
    role: str = ""
    """`began`: nothing in the domain came before that could have caused it. `follows`: an echo of that."""


@frozen
class Node:
    """One node (a tray of a rack) as the newest metrics describe it."""

    key: str
    name: str
    """Host name if the metrics have it, else the scraped address."""
    labels: Mapping[str, str]
    """Labels that identify the node's series."""
    domain: str = ""
    """Key of its NVLink domain; empty if the domain is the node itself or unknown."""
    tray: Maybe[int] = NOT_EXPORTED
    """Index of the tray in its chassis."""
    silent: Missing | None = None
    """Why there are no values now; None if there are."""
    silent_since_s: Maybe[float] = NOT_READ
    """Unix time of the last scrape that had values, for a silent node."""
    age_s: Maybe[float] = NOT_READ
    """Seconds since nvltop on the node read the values of the last scrape."""
    gpus: Maybe[int] = NOT_READ
    """Number of GPUs; of a silent node, the last one known."""
    links: Maybe[int] = NOT_READ
    links_up: PartialSum = PartialSum(NOT_READ)
    tx: PartialSum = PartialSum(NOT_READ)
    """Bytes/s out of its GPUs; `unknown` counts GPUs."""
    rx: PartialSum = PartialSum(NOT_READ)
    """Bytes/s into its GPUs; `unknown` counts GPUs."""
    combined: Maybe[float] = NOT_EXPORTED
    """Bytes/s of both directions together, where the exporter does not separate them."""
    limit_share: Maybe[float] = NOT_READ
    """Busier direction as a share of what NCCL reaches on the links that are up, 0 to 1."""
    limit: Maybe[float] = NOT_READ
    """Bytes/s in one direction that NCCL reaches on the links that are up."""
    errors: PartialSum = PartialSum(NOT_READ)
    """Link errors in the error window; `unknown` counts GPUs."""
    step_s: Maybe[float] = NOT_READ
    """Longest step period of its jobs."""
    verdict: Maybe[str] = NOT_READ
    """Id of nvltop's verdict."""
    findings: tuple[FleetFinding, ...] = ()
    """Active findings and recent Xids, the worst first."""

    @property
    def worst(self) -> FleetFinding | None:
        """The worst finding or Xid of the node."""
        return self.findings[0] if self.findings else None


@frozen
class Domain:
    """An NVLink domain: the nodes whose GPUs share one fabric and clique."""

    key: str
    """Empty for nodes whose NVLinks do not leave the node, or whose domain is unknown."""
    cluster_uuid: str
    clique_id: str
    nodes: tuple[Node, ...]
    gpus: PartialSum
    links: PartialSum
    links_up: PartialSum
    tx: PartialSum
    """`unknown` of each sum counts nodes."""
    rx: PartialSum
    limit: PartialSum
    errors: PartialSum

    @property
    def silent(self) -> int:
        """Number of nodes without values now."""
        return sum(node.silent is not None for node in self.nodes)


@frozen
class WorstLink:
    """A link with errors in the error window, or with a finding."""

    node: str
    gpu: str
    link: str
    errors: Maybe[float] = NOT_READ
    """Errors in the error window."""
    kind: str = ""
    """Kind of error that was counted most often."""
    findings: tuple[FleetFinding, ...] = ()
    silent: bool = False
    """Whether its node has no values now."""


@frozen
class FleetView:
    """Everything that can be shown of the nodes at one moment."""

    time_s: float = 0.0
    """Unix time by the clock of the Prometheus server; 0 before the first answer."""
    source: str = ""
    """`nvltop` or `dcgm-exporter`: whose metrics these are; empty if there are neither."""
    nodes: tuple[Node, ...] = ()
    domains: tuple[Domain, ...] = ()
    worst_links: tuple[WorstLink, ...] = ()
    findings: tuple[FleetFinding, ...] = ()
    """Findings and Xids of the last hour in order of time, the first first."""
    window_s: float = 0.0
    """Window of every rate, seconds."""
    errors_window_s: float = 0.0
    """Window of every error count, seconds."""
    scrape_interval_s: Maybe[float] = NOT_READ
    warnings: tuple[str, ...] = ()
    """Warnings of the server, such as a partial response; and what could not be queried."""
    simulated: str = ""
    """Name of the simulated group of nodes; empty if it is real."""
    histories: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    """By key of the node and `tx` or `rx`: bytes/s at the steps of the history, NaN for a gap."""
    history_step_s: float = 0.0


@frozen
class GpuRow:
    """One GPU of a node."""

    gpu: str
    uuid: str
    state: Maybe[str] = NOT_EXPORTED
    links: Maybe[int] = NOT_EXPORTED
    links_up: Maybe[int] = NOT_EXPORTED
    tx: Maybe[float] = NOT_EXPORTED
    rx: Maybe[float] = NOT_EXPORTED
    combined: Maybe[float] = NOT_EXPORTED
    speed: Maybe[float] = NOT_EXPORTED
    """Bytes/s that its active links can carry in one direction."""
    errors: Maybe[float] = NOT_EXPORTED
    power_w: Maybe[float] = NOT_EXPORTED
    temperature_c: Maybe[float] = NOT_EXPORTED
    uptime_s: Maybe[float] = NOT_EXPORTED
    xid: Maybe[int] = NOT_EXPORTED


@frozen
class LinkRow:
    """One link of a GPU."""

    link: str
    state: Maybe[str] = NOT_EXPORTED
    tx: Maybe[float] = NOT_EXPORTED
    rx: Maybe[float] = NOT_EXPORTED
    speed: Maybe[float] = NOT_EXPORTED
    errors: Maybe[float] = NOT_EXPORTED
    bit_error_ratio: Maybe[float] = NOT_EXPORTED
    lifetime_errors: Maybe[float] = NOT_EXPORTED


@frozen
class Detail:
    """The GPUs of a node, or the links of a GPU, with their history."""

    node: str
    gpu: str = ""
    """Number of the GPU; empty for the GPUs of the node."""
    time_s: float = 0.0
    problem: str = ""
    """Why it could not be read; empty if it was."""
    gpus: tuple[GpuRow, ...] = ()
    links: tuple[LinkRow, ...] = ()
    histories: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    """By number of the GPU or link and `tx` or `rx`: bytes/s at the steps of the history, NaN for a gap."""
    history_step_s: float = 0.0
