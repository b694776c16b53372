"""A dialog for one line of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from nvltop.tui.widgets.choices import MAX_INPUT_CHARS, TextLine
from nvltop.tui.widgets.dismiss_once import DismissOnce


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
        self._entered = entered
        self._line = TextLine(text, self._enter, placeholder=placeholder, max_chars=max_chars)

    def compose(self) -> ComposeResult:
        """Show the input line."""
        yield self._line

    def on_mount(self) -> None:
        """Select the text, so that what is typed replaces it."""
        self._line.select_all()
        self.set_focus(self._line, scroll_visible=False)

    def take_text(self, event: events.Key | events.Paste) -> bool:
        """Insert text into the line."""
        return self._line.take(event)

    def _enter(self, text: str) -> None:
        """Use the text, unless the line is empty."""
        if text:
            self._entered(text)
        self.dismiss(None)
