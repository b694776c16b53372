"""The collector is off during start-up and ignores the objects that exist afterwards."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from nvltop import gc_tuning

gc_tuning.disable_during_startup()
rings = [[] for _ in range(100)]
for ring in rings:
    ring.append(ring)
stays = rings[0]
enabled = gc.isenabled()
del rings, ring
gc_tuning.freeze_startup_objects()
print(enabled, gc.isenabled(), gc.get_threshold())
print(gc.get_freeze_count() > 0, gc.is_tracked(stays), gc.collect())
"""


def test_startup_garbage_is_collected_once_and_live_objects_are_frozen():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True", "(10000,", "10,", "10)", "True", "True", "0"]
