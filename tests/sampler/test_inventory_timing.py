"""How long the worker waits before it reads the inventory again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nvltop.model import Missing
from nvltop.sampler.sampler import Sampler


class Waits:
    """An event that records how long it was waited for."""

    def __init__(self, is_set: bool = False) -> None:
        self.seconds: list[float] = []
        self._is_set = is_set

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def is_set(self) -> bool:
        return self._is_set

    def clear(self) -> None:
        self._is_set = False


def run_once(problem: str | None, event: bool, answer: object) -> tuple[list[float], list[float]]:
    """Return the waits for an event, and the others, until the second round begins."""
    due, stop = Waits(event), Waits()
    gpus = (SimpleNamespace(problem=problem),)

    def reread() -> object:
        stop._is_set = True
        return answer

    sampler: Any = Sampler.__new__(Sampler)
    sampler._inventory_due, sampler._stop = due, stop
    sampler._session = SimpleNamespace(inventory=SimpleNamespace(gpus=gpus), reread_inventory=reread)
    sampler.watch_inventory()
    return due.seconds, stop.seconds


@pytest.mark.parametrize(
    ("problem", "event", "answer", "waits"),
    [
        (None, False, None, ([60.0], [])),
        ("Unknown Error", False, None, ([10.0], [])),
        (None, True, None, ([60.0], [1.0])),
        (None, False, Missing("Unknown Error"), ([60.0], [10.0])),
    ],
    ids=["all read", "a GPU not read", "after an event", "no answer"],
)
def test_seconds_before_the_inventory_is_read(problem, event, answer, waits):
    assert run_once(problem, event, answer) == waits
