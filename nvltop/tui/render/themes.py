"""Themes: the style of each role, in the terminal's sixteen colours, so that its palette applies.

No information is carried by colour alone: marks, words and numbers show it as well.
"""

from __future__ import annotations

from typing import Final

from rich.style import Style

DEFAULT: Final[dict[str, Style]] = {
    "": Style(),
    "caption": Style(color="cyan"),
    "bracket": Style(bold=True),
    "cpu": Style(color="green"),
    "memory": Style(color="green"),
    "power": Style(color="yellow"),
    "tx": Style(color="green"),
    "rx": Style(color="blue", bold=True),
    "shadow": Style(color="bright_black"),
    "dim": Style(color="bright_black"),
    "value": Style(color="cyan", bold=True),
    "bold": Style(bold=True),
    "ok": Style(color="green"),
    "warn": Style(color="yellow", bold=True),
    "error": Style(color="red", bold=True),
    "title": Style(color="black", bgcolor="green"),
    "selected": Style(color="black", bgcolor="cyan"),
    "unfocused": Style(color="black", bgcolor="white"),
    "tab": Style(color="black", bgcolor="blue"),
    "tab-current": Style(color="black", bgcolor="green"),
    "key": Style(),
    "key-label": Style(color="black", bgcolor="cyan"),
    "paused": Style(color="yellow", bgcolor="cyan", bold=True),
    "heat0": Style(color="bright_black"),
    "heat1": Style(color="blue", bold=True),
    "heat2": Style(color="green"),
    "heat3": Style(color="yellow"),
    "heat4": Style(color="black", bgcolor="yellow"),
}

LIGHT: Final = DEFAULT | {
    "caption": Style(color="blue"),
    "rx": Style(color="blue"),
    "value": Style(color="blue", bold=True),
    "warn": Style(color="magenta", bold=True),
    "power": Style(color="magenta"),
    "heat1": Style(color="blue"),
    "heat3": Style(color="magenta"),
    "heat4": Style(color="white", bgcolor="magenta"),
    "paused": Style(color="black", bgcolor="cyan", bold=True),
}

HIGH_CONTRAST: Final = DEFAULT | {
    "caption": Style(color="bright_cyan", bold=True),
    "cpu": Style(color="bright_green", bold=True),
    "memory": Style(color="bright_green", bold=True),
    "power": Style(color="bright_yellow", bold=True),
    "tx": Style(color="bright_green", bold=True),
    "rx": Style(color="bright_cyan", bold=True),
    "shadow": Style(color="white"),
    "dim": Style(color="white"),
    "value": Style(color="bright_white", bold=True),
    "ok": Style(color="bright_green", bold=True),
    "warn": Style(color="bright_yellow", bold=True),
    "error": Style(color="bright_white", bgcolor="red", bold=True),
    "title": Style(color="black", bgcolor="bright_white", bold=True),
    "selected": Style(color="black", bgcolor="bright_yellow", bold=True),
    "unfocused": Style(color="black", bgcolor="white"),
    "tab": Style(color="bright_white", bgcolor="black"),
    "tab-current": Style(color="black", bgcolor="bright_white", bold=True),
    "key-label": Style(color="black", bgcolor="bright_white"),
    "heat0": Style(color="white"),
    "heat1": Style(color="bright_cyan"),
    "heat2": Style(color="bright_green", bold=True),
    "heat3": Style(color="bright_yellow", bold=True),
    "heat4": Style(color="black", bgcolor="bright_yellow", bold=True),
}

COLOUR_BLIND: Final = DEFAULT | {
    "cpu": Style(color="cyan"),
    "memory": Style(color="cyan"),
    "tx": Style(color="yellow"),
    "rx": Style(color="blue", bold=True),
    "ok": Style(color="cyan"),
    "warn": Style(color="yellow", bold=True),
    "error": Style(color="black", bgcolor="yellow", bold=True),
    "title": Style(color="black", bgcolor="cyan"),
    "selected": Style(color="black", bgcolor="white"),
    "tab-current": Style(color="black", bgcolor="cyan"),
    "heat1": Style(color="blue", bold=True),
    "heat2": Style(color="cyan"),
    "heat3": Style(color="white", bold=True),
    "heat4": Style(color="black", bgcolor="yellow"),
}
"""Theme of blue, cyan and yellow, in which nothing depends on distinguishing red from green."""

MONOCHROME: Final[dict[str, Style]] = dict.fromkeys(DEFAULT, Style()) | {
    "bracket": Style(bold=True),
    "value": Style(bold=True),
    "bold": Style(bold=True),
    "warn": Style(bold=True),
    "error": Style(bold=True, underline=True),
    "title": Style(reverse=True),
    "selected": Style(reverse=True),
    "unfocused": Style(underline=True),
    "tab-current": Style(reverse=True),
    "key-label": Style(reverse=True),
    "paused": Style(reverse=True, bold=True),
    "heat3": Style(bold=True),
    "heat4": Style(reverse=True),
}

THEMES: Final = {
    "default": DEFAULT,
    "light": LIGHT,
    "high-contrast": HIGH_CONTRAST,
    "colour-blind": COLOUR_BLIND,
    "monochrome": MONOCHROME,
}
"""Themes by name; `settings.THEMES` lists the names."""
