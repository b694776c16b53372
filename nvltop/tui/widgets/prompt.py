"""A prompt for a line of text, in place of the function bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

MAX_INPUT_CHARS: Final = 200
"""Maximum length of the text: it has one line, and each character starts another search."""


class Prompt(Horizontal):
    """A caption and an input line, hidden unless `ask` has shown it."""

    DEFAULT_CSS = """
    Prompt Static { width: auto; background: $nv-bar-background; color: $nv-bar-text; }
    Prompt Static { text-style: $nv-bar-style; }
    Prompt Input, Prompt Input:focus { border: none; height: 1; padding: 0; background: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]

    class Closed(Message):
        """The user has closed the prompt."""

    def __init__(self) -> None:
        super().__init__()
        self._caption = Static("", markup=False)
        self._input = Input(compact=True, select_on_focus=False, max_length=MAX_INPUT_CHARS)
        self._before = ""
        self._changed: Callable[[str], None] = lambda text: None

    def compose(self) -> ComposeResult:
        """Show caption and input line side by side."""
        yield self._caption
        yield self._input

    def ask(self, caption: str, text: str, changed: Callable[[str], None]) -> None:
        """Show the prompt, and call `changed` with the text after every change."""
        self._changed = lambda text: None
        self._before = text
        self._caption.update(f"{caption}: ")
        self._input.value = text
        self._input.cursor_position = len(text)
        self._changed = changed
        self.display = True
        self._input.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Call `changed` with the text."""
        event.stop()
        if self.display:
            self._changed(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Accept the text."""
        event.stop()
        self._changed(event.value)
        self._leave()

    def action_leave(self) -> None:
        """Restore the original text."""
        self._changed(self._before)
        self._leave()

    def _leave(self) -> None:
        self.display = False
        self.post_message(self.Closed())
