"""Roles to styles: htop's colours on the terminal's own palette, or no colours at all."""

from __future__ import annotations

from typing import Final

from rich.style import Style

COLOR: Final[dict[str, Style]] = {
    "": Style(),
    "caption": Style(color="cyan"),
    "bracket": Style(bold=True),
    "cpu": Style(color="green"),
    "memory": Style(color="green"),
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

MONO: Final[dict[str, Style]] = dict.fromkeys(COLOR, Style()) | {
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
}
