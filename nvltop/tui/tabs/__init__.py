"""The tabs, in the order of the tab row; `nvltop/tui/tab.py` says how one is added."""

from __future__ import annotations

from typing import Final

from nvltop.tui.tab import Tab
from nvltop.tui.tabs.errors import Errors
from nvltop.tui.tabs.health import Health
from nvltop.tui.tabs.history import History
from nvltop.tui.tabs.links import Links
from nvltop.tui.tabs.overview import Overview
from nvltop.tui.tabs.processes import Processes

TABS: Final[tuple[type[Tab], ...]] = (Overview, Links, Errors, Health, Processes, History)
