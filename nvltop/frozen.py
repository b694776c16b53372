"""`@frozen` and `@mutable`: dataclasses that cost little to define and to make.

`@dataclass(frozen=True, slots=True)` compiles six methods for each class, half a millisecond and 8 kB, and an
object of six values takes 2.5 µs to make. These decorators compile `__init__` once a class has had some
objects, which half of the classes never have, and `__eq__` and `__hash__` for the first comparison; an object
then takes 0.6 µs. mypy, not each assignment, checks that nothing assigns to attributes of a `@frozen` class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, make_dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

T = TypeVar("T")
UNCOMPILED_OBJECTS: Final = 16
"""Number of objects of a class that are made before its `__init__` is compiled.

Compiling takes as long as making some 20 of them without it.
"""
FIELDS: Final = "__dataclass_fields__"
"""Attribute by which `dataclasses` knows a dataclass."""
DESCRIPTORS: Final = frozenset(("__dict__", "__weakref__"))
"""Attributes that each class has for its own objects."""

if TYPE_CHECKING:
    from typing import dataclass_transform
else:

    def dataclass_transform(**_: object) -> Callable[[T], T]:
        """Do at run time what `typing.dataclass_transform` of Python 3.11 does: nothing."""
        return lambda decorator: decorator


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a dataclass with slots whose objects are equal, and have the same hash, if all their values are.

    `field()`, `fields()` and `replace()` work as with `@dataclass`. Methods that the class defines are kept.
    """
    return _with_methods(cls, __hash__=_hash)


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: type[T]) -> type[T]:
    """Make a dataclass with slots whose objects are equal if all their values are, and have no hash.

    `field()`, `fields()` and `replace()` work as with `@dataclass`. Methods that the class defines are kept.
    """
    return _with_methods(cls, __hash__=None)


def fields_of(cls: type) -> Mapping[str, Field[Any]]:
    """Return the fields of a class that `frozen` or `mutable` has made, by name; of another class, none.

    `dataclasses.fields()` returns the same objects, but takes 0.4 ms when it is first called for a class.
    """
    its = vars(cls).get(FIELDS)
    return its.by_name if isinstance(its, _Fields) else {}


def _with_methods(cls: type[T], **methods: object) -> type[T]:
    """Return a class like `cls` with slots, which cannot be added to a class, and with methods."""
    namespace = {name: value for name, value in vars(cls).items() if name not in DESCRIPTORS}
    its: dict[str, Field[Any]] = {}
    inherited: set[str] = set()
    for base in reversed(cls.__mro__[1:]):
        its |= fields_of(base)
        inherited.update(vars(base).get("__slots__", ()))
    for name, hint in cls.__annotations__.items():
        default = namespace.pop(name, MISSING)
        its[name] = f = default if isinstance(default, Field) else field(default=default)
        f.name, f.type = name, hint
    namespace = {"__repr__": _repr, "__eq__": _eq, **methods, **namespace}
    namespace["__qualname__"] = cls.__qualname__
    namespace["__doc__"] = cls.__doc__ or cls.__name__
    namespace["__slots__"] = [name for name in its if name not in inherited]
    namespace["__match_args__"] = tuple([name for name, f in its.items() if f.init])
    namespace[FIELDS] = _Fields(cls.__name__, its)
    metaclass: Any = type(cls)
    made: Any = metaclass(cls.__name__, cls.__bases__, namespace)
    if "__init__" not in namespace:
        made.__init__ = _init_of(made)
    return cast(type[T], made)


class _Fields:
    """The fields of a class, as its attribute `__dataclass_fields__`."""

    def __init__(self, name: str, by_name: dict[str, Field[Any]]) -> None:
        self._name = name
        self.by_name = by_name
        self._is_complete = False

    def __get__(self, value: object, owner: type) -> dict[str, Field[Any]]:
        """Return the fields, by name, to `dataclasses`, which first completes them."""
        if not self._is_complete:
            # Without a docstring it writes one, for which it loads a tokenizer of Python: 2 ms.
            its = [(f.name, f.type, f) for f in self.by_name.values()]
            make_dataclass(
                self._name, its, init=False, repr=False, eq=False, namespace={"__doc__": self._name}
            )
            self._is_complete = True
        return self.by_name


def _init_of(cls: Any) -> Callable[..., None]:
    """Return an `__init__` that, after some objects, compiles the one of the class, and calls it.

    It is called for objects of subclasses as well, and by several threads at once.
    """
    made = count()

    def init(self: Any, *values: Any, **named: Any) -> None:
        if next(made) >= UNCOMPILED_OBJECTS or not _assign(cls, self, values, named):
            _compile_init(cls)
            cls.__init__(self, *values, **named)

    return init


def _assign(cls: Any, self: Any, values: Sequence[Any], named: Mapping[str, Any]) -> bool:
    """Do what the compiled `__init__` of a class does; return False where that raises `TypeError`."""
    its = fields_of(cls)
    parameters = cls.__match_args__
    given = {**dict(zip(parameters, values, strict=False)), **named}
    if len(given) != len(values) + len(named) or not given.keys() <= set(parameters):
        return False
    for name, f in its.items():
        if name in given:
            setattr(self, name, given[name])
        elif f.default is not MISSING:
            setattr(self, name, f.default)
        elif f.default_factory is not MISSING:
            setattr(self, name, f.default_factory())
        elif f.init:
            return False
    if hasattr(cls, "__post_init__"):
        self.__post_init__()
    return True


def _repr(self: Any) -> str:
    values = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)
    return f"{type(self).__qualname__}({values})"


def _eq(self: Any, other: object) -> bool:
    for cls in _owners(self, "__eq__", _eq):
        _compile_comparison(cls)
    equal: bool = self.__eq__(other)
    return equal


def _hash(self: Any) -> int:
    for cls in _owners(self, "__hash__", _hash):
        _compile_comparison(cls)
    hashed: int = self.__hash__()
    return hashed


def _owners(value: Any, name: str, method: object) -> list[type]:
    """Return the classes of an object that have a method which is not compiled yet.

    There is none if another thread has compiled the method since it was called.
    """
    return [cls for cls in type(value).__mro__ if vars(cls).get(name) is method]


def _compile_init(cls: Any) -> None:
    """Give a class the `__init__` of a dataclass with the same fields."""
    scope: dict[str, object] = {"MISSING": MISSING}
    parameters, lines = ["self"], ["pass"]
    for f in fields_of(cls).values():
        made, default = f"make_{f.name}", f"default_{f.name}"
        scope |= {made: f.default_factory, default: f.default}
        if f.default_factory is not MISSING:
            parameter, value = f"{f.name}=MISSING", f"{made}() if {f.name} is MISSING else {f.name}"
            unnamed = f"{made}()"
        elif f.default is not MISSING:
            parameter, value, unnamed = f"{f.name}={default}", f.name, default
        else:
            parameter = value = f.name
            unnamed = ""
        if f.init:
            parameters.append(parameter)
        if assigned := value if f.init else unnamed:
            lines.append(f"self.{f.name} = {assigned}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    _define(cls, "__init__", ", ".join(parameters), lines, scope)


def _compile_comparison(cls: Any) -> None:
    """Replace `_eq` and `_hash` of a class by the methods of a dataclass with the same fields."""
    compared = [f for f in fields_of(cls).values() if f.compare]
    if cls.__eq__ is _eq:
        equal = f"{_tuple('self', compared)} == {_tuple('other', compared)}"
        line = f"return {equal} if other.__class__ is self.__class__ else NotImplemented"
        _define(cls, "__eq__", "self, other", [line], {})
    if cls.__hash__ is _hash:
        hashed = [f for f in fields_of(cls).values() if (f.compare if f.hash is None else f.hash)]
        _define(cls, "__hash__", "self", [f"return hash({_tuple('self', hashed)})"], {})


def _tuple(owner: str, its: list[Field[Any]]) -> str:
    return f"({''.join(f'{owner}.{f.name},' for f in its)})"


def _define(cls: Any, name: str, parameters: str, lines: list[str], scope: dict[str, object]) -> None:
    """Compile a method and give it to a class."""
    body = "\n    ".join(lines)
    exec(f"def {name}({parameters}):\n    {body}", scope)
    method: Any = scope.pop(name)
    method.__qualname__ = f"{cls.__qualname__}.{name}"
    setattr(cls, name, method)
