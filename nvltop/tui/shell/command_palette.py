"""The command palette: it offers whatever the keys do now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Button, Input, OptionList


class Commands(CommandPalette):
    """Textual's, for keys that come faster than it is drawn."""

    @property
    def _is_on_top(self) -> bool:
        return self.app.screen is self

    def _action_command_list(self, action: str) -> None:
        if self._is_on_top and self.query_one(OptionList).size.height:
            super()._action_command_list(action)

    def _select_or_command(self, event: Input.Submitted | Button.Pressed | None = None) -> None:
        if self._is_on_top:
            super()._select_or_command(event)

    @on(Input.Submitted)
    @on(Button.Pressed)
    def _only_once(self, event: Input.Submitted | Button.Pressed) -> None:
        """Take no second Enter: Textual would leave the screen below as well."""
        if not self._is_on_top:
            event.stop()
            event.prevent_default()

    def _action_escape(self) -> None:
        if self._is_on_top:
            super()._action_escape()


def system_commands(screen: Screen[Any], app: App[Any]) -> Iterator[SystemCommand]:
    """Yield each command that has a key, once."""
    seen = set()
    for active in screen.active_bindings.values():
        binding = active.binding
        what = (active.node, binding.action)
        if binding.description and what not in seen:
            seen.add(what)
            key = f"key {app.get_key_display(binding)}"
            yield SystemCommand(binding.description, key, _command(app, screen, binding, active.node))


def _command(app: App[Any], screen: Screen[Any], binding: Binding, node: DOMNode) -> Any:
    async def run() -> None:
        """Run the action, unless the screen that it was system_commands for has gone meanwhile."""
        if app.screen is screen:
            await app.run_action(binding.action, node)

    return run
