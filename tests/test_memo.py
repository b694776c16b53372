"""Values that are computed again only when their key has changed."""

from __future__ import annotations

import pytest

from nvltop.memo import Memo, MemoTable


def test_a_value_is_computed_once_per_key():
    memo, calls = Memo(), []
    for key in ((1, "a"), (1, "a"), (2, "a"), (1, "a")):
        assert memo.get(key, lambda key=key: calls.append(key) or key) == key
    assert calls == [(1, "a"), (2, "a"), (1, "a")], "only the last one is kept"


def test_a_failure_is_not_taken_for_a_value():
    memo = Memo()
    assert memo.get((1,), lambda: "one") == "one"
    with pytest.raises(ZeroDivisionError):
        memo.get((2,), lambda: 1 // 0)
    assert memo.get((2,), lambda: "two") == "two"


def test_an_empty_key_is_a_key():
    assert Memo().get((), lambda: "value") == "value"


def test_names_have_their_own_keys():
    table, calls = MemoTable(), []
    for name, key in (("a", (1,)), ("b", (1,)), ("a", (1,)), ("b", (2,)), ("a", (1,))):
        assert table.get(name, key, lambda of=(name, key): calls.append(of) or of) == (name, key)
    assert calls == [("a", (1,)), ("b", (1,)), ("b", (2,))]
