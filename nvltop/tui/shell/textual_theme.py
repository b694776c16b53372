"""Textual's themes for menus, prompts and messages, made from nvltop's themes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from rich.color import Color
from rich.style import Style
from textual.theme import BUILTIN_THEMES, Theme

from nvltop.tui.render import themes

CSS_ROLES: Final = {
    "title": "nv-title",
    "selected": "nv-selected",
    "key-label": "nv-bar",
    "error": "nv-error",
}
"""Prefix of the CSS variables of each role that menus and prompts use."""


def textual_theme(name: str, theme: themes.Theme, color_system: str | None) -> Theme:
    """Return the Textual theme that matches one of nvltop's themes on a terminal with this color system."""
    base = BUILTIN_THEMES["ansi-dark" if theme.dark else "ansi-light"]
    variables = {**base.variables, **css_variables(theme.styles(color_system))}
    return replace(base, name=f"nvltop-{name}", variables=variables)


def css_variables(styles: Mapping[str, Style]) -> dict[str, str]:
    """Return the CSS variables for the colours and text styles of menus and prompts."""
    variables = {}
    for role, prefix in CSS_ROLES.items():
        style = styles[role]
        variables[f"{prefix}-text"] = _css_color(style.color)
        variables[f"{prefix}-background"] = _css_color(style.bgcolor)
        attributes = [word for word in ("bold", "underline", "reverse") if getattr(style, word)]
        variables[f"{prefix}-style"] = " ".join(attributes) or "none"
    for state in ("block-cursor", "block-cursor-blurred"):
        variables[f"{state}-foreground"] = variables["nv-selected-text"]
        variables[f"{state}-background"] = variables["nv-selected-background"]
        variables[f"{state}-text-style"] = variables["nv-selected-style"]
    bar = variables["nv-title-background"]
    for state in ("", "-hover", "-active"):
        variables[f"scrollbar{state}"] = "ansi_white" if bar == "ansi_default" else bar
        variables[f"scrollbar-background{state}"] = "ansi_default"
    return variables


def _css_color(color: Color | None) -> str:
    if color is None or color.number is None:
        return "ansi_default"
    return f"ansi_{color.name}" if color.number < 16 else color.get_truecolor().hex
