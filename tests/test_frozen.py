"""`@frozen` and `@mutable` classes behave as dataclasses do; attributes of both can be set."""

from __future__ import annotations

import copy
import importlib
import math
import pickle
import pkgutil
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import pytest

import nvltop
from nvltop.frozen import UNCOMPILED_OBJECTS, fields_of, frozen, mutable


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


@mutable
class State:
    """Parameters of all kinds."""

    begin: float
    end: float = field(default=1.0, init=False)
    names: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set, init=False)
    total: float = field(init=False)
    unset: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.total = self.begin + self.end


@mutable
class Longer(State):
    more: int = 3


@dataclass(slots=True)
class PlainState:
    begin: float
    end: float = field(default=1.0, init=False)
    names: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set, init=False)
    total: float = field(init=False)
    unset: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.total = self.begin + self.end


CASES = [(1.0,), (1.0, 2.0), (1.0, 2.0, ("a",)), (1.0, 0.0, (), [3])]


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


def test_mutable_objects_are_dataclasses_without_a_hash():
    for values in ((1.0,), (2.0, ["a"])):
        state, plain = State(*values), PlainState(*values)
        assert repr(state) == repr(plain).replace("PlainState", "State")
        assert state == State(*values)
        assert state != State(-1.0)
        assert not hasattr(state, "unset")
        assert state.seen is not State(*values).seen
        state.begin = 7.0
        assert state != State(*values)
    with pytest.raises(TypeError, match="unhashable"):
        hash(State(1.0))
    with pytest.raises(TypeError, match="unexpected keyword"):
        State(1.0, end=2.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing 1 required"):
        State()  # type: ignore[call-arg]


def test_a_subclass_has_the_fields_of_its_base():
    longer = Longer(1.0, ["a"], 4)
    assert (longer.total, longer.more, longer.seen) == (2.0, 4, set())
    assert Longer(1.0) != State(1.0) == State(1.0)
    assert Longer(1.0) == Longer(begin=1.0, more=3)


def test_a_class_that_calls_the_constructor_of_its_base_keeps_its_own():
    @frozen
    class Base:
        value: float

    class Scaled(Base):
        def __init__(self, value: float) -> None:
            super().__init__(2 * value)

    assert [Scaled(1.0).value, Scaled(2.0).value, Base(3.0).value] == [2.0, 4.0, 3.0]


def test_a_method_may_be_compiled_by_another_thread_while_it_is_called():
    @frozen
    class Point:
        x: float

    init, equal, hashed = (vars(Point)[name] for name in ("__init__", "__eq__", "__hash__"))
    point = Point(1.0)
    assert point == Point(1.0)
    # As if these calls had begun before.
    init(point, 2.0)
    assert point.x == 2.0
    assert equal(point, Point(2.0))
    assert hashed(point) == hash(point)


ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1.0,), {}),
    ((1.0, ["a"]), {}),
    ((), {"begin": 1.0, "names": ["a"]}),
    ((), {}),
    ((1.0, ["a"], 2), {}),
    ((1.0,), {"begin": 2.0}),
    ((1.0,), {"end": 2.0}),
    ((1.0,), {"other": 2.0}),
]


@pytest.mark.parametrize(("values", "named"), ARGUMENTS)
def test_objects_are_the_same_before_and_after_the_constructor_is_compiled(values, named):
    def outcome(cls: Any) -> object:
        try:
            made = cls(*values, **named)
        except TypeError as error:
            return str(error).rpartition(".")[2]
        return repr(made).partition("(")[2], made.seen, hasattr(made, "unset")

    @mutable
    class Fresh:
        begin: float
        end: float = field(default=1.0, init=False)
        names: list[str] = field(default_factory=list)
        seen: set[int] = field(default_factory=set, init=False)
        total: float = field(init=False)
        unset: int = field(init=False, repr=False, compare=False)

        def __post_init__(self) -> None:
            self.total = self.begin + self.end

    uncompiled: Any = vars(Fresh)["__init__"]
    outcomes = [outcome(Fresh) for _ in range(UNCOMPILED_OBJECTS + 2)]
    assert outcomes == [outcome(PlainState)] * len(outcomes)
    assert vars(Fresh)["__init__"] is not uncompiled


def test_a_class_has_a_docstring():
    assert (Empty.__doc__, State.__doc__) == ("Empty", "Parameters of all kinds.")


def test_a_class_is_defined_and_used_without_the_cost_of_dataclass(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("nvltop.frozen.make_dataclass", fail)

    @frozen
    class Pair:
        a: float
        b: list[int] = field(default_factory=list, compare=False)

    made = [Pair(1.0) for _ in range(UNCOMPILED_OBJECTS + 1)]
    assert made[0] == made[-1]
    assert hash(made[0]) == hash(made[-1])
    assert list(fields_of(Pair)) == ["a", "b"]
    with pytest.raises(AssertionError):
        fields(Pair)


def all_classes() -> list[type]:
    """Return all classes of nvltop that `frozen` or `mutable` has made."""
    modules = [
        importlib.import_module(m.name)
        for m in pkgutil.walk_packages(nvltop.__path__, "nvltop.")
        if not m.name.endswith("__main__")
    ]
    values = [value for module in modules for value in vars(module).values()]
    return [value for value in dict.fromkeys(v for v in values if isinstance(v, type)) if fields_of(value)]


def test_dataclasses_knows_the_fields_of_all_classes():
    classes: list[Any] = all_classes()
    assert len(classes) > 150
    for cls in classes:
        assert fields(cls) == tuple(fields_of(cls).values())
        assert [f.name for f in fields(cls)] == list(fields_of(cls))
        assert cls.__match_args__ == tuple(f.name for f in fields(cls) if f.init)
