"""Throughput counters of the links of one GPU: which ones the board has, and whether they are correct."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import field
from functools import cache
from typing import Final, NamedTuple

from nvltop.frozen import mutable
from nvltop.model import (
    NOT_READ,
    NOT_SUPPORTED,
    Counter,
    LinkCounters,
    Maybe,
    Missing,
    Reading,
    Scope,
    known,
    split_tx_rx,
)
from nvltop.model.missing import UNSUPPORTED
from nvltop.nvml.device import Device
from nvltop.nvml.driver import Driver, UnsupportedCache
from nvltop.nvml.fields import ALL_LINKS, FieldRequest, FieldValues
from nvltop.nvml.lanes import LANE_BYTES, multiplied
from nvltop.nvml.power import POWER_INSTANT, watts

KIB: Final = 1024


class CounterSource(NamedTuple):
    """A pair of fields that count traffic in both directions."""

    tx: int
    rx: int
    unit_bytes: int
    counter: Counter
    scope: Scope

    def scopes(self, links: int) -> Sequence[int]:
        """Return the scope ids to read."""
        return range(links) if self.scope is Scope.LINK else (ALL_LINKS,)


DATA: Final = CounterSource(138, 139, KIB, Counter.DATA, Scope.LINK)
RAW: Final = CounterSource(140, 141, KIB, Counter.RAW, Scope.LINK)
SOURCES: Final = (
    DATA,
    RAW,
    # Port bytes of NVLink 5 count complete packets, and bytes instead of KiB.
    CounterSource(202, 204, 1, Counter.RAW, Scope.LINK),
    CounterSource(138, 139, KIB, Counter.DATA, Scope.GPU),
    CounterSource(140, 141, KIB, Counter.RAW, Scope.GPU),
    CounterSource(202, 204, 1, Counter.RAW, Scope.GPU),
)
"""All sources, the preferred ones first."""
TOTAL: Final = DATA._replace(scope=Scope.GPU)
"""Data bytes, summed over the links."""

NO_LINK_UP: Final = Missing("no link is up")
FROZEN_MIN_RAW_BYTES_PER_S: Final = 20e6
"""Rate of RAW, bytes/s, above which constant DATA counters are stuck and not those of idle links.

RAW of idle bridged RTX 3090s rises by 1.2 MiB/s (nvtop#469).
"""
PROBE_INTERVAL_S: Final = 0.9
"""Interval at which DATA is compared with the other counters until it is known to be correct, seconds."""


class CounterSample(NamedTuple):
    """Counters that were read in one call, by source."""

    start_s: float
    end_s: float
    wall_s: float
    values: dict[CounterSource, FieldValues]


@cache
def _sources_request(sources: tuple[CounterSource, ...], links: int, with_power: bool) -> FieldRequest:
    counters = [(f, scope) for s in sources for f in (s.tx, s.rx) for scope in s.scopes(links)]
    return FieldRequest(*counters, *([(POWER_INSTANT, 0)] if with_power else []))


@cache
def _tx_request(source: CounterSource, links: int) -> FieldRequest:
    return FieldRequest(*((source.tx, scope) for scope in source.scopes(links)))


@mutable
class CounterReader:
    """Reader of the TX and RX counters of one GPU, from the best source that the board has."""

    driver: Driver
    device: Device
    source: CounterSource | None = field(default=None, init=False)
    """Chosen once; None until the counter of a link could be read."""
    changed_s: float = field(default=-math.inf, init=False)
    """CLOCK_MONOTONIC of the last reading whose values differed from those before."""
    call_s: float = field(default=0.0, init=False)
    """Duration of the call of the last reading, seconds; 0 if it failed."""
    _values: list[Maybe[int]] | bytes = field(default=b"", init=False)
    """Values of the last reading, packed if possible."""
    _trusted: bool = field(default=False, init=False)
    """Whether DATA is known to count correctly."""
    _probe: CounterSample | None = field(default=None, init=False)
    """The last sample that contains the other counters as well."""
    _held: list[Reading] = field(default_factory=list, init=False)
    """Readings of DATA since then that do not prove that DATA is correct, the oldest first."""
    power_w: Maybe[float] = field(default=NOT_READ, init=False)
    """Power at the last reading, watts, if it was requested."""
    _with_power: bool = field(default=False, init=False)
    _power_unavailable: tuple[float, Missing] | None = field(default=None, init=False)
    """Until when the power is not read, and why."""

    def read(self, any_link_active: Callable[[], bool], *, with_power: bool = False) -> list[Reading]:
        """Read the counters.

        Returns several readings, or none, while it is not known whether the source is the right one: counters
        that are stuck look like those of idle links, so a reading of them is returned only when it is known
        which they are. `any_link_active` returns whether any link is active: reading the counter of an
        inactive link fails like reading a counter that does not exist, and the sum over no links is 0. With
        `with_power` the same call reads the present power as well.
        """
        self._with_power, self.power_w, self.call_s = with_power, NOT_READ, 0.0
        if isinstance(self.device.links, Missing):
            return [self._missing(self.device.links)]
        if not self.device.links:
            return []
        if self.source is None:
            return self._choose() if any_link_active() else [self._missing(NO_LINK_UP)]
        if self._trusted or self.source is not DATA:
            sample = self._sample((self.source,))
        else:
            return self._read_and_probe()
        if isinstance(sample, Missing):
            return [self._missing(sample)]
        return [self._reading(sample, self.source)]

    def read_tx(self) -> Maybe[list[Maybe[int]]]:
        """Read only the TX counters, in one call; may run while another thread is in `read`."""
        source = self.source or DATA
        request = _tx_request(source, self._links)
        answer = request.read(self.driver, self.device.handle, self.device.index)
        return answer if isinstance(answer, Missing) else answer.values

    def _choose(self) -> list[Reading]:
        failure: Missing = NOT_SUPPORTED
        for source in SOURCES:
            sample = self._sample((DATA, RAW, TOTAL) if source is DATA else (source,))
            if isinstance(sample, Missing):
                if sample not in UNSUPPORTED:
                    failure = sample
                continue
            if any(known(v) for v in sample.values[source].values):
                self.source = source
                if source is DATA:
                    self._probe = sample
                return [self._reading(sample, source)]
            unread = [v for v in sample.values[source].values if isinstance(v, Missing)]
            failure = next((r for r in unread if r not in UNSUPPORTED), failure)
        return [self._missing(failure)]

    def _read_and_probe(self) -> list[Reading]:
        """Read DATA, and from time to time the counters that show whether DATA is stuck or not per link.

        Until one or the other is known, the readings of DATA are held back.
        """
        before = self._probe
        probes = before is None or time.monotonic() - before.start_s >= PROBE_INTERVAL_S
        sample = self._sample((DATA, RAW, TOTAL) if probes else (DATA,))
        if isinstance(sample, Missing):
            self._held.clear()
            return [self._missing(sample)]
        held = self._held
        if before is None:
            self._probe = sample
            return [self._reading(sample, DATA)]
        if self._counts_each_link(before, sample):
            self._trusted, self._held = True, []
            return [*held, self._reading(sample, DATA)]
        if not probes:
            held.append(self._reading(sample, DATA))
            return []
        self._probe, self._held = sample, []
        better = self._better(before, sample)
        if better:
            self.source = better
            # With the previous reading of the right counter, a rate is available at once.
            return [self._reading(before, better), self._reading(sample, better)]
        return [self._reading(sample, DATA)]

    def _counts_each_link(self, before: CounterSample, now: CounterSample) -> bool:
        """Return whether DATA has increased and is not the GPU's sum on every link."""
        if not _increase(before.values[DATA], now.values[DATA]):
            return False
        sums = now.values[TOTAL].values if TOTAL in now.values else [None, None]
        for counts, gpu_sum in zip(split_tx_rx(now.values[DATA].values), sums, strict=True):
            read = [v for v in counts if known(v)]
            if len(read) == 1 or len(set(read)) > 1 or (read and gpu_sum not in (None, read[0])):
                return True
        return False

    def _better(self, before: CounterSample, now: CounterSample) -> CounterSource | None:
        """Return the source to read instead of DATA, or None if DATA may be correct."""
        if _increase(before.values[DATA], now.values[DATA]):
            return TOTAL
        raw = _increase(before.values[RAW], now.values[RAW]) * KIB / max(now.start_s - before.start_s, 1e-3)
        return RAW if raw > FROZEN_MIN_RAW_BYTES_PER_S else None

    @property
    def _links(self) -> int:
        return self.device.links if known(self.device.links) else 0

    def _sample(self, sources: tuple[CounterSource, ...]) -> Maybe[CounterSample]:
        if not self._with_power:
            return self._read_fields(sources, with_power=False)
        now = time.monotonic()
        if self._power_unavailable and now < self._power_unavailable[0]:
            self.power_w = self._power_unavailable[1]
            return self._read_fields(sources, with_power=False)
        sample = self._read_fields(sources, with_power=True)
        if self.power_w in UNSUPPORTED:
            self._power_unavailable = now + UnsupportedCache.RETRY_S, self.power_w
        if isinstance(self.power_w, Missing) and not _any_read(sample):
            # Some drivers return nothing at all if they do not support one of the fields.
            sample = self._read_fields(sources, with_power=False)
            if _any_read(sample):
                self._power_unavailable = now + UnsupportedCache.RETRY_S, self.power_w
        return sample

    def _read_fields(self, sources: tuple[CounterSource, ...], with_power: bool) -> Maybe[CounterSample]:
        request = _sources_request(sources, self._links, with_power)
        start_s = time.monotonic()
        answer = request.read(self.driver, self.device.handle, self.device.index)
        end_s, wall_s = time.monotonic(), time.time()
        if isinstance(answer, Missing):
            self.power_w = answer if with_power else self.power_w
            return answer
        self.call_s = end_s - start_s
        split = {}
        begin = 0
        for source in sources:
            end = begin + 2 * len(source.scopes(self._links))
            split[source] = answer.part(begin, end)
            begin = end
        if with_power:
            self.power_w = watts(answer.part(begin, begin + 1).values[0])
        return CounterSample(start_s, end_s, wall_s, split)

    def _reading(self, sample: CounterSample, source: CounterSource) -> Reading:
        answer = sample.values[source]
        packed = answer.packed
        values = answer.values if packed is None else packed
        if values != self._values:
            self.changed_s = sample.end_s if self._values else self.changed_s
            self._values = values
        stamps = answer.stamps_us
        first = stamps[:LANE_BYTES]
        if stamps == first * (len(stamps) // LANE_BYTES):
            stamps = first if int.from_bytes(first, "little", signed=True) > 0 else b""
        counts = multiplied(packed, source.unit_bytes) if packed else None
        if counts is not None:
            data = LinkCounters.of_packed(source.counter, source.scope, counts, stamps)
        else:
            tx, rx = split_tx_rx(tuple(_in_bytes(answer.values, source.unit_bytes)))
            stamp_us = tuple(memoryview(stamps).cast("q"))
            data = LinkCounters(source.counter, source.scope, tuple(tx), tuple(rx), stamp_us)
        return Reading(self.device.uuid, sample.start_s, sample.end_s, sample.wall_s, data)

    def _missing(self, why: Missing) -> Reading:
        now, wall = time.monotonic(), time.time()
        source = self.source or DATA
        n = self._links if source.scope is Scope.LINK else 1
        return Reading(
            gpu=self.device.uuid,
            start_s=now,
            end_s=now,
            wall_s=wall,
            data=LinkCounters(source.counter, source.scope, (why,) * n, (why,) * n),
        )


def _in_bytes(values: list[Maybe[int]], unit_bytes: int) -> list[Maybe[int]]:
    """Return counts in units of `unit_bytes`, which are never negative, as bytes."""
    return [v if isinstance(v, Missing) else v * unit_bytes for v in values]


def _any_read(sample: Maybe[CounterSample]) -> bool:
    """Return whether any counter could be read."""
    return known(sample) and any(known(v) for answer in sample.values.values() for v in answer.values)


def _increase(before: FieldValues, now: FieldValues) -> int:
    """Return the total increase of the counters that were read both times."""
    if now.values == before.values:
        return 0
    both = zip(before.values, now.values, strict=True)
    return sum(max(0, b - a) for a, b in both if known(a) and known(b))
