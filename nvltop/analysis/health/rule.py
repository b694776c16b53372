"""What a rule is: its input, its result, and the group it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

from nvltop.analysis.activity.link_balance import LinkImbalance
from nvltop.analysis.health.board import Board
from nvltop.analysis.health.claim import Claim
from nvltop.analysis.health.history import RuleHistory
from nvltop.frozen import frozen
from nvltop.model import (
    NOT_SUPPORTED,
    Activity,
    Cost,
    Culprit,
    Event,
    GpuFrame,
    Incident,
    Inventory,
    Job,
    Judgement,
    Listening,
    Maybe,
    Missing,
    NicFrame,
    Pair,
    Tick,
    first_missing,
    known,
)


@dataclass(frozen=True, repr=False, eq=False)
class RuleInput:
    """The state of the node at one moment, as passed to every rule."""

    inventory: Inventory
    gpus: Sequence[GpuFrame]
    tick: Tick
    cost: Cost
    events: Sequence[Event]
    """Events of the driver since nvltop started, oldest first."""
    pairs: Mapping[tuple[str, str], Pair]
    """GPU pairs by the UUIDs of both."""
    history: RuleHistory
    """Facts about earlier moments."""
    nics: Sequence[NicFrame] = ()
    jobs: Sequence[Job] = ()
    activity: Sequence[Activity] = ()
    judgements: Sequence[Judgement] = ()
    """For each job, whether NVLink limits it."""
    imbalances: Sequence[LinkImbalance] = ()
    """Links that carry much less than the other links of their GPU."""
    incidents: Sequence[Incident] = ()
    """Faults of the logs and of NVML that belong together, with their origins."""
    culprits: Sequence[Culprit] = ()
    """GPUs that began a fault which other GPUs report as well."""
    listening: Listening | None = None
    """When the worker began to wait for the driver's events; None before that."""

    @property
    def board(self) -> Board:
        """Return the kind of machine."""
        return self.history.board(self.inventory)

    @cached_property
    def readable_gpus(self) -> Sequence[GpuFrame]:
        """Return the GPUs that can be read."""
        return [g for g in self.gpus if g.state == "ok"]

    @cached_property
    def unread_gpus(self) -> Sequence[GpuFrame]:
        """Return the GPUs that cannot be read, and those that were not read lately."""
        return [g for g in self.gpus if g.state != "ok" or g.stale]

    @cached_property
    def linked_gpus(self) -> Sequence[GpuFrame]:
        """Return the readable GPUs that have NVLinks."""
        return [g for g in self.gpus if g.links and g.state == "ok"]

    @property
    def up_since(self) -> tuple[float, str] | None:
        """Return the Unix time since which the driver has been running, and what happened then.

        That is the boot, or a later load of the driver. None if neither time is known.
        """
        boot, load = self.inventory.booted_s, self.inventory.driver_loaded_s
        if known(load) and not (known(boot) and boot > load):
            return load, "the driver was loaded"
        return (boot, "boot") if known(boot) else None

    def read_s(self, gpu: GpuFrame, group: str) -> float:
        """Return CLOCK_MONOTONIC of the last reading of a group of values; 0 if there was none."""
        age = gpu.age_s.get(group)
        return 0.0 if age is None else round(self.tick.mono_s - age, 3)

    def evidence(self, gpu: GpuFrame, group: str, **seen: object) -> dict[str, object]:
        """Return `seen` together with the age of the group of values it was taken from, in seconds."""
        age = gpu.age_s.get(group)
        return {**seen, "age_s": None if age is None else round(age, 1)}


READER_NOT_RUNNING: Final = Missing("nvltop's own reader is not running")
"""Summary of a check whose values are old because the reading process has stopped."""

CheckSummary: TypeAlias = "str | Missing | None"
"""What a rule group checked, for the case that its rules claim nothing.

A `Missing` says why the group could not check it; None means that the node has nothing of the kind."""
RuleResult: TypeAlias = "tuple[Iterable[Claim], CheckSummary]"


@frozen
class RuleGroup:
    """Rules that are evaluated together and share one row of the health checks."""

    name: str
    """Name of the check, such as `link errors`."""
    rules: tuple[str, ...]
    """Ids of all rules whose claims `evaluate` returns."""
    evaluate: Callable[[RuleInput], RuleResult]
    longest_delay_s: float = 3.0
    """Longest delay of the rules, seconds. Until it has passed, the check states for how long it has run."""
    per_gpu: bool = True
    """Whether the rules check each GPU, so that the check names the GPUs that could not be read."""
    is_check: bool = True
    """Whether the outcome of the group is shown as a check."""
    depends_on: Callable[[RuleInput], tuple[object, ...] | None] | None = None
    """Return everything that the result depends on, or None if the group has to be evaluated now.

    If it is as at the last evaluation, and that claimed nothing, the group is not evaluated again. Claims
    contain ages, so a group that claims something is always evaluated."""


def why_unread(values: Iterable[Maybe[object]]) -> Missing | None:
    """Return why values could not be read; None if the driver does not support them here."""
    missing = first_missing(values)
    return None if missing == NOT_SUPPORTED else missing


def active_link_count(gpu: GpuFrame) -> int:
    """Return how many links of a GPU are active; 0 if that is unknown."""
    return gpu.nvlink.links_up if known(gpu.nvlink.links_up) else 0
