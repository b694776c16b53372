"""The tabs, in the order of the tab row; `nvltop/tui/widgets/tab.py` describes how to add one.

The module of a tab is imported when the tab is first shown: most runs show one or two of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from nvltop.tui.widgets.tab import Tab

EVENTS: Final = "Events"
HEALTH: Final = "Health"
PROCESSES: Final = "Processes"


class TabEntry(NamedTuple):
    """A tab of the tab row."""

    title: str
    load: Callable[[], type[Tab]]
    """Import the tab and return its class."""


def _main() -> type[Tab]:
    from nvltop.tui.tabs.main.widget import MainTab

    return MainTab


def _links() -> type[Tab]:
    from nvltop.tui.tabs.links.widget import LinksTab

    return LinksTab


def _errors() -> type[Tab]:
    from nvltop.tui.tabs.errors.widget import ErrorsTab

    return ErrorsTab


def _health() -> type[Tab]:
    from nvltop.tui.tabs.health.widget import HealthTab

    return HealthTab


def _events() -> type[Tab]:
    from nvltop.tui.tabs.events.widget import EventsTab

    return EventsTab


def _processes() -> type[Tab]:
    from nvltop.tui.tabs.processes.widget import ProcessesTab

    return ProcessesTab


def _history() -> type[Tab]:
    from nvltop.tui.tabs.history.widget import HistoryTab

    return HistoryTab


TABS: Final = (
    TabEntry("Main", _main),
    TabEntry("Links", _links),
    TabEntry("Errors", _errors),
    TabEntry(HEALTH, _health),
    TabEntry(EVENTS, _events),
    TabEntry(PROCESSES, _processes),
    TabEntry("History", _history),
)
