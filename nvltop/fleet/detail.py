"""The GPUs of one node, or the links of one GPU, with their history."""

from __future__ import annotations

from collections.abc import Mapping

from nvltop.fleet.domains import natural
from nvltop.fleet.history import History
from nvltop.fleet.model import NOT_EXPORTED, Detail, GpuRow, LinkRow
from nvltop.fleet.nodes import Member
from nvltop.fleet.queries import VALUE_LABEL
from nvltop.fleet.select import Matcher
from nvltop.fleet.source import FleetError, Query, Sample, Source
from nvltop.frozen import frozen
from nvltop.model import Maybe, Missing


@frozen
class DetailReader:
    """Queries one node."""

    source: Source
    dcgm: bool
    window_s: float
    errors_window_s: float

    def read(self, member: Member, gpu: str, step_s: float, time_s: float) -> Detail:
        """Return the GPUs of a node, or the links of GPU `gpu`; its `problem` says why there are none."""
        if gpu and self.dcgm:
            return Detail(member.key, gpu, time_s, "dcgm-exporter reports GPUs, not their links")
        where = tuple(Matcher(name, "=", value) for name, value in member.labels.items())
        name, by = ("links", "link") if gpu else ("gpus", "gpu")
        if gpu:
            where = (*where, Matcher("gpu", "=", gpu))
        prefix = "dcgm_" if self.dcgm else ""
        history = History(step_s)
        try:
            answer = self.source.instant(self._query(f"{prefix}{name}", where))
            now_s = answer.time_s or time_s
            if span := history.missing(now_s):
                series = self.source.range(self._query(f"{prefix}{by}_history", where), *span, step_s)
                history.add(((one.labels.get(by, ""), one) for one in series), now_s)
        except FleetError as error:
            return Detail(member.key, gpu, time_s, str(error))
        groups: dict[str, list[Sample]] = {}
        for sample in answer.samples:
            groups.setdefault(sample.labels.get(by, ""), []).append(sample)
        rows = [groups[key] for key in sorted(groups, key=natural)]
        return Detail(
            member.key,
            gpu,
            now_s,
            "" if rows else "no values now: the node, or its exporter, does not answer",
            gpus=() if gpu else tuple(_gpu(samples) for samples in rows),
            links=tuple(_link(samples) for samples in rows) if gpu else (),
            histories=history.columns(),
            history_step_s=step_s,
        )

    def _query(self, name: str, where: tuple[Matcher, ...]) -> Query:
        return Query(name, self.window_s, self.errors_window_s, where)


def _values(samples: list[Sample]) -> dict[str, float]:
    return {sample.labels.get(VALUE_LABEL, ""): sample.value for sample in samples}


def _state(samples: list[Sample]) -> Maybe[str]:
    states = [s.labels.get("state", "") for s in samples if s.labels.get(VALUE_LABEL) == "state"]
    return states[0] if states else NOT_EXPORTED


def _of(values: Mapping[str, float], name: str, why: Missing = NOT_EXPORTED) -> Maybe[float]:
    return values.get(name, why)


def _whole(values: Mapping[str, float], name: str) -> Maybe[int]:
    return int(values[name]) if name in values else NOT_EXPORTED


def _gpu(samples: list[Sample]) -> GpuRow:
    values, labels = _values(samples), samples[0].labels
    return GpuRow(
        labels.get("gpu", "?"),
        labels.get("UUID", ""),
        _state(samples),
        _whole(values, "links"),
        _whole(values, "links_up"),
        _of(values, "tx"),
        _of(values, "rx"),
        _of(values, "both"),
        _of(values, "speed"),
        _of(values, "errors"),
        _of(values, "power"),
        _of(values, "temperature"),
        _of(values, "uptime"),
        _whole(values, "xid"),
    )


def _link(samples: list[Sample]) -> LinkRow:
    values = _values(samples)
    return LinkRow(
        samples[0].labels.get("link", "?"),
        _state(samples),
        _of(values, "tx"),
        _of(values, "rx"),
        _of(values, "speed"),
        _of(values, "errors"),
        _of(values, "ber"),
        _of(values, "lifetime"),
    )
