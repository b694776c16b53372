"""A prompt for a line of text, in place of the function bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from nvltop.tui.widgets.tab import Tab

MAX_INPUT_CHARS: Final = 200
"""Maximum length of the text: it has one line, and each character starts another search."""


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

    class Closed(Message):
        """The user has closed the prompt."""

    def __init__(self) -> None:
        super().__init__()
        self._caption = Static("", markup=False)
        self._input = Input(compact=True, select_on_focus=False, max_length=MAX_INPUT_CHARS)
        self._hint = Static("", markup=False)
        self._name = ""
        self._changed: Callable[[str], bool] = lambda text: True
        self._find_next: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """Show caption, input line and keys side by side."""
        yield self._caption
        yield self._input
        yield self._hint

    def ask(self, wanted: Tab.PromptRequested) -> None:
        """Show the prompt, and call `wanted.changed` with the text after every change."""
        self._changed = lambda text: True
        self._name = wanted.caption
        self._input.value = wanted.text
        self._input.cursor_position = len(wanted.text)
        self._hint.update(f" {'F3 Next  ' if wanted.find_next else ''}Enter Done  Esc Clear ")
        self._changed, self._find_next = wanted.changed, wanted.find_next
        self._show_match(found=True)
        self.display = True
        self._input.focus()

    def _show_match(self, *, found: bool) -> None:
        """Show whether anything matches the text."""
        self._caption.update(f"{self._name}{'' if found else ', no match'}: ")
        self.set_class(not found, "no-match")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Call `changed` with the text."""
        event.stop()
        if self.display:
            self._show_match(found=self._changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the text."""
        event.stop()
        self._leave()

    def action_find_next(self) -> None:
        """Select the next match."""
        if self._find_next:
            self._find_next()

    def action_clear(self) -> None:
        """Clear the text, and close the prompt."""
        self._changed("")
        self._leave()

    def _leave(self) -> None:
        self.display = False
        self.post_message(self.Closed())
