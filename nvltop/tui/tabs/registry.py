"""The tabs, in the order of the tab row; `nvltop/tui/widgets/tab.py` says how one is added."""

from __future__ import annotations

from typing import Final

from nvltop.tui.tabs.errors.widget import Errors
from nvltop.tui.tabs.health.widget import Health
from nvltop.tui.tabs.history.widget import History
from nvltop.tui.tabs.links.widget import Links
from nvltop.tui.tabs.main.widget import Overview
from nvltop.tui.tabs.processes.widget import Processes
from nvltop.tui.widgets.tab import Tab

TABS: Final[tuple[type[Tab], ...]] = (Overview, Links, Errors, Health, Processes, History)
