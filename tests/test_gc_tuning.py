"""The collector is off during start-up and ignores the objects that exist afterwards."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, sys
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
before = sys.getallocatedblocks()
tuples = [tuple(range(size)) for size in range(1, 20) for _ in range(2000)]
del tuples
gc_tuning.collect()
print(sys.getallocatedblocks() - before < 1000)
"""


def test_startup_garbage_is_collected_once_and_later_tuples_are_freed():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True", "(10000,", "10,", "10)", "True", "True", "0", "True"]
