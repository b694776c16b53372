"""The styles of the current theme, and the escape sequences that they amount to on this terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

PROBE_TEXT: Final = "x"
"""Text that is rendered to find the escape sequences around it."""


class StyleTable:
    """Maps each role to its style."""

    def __init__(self) -> None:
        self.styles: dict[str, Style] = {}
        self._sequences: dict[str, tuple[str, str]] = {}

    def use(self, theme: Mapping[str, Style]) -> None:
        """Use the styles of another theme."""
        self.styles = dict(theme)
        self._sequences = {}

    def sequences(self, console: Console) -> dict[str, tuple[str, str]]:
        """Return the escape sequences to send before and after a text, by role."""
        if not self._sequences:
            self._sequences = {role: _around(style, console) for role, style in self.styles.items()}
        return self._sequences


def _around(style: Style, console: Console) -> tuple[str, str]:
    before, _, after = (
        Strip([Segment(PROBE_TEXT, style)], len(PROBE_TEXT)).render(console).partition(PROBE_TEXT)
    )
    return before, after
