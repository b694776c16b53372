"""A source that makes up a rack: 18 trays of 4 GPUs with 18 links each, in one NVLink domain.

It answers the queries that the engine sends, so that the engine, and all that follows it, is the real one.
All values follow from the time, so that a query for a range of time agrees with those for its moments.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from nvltop.fleet.queries import ERROR_WINDOWS_S, PRESENCE, VALUE_LABEL, duration
from nvltop.fleet.source import Answer, Query, Sample, Series

TRAYS: Final = 18
GPUS: Final = 4
LINKS: Final = 18
SPEED: Final = 50e9
"""Bytes/s of a link in one direction (NVLink 5)."""
CEILING: Final = 0.76
SCRAPE_S: Final = 15.0
FAULT_AGE_S: Final = 240.0
"""How long before the start of the simulation its fault began, seconds."""
SILENT_TRAY: Final = 7
WEAK_LINK: Final = (12, 2, 5)
"""Tray, GPU and link of the scenario `link-degraded`."""
CULPRIT: Final = (4, 1, 9)
"""Tray, GPU and link of the scenario `xid`."""
STEP_S: Final = 2.4
CLUSTER: Final = "5e1f3a90-7c44-4d0b-9a51-72c01d2b8f17"
ERRORS_PER_HOUR: Final = 1400.0

Place = tuple[int, int, int]


class SimulatedSource:
    """Answers named queries about a rack."""

    def __init__(self, scenario: str, clock: Callable[[], float] = time.time) -> None:
        self._scenario = scenario
        self._clock = clock
        self._fault_s = clock() - FAULT_AGE_S

    @property
    def simulated(self) -> str:
        """Return the name of the rack and of the scenario."""
        return f"nvl72 ({self._scenario})"

    @property
    def name(self) -> str:
        """Return what is simulated."""
        return self.simulated

    @property
    def traffic(self) -> tuple[int, int]:
        """Return that nothing is sent."""
        return 0, 0

    def instant(self, query: Query) -> Answer:
        """Return the values of a query at its `at_s`."""
        now_s = self._clock() if query.at_s is None else query.at_s
        return Answer(tuple(s for s in self._samples(query, now_s) if _matches(query, s)), now_s)

    def range(self, query: Query, start_s: float, end_s: float, step_s: float) -> tuple[Series, ...]:
        """Return the values of a query at steps between two Unix times."""
        series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        for i in range(math.floor((end_s - start_s) / step_s + 1e-6) + 1):
            moment_s = start_s + i * step_s
            for sample in self._samples(query, moment_s):
                if _matches(query, sample):
                    place = tuple(sorted(sample.labels.items()))
                    series.setdefault(place, []).append((moment_s, sample.value))
        return tuple(Series(dict(labels), tuple(points)) for labels, points in series.items())

    def raw(self, query: Query) -> tuple[Series, ...]:
        """Return the moments of the last scrapes of one tray."""
        last_s = self._scraped(self._clock())
        points = tuple((last_s - SCRAPE_S * i, float(GPUS)) for i in reversed(range(20)))
        return (Series(_tray_labels(1), points),)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _samples(self, query: Query, now_s: float) -> Iterator[Sample]:
        if query.name == "metrics":
            yield Sample({"__name__": PRESENCE}, TRAYS)
        elif query.name == "windows":
            for window_s in ERROR_WINDOWS_S:
                yield _value(duration(window_s), TRAYS)
        elif query.name in ("nodes", "history"):
            for tray in self._answering(now_s):
                yield from self._node(tray, now_s, query.name == "history")
        elif query.name in ("events", "past", "xids"):
            yield from self._events(query.name, now_s)
        elif query.name == "seen":
            for tray in range(1, TRAYS + 1):
                seen_s = self._scraped(now_s) if tray in self._answering(now_s) else self._fault_s
                yield _value("last", seen_s, _tray_labels(tray))
                yield _value("first", now_s - 86400, _tray_labels(tray))
        elif query.name == "fabric":
            yield from self._fabric(now_s)
        elif query.name == "errors":
            yield from self._errors(now_s)
        elif query.name in ("gpus", "gpu_history"):
            for tray, gpu in self._chosen(query, now_s):
                yield from self._gpu(tray, gpu, now_s, query.name == "gpu_history")
        elif query.name in ("links", "link_history"):
            for tray, gpu in self._chosen(query, now_s):
                for link in range(LINKS):
                    yield from self._link(tray, gpu, link, now_s, query.name == "link_history")

    def _chosen(self, query: Query, now_s: float) -> list[tuple[int, int]]:
        """Return tray and GPU of each GPU that a query is about."""
        places = [(tray, gpu) for tray in self._answering(now_s) for gpu in range(GPUS)]
        return [place for place in places if _matches(query, Sample(_gpu_labels(*place), 0.0))]

    def _answering(self, now_s: float) -> list[int]:
        gone = self._scenario == "tray-silent" and now_s > self._fault_s
        return [tray for tray in range(1, TRAYS + 1) if not (gone and tray == SILENT_TRAY)]

    def _scraped(self, now_s: float) -> float:
        return now_s - now_s % SCRAPE_S

    def _working(self, now_s: float) -> bool:
        """Return whether the job runs; a link that fails ends it, an exporter that fails does not."""
        return self._scenario != "xid" or now_s < self._fault_s

    def _link_rate(self, tray: int, gpu: int, link: int, direction: str, now_s: float) -> float:
        return self._link_rates(tray, gpu, (link,), direction, now_s)[0]

    def _gpu_rate(self, tray: int, gpu: int, direction: str, now_s: float) -> float:
        return sum(self._link_rates(tray, gpu, range(LINKS), direction, now_s))

    def _link_rates(
        self, tray: int, gpu: int, links: Sequence[int], direction: str, now_s: float
    ) -> Sequence[float]:
        """Return the rates of some links of a GPU."""
        if not self._working(now_s):
            return [0.0] * len(links)
        slow = self._scenario == "link-degraded" and now_s > self._fault_s
        share = 0.52 if slow else 0.61
        swing = 0.04 * math.sin(now_s / 97)
        seed, scrape = f"{tray}/{gpu}/", f"/{direction}/{now_s // SCRAPE_S}"
        rates = []
        for link in links:
            noise = zlib.crc32(f"{seed}{link}{scrape}".encode()) / 2**32 - 0.5
            weak = 0.4 if slow and (tray, gpu, link) == WEAK_LINK else 1.0
            rates.append(SPEED * share * weak * (1 + swing + 0.05 * noise))
        return rates

    def _node(self, tray: int, now_s: float, history: bool) -> Iterator[Sample]:
        labels = _tray_labels(tray)
        for direction in ("tx", "rx"):
            yield _value(
                direction, sum(self._gpu_rate(tray, gpu, direction, now_s) for gpu in range(GPUS)), labels
            )
        if history:
            return
        down = self._down(tray, now_s)
        yield _value("scraped", self._scraped(now_s), labels)
        yield _value("gpus", GPUS, labels)
        yield _value("age", now_s - self._scraped(now_s) + 0.3, labels)
        yield _value("driver", 1, labels)
        yield _value("begun", GPUS, labels)
        yield _value("links", GPUS * LINKS, labels)
        yield _value("links_up", GPUS * LINKS - down, labels)
        yield _value("links_read", GPUS, labels)
        yield _value("limit", (GPUS * LINKS - down) * SPEED * CEILING, labels)
        yield _value("rated", GPUS, labels)
        if self._working(now_s):
            yield _value("step", STEP_S, labels)
        verdict = "degraded" if down else "carrying" if self._working(now_s) else "silent"
        yield _value("verdict", 1, labels | {"verdict": verdict})

    def _down(self, tray: int, now_s: float) -> int:
        """Return the number of links of a tray that are down."""
        return int(self._scenario == "xid" and tray == CULPRIT[0] and now_s > self._fault_s)

    def _fabric(self, now_s: float) -> Iterator[Sample]:
        for tray in range(1, TRAYS + 1):
            labels = _tray_labels(tray)
            fabric = labels | {"cluster_uuid": CLUSTER, "clique_id": "1"}
            if tray in self._answering(now_s):
                yield _value("now", GPUS, fabric)
            yield _value("before", GPUS, fabric)
            yield _value("tray", GPUS, labels | {"tray": str(tray - 1)})
            yield _value("gpus", GPUS, labels)

    def _errors(self, now_s: float) -> Iterator[Sample]:
        for tray in self._answering(now_s):
            weak = self._scenario == "link-degraded" and tray == WEAK_LINK[0]
            count = self._weak_errors(now_s) if weak else 0
            labels = _tray_labels(tray)
            yield _value("counted", GPUS, labels)
            if weak:
                yield _value("kind", count, _link_labels(*WEAK_LINK) | {"kind": "effective"})

    def _weak_errors(self, now_s: float) -> float:
        return float(round(ERRORS_PER_HOUR * min(1.0, max(0.0, now_s - self._fault_s) / 3600)))

    def _gpu(self, tray: int, gpu: int, now_s: float, history: bool) -> Iterator[Sample]:
        labels = _gpu_labels(tray, gpu)
        down = self._down(tray, now_s) if gpu == CULPRIT[1] else 0
        for direction in ("tx", "rx"):
            yield _value(direction, self._gpu_rate(tray, gpu, direction, now_s), labels)
        if history:
            return
        yield _value("state", 1, labels | {"state": "ok"})
        yield _value("links", LINKS, labels)
        yield _value("links_up", LINKS - down, labels)
        yield _value("speed", (LINKS - down) * SPEED, labels)
        weak = self._scenario == "link-degraded" and (tray, gpu) == WEAK_LINK[:2]
        yield _value("errors", self._weak_errors(now_s) if weak else 0, labels)
        busy = self._working(now_s)
        yield _value("power", (905 if busy else 240) + 6 * ((tray + gpu) % 5), labels)
        yield _value("temperature", (58 if busy else 38) + (tray * 3 + gpu) % 7, labels)
        yield _value("uptime", now_s - self._fault_s + 86400 * 9, labels)

    def _link(self, tray: int, gpu: int, link: int, now_s: float, history: bool) -> Iterator[Sample]:
        labels = _link_labels(tray, gpu, link)
        down = self._down(tray, now_s) and (tray, gpu, link) == CULPRIT
        weak = self._scenario == "link-degraded" and (tray, gpu, link) == WEAK_LINK
        if not down:
            for direction in ("tx", "rx"):
                yield _value(direction, self._link_rate(tray, gpu, link, direction, now_s), labels)
        if history:
            return
        yield _value("state", 1, labels | {"state": "down" if down else "active"})
        yield _value("speed", SPEED, labels)
        yield _value("errors", self._weak_errors(now_s) if weak else 0, labels)
        yield _value("lifetime", 20_400 + self._weak_errors(now_s) if weak else 0, labels)
        yield _value("ber", 3e-9 if weak else 1.5e-254, labels)

    def _events(self, name: str, now_s: float) -> Iterator[Sample]:
        if now_s < self._fault_s:
            return
        if self._scenario == "link-degraded":
            labels = _link_labels(*WEAK_LINK) | {"rule": "link-errors-nvl5", "severity": "warning"}
            yield from self._finding(name, labels, now_s)
        if self._scenario != "xid":
            return
        for tray in range(1, TRAYS + 1):
            for gpu in range(GPUS):
                cause = (tray, gpu) == CULPRIT[:2]
                labels = _link_labels(*CULPRIT) if cause else _gpu_labels(tray, gpu)
                after_s = 0.0 if cause else 0.2 + 2.6 * ((tray * GPUS + gpu * 7) % 71) / 71
                if name != "past":
                    yield _value("xid", 149 if cause else 145, labels)
                    yield _value("xid_time", self._fault_s + after_s, labels)
        down = _link_labels(*CULPRIT) | {"rule": "link-down", "severity": "critical"}
        yield from self._finding(name, down, now_s)

    def _finding(self, name: str, labels: dict[str, str], now_s: float) -> Iterator[Sample]:
        began_s = self._fault_s + 1.0
        if name == "events":
            yield _value("finding", self._scraped(now_s), labels)
            yield _value("began", began_s, labels)
        elif name == "past":
            yield _value("first", began_s + SCRAPE_S, labels)
            yield _value("last", self._scraped(now_s), labels)
            yield _value("began", began_s, labels)


def _value(name: str, value: float, labels: dict[str, str] | None = None) -> Sample:
    return Sample((labels or {}) | {VALUE_LABEL: name}, float(value))


def _tray_labels(tray: int) -> dict[str, str]:
    return {"job": "nvltop", "instance": f"tray{tray:02d}:19400"}


def _gpu_labels(tray: int, gpu: int) -> dict[str, str]:
    return _tray_labels(tray) | {"gpu": str(gpu), "UUID": f"GPU-{tray:08x}-{gpu:04x}"}


def _link_labels(tray: int, gpu: int, link: int) -> dict[str, str]:
    return _gpu_labels(tray, gpu) | {"link": str(link)}


def _matches(query: Query, sample: Sample) -> bool:
    return all(sample.labels.get(m.label) == m.value for m in query.where if m.operator == "=")
