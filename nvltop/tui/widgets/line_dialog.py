"""A dialog for one line of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Input

from nvltop.tui.widgets.dismiss_once import DismissOnce
from nvltop.tui.widgets.prompt import MAX_INPUT_CHARS


class LineDialog(DismissOnce[None], ModalScreen[None]):
    """One line of input; Enter calls a function with it."""

    CSS = "LineDialog { align: center bottom; } LineDialog > Input { width: 100%; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Back")]

    def __init__(
        self,
        placeholder: str,
        entered: Callable[[str], None],
        text: str = "",
        max_chars: int = MAX_INPUT_CHARS,
    ) -> None:
        super().__init__()
        self._placeholder = placeholder
        self._entered = entered
        self._text = text
        self._max_chars = max_chars

    def compose(self) -> ComposeResult:
        """Show the input line."""
        yield Input(self._text, placeholder=self._placeholder, max_length=self._max_chars)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Use the text, unless the line is empty."""
        if event.value:
            self._entered(event.value)
        self.dismiss(None)
