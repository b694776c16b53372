"""Lists of options and lines of text that call a function at once, unlike Textual's, which post a message.

So a key that was typed after Enter is for what Enter has shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from textual import events
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

MAX_INPUT_CHARS: Final = 200
"""Maximum length of a line of text: it has one line, and each character starts another search."""


class Choices(OptionList):
    """A list of options; Enter or a click calls a function with the position of one."""

    def __init__(self, options: Iterable[Option], chosen: Callable[[int], None]) -> None:
        super().__init__(*options, markup=False)
        self._choose = chosen

    def action_select(self) -> None:
        """Choose the highlighted option."""
        if self.highlighted is not None:
            self._choose(self.highlighted)


class TextLine(Input):
    """A line of text; Enter calls a function with it, and so does each change with another one."""

    def __init__(
        self,
        text: str,
        entered: Callable[[str], None],
        changed: Callable[[str], None] = lambda text: None,
        placeholder: str = "",
        max_chars: int = MAX_INPUT_CHARS,
    ) -> None:
        # Textual calls `watch_value` for the first text as well.
        self._entered, self._changed = entered, changed
        self._warning = ""
        """The last warning since the text changed."""
        super().__init__(text, placeholder=placeholder, max_length=max_chars, select_on_focus=False)

    def take(self, event: events.Key | events.Paste) -> bool:
        """Insert the character of a key, or the first line of a paste; return whether there is one."""
        lines = [event.character or "" if event.is_printable else ""] if isinstance(event, events.Key) else []
        if isinstance(event, events.Paste):
            lines = [line for line in event.text.splitlines() if line.strip()]
        text = lines[0] if lines else ""
        if not text:
            return False
        start, end = sorted(self.selection)
        chars = len(self.value) - (end - start) + len(text)
        if self.max_length and chars > self.max_length:
            # A part would be another path, or match something else.
            # The end of a very long paste has not arrived here, so its length is not known.
            self._warn(f"not inserted: the line would have more than {self.max_length} characters")
            return True
        self.replace(text, start, end)
        if len(lines) > 1:
            self._warn("only the first line was inserted")
        return True

    def _warn(self, message: str) -> None:
        """Show a message, once for a key that is held down."""
        if message != self._warning:
            self._warning = message
            self.app.notify(message, severity="warning", markup=False)

    def watch_value(self, value: str) -> None:
        """Call the function for changes."""
        self._warning = ""
        self._changed(value)

    async def action_submit(self) -> None:
        """Call the function for Enter."""
        self._entered(self.value)
