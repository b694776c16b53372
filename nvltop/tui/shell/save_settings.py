"""Writing changed settings into the config file."""

from __future__ import annotations

from nvltop.config.settings import Settings


def save_settings(before: Settings, now: Settings) -> tuple[str, bool]:
    """Write changed settings into the config file; return a message or "", and whether it failed."""
    from nvltop.config.file import ConfigError, changed, save

    changes = changed(before, now)
    if not changes:
        return "", False
    if now.config is None:
        return "the settings were not written: you have no home folder", True
    try:
        save(now.config, changes)
    except ConfigError as error:
        return str(error), True
    return f"written to {now.config}", False
