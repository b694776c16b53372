"""Findings and Xids of all nodes in order of time: what began, and what followed from it.

The time of an Xid is that of the node's kernel log, so clocks of nodes matter: within `CLOCK_SKEW_S` the kind
of event decides. The time of a finding is the one that its node exports, or else that of the first scrape
that had it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nvltop.fleet.model import FleetFinding
from nvltop.fleet.nodes import node_key
from nvltop.fleet.queries import EVENT_LOOKBACK_S, EVENT_STEP_S, VALUE_LABEL
from nvltop.fleet.source import Answer, Labels, Sample, Series, valid_time
from nvltop.frozen import frozen
from nvltop.kernel_log.catalog import ECHOES, SOURCES, lookup
from nvltop.model import Severity

INCIDENT_S: Final = 120.0
"""Time after its first event in which events of a domain may be echoes of it, seconds."""
CLOCK_SKEW_S: Final = 2.0
"""Difference of the clocks of two nodes that is still expected, seconds; NTP keeps them closer."""
XID_RULES: Final = ("xid-gpu", "xid-nvlink")
"""Rules whose findings say that a GPU has an Xid."""
MAX_CODE: Final = 10_000
"""Codes from which a number is not an Xid; NVIDIA's have at most three digits."""
MAX_XIDS: Final = 5000
"""Number of Xids that are kept."""
ECHOED: Final = ("xid-", "fabric-", "heartbeat-", "stuck-collective")
"""Beginnings of the rules whose findings can follow from a fault of another GPU."""
ECHOED_ON_GPU: Final = ("link-", "recovery-", "gpu-lost")
"""Beginnings of the rules whose findings can follow from an Xid of the same GPU."""

EventKey = tuple[str, str, str, str, str]
"""Node, rule, GPU, link and NIC."""


@frozen
class Xid:
    """One Xid of a GPU."""

    node: str
    gpu: str
    link: str
    code: int
    time_s: float


class EventLog:
    """The findings and Xids of the last hour."""

    def __init__(self) -> None:
        self._active: dict[EventKey, Severity] = {}
        self._first: dict[EventKey, float] = {}
        self._began: dict[EventKey, float] = {}
        self._last: dict[EventKey, tuple[float, Severity]] = {}
        self._xids: dict[Xid, None] = {}

    def see_now(self, answer: Answer, time_s: float) -> bool:
        """Take the answer to the query for current findings and Xids; return whether a finding is new."""
        self._active = {}
        new = False
        for sample in answer.samples:
            if sample.labels.get(VALUE_LABEL) in ("finding", "began") and not valid_time(
                sample.value, time_s
            ):
                continue
            if sample.labels.get(VALUE_LABEL) == "finding":
                key, severity = _key(sample.labels), _severity(sample.labels)
                self._active[key] = severity
                new = new or key not in self._first
                self._first.setdefault(key, sample.value)
                self._last[key] = sample.value, severity
            elif sample.labels.get(VALUE_LABEL) == "began":
                key = _key(sample.labels)
                self._began[key] = min(sample.value, self._began.get(key, sample.value))
        self._add_xids(_xids(answer.samples, time_s))
        self._forget(time_s)
        return new

    def see_past(self, answer: Answer, time_s: float) -> None:
        """Take the answer to the query for the first and the last scrape with each finding."""
        for sample in answer.samples:
            if not valid_time(sample.value, time_s):
                continue
            key = _key(sample.labels)
            if sample.labels.get(VALUE_LABEL) == "first":
                self._first[key] = min(sample.value, self._first.get(key, sample.value))
            elif sample.labels.get(VALUE_LABEL) == "last":
                before = self._last.get(key, (0.0, Severity.INFO))[0]
                self._last[key] = max(sample.value, before), _severity(sample.labels)
            elif sample.labels.get(VALUE_LABEL) == "began":
                self._began[key] = min(sample.value, self._began.get(key, sample.value))

    def see_xids(self, series: Iterable[Series], time_s: float) -> None:
        """Take the Xids of a range of time: pairs of series with codes and times."""
        moments: dict[float, list[Sample]] = {}
        for one in series:
            for moment_s, value in one.points:
                moments.setdefault(moment_s, []).append(Sample(one.labels, value))
        for samples in moments.values():
            self._add_xids(_xids(samples, time_s))

    def _add_xids(self, xids: Iterable[Xid]) -> None:
        for xid in xids:
            self._xids[xid] = None
        while len(self._xids) > MAX_XIDS:
            del self._xids[next(iter(self._xids))]

    def _forget(self, time_s: float) -> None:
        before_s = time_s - EVENT_LOOKBACK_S
        self._xids = {xid: None for xid in self._xids if xid.time_s > before_s}
        self._last = {
            key: last for key, last in self._last.items() if last[0] > before_s or key in self._active
        }
        self._first = {key: first for key, first in self._first.items() if key in self._last}
        self._began = {key: began for key, began in self._began.items() if key in self._last}

    def findings(
        self, silent: frozenset[str], domain_of: Mapping[str, str], time_s: float
    ) -> tuple[FleetFinding, ...]:
        """Return the events in order of time, those whose beginning is unknown first.

        A finding of a silent node counts as active if its last scrape had it, because nothing says otherwise.
        """
        known_since_s = time_s - EVENT_LOOKBACK_S + 2 * EVENT_STEP_S
        newest: dict[str, float] = {}
        for key, (last_s, _) in self._last.items():
            newest[key[0]] = max(last_s, newest.get(key[0], 0.0))
        found = []
        with_xid = {(xid.node, xid.gpu) for xid in self._xids}
        for key, (last_s, severity) in self._last.items():
            node, rule, gpu, link, device = key
            if rule in XID_RULES and (node, gpu) in with_xid:
                continue  # the Xid itself is listed
            first_s = self._first.get(key, last_s)
            active = key in self._active or (node in silent and last_s >= newest[node] - EVENT_STEP_S)
            since = self._began.get(key, first_s if first_s > known_since_s else None)
            exact = key in self._began
            found.append(
                FleetFinding(node, "finding", rule, severity, gpu, link, device, since, exact, active)
            )
        for xid in self._xids:
            severity = lookup(xid.code).severity
            found.append(
                FleetFinding(
                    xid.node,
                    "xid",
                    f"xid-{xid.code}",
                    severity,
                    xid.gpu,
                    xid.link,
                    "",
                    xid.time_s,
                    exact=True,
                )
            )
        return with_roles(found, domain_of)


def _xids(samples: Iterable[Sample], now_s: float) -> Iterator[Xid]:
    """Yield the Xids whose code and time are both there and possible."""
    halves: dict[tuple[str, str, str], dict[str, float]] = {}
    for sample in samples:
        labels = sample.labels
        name = labels.get(VALUE_LABEL, "")
        if name in ("xid", "xid_time"):
            place = node_key(labels), labels.get("gpu", ""), labels.get("link", "")
            halves.setdefault(place, {})[name] = sample.value
    for (node, gpu, link), half in halves.items():
        possible = 0 <= half.get("xid", -1.0) < MAX_CODE and valid_time(half.get("xid_time", 0.0), now_s)
        if possible:
            yield Xid(node, gpu, link, int(half["xid"]), half["xid_time"])


def _key(labels: Labels) -> EventKey:
    device = labels.get("device", "")
    if device and labels.get("port", "1") != "1":
        device += f" port {labels['port']}"
    return node_key(labels), labels.get("rule", "?"), labels.get("gpu", ""), labels.get("link", ""), device


def _severity(labels: Labels) -> Severity:
    try:
        return Severity(labels.get("severity", ""))
    except ValueError:
        return Severity.UNKNOWN


def with_roles(found: Sequence[FleetFinding], domain_of: Mapping[str, str]) -> tuple[FleetFinding, ...]:
    """Return events in order of time, with the one that began each incident marked, and its echoes.

    An incident is a cause and the echoes within `INCIDENT_S` after it, in one NVLink domain. Where all its
    Xids are of kinds that peers log, nothing is marked: the metrics do not show who began.
    """
    ordered = sorted(found, key=lambda f: (f.first_s or 0.0, f.kind != "xid", f.node, f.rule, f.gpu))
    by_domain: dict[str, list[int]] = {}
    for i, finding in enumerate(ordered):
        if finding.first_s is not None:
            by_domain.setdefault(domain_of.get(finding.node) or finding.node, []).append(i)
    roles: dict[int, str] = {}
    for places in by_domain.values():
        for begin in places:
            if begin not in roles:
                _mark(ordered, [p for p in places if p not in roles], begin, roles)
    marked = [replace(finding, role=roles.get(i, "")) for i, finding in enumerate(ordered)]
    # A cause is listed before echoes that a fast clock has put in front of it.
    return tuple(
        sorted(marked, key=lambda f: (f.first_s or 0.0) - (CLOCK_SKEW_S if f.role == "began" else 0.0))
    )


def _mark(
    ordered: Sequence[FleetFinding], open_places: Sequence[int], begin: int, roles: dict[int, str]
) -> None:
    """Mark the cause of the incident whose earliest event is `begin`, and its echoes."""
    start_s = ordered[begin].first_s or 0.0
    near = [p for p in open_places if 0 <= (ordered[p].first_s or 0.0) - start_s <= INCIDENT_S]
    causes = [p for p in near if ordered[p].kind == "xid" and _code(ordered[p]) in SOURCES]
    if not causes:
        return
    cause = causes[0]
    cause_s = ordered[cause].first_s or 0.0
    roles[cause] = "began"
    for p in open_places:
        after_s = (ordered[p].first_s or 0.0) - cause_s
        if p != cause and -CLOCK_SKEW_S <= after_s <= INCIDENT_S and _echoes(ordered[p], ordered[cause]):
            roles[p] = "follows"


def _code(finding: FleetFinding) -> int:
    return int(finding.rule.removeprefix("xid-"))


def _echoes(finding: FleetFinding, cause: FleetFinding) -> bool:
    """Return whether an event can be the consequence of a fault in the same domain."""
    if finding.kind == "xid":
        return _code(finding) in ECHOES
    same_gpu = (finding.node, finding.gpu) == (cause.node, cause.gpu)
    return finding.rule.startswith(ECHOED) or (same_gpu and finding.rule.startswith(ECHOED_ON_GPU))
