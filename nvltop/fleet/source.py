"""What the engine asks for, and what a source returns: samples and series of named queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, TypeAlias

from nvltop.fleet.select import Matcher
from nvltop.frozen import frozen

Labels: TypeAlias = "Mapping[str, str]"


class FleetError(Exception):
    """Prometheus could not be queried; the message is one line for the user."""


@frozen
class Query:
    """A named query with its parameters; `queries.promql` returns its text."""

    name: str
    window_s: float = 0.0
    """Window of rates, seconds."""
    errors_window_s: float = 0.0
    """Window of error counts, seconds."""
    where: tuple[Matcher, ...] = ()
    """Matchers beside those of the user: one node, one GPU."""
    metric: str = ""
    """Metric that shows that a node answers; alternatives are separated by `|`."""
    recorded: bool = False
    """Whether the recording rules of `--print-rules` can be used."""
    at_s: float | None = None
    """Unix time of the evaluation of an instant query, by the server's clock; None for now."""


@frozen
class Sample:
    """One sample of an instant query; its value is finite."""

    labels: Labels
    value: float


@frozen
class Answer:
    """The result of an instant query."""

    samples: tuple[Sample, ...]
    time_s: float | None = None
    """Time of the evaluation by the server's clock; None if there is no sample."""
    warnings: tuple[str, ...] = ()


@frozen
class Series:
    """One series of a range query: pairs of Unix time and value, in order of time."""

    labels: Labels
    points: tuple[tuple[float, float], ...]


MAX_AHEAD_S: Final = 3600.0
"""How far a time may lie after the server's, seconds: clocks of nodes differ, but not by more."""


def valid_time(value: float, now_s: float) -> bool:
    """Return whether a value can be the Unix time of something that has happened."""
    return 0.0 < value <= now_s + MAX_AHEAD_S


class Source(Protocol):
    """Answers named queries. The methods may block, and raise `FleetError`."""

    @property
    def simulated(self) -> str:
        """Name of the simulated group of nodes; empty if it is real."""

    @property
    def name(self) -> str:
        """Name of the source for people: its address, or what it simulates."""

    @property
    def traffic(self) -> tuple[int, int]:
        """Number of requests since the start, and bytes of their answers."""

    def instant(self, query: Query) -> Answer:
        """Return the values of a query at its `at_s`."""

    def range(self, query: Query, start_s: float, end_s: float, step_s: float) -> tuple[Series, ...]:
        """Return the values of a query at steps between two Unix times of the server's clock."""

    def raw(self, query: Query) -> tuple[Series, ...]:
        """Return the stored samples of a query for a range of time."""

    def close(self) -> None:
        """Close connections."""
