"""The screens that cover the main screen; the module of each is imported when it is first shown."""

from __future__ import annotations

from collections.abc import Callable

from textual.screen import Screen

from nvltop.config.settings import Settings


def help_screen(cost: Callable[[], str]) -> Screen[None]:
    """Return the help; `cost` returns a line about what nvltop costs now."""
    from nvltop.tui.widgets.help import HelpScreen

    return HelpScreen(cost)


def setup_screen(settings: Settings, change: Callable[[Settings], None]) -> Screen[Settings]:
    """Return the setup, which calls `change` with each change and returns the settings before it."""
    from nvltop.tui.widgets.setup import SetupScreen

    return SetupScreen(settings, change)
