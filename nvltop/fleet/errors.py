"""Link errors in the error window, by node and by link, from the counters that rose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Final

from nvltop.fleet.model import PartialSum
from nvltop.fleet.nodes import node_key
from nvltop.fleet.queries import MAX_COUNTERS, VALUE_LABEL
from nvltop.fleet.source import Sample
from nvltop.frozen import frozen
from nvltop.model import Missing

NOT_QUERIED: Final = Missing("not queried yet")
LinkPlace = tuple[str, str, str]
"""Key of the node, GPU and link."""


@frozen
class LinkErrors:
    """What the error counters counted; nothing is known without an answer."""

    why: Missing = NOT_QUERIED
    """Why the errors of a node are unknown that is not in the answer."""
    links: Mapping[LinkPlace, Mapping[str, float]] = field(default_factory=dict)
    """Counters that rose, by kind."""
    counted: Mapping[str, int] = field(default_factory=dict)
    """Number of GPUs of each node whose counters are known now and a window ago."""
    node_sums: Mapping[str, float] | None = None
    """Sums of the nodes, if `links` does not have every counter that rose."""

    @classmethod
    def of(cls, samples: Iterable[Sample], why: Missing) -> LinkErrors:
        """Return the errors in the answer to the query `errors`."""
        links: dict[LinkPlace, dict[str, float]] = {}
        counted: dict[str, int] = {}
        for sample in samples:
            labels = sample.labels
            node = node_key(labels)
            if labels.get(VALUE_LABEL) == "counted":
                counted[node] = int(sample.value)
            elif labels.get(VALUE_LABEL) == "kind":
                place = node, labels.get("gpu", ""), labels.get("link", "")
                links.setdefault(place, {})[labels.get("kind", "")] = sample.value
        return cls(why, links, counted)

    @property
    def truncated(self) -> bool:
        """Whether more counters may have risen than `links` has."""
        return sum(map(len, self.links.values())) >= MAX_COUNTERS

    def of_node(self, node: str, gpus: int | None) -> PartialSum:
        """Return the errors of a node; GPUs whose counters could not be compared are unknown."""
        if not self.counted.get(node):
            return PartialSum(self.why, gpus or 1)
        unknown = 1 if gpus is None else max(0, gpus - self.counted[node])
        if not self.truncated:
            rose = sum(sum(kinds.values()) for place, kinds in self.links.items() if place[0] == node)
        elif self.node_sums is None:
            return PartialSum(Missing("too many counters rose"), gpus or 1)
        else:
            rose = self.node_sums.get(node, 0.0)
        return PartialSum(round(rose), unknown)
