"""Check that the module `pynvml` is the one of NVIDIA's package nvidia-ml-py, and recent enough.

Other packages install a module of the same name: `pynvml` up to version 11 as a directory, which Python
finds before NVIDIA's file, and `nvidia-ml-py3` as a file that replaces NVIDIA's. Importing this module does
not import `pynvml`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from nvltop.model import Problem

PACKAGE: Final = "nvidia-ml-py"
MIN_VERSION: Final = "13.580"
"""Oldest supported version, as in pyproject.toml."""
REQUIRED_NAMES: Final = (
    "NVMLError",
    "nvmlInit",
    "c_nvmlFieldValue_t",
    "nvmlDeviceGetNvlinkBwMode",
    "c_nvmlGpuFabricInfo_v3_t",
)
"""Names that nvltop uses and that older versions or other packages lack, the newest last."""
PROBLEM_ID: Final = "wrong-pynvml"


def check_binding() -> Problem | None:
    """Return the problem with the module `pynvml` and how to solve it, or None."""
    try:
        import pynvml
    except ImportError as error:
        if error.name == "pynvml":
            return Problem(
                PROBLEM_ID,
                f"the Python package {PACKAGE} is not installed",
                f"run `{_pip('install')} {PACKAGE}`",
            )
        return _broken(error)
    except Exception as error:  # a foreign module may raise anything
        return _broken(error)
    missing_names = [name for name in REQUIRED_NAMES if not hasattr(pynvml, name)]
    if not missing_names:
        return None
    file = str(pynvml.__file__ or next(iter(pynvml.__path__), "?"))
    owners = _owning_packages(Path(file))
    foreign = next((name for name in owners if name != PACKAGE), "")
    update = f"`{_pip('install')} --force-reinstall '{PACKAGE}>={MIN_VERSION}'`"
    if foreign:
        return Problem(
            PROBLEM_ID,
            f"the module pynvml ({file}) belongs to the package {foreign} {owners[foreign]},"
            f" not to {PACKAGE}",
            f"run `{_pip('uninstall')} {foreign}`, then {update}",
        )
    if owners:
        return Problem(
            PROBLEM_ID,
            f"{PACKAGE} {owners[PACKAGE]} ({file}) is too old: it has no {missing_names[-1]}",
            f"run {update}",
        )
    return Problem(
        PROBLEM_ID,
        f"the module pynvml ({file}) is not that of {PACKAGE}: it has no {missing_names[-1]}",
        "remove that file, or take its folder out of PYTHONPATH",
    )


def _broken(error: Exception) -> Problem:
    from importlib.machinery import PathFinder

    found = PathFinder.find_spec("pynvml")
    return Problem(
        PROBLEM_ID,
        f"the module pynvml ({found.origin if found else '?'}) cannot be imported:"
        f" {type(error).__name__}: {error}",
        f"run `{_pip('install')} --force-reinstall '{PACKAGE}>={MIN_VERSION}'`",
    )


def _pip(command: str) -> str:
    return f"{sys.executable} -m pip {command}"


def _owning_packages(file: Path) -> dict[str, str]:
    """Return the installed packages that contain a file, as versions by name."""
    from importlib import metadata

    owners = {}
    for package in metadata.distributions():
        named = (f for f in package.files or () if f.parts[-2:] in (file.parts[-2:], file.parts[-1:]))
        if any(Path(str(package.locate_file(f))).resolve() == file.resolve() for f in named):
            owners[str(package.metadata["Name"])] = package.version
    return owners
