"""Whether the module `pynvml` that Python finds is NVIDIA's, of the package nvidia-ml-py, and new enough.

Other packages install a module of that name: `pynvml` up to 11 as a folder, which is found before NVIDIA's
file, and `nvidia-ml-py3` as a file over NVIDIA's. Imports `pynvml` only when asked.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from nvltop.model import Problem

PACKAGE: Final = "nvidia-ml-py"
MIN_VERSION: Final = "13.580"
"""The version that pyproject.toml asks for."""
REQUIRED_NAMES: Final = (
    "NVMLError",
    "nvmlInit",
    "c_nvmlFieldValue_t",
    "nvmlDeviceGetNvlinkBwMode",
    "c_nvmlGpuFabricInfo_v3_t",
)
"""Names that nvltop uses and that earlier versions and other packages lack, the newest last."""
PROBLEM_ID: Final = "wrong-pynvml"


def check_binding() -> Problem | None:
    """Return what is wrong with the module `pynvml`, and what puts it right; None if nothing is wrong."""
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
    except Exception as error:  # somebody else's module, which may do anything
        return _broken(error)
    lacking = [name for name in REQUIRED_NAMES if not hasattr(pynvml, name)]
    if not lacking:
        return None
    file = str(pynvml.__file__ or next(iter(pynvml.__path__), "?"))
    owners = _owners(Path(file))
    foreign = next((name for name in owners if name != PACKAGE), "")
    update = f"`{_pip('install')} --force-reinstall '{PACKAGE}>={MIN_VERSION}'`"
    if foreign:
        return Problem(
            PROBLEM_ID,
            f"the module pynvml ({file}) is of the package {foreign} {owners[foreign]}, not of {PACKAGE}",
            f"run `{_pip('uninstall')} {foreign}`, then {update}",
        )
    if owners:
        return Problem(
            PROBLEM_ID,
            f"{PACKAGE} {owners[PACKAGE]} ({file}) is too old: it has no {lacking[-1]}",
            f"run {update}",
        )
    return Problem(
        PROBLEM_ID,
        f"the module pynvml ({file}) is not that of {PACKAGE}: it has no {lacking[-1]}",
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


def _pip(what: str) -> str:
    return f"{sys.executable} -m pip {what}"


def _owners(file: Path) -> dict[str, str]:
    """Return name and version of the installed packages that have this file."""
    from importlib import metadata

    owners = {}
    for package in metadata.distributions():
        named = (f for f in package.files or () if f.parts[-2:] in (file.parts[-2:], file.parts[-1:]))
        if any(Path(str(package.locate_file(f))).resolve() == file.resolve() for f in named):
            owners[str(package.metadata["Name"])] = package.version
    return owners
