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
        super().__init__(text, placeholder=placeholder, max_length=max_chars, select_on_focus=False)

    def take(self, event: events.Key | events.Paste) -> bool:
        """Insert the character of a key, or the first line of a paste; return whether there is one."""
        if isinstance(event, events.Paste):
            text = next(iter(event.text.splitlines()), "")
        else:
            text = event.character or "" if event.is_printable else ""
        if text:
            self.replace(text, *self.selection)
        return bool(text)

    def watch_value(self, value: str) -> None:
        """Call the function for changes."""
        self._changed(value)

    async def action_submit(self) -> None:
        """Call the function for Enter."""
        self._entered(self.value)
