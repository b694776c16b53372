"""Start of the worker process: which modules it imports only when they are used.

The standard library and nvltop itself import some modules for functions that the worker never or rarely
calls: `inspect` for `dataclasses`, decoders for a kernel log that it may not read. They would take 4 MB, a
sixth of the memory of the worker. This module imports none of them.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

POSTPONED = (
    "base64", "copy", "datetime", "glob", "inspect", "ipaddress", "locale", "selectors", "shlex", "shutil",
    "socket", "subprocess", "tempfile", "unicodedata",
    "nvltop.kernel_log.decode", "nvltop.kernel_log.driver", "nvltop.kernel_log.fabric",
)  # fmt: skip
"""Modules for which nothing but their attributes is used where they are imported."""


def main() -> None:
    """Run the worker, in which `POSTPONED` are imported when they are first used."""
    for name in POSTPONED:
        sys.modules.setdefault(name, postponed(name))
    from nvltop.sampler.worker import main as run

    run()


def postponed(name: str) -> ModuleType:
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
