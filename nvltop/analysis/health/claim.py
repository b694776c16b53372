"""What rules look at, and what they say: claims, which become findings once they have held for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from nvltop.analysis.activity.balance import Imbalance
from nvltop.analysis.health.memory import Memory
from nvltop.model import (
    Activity,
    Cost,
    Event,
    GpuFrame,
    Inventory,
    Job,
    Judgement,
    Maybe,
    Missing,
    NicFrame,
    Pair,
    Tick,
    known,
)

HELD: Final = "{held}"
"""Stands in a summary for how long the claim has held."""

DCGM: Final = "DCGM health watch"
XID_CATALOG: Final = "NVIDIA XID catalog"
OURS: Final = "nvltop"


@dataclass(frozen=True, slots=True)
class Step:
    """From when on a claim has a severity: after so long, and so many readings that agree."""

    severity: str
    after_s: float = 0.0
    polls: int = 1


INFO: Final = (Step("info"),)
UNKNOWN: Final = (Step("unknown"),)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a rule says of this moment alone."""

    rule: str
    gpu: str | None
    """UUID."""
    summary: str
    steps: tuple[Step, ...]
    """Mild to severe; the last one reached counts."""
    link: int | None = None
    nic: str | None = None
    """Name of a NIC; `link` is then its port, where it has several."""
    polled_s: float = 0.0
    """CLOCK_MONOTONIC of the reading it is taken from: debounce counts readings, not looks at them."""
    evidence: Mapping[str, object] = field(default_factory=dict)
    next_step: str = ""
    source: str = OURS
    confidence: str = "certain"
    began_s: float | None = None
    """Unix time of the cause, where it is older than the claim."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment of the node, as the rules see it."""

    inventory: Inventory
    gpus: Sequence[GpuFrame]
    tick: Tick
    cost: Cost
    events: Sequence[Event]
    pairs: Mapping[tuple[str, str], Pair]
    memory: Memory
    nics: Sequence[NicFrame] = ()
    jobs: Sequence[Job] = ()
    activity: Sequence[Activity] = ()
    judgements: Sequence[Judgement] = ()
    imbalances: Sequence[Imbalance] = ()
    listening: Event | None = None
    """Since when the driver's events are waited for; its code is the number of GPUs that tell."""

    def polled(self, gpu: GpuFrame, group: str) -> float:
        """Return CLOCK_MONOTONIC of the last reading of a group; 0 if there was none."""
        age = gpu.age_s.get(group)
        return 0.0 if age is None else round(self.tick.mono_s - age, 3)

    def evidence(self, gpu: GpuFrame, group: str, **seen: object) -> dict[str, object]:
        """Return what a rule saw, with the age of the data in seconds."""
        age = gpu.age_s.get(group)
        return {**seen, "age_s": None if age is None else round(age, 1)}

    def peers(self, gpu: GpuFrame) -> list[GpuFrame]:
        """Return the other GPUs of the same model that answer and have no MIG."""
        return [
            g
            for g in self.gpus
            if g is not gpu and g.gpu.name == gpu.gpu.name and g.state == "ok" and g.gpu.mig is not True
        ]


Looked: TypeAlias = "str | Missing | None"
"""What a family of rules has looked at, why it could not, or None if the node has nothing of the kind."""
Opinion: TypeAlias = "tuple[Iterable[Claim], Looked]"


@dataclass(frozen=True, slots=True)
class Family:
    """Rules about one thing, which is fine if none of them has anything to say."""

    name: str
    rules: tuple[str, ...]
    judge: Callable[[Scene], Opinion]


def named(gpu: GpuFrame) -> str:
    """`GPU 3`."""
    return f"GPU {gpu.gpu.index}"


def names(gpus: Sequence[GpuFrame]) -> str:
    """`GPU 3`, `GPUs 0-3, 7`."""
    numbers = sorted(g.gpu.index for g in gpus)
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    text = ", ".join(str(a) if a == b else f"{a}-{b}" if b > a + 1 else f"{a}, {b}" for a, b in runs)
    return f"GPU{'s' if len(numbers) > 1 else ''} {text}"


def first_missing(values: Iterable[Maybe[object]]) -> Missing | None:
    """Return the first that could not be read."""
    return next((v for v in values if isinstance(v, Missing)), None)


def linked(scene: Scene) -> list[GpuFrame]:
    """Return the GPUs that answer and have NVLinks."""
    return [g for g in scene.gpus if g.links and g.state == "ok"]


def up_count(gpu: GpuFrame) -> int:
    """Return how many links are active; 0 if that is unknown."""
    return gpu.nvlink.links_up if known(gpu.nvlink.links_up) else 0
