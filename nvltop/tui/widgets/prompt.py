"""A prompt for a line of text, in place of the function bar."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import ClassVar, Final

from textual import events
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
        self._label = ""
        self._changed: Callable[[str], bool] = lambda text: True
        self._find_next: Callable[[], None] | None = None
        self._early: list[events.Key] = []
        """Keys that were typed between the request for the prompt and its opening."""
        self._left: deque[events.Key] = deque(maxlen=MAX_INPUT_CHARS)
        """Keys that the input line did not handle."""

    def compose(self) -> ComposeResult:
        """Show caption, input line and keys side by side."""
        yield self._caption
        yield self._input
        yield self._hint

    async def ask(self, wanted: Tab.PromptRequested) -> None:
        """Show the prompt, and call `wanted.changed` with the text after every change."""
        self._changed = lambda text: True
        self._label = wanted.caption
        self._input.value = wanted.text
        self._input.cursor_position = len(wanted.text)
        self._hint.update(f" {'F3 Next  ' if wanted.find_next else ''}Enter Done  Esc Clear ")
        self._changed, self._find_next = wanted.changed, wanted.find_next
        self._show_match(found=True)
        self.display = True
        self._input.focus()
        early, self._early = self._early, []
        for event in early:
            await self.take(event)

    def keep(self, event: events.Key) -> None:
        """Keep a key until `ask` shows the prompt."""
        self._early.append(event)

    async def take(self, event: events.Key) -> bool:
        """Handle a key that was sent to another widget before the input line had the focus.

        Return False for a key that is not for the prompt.
        """
        if not self.display or any(event is key for key in self._left):
            return False
        await self._type(event)
        return True

    async def _type(self, event: events.Key) -> None:
        if event.key == "enter":
            await self._input.action_submit()
        elif event.key == "escape":
            self.action_clear()
        elif event.key == "backspace":
            self._input.action_delete_left()
        elif event.key == "f3":
            self.action_find_next()
        elif event.character and event.is_printable:
            self._input.insert_text_at_cursor(event.character)

    def on_key(self, event: events.Key) -> None:
        """Note a key that the input line did not handle: it is for the bindings."""
        self._left.append(event)

    def _show_match(self, *, found: bool) -> None:
        """Show whether anything matches the text."""
        self._caption.update(f"{self._label}{'' if found else ', no match'}: ")
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
