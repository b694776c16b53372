"""`@frozen` classes behave as frozen dataclasses do, except that attributes can be set."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import pytest

from nvltop.frozen import frozen


@frozen
class Point:
    x: float
    y: float = 0.0
    names: tuple[str, ...] = ()
    memo: list[int] = field(default_factory=list, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Plain:
    x: float
    y: float = 0.0
    names: tuple[str, ...] = ()
    memo: list[int] = field(default_factory=list, compare=False, repr=False)


@frozen
class Empty:
    pass


@frozen
class One:
    value: Any


@frozen
class Named:
    name: str

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


CASES = [(1.0,), (1.0, 2.0), (1.0, 2.0, ("a",)), (math.nan,), (1.0, 0.0, (), [3])]


@pytest.mark.parametrize("a", CASES)
@pytest.mark.parametrize("b", CASES)
def test_they_compare_hash_and_print_as_dataclasses_do(a, b):
    assert (Point(*a) == Point(*b)) == (Plain(*a) == Plain(*b))
    assert (Point(*a) != Point(*b)) == (Plain(*a) != Plain(*b))
    assert repr(Point(*a)) == repr(Plain(*a)).replace("Plain", "Point")
    if Point(*a) == Point(*b):
        assert hash(Point(*a)) == hash(Point(*b))


def test_other_classes_are_not_equal():
    plain: Any = Plain(1.0)
    assert Point(1.0) != plain
    values: Any = (1.0, 0.0, ())
    assert Point(1.0) != values
    assert One(Empty()) == One(Empty()) != One(None)
    assert hash(One((1,))) == hash(One((1,)))
    assert {Empty(): 1}[Empty()] == 1
    assert One(math.nan) == One(math.nan), "the same object, as in a tuple"


def test_functions_of_dataclasses_work():
    point: Any = replace(Point(1.0), y=3.0)
    assert point == Point(1.0, 3.0)
    assert [f.name for f in fields(Point)] == ["x", "y", "names", "memo"]
    assert copy.copy(point) == copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == point
    match point:
        case Point(x, y):
            assert (x, y) == (1.0, 3.0)
    with pytest.raises(AttributeError):
        point.z = 1.0
    assert Point(1.0).memo is not Point(1.0).memo
    assert is_dataclass(Point)


def test_methods_of_the_class_are_kept():
    assert repr(Named("n")) == "n"
    assert Named("a") == Named("b")
    assert hash(Named("a")) == 1
