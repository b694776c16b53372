"""The allocator returns large blocks when they are freed."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from nvltop.allocator import return_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

return_freed_memory()
blocks, small = [], []
for _ in range(100):
    blocks.append(b"x" * 100_000)
    small.append(bytes(1000))
full = resident()
del blocks
print(full - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_large_blocks_between_small_ones_are_returned_when_they_are_freed():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(run.stdout) > 9_000_000


FRAGMENTED = """
from nvltop.allocator import return_free_pages

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

blocks = [bytes(10_000) for _ in range(2000)]
stays = blocks[::10]
del blocks
before = resident()
return_free_pages()
print(before - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_free_pages_between_smaller_blocks_are_returned():
    run = subprocess.run([sys.executable, "-c", FRAGMENTED], capture_output=True, text=True, check=True)
    assert int(run.stdout) > 15_000_000
