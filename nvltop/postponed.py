"""Modules that are imported when they are first used, not where an `import` statement names them.

The standard library imports some modules for functions that a process of nvltop never or rarely calls.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from types import ModuleType


def postpone(names: Iterable[str]) -> None:
    """Let each module that is not loaded yet be imported once an attribute of it is used.

    `from name import attribute` uses it at once.
    """
    for name in names:
        sys.modules.setdefault(name, _postponed(name))


def _postponed(name: str) -> ModuleType:
    """Return a module in place of `name` that imports it once an attribute of it is used (PEP 562).

    `importlib.util.LazyLoader` would not do: at least up to Python 3.13 an `import` statement makes it load.
    """
    module = ModuleType(name)

    def attribute_of_imported(attribute: str) -> object:
        if sys.modules.get(name) is module:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    module.__getattr__ = attribute_of_imported  # type: ignore[method-assign]
    return module
