"""The page that Prometheus scrapes, rendered at most once a second."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from nvltop.export.metric_set import PREFIX, MetricFamily
from nvltop.export.node import families
from nvltop.model import Frame

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
PAGE_LIFETIME_S: Final = 1.0
"""Age in seconds below which a page is served again, which bounds the cost of many scrapers."""
GZIP_LEVEL: Final = 1
"""Compression level of gzip; a higher one takes several times as long for little gain."""


class MetricsPage:
    """The newest frame, and its page once a client has requested it."""

    def __init__(
        self, hostname_label: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hostname_label = hostname_label
        self._clock = clock
        self._shown: tuple[Frame, Sequence[str] | None] | None = None
        self._made_s = -PAGE_LIFETIME_S
        self._made: bytes | None = None
        self._packed: bytes | None = None
        self._making = threading.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def show(self, frame: Frame, only: Sequence[str] | None = None) -> None:
        """Store the newest frame; the page is rendered on request."""
        self._shown = frame, only

    def get(self, packed: bool = False) -> bytes | None:
        """Return the page, compressed by gzip if `packed`; None before the first frame."""
        with self._making:
            now_s = self._clock()
            if self._shown and (self._made is None or now_s - self._made_s >= PAGE_LIFETIME_S):
                self._made, self._packed, self._made_s = generate_latest(self._registry), None, now_s
            if not packed or self._made is None:
                return self._made
            if self._packed is None:
                self._packed = gzip.compress(self._made, GZIP_LEVEL)
            return self._packed

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as `prometheus_client` expects them from a collector."""
        return self._metrics()

    def _metrics(self) -> Iterator[Metric]:
        if self._shown:
            frame, only = self._shown
            late_s = max(0.0, self._clock() - frame.tick.mono_s)
            yield from map(_metric, families(frame, late_s, only, self._hostname_label))


def _metric(family: MetricFamily) -> Metric:
    what = family.metric
    metric = Metric(PREFIX + what.name, what.help, what.kind)
    for labels, value in family.samples:
        metric.add_sample(what.full_name, labels, value)
    return metric
