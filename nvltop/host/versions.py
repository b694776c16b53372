"""Versions of nvltop and of the software it runs on, for bug reports."""

from __future__ import annotations

import os
import platform
from typing import Final

from nvltop import __version__
from nvltop.text import clean

PACKAGES: Final = ("textual", "nvidia-ml-py", "plotext")


def versions() -> dict[str, str]:
    """Return versions by name, nvltop first; none of them identifies this machine or its users."""
    system = os.uname()
    return {
        "nvltop": __version__,
        "Python": platform.python_version(),
        "kernel": clean(f"{system.sysname} {system.release} {system.machine}"),
        "distribution": _distribution(),
        **{package: _version(package) for package in PACKAGES},
        "TERM": clean(os.environ.get("TERM", "")) or "not set",
    }


def _distribution() -> str:
    try:
        return clean(platform.freedesktop_os_release()["PRETTY_NAME"])
    except (OSError, KeyError):
        return "unknown"


def _version(package: str) -> str:
    # Imported late, because it takes 3 MB and is rarely needed.
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
