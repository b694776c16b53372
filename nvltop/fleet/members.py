"""The nodes that are expected to answer: all that were seen in the last 24 hours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from nvltop.fleet.nodes import Member, node_key, node_labels
from nvltop.fleet.queries import VALUE_LABEL
from nvltop.fleet.select import Matcher
from nvltop.fleet.source import Answer, Labels, valid_time

EXPECTED_S: Final = 24 * 3600.0
"""Time after its last scrape for which a node is expected to answer, seconds."""


class Members:
    """The expected nodes by key."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._retired: dict[str, float] = {}
        """Last scrape of each node that the user has removed."""

    def get(self, key: str) -> Member | None:
        """Return a node."""
        return self._members.get(key)

    def see(self, key: str, labels: Labels, scraped_s: float, gpus: float | None) -> None:
        """Take note of a scrape of a node."""
        member = self._members.setdefault(key, Member(key, labels))
        if scraped_s >= member.last_seen_s:
            member.labels, member.last_seen_s = labels, scraped_s
        if gpus is not None:
            member.gpus = int(gpus)

    def see_past(self, answer: Answer, time_s: float) -> None:
        """Take the answer to the query for the nodes of the last 24 hours."""
        first: dict[str, float] = {}
        for sample in answer.samples:
            key = node_key(sample.labels)
            seen_s = sample.value if valid_time(sample.value, time_s) else 0.0
            if sample.labels.get(VALUE_LABEL) in ("first", "first_near"):
                first[key] = min(seen_s, first.get(key, seen_s))
            else:
                self.see(key, node_labels(sample.labels), seen_s, None)

        for key, first_s in first.items():
            if key in self._members:
                self._members[key].first_seen_s = first_s

    def see_fabric(self, answer: Answer) -> None:
        """Take the answer to the query for NVLink domains, trays and numbers of GPUs."""
        best: dict[str, float] = {}
        now = {node_key(s.labels) for s in answer.samples if s.labels.get(VALUE_LABEL) == "now"}
        for sample in answer.samples:
            labels, name = sample.labels, sample.labels.get(VALUE_LABEL, "")
            key = node_key(labels)
            member = self._members.setdefault(key, Member(key, node_labels(labels)))
            if name == "gpus":
                member.gpus = member.gpus or int(sample.value)
            elif name == "tray":
                if re.fullmatch("[0-9]{1,5}", tray := labels.get("tray", "")):
                    member.tray = int(tray)
            elif (name == "now" or key not in now) and sample.value > best.get(key, 0.0):
                # What most GPUs of the node report.
                best[key] = sample.value
                member.domain = labels.get("cluster_uuid", ""), labels.get("clique_id", "")

    def retire(self, key: str) -> None:
        """Remove a node until it answers again."""
        self._retired[key] = self._members[key].last_seen_s

    def listed(self, time_s: float) -> list[Member]:
        """Return the nodes that are expected at a Unix time, without those that were removed."""
        for key, member in list(self._members.items()):
            if member.last_seen_s and time_s - member.last_seen_s > EXPECTED_S:
                del self._members[key]
            elif member.last_seen_s > self._retired.get(key, member.last_seen_s):
                del self._retired[key]
        return [member for key, member in self._members.items() if key not in self._retired]

    def replaced(self, silent: Member, answering: Iterable[Member]) -> bool:
        """Return whether a silent node is scraped at another address since, as a pod that was replaced.

        It has the same host name, and its first scrape was after the last one of the silent node.
        """
        host = _place(silent)
        if host is None or not silent.last_seen_s:
            return False
        return any(_place(other) == host and other.first_seen_s > silent.last_seen_s for other in answering)

    def probe(self, count: int) -> tuple[Matcher, ...]:
        """Return matchers for some nodes, from each scrape job; none if no node is known yet."""
        by_job: dict[str, list[str]] = {}
        for member in self._members.values():
            if instance := member.labels.get("instance"):
                by_job.setdefault(member.labels.get("job", ""), []).append(instance)
        if not by_job:
            return ()
        share = max(1, count // len(by_job))
        chosen = [instance for instances in by_job.values() for instance in instances[:share]]
        return (Matcher("instance", "=~", "|".join(re.escape(name) for name in chosen)),)


def _place(member: Member) -> tuple[str, str, str] | None:
    """Return cluster, job and host name of a node; None if its host name is not exported."""
    labels = member.labels
    host = labels.get("Hostname") or labels.get("hostname")
    return (labels.get("cluster", ""), labels.get("job", ""), host) if host else None
