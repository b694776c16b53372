"""A line of text that the user types in the place of the function bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

MAX_INPUT_CHARS: Final = 200
"""What fits on a line; each character more would cost another search."""


class Prompt(Horizontal):
    """Hidden until asked."""

    DEFAULT_CSS = """
    Prompt { background: ansi_cyan; color: ansi_black; }
    Prompt Static { width: auto; background: ansi_cyan; color: ansi_black; }
    Prompt Input, Prompt Input:focus { border: none; height: 1; padding: 0; background: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]

    class Closed(Message):
        """The line is no longer wanted."""

    def __init__(self) -> None:
        super().__init__()
        self._caption = Static("", markup=False)
        self._input = Input(compact=True, select_on_focus=False, max_length=MAX_INPUT_CHARS)
        self._before = ""
        self._changed: Callable[[str], None] = lambda text: None

    def compose(self) -> ComposeResult:
        """Stand caption and line side by side."""
        yield self._caption
        yield self._input

    def ask(self, caption: str, text: str, changed: Callable[[str], None]) -> None:
        """Let the user type; `changed` is told of every change."""
        self._changed = lambda text: None
        self._before = text
        self._caption.update(f"{caption}: ")
        self._input.value = text
        self._input.cursor_position = len(text)
        self._changed = changed
        self.display = True
        self._input.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Pass on what is typed."""
        event.stop()
        if self.display:
            self._changed(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take it as it stands."""
        event.stop()
        self._changed(event.value)
        self._leave()

    def action_leave(self) -> None:
        """Take back what was typed."""
        self._changed(self._before)
        self._leave()

    def _leave(self) -> None:
        self.display = False
        self.post_message(self.Closed())
