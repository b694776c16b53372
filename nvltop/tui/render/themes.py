"""Themes: the style of each role.

On terminals with 256 colours, themes use the fixed ones (16 to 255), because the first sixteen differ from
terminal to terminal: red on the background of Solarized, or blue on that of xterm, cannot be read. Terminals
with sixteen colours get a table of their own. In both, text has a contrast of at least 4.5:1 (WCAG 2.2, AA).

No information is carried by colour alone: marks, words and numbers show it as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final

from rich.color import Color
from rich.style import Style

FIRST_BRIGHT_COLOR: Final = 8
"""Number of the first bright colour of the terminal."""


class Theme:
    """The styles of a theme, by role, each made when it is first used: one theme of five is, on most runs."""

    def __init__(
        self,
        roles: Mapping[str, str],
        indexed_colors: Mapping[str, int],
        basic_colors: Mapping[str, str],
        dark: bool = True,
    ) -> None:
        self._roles = roles
        self._indexed_colors = indexed_colors
        self._basic_colors = basic_colors
        self.dark = dark
        """Whether the theme is meant for terminals with a dark background."""

    @cached_property
    def indexed(self) -> Mapping[str, Style]:
        """Styles for terminals with 256 colours or more."""
        return _styles(self._roles, self._indexed_colors)

    @cached_property
    def basic(self) -> Mapping[str, Style]:
        """Styles for terminals with sixteen colours."""
        return _styles(self._roles, self._basic_colors)

    def styles(self, color_system: str | None) -> Mapping[str, Style]:
        """Return the styles for a terminal, by Rich's name of its color system."""
        return self.basic if color_system in ("standard", "windows") else self.indexed


DARK_INDEXED: Final = {
    "black": 16, "white": 231, "green": 114, "cyan": 80, "blue": 111, "yellow": 221, "red": 210, "grey": 248,
    "title": 71, "selection": 80, "bar": 73, "tab": 24, "unfocused": 248,
    "h1": 22, "h2": 34, "h3": 70, "h4": 148, "h5": 220, "h6": 208, "fault": 160,
}  # fmt: skip
"""Number of each colour of a theme for a dark background. Those from `title` on are backgrounds; `h1` to `h6`
are those of heat maps."""
DARK_BASIC: Final = {
    "black": "black", "white": "bright_white", "green": "bright_green", "cyan": "cyan", "blue": "bright_cyan",
    "yellow": "bright_yellow", "red": "bright_red", "grey": "white",
    "title": "green", "selection": "cyan", "bar": "cyan", "tab": "blue", "unfocused": "white",
    "h1": "blue", "h2": "cyan", "h3": "green", "h4": "green", "h5": "bright_green", "h6": "bright_yellow",
    "fault": "red",
}  # fmt: skip
LIGHT_INDEXED: Final = {
    "black": 16, "white": 231, "green": 22, "cyan": 23, "blue": 25, "yellow": 94, "red": 124, "grey": 241,
    "title": 22, "selection": 25, "bar": 152, "tab": 252, "unfocused": 250,
    "h1": 194, "h2": 157, "h3": 120, "h4": 190, "h5": 220, "h6": 214, "fault": 124,
}  # fmt: skip
LIGHT_BASIC: Final = {
    "black": "black", "white": "bright_white", "green": "black", "cyan": "blue", "blue": "blue",
    "yellow": "magenta", "red": "red", "grey": "black",
    "title": "blue", "selection": "magenta", "bar": "cyan", "tab": "white", "unfocused": "cyan",
    "h1": "white", "h2": "cyan", "h3": "green", "h4": "bright_green", "h5": "bright_green",
    "h6": "bright_yellow", "fault": "red",
}  # fmt: skip
BRIGHT_INDEXED: Final = DARK_INDEXED | {
    "green": 120, "cyan": 123, "blue": 117, "yellow": 227, "red": 217, "grey": 254,
    "title": 231, "selection": 227, "bar": 231, "tab": 16, "unfocused": 252, "fault": 124,
}  # fmt: skip
BRIGHT_BASIC: Final = DARK_BASIC | {
    "cyan": "bright_cyan", "title": "bright_white", "selection": "bright_yellow", "bar": "bright_white",
    "tab": "black",
}  # fmt: skip
BLUE_INDEXED: Final = DARK_INDEXED | {"h1": 17, "h2": 25, "h3": 31, "h4": 38, "h5": 81, "h6": 159}
BLUE_BASIC: Final = DARK_BASIC | {
    "h2": "blue", "h3": "cyan", "h4": "cyan", "h5": "bright_cyan", "h6": "bright_cyan",
}  # fmt: skip

DEFAULT_ROLES: Final = {
    "": "",
    "caption": "cyan",
    "bracket": "bold",
    "cpu": "green",
    "memory": "green",
    "power": "yellow",
    "tx": "green",
    "rx": "blue",
    "shadow": "grey",
    "dim": "grey",
    "value": "bold cyan",
    "bold": "bold",
    "ok": "green",
    "warn": "bold yellow",
    "error": "bold red",
    "title": "black on title",
    "selected": "black on selection",
    "unfocused": "black on unfocused",
    "tab": "white on tab",
    "tab-current": "bold black on title",
    "key": "",
    "key-label": "black on bar",
    "paused": "bold black on yellow",
    "spark-tx": "bold green",
    "spark-rx": "bold cyan",
    "spark-full": "bold yellow",
    "load0": "grey",
    "load1": "green",
    "load2": "yellow",
    "load3": "bold red",
    "heat0": "grey",
    "heat1": "white on h1",
    "heat2": "black on h2",
    "heat3": "black on h3",
    "heat4": "black on h4",
    "heat5": "black on h5",
    "heat6": "black on h6",
    "fault": "bold white on fault",
    "marked": "bold black on white",
}
"""Style of each role: attributes, colour, and `on` the colour of the background.

`spark-tx` and `spark-rx` are for sparklines above half of the ceiling, `spark-full` near it. `load0` to
`load3` are levels of load: idle, moderate, high, and at a limit (see `load_roles`). `heat0` to `heat6` are
cells of a heat map from idle to the ceiling; `fault` and `marked` are cells with a fault or a warning.
"""
LIGHT_ROLES: Final = DEFAULT_ROLES | {
    "title": "white on title",
    "selected": "white on selection",
    "tab": "black on tab",
    "tab-current": "bold white on title",
    "paused": "bold white on yellow",
    "heat1": "black on h1",
    "marked": "bold white on black",
}
HIGH_CONTRAST_ROLES: Final = DEFAULT_ROLES | {
    "caption": "bold cyan",
    "value": "bold white",
    "error": "bold black on red",
    "title": "bold black on title",
    "selected": "bold black on selection",
    "load3": "bold black on red",
}
COLOUR_BLIND_ROLES: Final = DEFAULT_ROLES | {
    "cpu": "cyan",
    "memory": "cyan",
    "tx": "yellow",
    "spark-tx": "bold yellow",
    "spark-full": "bold white",
    "ok": "cyan",
    "error": "bold black on yellow",
    "title": "black on bar",
    "selected": "black on unfocused",
    "unfocused": "bold underline",
    "tab-current": "bold black on bar",
    "load1": "cyan",
    "load2": "yellow",
    "load3": "bold black on yellow",
    "heat2": "white on h2",
    "fault": "bold black on yellow",
}
"""Roles of blue, cyan and yellow, in which nothing depends on distinguishing red from green."""
MONOCHROME_ROLES: Final = dict.fromkeys(DEFAULT_ROLES, "") | {
    "bracket": "bold",
    "value": "bold",
    "bold": "bold",
    "warn": "bold",
    "error": "bold underline",
    "title": "bold underline",
    "selected": "reverse",
    "unfocused": "underline",
    "tab-current": "reverse",
    "key-label": "reverse",
    "paused": "bold reverse",
    "load2": "bold",
    "load3": "bold underline",
    "heat5": "bold",
    "heat6": "bold",
    "fault": "bold reverse",
    "marked": "bold underline",
}


def _styles(roles: Mapping[str, str], colors: Mapping[str, int | str]) -> Mapping[str, Style]:
    return {role: _style(definition, colors) for role, definition in roles.items()}


def _style(definition: str, colors: Mapping[str, int | str]) -> Style:
    text, _, background = definition.partition("on ")
    words = text.split()
    found = next((word for word in words if word in colors), None)
    color = _color(colors[found]) if found else None
    # Many terminals draw bold text in the bright variant of a dark colour: black would become grey.
    may_brighten = color is not None and color.number is not None and color.number < FIRST_BRIGHT_COLOR
    return Style(
        color=color,
        bgcolor=_color(colors[background]) if background else None,
        bold=("bold" in words and not may_brighten) or None,
        underline="underline" in words or None,
        reverse="reverse" in words or None,
    )


def _color(color: int | str) -> Color:
    return Color.parse(color) if isinstance(color, str) else Color.from_ansi(color)


DEFAULT: Final = Theme(DEFAULT_ROLES, DARK_INDEXED, DARK_BASIC)
LIGHT: Final = Theme(LIGHT_ROLES, LIGHT_INDEXED, LIGHT_BASIC, dark=False)
HIGH_CONTRAST: Final = Theme(HIGH_CONTRAST_ROLES, BRIGHT_INDEXED, BRIGHT_BASIC)
COLOUR_BLIND: Final = Theme(COLOUR_BLIND_ROLES, BLUE_INDEXED, BLUE_BASIC)
MONOCHROME: Final = Theme(MONOCHROME_ROLES, {}, {})

THEMES: Final = {
    "default": DEFAULT,
    "light": LIGHT,
    "high-contrast": HIGH_CONTRAST,
    "colour-blind": COLOUR_BLIND,
    "monochrome": MONOCHROME,
}
"""Themes by name; `settings.THEMES` lists the names."""
