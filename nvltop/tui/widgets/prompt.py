"""A prompt for a line of text, in place of the function bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Static

from nvltop.tui.widgets.choices import TextLine
from nvltop.tui.widgets.tab import Question

MIN_HINT_WIDTH: Final = 60
"""Columns of the screen from which on the keys leave room for the text."""


class Prompt(Horizontal):
    """A caption, an input line and the keys of the prompt, hidden unless `ask` has shown it."""

    DEFAULT_CSS = """
    Prompt Static { width: auto; background: $nv-bar-background; color: $nv-bar-text; }
    Prompt Static { text-style: $nv-bar-style; }
    Prompt Input, Prompt Input:focus { border: none; height: 1; padding: 0; background: ansi_default; }
    Prompt Input { width: 1fr; }
    Prompt.no-match Input { color: $nv-error-text; text-style: $nv-error-style; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Clear"),
        Binding("f3", "find_next", "Next match"),
    ]

    def __init__(self, closed: Callable[[], None]) -> None:
        """Call `closed` when the user has closed the prompt."""
        super().__init__()
        self._caption = Static("", markup=False)
        self._input = TextLine("", lambda _: self.close(), self._search)
        self._hint = Static("", markup=False)
        self._when_closed = closed
        self._question: Question | None = None
        """What is asked; None while the prompt is hidden."""

    def compose(self) -> ComposeResult:
        """Show caption, input line and keys side by side."""
        yield self._caption
        yield self._input
        yield self._hint

    def ask(self, question: Question) -> None:
        """Show the prompt, and call `question.changed` with the text after every change."""
        self._question = None
        self._input.value = question.text
        self._input.cursor_position = len(question.text)
        self._hint.update(f" {'F3 Next  ' if question.find_next else ''}Enter Done  Esc Clear ")
        self._hint.display = self.screen.size.width >= MIN_HINT_WIDTH
        self._question = question
        self._show_match(found=True)
        self.display = True
        self.screen.set_focus(self._input, scroll_visible=False)

    def take_text(self, event: events.Key | events.Paste) -> bool:
        """Insert text into the line; return False if there is none, or the prompt is hidden."""
        return self._question is not None and self._input.take(event)

    def _search(self, text: str) -> None:
        """Call `changed` with the text."""
        if self._question:
            self._show_match(found=self._question.changed(text))

    def _show_match(self, *, found: bool) -> None:
        """Show whether anything matches the text."""
        label = self._question.caption if self._question else ""
        self._caption.update(f"{label}{'' if found else ', no match'}: ")
        self.set_class(not found, "no-match")

    def action_find_next(self) -> None:
        """Select the next match."""
        if self._question and self._question.find_next:
            self._question.find_next()

    def action_clear(self) -> None:
        """Clear the text, and close the prompt."""
        if self._question:
            self._question.changed("")
        self.close()

    def close(self) -> None:
        """Hide the prompt, and keep the text."""
        if self._question:
            self._question = None
            self.display = False
            self._when_closed()
