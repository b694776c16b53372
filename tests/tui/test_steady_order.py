"""Rows keep their places long enough to be read and clicked."""

from __future__ import annotations

from itertools import pairwise

from nvltop.tui.render.steady_order import MIN_HOLD_S, SteadyOrder


def shown(order: SteadyOrder, rows: str, now_s: float, by: object = "tx") -> str:
    return "".join(order.apply(rows, str, by, now_s))


def test_the_order_changes_at_most_once_in_two_seconds():
    order = SteadyOrder()
    changes, last = [], ""
    for k in range(80):
        now_s = k / 4
        text = shown(order, "abc" if k % 2 else "cba", now_s)
        if text != last:
            changes.append(now_s)
            last = text
    assert len(changes) > 3
    assert all(b - a >= MIN_HOLD_S for a, b in pairwise(changes))


def test_another_column_is_taken_at_once():
    order = SteadyOrder()
    assert shown(order, "abc", 0.0) == "abc"
    assert shown(order, "cba", 0.25) == "abc"
    assert shown(order, "cba", 0.5, by="rx") == "cba"


def test_the_order_rests_while_the_user_chooses():
    order = SteadyOrder()
    shown(order, "abc", 0.0)
    for k in range(40):
        order.note_selection(k / 2)
        assert shown(order, "cba", k / 2) == "abc"
    assert shown(order, "cba", 39 / 2 + MIN_HOLD_S) == "cba"


def test_rows_that_come_and_go_do_not_disturb_the_others():
    order = SteadyOrder()
    shown(order, "abc", 0.0)
    assert shown(order, "xca", 0.5) == "acx"
