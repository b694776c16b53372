"""A menu at the left of the screen, like htop's panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from nvltop.tui.widgets.dismiss_once import DismissOnce


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
        self._list = OptionList(*(Option(text, id=name) for name, text in options), markup=False)
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

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Return the selected option."""
        self.dismiss(event.option_id)
