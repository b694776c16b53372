"""The samples of one frame by metric, and a count of the values that are missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Final, Generic, TypeAlias, TypeVar

from nvltop.frozen import frozen, mutable
from nvltop.model import GpuFrame, Maybe, Missing

PREFIX: Final = "nvltop_"
Labels: TypeAlias = "dict[str, str]"
GPU_LABELS: Final = ("gpu", "UUID", "pci_bus_id")
"""Label names of dcgm-exporter, so that its series join with those of nvltop."""
PORT_LABELS: Final = ("device", "port")
"""Labels of a port of a NIC, with the names that node_exporter uses."""

_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9])\d+|\d+(?![A-Za-z0-9])")
"""Matches a number in a reason, which may be a refused value: each would create a series of its own.

A digit between letters is part of a name (C2C) and does not match.
"""

T = TypeVar("T")


@frozen
class MetricSpec:
    """Name, help text and type of a metric."""

    name: str
    """Name without the prefix `nvltop_` and the suffixes `_total` and `_info`; includes the unit."""
    help: str
    kind: str = "gauge"
    """`gauge`, `counter`, or `info` (the labels carry the information, the value is 1)."""

    @property
    def full_name(self) -> str:
        """Name as exported."""
        return PREFIX + self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")


@frozen
class ValueSpec(Generic[T]):
    """A metric whose value is one number of an object of type `T`."""

    metric: MetricSpec
    of: Callable[[T], Maybe[float]]
    group: str = ""
    """Group of readings that the number comes from, a key of `age_s`; empty for constant values."""


@frozen
class InfoSpec(Generic[T]):
    """A metric whose labels describe an object of type `T`; the label of an unknown value is empty."""

    metric: MetricSpec
    of: Callable[[T], Mapping[str, object]]


SAMPLE_LIFETIME_S: Final = 300.0
"""Age in seconds after which Prometheus itself considers a sample stale (its lookback delta)."""
NOT_READ_LATELY: Final = Missing("not read for five minutes")


class Staleness:
    """Decides which values of an object are still valid.

    A value is not valid if the object is lost, if nothing is read any more, or if its group of readings
    is older than `SAMPLE_LIFETIME_S`.
    """

    def __init__(self, ages_s: Mapping[str, float], lost: Missing | None = None) -> None:
        """Take the age of each group of readings, and the reason why the object cannot be read, if any."""
        self._lost = lost
        self._old = {group for group, age_s in ages_s.items() if age_s > SAMPLE_LIFETIME_S}

    @classmethod
    def of_gpu(cls, gpu: GpuFrame, late_s: float, not_reading: Missing | None = None) -> Staleness:
        """Return the staleness of a GPU in a frame that is `late_s` old.

        `not_reading` is the reason why the reading process does not read at all, if it does not.
        """
        ages_s = {group: age_s + late_s for group, age_s in gpu.age_s.items()}
        return cls(ages_s, not_reading or (None if gpu.state == "ok" else Missing(gpu.state_reason)))

    def fresh(self, group: str, value: Maybe[T]) -> Maybe[T]:
        """Return the value of a group of readings, or the reason why it is not exported."""
        if not group or isinstance(value, Missing):
            return value
        return self._lost or (NOT_READ_LATELY if group in self._old else value)


UNREADABLE: Final = MetricSpec(
    "unreadable",
    "Values that could not be read and are therefore absent, by metric, with the most frequent reason.",
)


@mutable
class MetricFamily:
    """A metric with its samples."""

    metric: MetricSpec
    samples: list[tuple[Labels, float]] = field(default_factory=list)


class MetricSet:
    """Collects the samples of one frame; counts missing values instead of exporting them."""

    def __init__(self, common_labels: Labels) -> None:
        self._common_labels = common_labels
        self._families: dict[str, MetricFamily] = {}
        self._missing: dict[tuple[str, ...], tuple[Labels, Counter[str]]] = {}

    def add(self, metric: MetricSpec, labels: Mapping[str, str], value: Maybe[float] = 1.0) -> None:
        """Add a sample; count a missing value for its GPU, or for its port of a NIC."""
        if isinstance(value, Missing):
            of = {key: labels[key] for key in (*GPU_LABELS, *PORT_LABELS) if key in labels}
            at = (metric.name, *of.values())
            _, reasons = self._missing.setdefault(at, ({**of, "metric": metric.full_name}, Counter()))
            reasons[_NUMBER.sub("N", value.reason)] += 1
            return
        self._family(metric).samples.append(({**labels, **self._common_labels}, float(value)))

    def add_state(
        self, metric: MetricSpec, labels: Mapping[str, str], states: Iterable[str], now: str
    ) -> None:
        """Add one sample for each state, with the label `state`: 1 for the current one, 0 for all others.

        A series that existed only during its state would have `avg_over_time` 1, not a share of the time.
        """
        for state in dict.fromkeys((*states, now)):
            self.add(metric, {**labels, "state": state}, float(state == now))

    def add_values(
        self,
        values: Iterable[ValueSpec[T]],
        item: T,
        labels: Mapping[str, str],
        staleness: Staleness | None = None,
    ) -> None:
        """Add the numbers of an object; with `staleness`, only those that are still valid."""
        for spec in values:
            value = spec.of(item)
            self.add(spec.metric, labels, staleness.fresh(spec.group, value) if staleness else value)

    def add_info(self, info: InfoSpec[T], item: T, labels: Mapping[str, str]) -> None:
        """Add the description of an object as labels."""
        self.add(info.metric, {**labels, **{key: _text(value) for key, value in info.of(item).items()}})

    def families(self) -> list[MetricFamily]:
        """Return the metrics with their samples, in the order in which each was first added."""
        for labels, reasons in self._missing.values():
            where = {**labels, "reason": reasons.most_common(1)[0][0], **self._common_labels}
            self._family(UNREADABLE).samples.append((where, float(reasons.total())))
        self._missing.clear()
        return list(self._families.values())

    def _family(self, metric: MetricSpec) -> MetricFamily:
        family = self._families.get(metric.name)
        if family is None:
            family = self._families[metric.name] = MetricFamily(metric)
        return family


def gpu_labels(gpu: GpuFrame) -> Labels:
    """Return the labels that identify a GPU."""
    return dict(zip(GPU_LABELS, (str(gpu.gpu.index), gpu.gpu.uuid, _text(gpu.gpu.pci_bus_id)), strict=True))


def _text(value: object) -> str:
    if value is None or isinstance(value, Missing):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(getattr(value, "value", value))
