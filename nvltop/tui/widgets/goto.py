"""A dialog for the time of a recording to jump to."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Input

from nvltop.tui.widgets.dismiss_once import DismissOnce
from nvltop.tui.widgets.prompt import MAX_INPUT_CHARS


class GoToDialog(DismissOnce[None], ModalScreen[None]):
    """One line of input; Enter calls a function with it."""

    CSS = "GoToDialog { align: center bottom; } GoToDialog > Input { width: 100%; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Back")]

    def __init__(self, go: Callable[[str], None]) -> None:
        super().__init__()
        self._go = go

    def compose(self) -> ComposeResult:
        """Show the input line."""
        yield Input(
            placeholder="1:30 from the beginning, or a time of day such as 14:02:11",
            max_length=MAX_INPUT_CHARS,
        )

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Jump to the time, unless the line is empty."""
        if event.value:
            self._go(event.value)
        self.dismiss(None)
