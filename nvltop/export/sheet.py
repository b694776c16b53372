"""Samples of one moment by metric, and which values are missing from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from nvltop.model import GpuFrame, Maybe, Missing

PREFIX: Final = "nvltop_"
Labels: TypeAlias = "dict[str, str]"

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


@dataclass(frozen=True, slots=True)
class Info(Generic[T]):
    """A metric whose labels tell what a thing is; unknown ones are left empty."""

    metric: Metric
    of: Callable[[T], Mapping[str, object]]


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
        """Take a sample; one that could not be read is counted for its GPU."""
        if isinstance(value, Missing):
            of = {key: labels[key] for key in GPU_LABELS if key in labels}
            at = (metric.name, *of.values())
            self._missing.setdefault(at, ({**of, "metric": metric.full_name}, Counter()))[1][
                value.reason
            ] += 1
            return
        self._family(metric).samples.append(({**labels, **self._everywhere}, float(value)))

    def add_values(self, values: Iterable[Value[T]], thing: T, labels: Mapping[str, str]) -> None:
        """Take all numbers of a thing."""
        for value in values:
            self.add(value.metric, labels, value.of(thing))

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


GPU_LABELS: Final = ("gpu", "UUID", "pci_bus_id")
"""Called as dcgm-exporter calls them, so that its series and ours join on them."""


def gpu_labels(gpu: GpuFrame) -> Labels:
    """Return what tells a GPU from the others."""
    return dict(zip(GPU_LABELS, (str(gpu.gpu.index), gpu.gpu.uuid, _text(gpu.gpu.pci_bus_id)), strict=True))


def _text(told: object) -> str:
    if told is None or isinstance(told, Missing):
        return ""
    if isinstance(told, bool):
        return str(told).lower()
    return str(getattr(told, "value", told))
