"""The collector rests during the start, and leaves alone afterwards what is there to stay."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from nvltop import garbage

garbage.hold()
rings = [[] for _ in range(100)]
for ring in rings:
    ring.append(ring)
stays = rings[0]
enabled = gc.isenabled()
del rings, ring
garbage.settle()
print(enabled, gc.isenabled(), gc.get_threshold())
print(gc.get_freeze_count() > 0, gc.is_tracked(stays), gc.collect())
"""


def test_garbage_of_the_start_is_taken_away_once_and_what_stays_is_never_looked_at_again():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True", "(10000,", "10,", "10)", "True", "True", "0"]
