"""A job of known behaviour, read as a worker would: four times a second, with jitter, late reads and gaps."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nvltop.analysis.activity.tracker import ActivityTracker
from nvltop.analysis.activity.traffic_series import TrafficSpan
from nvltop.model import Activity, Gauges, Gpu, GpuFrame, Job, Link, LinkState, Matrix, NvLink

from .patterns import Drawn

SPEED = 450.0
CEILING = 0.78
LIMIT_W = 700.0
INTERVAL_S = 0.25


@dataclass
class Gpus:
    """GPUs on an NVSwitch, with their traffic and gauges."""

    sent: Sequence[Drawn]
    received: Sequence[Drawn] | None = None
    """Received traffic; the sent traffic if None."""
    gauges: Callable[[int, float], Gauges] = lambda gpu, t: Gauges(
        util_percent=99.0, power_w=600.0, sm_clock_mhz=1900.0, event_reasons=0
    )
    jobs: Sequence[Job] = ()
    interval_s: float = INTERVAL_S
    jitter_s: float = 0.004
    tracker: ActivityTracker = field(default_factory=ActivityTracker)
    now_s: float = 0.0
    noise: random.Random = field(default_factory=lambda: random.Random(3))
    lost: Callable[[float], bool] = lambda t: False
    """Returns whether nothing is read at a time."""

    def uuid(self, gpu: int) -> str:
        return f"GPU-{gpu}"

    def run(self, until_s: float, judged_s: float = 9.0) -> tuple[Activity, ...]:
        """Read until a time, evaluate the last `judged_s` seconds, and return the activities."""
        reads = [self.now_s] * len(self.sent)
        second = self.now_s
        while self.now_s < until_s:
            self.now_s += self.interval_s
            if self.lost(self.now_s):
                continue
            for gpu, flow in enumerate(self.sent):
                at = self.now_s + self.noise.uniform(0, self.jitter_s)
                arrives = (self.received or self.sent)[gpu]
                span = at - reads[gpu]
                tx, rx = (f.integral(at) - f.integral(reads[gpu]) for f in (flow, arrives))
                if span < 5.0:
                    moved = TrafficSpan(reads[gpu], at, tx / span, rx / span)
                    self.tracker.add(self.uuid(gpu), [moved], self.interval_s)
                reads[gpu] = at
            if self.now_s >= second + 1.0:
                second = self.now_s
                if self.now_s > until_s - judged_s or judged_s <= 0:
                    self.evaluate()
        return self.tracker.activities

    def evaluate(self) -> None:
        n = len(self.sent)
        row = ["NV18"] * n
        cells = tuple(tuple("X" if i == j else c for j, c in enumerate(row)) for i in range(n))
        matrix = Matrix(labels=tuple(f"GPU{i}" for i in range(n)), cells=cells, p2p_nvlink=cells)
        self.tracker.evaluate(
            [self.frame(i) for i in range(n)], self.jobs, matrix, self.now_s, self.interval_s
        )

    def frame(self, gpu: int) -> GpuFrame:
        return GpuFrame(
            gpu=Gpu(gpu, self.uuid(gpu), "H100", power_limit_w=LIMIT_W),
            gauges=self.gauges(gpu, self.now_s),
            age_s={"gauges": 0.0},
            nvlink=NvLink(links_present=18, links_up=18, speed_bytes_per_s=SPEED, ceiling=CEILING),
            links=(Link(0, LinkState.UP),),
        )
