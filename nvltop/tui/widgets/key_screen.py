"""Screens whose keys are handled one after the other, as `TerminalApp.on_event` describes."""

from __future__ import annotations

from typing import TypeVar

from textual import events
from textual.screen import Screen

Result = TypeVar("Result")


class KeyScreen(Screen[Result]):
    """A screen whose keys are all bindings, except for the text that `take_text` uses."""

    def take_text(self, event: events.Key | events.Paste) -> bool:
        """Use a key or paste as text if the user can type one now; return whether it was used."""
        return False
