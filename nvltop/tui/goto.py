"""Asks for the time of a recording to go to."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Input


class GoTo(ModalScreen[str]):
    """One line of input; the empty text if the user thinks better of it."""

    CSS = "GoTo { align: center bottom; } GoTo > Input { width: 100%; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "Back")]

    def compose(self) -> ComposeResult:
        """Show the line."""
        yield Input(placeholder="1:30 from the beginning, or a time of day such as 14:02:11")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Hand the text over."""
        self.dismiss(event.value)
