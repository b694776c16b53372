"""What a fault needs is loaded soon after the start: the files may be replaced while nvltop runs for days."""

from __future__ import annotations

import subprocess
import sys

FAULTS = """
import sys
from nvltop.analysis.monitor import Monitor
from nvltop.analysis.incidents.tracker import LOADED_AFTER_S, IncidentTracker
from nvltop.model import Event, LogLine

tracker = IncidentTracker()
tracker.observe([], 0.0)
assert "nvltop.kernel_log.decode" not in sys.modules
tracker.observe([], LOADED_AFTER_S + 1.0)
before = set(sys.modules)
tracker.take_line(LogLine(9.0, 9.0, "kernel", "NVRM: Xid (PCI:0000:1b:00): 79, GPU has fallen off", 9.0))
tracker.take_event(Event(9.0, 9.0, "GPU-1", "xid", 74))
assert tracker.incidents
print(*sorted(name for name in set(sys.modules) - before if name.startswith("nvltop.")))
"""


def test_the_first_fault_loads_nothing():
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
