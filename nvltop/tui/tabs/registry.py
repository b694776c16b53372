"""The tabs, in the order of the tab row; `nvltop/tui/widgets/tab.py` describes how to add one."""

from __future__ import annotations

from typing import Final

from nvltop.tui.tabs.errors.widget import ErrorsTab
from nvltop.tui.tabs.events.widget import EventsTab
from nvltop.tui.tabs.health.widget import HealthTab
from nvltop.tui.tabs.history.widget import HistoryTab
from nvltop.tui.tabs.links.widget import LinksTab
from nvltop.tui.tabs.main.widget import MainTab
from nvltop.tui.tabs.processes.widget import ProcessesTab
from nvltop.tui.widgets.tab import Tab

TABS: Final[tuple[type[Tab], ...]] = (
    MainTab,
    LinksTab,
    ErrorsTab,
    HealthTab,
    EventsTab,
    ProcessesTab,
    HistoryTab,
)
