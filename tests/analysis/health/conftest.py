"""A simulated node that is read once a second, and when it gets which findings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from nvltop.analysis.monitor import Monitor
from nvltop.model import MAX_HEADLINE, Event, Finding, Frame, Listening
from nvltop.model.error_kinds import LINK_ERROR_KINDS, PORT_ERROR_KINDS
from nvltop.nvml.simulated import Library
from tests.conftest import Bench

KINDS = (*LINK_ERROR_KINDS, *PORT_ERROR_KINDS)
PLURALS = {
    "GPUs",
    "links",
    "NVLinks",
    "pairs",
    "peers",
    "rows",
    *(k.plural for k in KINDS if k.plural != k.noun),
}
ONE_OF_SEVERAL = re.compile(rf"(?<!GPU )(?<![\d.])1 (?:{'|'.join(map(re.escape, PLURALS))})\b")
"""A plural after the number 1."""


@dataclass
class Watched:
    """A simulated node that is read once a second, or every `step_s`."""

    bench: Bench
    step_s: float = 1.0
    """Time between two readings, seconds."""

    def __post_init__(self) -> None:
        self.bench.interval_s = 1.0
        self.bench.monitor.update(Listening(self.bench.clock.now, self.wall, 8))

    @property
    def wall(self) -> float:
        return self.bench.frame().tick.wall_s

    @property
    def lib(self) -> Library:
        return self.bench.library

    def xid(self, gpu: int, code: int) -> None:
        uuid = self.bench.inventory.gpus[gpu].uuid
        self.bench.monitor.update(Event(self.bench.clock.now, self.wall, uuid, "xid", code))

    def inventory(self, **changes: Any) -> None:
        """Change the inventory of the node."""
        self.bench.inventory = replace(
            self.bench.inventory, mono_s=self.bench.clock.now, wall_s=self.wall, **changes
        )
        self.bench.monitor.update(self.bench.inventory)

    def begin(self, **changes: Any) -> None:
        """Start again with a changed inventory."""
        self.bench.monitor = Monitor()
        self.inventory(**changes)

    def gpu(self, index: int, **changes: Any) -> None:
        gpus = list(self.bench.inventory.gpus)
        gpus[index] = replace(gpus[index], **changes)
        self.inventory(gpus=tuple(gpus))

    def step(self) -> Frame:
        self.bench.clock.now += self.step_s
        return self.seen(self.bench.poll())

    @staticmethod
    def seen(frame: Frame) -> Frame:
        """Check the invariants of findings in every frame of every test."""
        by_key = {f.key: f for f in frame.findings}
        assert len(by_key) == len(frame.findings), "keys are unique"
        for f in (*frame.findings, *(p.finding for p in frame.pending)):
            assert 0 < len(f.headline) <= MAX_HEADLINE, f.headline
            assert f.headline.isprintable()
            assert "{" not in f.headline + f.summary
            assert len(f.summary) > 10
            assert not f.summary.endswith(".")
            assert ". " not in f.summary, "one sentence"
            assert not ONE_OF_SEVERAL.search(f"{f.headline}; {f.summary}"), f.summary
            assert f.summary[0].isupper() or f.summary[0].isdigit(), f.summary
        for i, f in enumerate(frame.findings):
            if f.caused_by:
                root = by_key[f.caused_by]
                assert root.caused_by is None, "a root has no cause"
                assert root.severity >= f.severity
                above = frame.findings[i - 1]
                assert above.key == f.caused_by or above.caused_by == f.caused_by, "below its cause"
        for check in frame.checks:
            assert check.outcome in ("problem", "pending", "unknown", "fine", "n/a")
        return frame

    def run(self, seconds: int) -> Frame:
        """Read for a number of seconds and return the last frame."""
        frame = self.seen(self.bench.poll())
        for _ in range(round(seconds / self.step_s)):
            frame = self.step()
        return frame

    def until(self, rule: str, most: int, severity: str | None = None) -> tuple[Finding, int]:
        """Read until a rule has a finding; return it and the number of samples that took."""
        for sample in range(1, most + 1):
            frame = self.step()
            for finding in frame.findings:
                if finding.rule == rule and severity in (None, finding.severity):
                    return finding, sample
        raise AssertionError(f"no {rule} in {most} samples, but {[f.rule for f in frame.findings]}")

    def index(self, finding: Finding) -> int | None:
        return next((g.index for g in self.bench.inventory.gpus if g.uuid == finding.gpu), None)


@pytest.fixture
def watched(bench) -> Callable[..., Watched]:
    def switch_on(*args, **kwargs) -> Watched:
        return Watched(bench(*args, **kwargs))

    return switch_on
