"""Values that are computed again only when their key has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from nvltop.memo import Memo, MemoTable

T = TypeVar("T")


def counted(calls: list[T], value: T) -> Callable[[], T]:
    """Return a computation of a value that records its calls."""

    def compute() -> T:
        calls.append(value)
        return value

    return compute


def test_a_value_is_computed_once_per_key():
    memo: Memo[tuple[int, str]] = Memo()
    calls: list[tuple[int, str]] = []
    for key in ((1, "a"), (1, "a"), (2, "a"), (1, "a")):
        assert memo.get(key, counted(calls, key)) == key
    assert calls == [(1, "a"), (2, "a"), (1, "a")], "only the last one is kept"


def test_a_failure_is_not_taken_for_a_value():
    memo: Memo[float] = Memo()
    assert memo.get((1,), lambda: 1.0) == 1.0
    with pytest.raises(ZeroDivisionError):
        memo.get((2,), lambda: 1 / 0)
    assert memo.get((2,), lambda: 2.0) == 2.0


def test_an_empty_key_is_a_key():
    memo: Memo[str] = Memo()
    assert memo.get((), lambda: "value") == "value"


def test_names_have_their_own_keys():
    table = MemoTable()
    calls: list[tuple[str, tuple[int]]] = []
    for name, key in (("a", (1,)), ("b", (1,)), ("a", (1,)), ("b", (2,)), ("a", (1,))):
        assert table.get(name, key, counted(calls, (name, key))) == (name, key)
    assert calls == [("a", (1,)), ("b", (1,)), ("b", (2,))]


def test_an_equal_key_replaces_the_one_before_so_that_it_is_compared_by_identity():
    compared: list[object] = []

    class Processes(list[int]):
        """A list that records each comparison with it."""

        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return super().__eq__(other)

    memo: Memo[int] = Memo()
    memo.get((Processes([1]),), lambda: 1)
    again = Processes([1])
    for _ in range(3):
        assert memo.get((again,), lambda: 2) == 1
    assert len(compared) == 1
