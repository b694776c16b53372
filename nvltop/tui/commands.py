"""What the command palette offers: whatever the keys do now."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from textual.app import App, SystemCommand
from textual.screen import Screen


def offered(screen: Screen[Any], app: App[Any]) -> Iterator[SystemCommand]:
    """Yield each command that has a key, once."""
    seen = set()
    for active in screen.active_bindings.values():
        binding = active.binding
        what = (active.node, binding.action)
        if binding.description and what not in seen:
            seen.add(what)
            run = partial(app.run_action, binding.action, active.node)
            yield SystemCommand(binding.description, f"key {app.get_key_display(binding)}", run)
