"""Loads asyncio for the screen, without its support for TLS.

asyncio imports `ssl` if it can, which loads OpenSSL: 4 MB of memory. The event loop of the screen opens no
connection. What does, such as the client for Prometheus, imports `ssl` itself.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

TLS_MODULE: Final = "ssl"


def load_asyncio() -> None:
    """Import asyncio as a Python without OpenSSL does, unless asyncio or `ssl` is loaded already."""
    if "asyncio" in sys.modules or TLS_MODULE in sys.modules:
        return
    # None lets every import of the module raise ModuleNotFoundError, which asyncio expects.
    sys.modules[TLS_MODULE] = None  # type: ignore[assignment]
    try:
        importlib.import_module("asyncio")
    finally:
        del sys.modules[TLS_MODULE]
