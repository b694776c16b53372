"""A menu at the left of the screen, like htop's panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static
from textual.widgets.option_list import Option

from nvltop.tui.widgets.choices import Choices
from nvltop.tui.widgets.dismiss_once import DismissOnce

TYPING_PAUSE_S: Final = 1.0
"""Pause after which the next character begins another word, seconds."""


class Menu(DismissOnce["str | None"], ModalScreen["str | None"]):
    """A list of options that returns the id of the selected one, or None."""

    CSS = """
    Menu { align: left top; background: transparent; }
    Menu > Vertical { width: 26; height: 100%; background: ansi_default; }
    Menu > Vertical { border-right: solid $nv-title-background; }
    Menu Static { width: 100%; background: $nv-title-background; color: $nv-title-text; }
    Menu Static { text-style: $nv-title-style; }
    Menu OptionList { height: 1fr; border: none; background: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,f10", "dismiss(None)", "Back")]

    def __init__(self, title: str, options: Sequence[tuple[str, str]], chosen: str = "") -> None:
        """Take the options as (id, text)."""
        super().__init__()
        self._title = title
        self._names = [name for name, _ in options]
        self._texts = [text for _, text in options]
        self._typed, self._typed_s = "", 0.0
        """What was typed, and when its last character came (Textual's clock)."""
        self._list = Choices((Option(text, id=name) for name, text in options), self._choose)
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        """Show title and options."""
        with Vertical():
            yield Static(self._title, markup=False)
            yield self._list

    def on_mount(self) -> None:
        """Highlight the current option."""
        if self._chosen in self._names:
            self._list.highlighted = self._names.index(self._chosen)
        self.set_focus(self._list, scroll_visible=False)

    def take_text(self, event: events.Key | events.Paste) -> bool:
        """Select the first option that begins with what was typed; return whether there is one."""
        if isinstance(event, events.Paste) or event.character is None or not event.is_printable:
            return False
        typed = (
            event.character if event.time - self._typed_s > TYPING_PAUSE_S else self._typed + event.character
        )
        self._typed, self._typed_s = typed.lower(), event.time
        for place, text in enumerate(self._texts):
            if text.lower().lstrip().startswith(self._typed):
                self._list.highlighted = place
                return True
        return False

    def _choose(self, place: int) -> None:
        """Return the id of the option at a position."""
        self.dismiss(self._names[place])
