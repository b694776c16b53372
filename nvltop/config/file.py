"""The config file: TOML in the user's config folder, validated strictly, written with its comments kept."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from nvltop import __version__
from nvltop.config.settings import (
    ALERTS,
    EXTRA_COLUMNS,
    HIDEABLE_COLUMNS,
    LAYOUTS,
    MAX_INTERVAL_S,
    METERS,
    MIN_INTERVAL_S,
    SPARK_CELLS_S,
    SPARKLINES,
    THEMES,
    UNITS,
    Settings,
)
from nvltop.frozen import frozen
from nvltop.home import xdg_folder
from nvltop.text import clean

MAX_FILE_BYTES: Final = 1 << 20
MAX_PROBLEMS: Final = 5
"""Number of problems reported for one file; more would hide the first."""
NEW_FILE_HEADER: Final = "# Settings of nvltop; F2 writes this file as well.\n"


class ConfigError(ValueError):
    """An error writing the file; the message is one line."""


@frozen
class LoadedConfig:
    """The contents of a config file."""

    values: dict[str, Any]
    """The valid settings, by their names in the file."""
    problems: tuple[str, ...] = ()
    """One line for each invalid setting, with file, line and reason."""


def default_path(environ: Mapping[str, str]) -> Path | None:
    """Return the path of the file without `--config`; None for a user without a home folder."""
    folder = xdg_folder(environ, "XDG_CONFIG_HOME", ".config")
    return folder / "config.toml" if folder else None


def load(path: Path) -> LoadedConfig:
    """Read the file; without one, return no settings."""
    try:
        raw = _read(path)
    except FileNotFoundError:
        return LoadedConfig({})
    except OSError as error:
        return _unusable(f"{path}: {error.strerror or error}")
    if len(raw) > MAX_FILE_BYTES:
        return _unusable(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
    # Imported only if there is a file: it takes 30 ms.
    import tomlkit
    from tomlkit.exceptions import ParseError

    try:
        text = raw.decode()
        found = tomlkit.parse(text).unwrap()
    except UnicodeDecodeError:
        return _unusable(f"{path}: not UTF-8")
    except ParseError as error:
        what = str(error).partition(" at line")[0]
        return _unusable(f"{path} line {error.line}: {what}")
    except (ValueError, RecursionError) as error:
        return _unusable(f"{path}: {error}")
    return _checked(path, text, found)


def _read(path: Path) -> bytes:
    """Return at most one byte more than `MAX_FILE_BYTES`; nothing for `/dev/null`."""
    # Reading a pipe or a terminal could wait indefinitely.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        is_null = stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev
        if not is_null and not stat.S_ISREG(found.st_mode):
            raise OSError(0, "not a regular file")
        return file.read(MAX_FILE_BYTES + 1)


def _unusable(problem: str) -> LoadedConfig:
    return LoadedConfig({}, (f"{clean(problem)}; the defaults are used",))


def _checked(path: Path, text: str, found: Mapping[str, Any]) -> LoadedConfig:
    """Return the valid settings; an invalid one is ignored and reported."""
    values: dict[str, Any] = {}
    problems = []
    for name, value in found.items():
        try:
            if name not in CHECKS:
                raise ValueError(f"not a setting of nvltop {__version__}")
            values[name] = CHECKS[name](value)
        except ValueError as error:
            problems.append(clean(f"{path} line {_line_of(text, name)}: {name}: {error}; ignored"))
    return LoadedConfig(values, tuple(problems[:MAX_PROBLEMS]))


def _line_of(text: str, name: str) -> int:
    """Return the line number of a top-level key, 1 if it is not found."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"""\s*\[?["']?{re.escape(name)}["']?\s*[=.\]]""", line):
            return number
    return 1


def _number(low: float, high: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return check


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _one_of(words: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value

    return check


def _some_of(words: tuple[str, ...]) -> Callable[[Any], tuple[str, ...]]:
    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(v, str) and v in words for v in value):
            raise ValueError(f"must be a list of {', '.join(words)}")
        return tuple(value)

    return check


CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "interval": _number(MIN_INTERVAL_S, MAX_INTERVAL_S),
    "theme": _one_of(THEMES),
    "units": _one_of(UNITS),
    "layout": _one_of(LAYOUTS),
    "unicode": _boolean,
    "mouse": _boolean,
    "alert": _some_of(ALERTS),
    "snapshot_on_critical": _boolean,
    "meters": _some_of(METERS),
    "sparklines": _one_of(SPARKLINES),
    "sparkline_cell": _one_of(tuple(SPARK_CELLS_S)),
    "hidden_columns": _some_of(HIDEABLE_COLUMNS),
    "extra_columns": _some_of(EXTRA_COLUMNS),
}
"""Validators of the settings in the file, by name; each returns the value or raises `ValueError`."""

FIELD_NAMES: Final = {"interval": "interval_s"}
"""Fields of `Settings` whose names differ from those in the file."""


def apply(settings: Settings, found: Mapping[str, Any]) -> Settings:
    """Return settings with the values of a file."""
    return replace(settings, **{FIELD_NAMES.get(name, name): value for name, value in found.items()})


def changed(before: Settings, after: Settings) -> dict[str, Any]:
    """Return the settings of the file that differ, by their names in the file."""
    names = {FIELD_NAMES.get(name, name): name for name in CHECKS}
    return {
        names[f.name]: getattr(after, f.name)
        for f in fields(Settings)
        if f.name in names and getattr(before, f.name) != getattr(after, f.name)
    }


def save(path: Path, changes: Mapping[str, Any]) -> None:
    """Write settings to the file, which keeps its comments, order, owner and mode; raise `ConfigError`.

    The file is replaced atomically, and only if it is a regular file that belongs to us and is writable. A
    new file can be read only by its owner.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        # A symbolic link is followed: the file it points to is replaced, and the link is kept.
        target = path.resolve()
        found = _check_writable(target)
        document = tomlkit.parse(target.read_text("utf-8") if found else NEW_FILE_HEADER)
        for name, value in changes.items():
            document[name] = list(value) if isinstance(value, tuple) else value
        target.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=target.parent, prefix=".config-")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(tomlkit.dumps(document))
                if found:
                    os.fchown(fd, -1, found.st_gid)
                    os.fchmod(fd, stat.S_IMODE(found.st_mode))
            os.replace(temporary, target)
        except BaseException:  # whatever the error, no temporary file is left behind
            os.unlink(temporary)
            raise
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(clean(f"{path} was not written: {reason}")) from None
    except (TOMLKitError, ValueError):
        raise ConfigError(clean(f"{path} was not written: it is not valid TOML")) from None


def _check_writable(target: Path) -> os.stat_result | None:
    """Return the status of the file, None if it does not exist; raise `OSError` if we may not write it."""
    user = os.geteuid()
    try:
        found = os.stat(target, follow_symlinks=False)
    except FileNotFoundError:
        # As root in the home of another user, who could not read the new file.
        folder = next(parent for parent in target.parents if parent.exists())
        if not user and folder.stat().st_uid:
            raise OSError(0, "its folder belongs to another user") from None
        return None
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is not a regular file")
    if found.st_uid != user:
        raise OSError(0, "it belongs to another user")
    if not found.st_mode & stat.S_IWUSR:
        raise OSError(0, "it is write-protected")
    return found
