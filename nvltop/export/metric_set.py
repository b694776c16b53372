"""Samples of one moment by metric, and which values are missing from them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from nvltop.model import GpuFrame, Maybe, Missing

PREFIX: Final = "nvltop_"
Labels: TypeAlias = "dict[str, str]"
GPU_LABELS: Final = ("gpu", "UUID", "pci_bus_id")
"""Called as dcgm-exporter calls them, so that its series and ours join on them."""
PORT_LABELS: Final = ("device", "port")
"""Of a NIC; called as node_exporter calls them."""

_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9])\d+|\d+(?![A-Za-z0-9])")
"""A number in a reason can be the value that was refused, and each would make a series of its own; a digit
between letters is part of a name (C2C)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is called and what it means."""

    name: str
    """Without `nvltop_`; with its unit, without `_total` and `_info`."""
    help: str
    kind: str = "gauge"
    """`gauge`, `counter`, or `info` (the labels are the value)."""

    @property
    def full_name(self) -> str:
        """Name as it is exported."""
        return PREFIX + self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")


@dataclass(frozen=True, slots=True)
class Value(Generic[T]):
    """A metric that is one number of a thing."""

    metric: Metric
    of: Callable[[T], Maybe[float]]
    group: str = ""
    """Of the readings, as in `age_s`; empty for what does not change."""


@dataclass(frozen=True, slots=True)
class Info(Generic[T]):
    """A metric whose labels tell what a thing is; unknown ones are left empty."""

    metric: Metric
    of: Callable[[T], Mapping[str, object]]


TOO_OLD_S: Final = 300.0
"""After so long Prometheus itself no longer believes a sample."""
TOO_OLD: Final = Missing("not read for five minutes")


class Fresh:
    """Knows which values still say something: those of what is lost do not, nor those read long ago."""

    def __init__(self, ages_s: Mapping[str, float], lost: Missing | None = None) -> None:
        """Take the age of each group of readings, and why the thing is no longer there if it is not."""
        self._lost = lost
        self._old = {group for group, age_s in ages_s.items() if age_s > TOO_OLD_S}

    @classmethod
    def gpu(cls, gpu: GpuFrame, late_s: float) -> Fresh:
        """Look at a GPU of a frame that is `late_s` old."""
        ages_s = {group: age_s + late_s for group, age_s in gpu.age_s.items()}
        return cls(ages_s, None if gpu.state == "ok" else Missing(gpu.state_reason))

    def of(self, group: str, value: Maybe[T]) -> Maybe[T]:
        """Return a value of a group of readings, or why it is not told."""
        if not group or isinstance(value, Missing):
            return value
        return self._lost or (TOO_OLD if group in self._old else value)


UNREADABLE: Final = Metric(
    "unreadable",
    "Values that could not be read and are therefore absent, by metric, with the most frequent reason.",
)


@dataclass(slots=True)
class Family:
    """A metric and its samples."""

    metric: Metric
    samples: list[tuple[Labels, float]] = field(default_factory=list)


class Sheet:
    """Collects samples; what is missing is counted instead."""

    def __init__(self, everywhere: Labels) -> None:
        self._everywhere = everywhere
        self._families: dict[str, Family] = {}
        self._missing: dict[tuple[str, ...], tuple[Labels, Counter[str]]] = {}

    def add(self, metric: Metric, labels: Mapping[str, str], value: Maybe[float] = 1.0) -> None:
        """Take a sample; one that could not be read is counted for its GPU, or its port of a NIC."""
        if isinstance(value, Missing):
            of = {key: labels[key] for key in (*GPU_LABELS, *PORT_LABELS) if key in labels}
            at = (metric.name, *of.values())
            _, reasons = self._missing.setdefault(at, ({**of, "metric": metric.full_name}, Counter()))
            reasons[_NUMBER.sub("N", value.reason)] += 1
            return
        self._family(metric).samples.append(({**labels, **self._everywhere}, float(value)))

    def add_state(self, metric: Metric, labels: Mapping[str, str], states: Iterable[str], now: str) -> None:
        """Take the state that a thing is in: 1 for this one and 0 for all others, under the label `state`.

        A series that exists only while its state lasts has no share of the time: `avg_over_time` is 1.
        """
        for state in dict.fromkeys((*states, now)):
            self.add(metric, {**labels, "state": state}, float(state == now))

    def add_values(
        self, values: Iterable[Value[T]], thing: T, labels: Mapping[str, str], fresh: Fresh | None = None
    ) -> None:
        """Take all numbers of a thing, as far as they are fresh."""
        for value in values:
            told = value.of(thing)
            self.add(value.metric, labels, fresh.of(value.group, told) if fresh else told)

    def add_info(self, info: Info[T], thing: T, labels: Mapping[str, str]) -> None:
        """Take what a thing is."""
        self.add(info.metric, {**labels, **{key: _text(told) for key, told in info.of(thing).items()}})

    def families(self) -> list[Family]:
        """Return what there is, in the order in which it first came."""
        for labels, reasons in self._missing.values():
            told = {**labels, "reason": reasons.most_common(1)[0][0], **self._everywhere}
            self._family(UNREADABLE).samples.append((told, float(reasons.total())))
        self._missing.clear()
        return list(self._families.values())

    def _family(self, metric: Metric) -> Family:
        family = self._families.get(metric.name)
        if family is None:
            family = self._families[metric.name] = Family(metric)
        return family


def gpu_labels(gpu: GpuFrame) -> Labels:
    """Return what tells a GPU from the others."""
    return dict(zip(GPU_LABELS, (str(gpu.gpu.index), gpu.gpu.uuid, _text(gpu.gpu.pci_bus_id)), strict=True))


def _text(told: object) -> str:
    if told is None or isinstance(told, Missing):
        return ""
    if isinstance(told, bool):
        return str(told).lower()
    return str(getattr(told, "value", told))
