"""Input and output of the rules: a `RuleInput` goes in, `Claim`s come out.

A claim has two texts. `headline` fits one row at 80 columns and the fourth line of the header: at most
`MAX_HEADLINE` characters, in NVIDIA's words, the subject first. `summary` is one full sentence that a
reader understands without the headline. The `FindingTracker` turns claims into findings and pending
conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from nvltop.analysis.activity.link_balance import LinkImbalance
from nvltop.analysis.health.board import Board
from nvltop.analysis.health.history import RuleHistory
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
    Severity,
    Tick,
    known,
)

Where: TypeAlias = "tuple[str, str | None, int | None, str | None]"
"""Rule, GPU (or `Claim.identity`), link and NIC."""

HELD_PLACEHOLDER: Final = "{held}"
"""Stands in a headline or summary for how long the claim has held."""

MAX_GPU_NAMES_CHARS: Final = 12
"""Characters that the GPUs' numbers may take of a headline."""

DCGM: Final = "DCGM health watch"
XID_CATALOG: Final = "NVIDIA XID catalog"
NVLTOP: Final = "nvltop"


@dataclass(frozen=True, slots=True)
class Escalation:
    """A severity, and the delay after which a claim has it: seconds and readings that agree."""

    severity: Severity
    after_s: float = 0.0
    readings: int = 1


INFO_ONLY: Final = (Escalation(Severity.INFO),)
UNKNOWN_ONLY: Final = (Escalation(Severity.UNKNOWN),)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a rule says of this moment alone."""

    rule: str
    gpu: str | None
    """UUID."""
    headline: str
    """At most `MAX_HEADLINE` characters."""
    summary: str
    """One full sentence."""
    escalations: tuple[Escalation, ...]
    """Mild to severe; the last one reached counts."""
    link: int | None = None
    nic: str | None = None
    """Name of a NIC; `link` is then its port, where it has several."""
    read_s: float = 0.0
    """CLOCK_MONOTONIC of the reading it is taken from: debounce counts readings, not calls of the rule."""
    evidence: Mapping[str, object] = field(default_factory=dict)
    next_step: str = ""
    source: str = NVLTOP
    confidence: str = "certain"
    began_s: float | None = None
    """Unix time of the cause, where it is older than the claim."""
    identity: str | None = None
    """Identifies the claim where its GPU or link may change while it lasts: all broken links of one GPU, the
    GPU of a job that differs."""
    cause: tuple[str, str | None] | None = None
    """Rule and GPU of the claim that this one follows from, where the rule itself knows it."""
    damage: float = 0.0
    """Share of the GPU's links that is lost, 0…1; orders claims of the same severity."""

    @property
    def where(self) -> Where:
        """Return what identifies the claim from one call of its rule to the next."""
        if self.identity is not None:
            return self.rule, self.identity, None, None
        return self.rule, self.gpu, self.link, self.nic


@dataclass(frozen=True, slots=True)
class RuleInput:
    """One moment of the node, as the rules see it."""

    inventory: Inventory
    gpus: Sequence[GpuFrame]
    tick: Tick
    cost: Cost
    events: Sequence[Event]
    pairs: Mapping[tuple[str, str], Pair]
    history: RuleHistory
    nics: Sequence[NicFrame] = ()
    jobs: Sequence[Job] = ()
    activity: Sequence[Activity] = ()
    judgements: Sequence[Judgement] = ()
    imbalances: Sequence[LinkImbalance] = ()
    listening: Event | None = None
    """When nvltop began to wait for the driver's events; its code is the number of GPUs that send them."""

    @property
    def board(self) -> Board:
        """Return the kind of machine."""
        return self.history.board(self.inventory)

    @property
    def up_since(self) -> tuple[float, str] | None:
        """Return since when the driver runs as Unix time, and whether that is the boot or a later load of it.

        None if neither is known.
        """
        boot, load = self.inventory.booted_s, self.inventory.driver_loaded_s
        if known(load) and not (known(boot) and boot > load):
            return load, "the driver was loaded"
        return (boot, "boot") if known(boot) else None

    def read_s(self, gpu: GpuFrame, group: str) -> float:
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


CheckSummary: TypeAlias = "str | Missing | None"
"""What a rule group has examined, why it could not, or None if the node has nothing of the kind."""
RuleResult: TypeAlias = "tuple[Iterable[Claim], CheckSummary]"


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules about one thing, which is fine if none of them has anything to say."""

    name: str
    rules: tuple[str, ...]
    evaluate: Callable[[RuleInput], RuleResult]
    longest_delay_s: float = 3.0
    """Longest delay of its rules in seconds: watched for less, it is fine as far as was watched."""
    per_gpu: bool = True
    """Its rules examine each GPU, so that its outcome names the GPUs that do not respond."""


def gpu_name(gpu: GpuFrame) -> str:
    """`GPU 3`."""
    return f"GPU {gpu.gpu.index}"


def gpu_names(gpus: Sequence[GpuFrame]) -> str:
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


def short_gpu_names(gpus: Sequence[GpuFrame]) -> str:
    """`GPU 3`, `GPUs 0-3`, or `5 GPUs` where their numbers would not fit a headline."""
    text = gpu_names(gpus)
    return text if len(text) <= MAX_GPU_NAMES_CHARS else f"{len(gpus)} GPUs"


def first_missing(values: Iterable[Maybe[object]]) -> Missing | None:
    """Return the first that could not be read."""
    return next((v for v in values if isinstance(v, Missing)), None)


def linked_gpus(rule_input: RuleInput) -> list[GpuFrame]:
    """Return the GPUs that answer and have NVLinks."""
    return [g for g in rule_input.gpus if g.links and g.state == "ok"]


def active_link_count(gpu: GpuFrame) -> int:
    """Return how many links are active; 0 if that is unknown."""
    return gpu.nvlink.links_up if known(gpu.nvlink.links_up) else 0
