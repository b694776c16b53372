"""One run of the screen: the terminal before, and what is told after."""

from __future__ import annotations

from dataclasses import replace

from nvltop.crash import write
from nvltop.model import Show
from nvltop.settings import Settings
from nvltop.tui import terminal
from nvltop.tui.app import Nvltop
from nvltop.tui.ending import Outcome
from nvltop.tui.source import Source


def run(source: Source, settings: Settings, show: Show | None = None) -> Outcome:
    """Show the screen until the user leaves; `show` is given each frame as well."""
    unfit = terminal.unfit()
    if unfit:
        return Outcome(1, unfit)
    terminal.screen_on_terminal()
    terminal.give_size()
    app = Nvltop(source, settings, show)
    app.run(mouse=settings.mouse)
    if app.crashed:
        return Outcome(1, write(app.crashed))
    words = app.finish_files()
    return replace(app.outcome, message=app.outcome.message or words)
