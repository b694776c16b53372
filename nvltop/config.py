"""The config file: TOML in the user's config folder, read strictly, written without losing a comment."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from nvltop.settings import (
    ALERTS,
    COLUMNS,
    LAYOUTS,
    MAX_INTERVAL_S,
    METERS,
    MIN_INTERVAL_S,
    THEMES,
    UNITS,
    Settings,
)

MAX_BYTES: Final = 1 << 20


class ConfigError(ValueError):
    """The file cannot be used; the message is one line that names file and line."""


def default_path(environ: Mapping[str, str]) -> Path:
    """Return where the file is looked for."""
    root = environ.get("XDG_CONFIG_HOME", "")
    base = Path(root) if os.path.isabs(root) else Path(environ.get("HOME", "~")).expanduser() / ".config"
    return base / "nvltop" / "config.toml"


def load(path: Path) -> dict[str, Any]:
    """Return the settings that the file names; empty if there is no file. Raise `ConfigError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; the defaults are used") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than a config file can be; the defaults are used")
    # Only where there is a file: it takes 30 ms.
    import tomlkit
    from tomlkit.exceptions import ParseError

    try:
        text = raw.decode()
        found = tomlkit.parse(text).unwrap()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8; the defaults are used") from None
    except ParseError as error:
        what = str(error).partition(" at line")[0]
        raise ConfigError(f"{path} line {error.line}: {what}; the defaults are used") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; the defaults are used") from None
    return {name: _checked(path, text, name, value) for name, value in found.items()}


def _checked(path: Path, text: str, name: str, value: Any) -> Any:
    check = CHECKS.get(name)
    line = _line_of(text, name)
    if check is None:
        raise ConfigError(
            f"{path} line {line}: no setting {name!r}; there are {', '.join(CHECKS)}; the defaults are used"
        )
    try:
        return check(value)
    except ValueError as error:
        raise ConfigError(f"{path} line {line}: {name} {error}; the defaults are used") from None


def _line_of(text: str, name: str) -> int:
    """Return the line of a top-level key, 1 if it is written in a way that is not found."""
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


def _truth(value: Any) -> bool:
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
    "unicode": _truth,
    "mouse": _truth,
    "alert": _some_of(ALERTS),
    "snapshot_on_critical": _truth,
    "meters": _some_of(METERS),
    "hidden_columns": _some_of(COLUMNS),
}
"""Every setting of the file, and what its value must be."""

FIELDS: Final = {"interval": "interval_s"}
"""Settings that the program calls otherwise."""


def apply(settings: Settings, found: Mapping[str, Any]) -> Settings:
    """Return settings with those of a file."""
    return replace(settings, **{FIELDS.get(name, name): value for name, value in found.items()})


def changed(before: Settings, after: Settings) -> dict[str, Any]:
    """Return what of the file's settings differs, by the file's names."""
    names = {FIELDS.get(name, name): name for name in CHECKS}
    return {
        names[f.name]: getattr(after, f.name)
        for f in fields(Settings)
        if f.name in names and getattr(before, f.name) != getattr(after, f.name)
    }


def save(path: Path, changes: Mapping[str, Any]) -> None:
    """Write settings into the file, which keeps its comments and its order; raise `ConfigError`.

    The file is replaced as a whole or not at all, and only its owner can read it.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        text = path.read_text("utf-8") if path.exists() else "# Settings of nvltop; written by F2 as well.\n"
        document = tomlkit.parse(text)
        for name, value in changes.items():
            document[name] = list(value) if isinstance(value, tuple) else value
        path.parent.mkdir(parents=True, exist_ok=True)
        # A link is followed: the file it leads to is the one that is meant.
        target = path.resolve()
        fd, temporary = tempfile.mkstemp(dir=target.parent, prefix=".config-")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(tomlkit.dumps(document))
            os.replace(temporary, target)
        except BaseException:  # whatever ends it, nothing half-written is left
            os.unlink(temporary)
            raise
    except OSError as error:
        raise ConfigError(f"{path} could not be written: {error.strerror}") from None
    except (TOMLKitError, ValueError):
        raise ConfigError(f"{path} is not valid TOML, so nothing was written into it") from None
