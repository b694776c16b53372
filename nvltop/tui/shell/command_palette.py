"""The entries of the command palette: the actions that have a key now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen


def system_commands(screen: Screen[Any], app: App[Any]) -> Iterator[SystemCommand]:
    """Yield each action that has a key, once."""
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
        """Run the action, unless the screen that it belongs to was closed meanwhile."""
        if app.screen is screen:
            await app.run_action(binding.action, node)

    return run
