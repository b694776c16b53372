"""Resident memory over simulated hours: the code of both processes in one process, on a simulated clock.

Unlike the real program it holds the simulated driver too, and what is read in two minutes before it is sent.
So look at what is added over the hours, not at the figure itself.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from typing import Final

from counted import Counts, Sent, draw, reading_threads
from simulated_time import BEGIN_S, Clock, Stop, on_clock

from nvltop.allocator import return_freed_memory
from nvltop.config.settings import FRAME_INTERVAL_S
from nvltop.gc_tuning import COLLECT_S, collect, freeze_startup_objects
from nvltop.nvml import simulated
from nvltop.sampler.pipe import Sender
from nvltop.sampler.schedule import RequestedInterval

INTERVAL_S: Final = 1.0
SIZE: Final = (200, 60)
READ_S: Final = 2 * COLLECT_S
"""Time that each loop of the reading process runs before the next one does, seconds."""
PROBES: Final = 5
"""Number of such times from one measurement of the counters' refresh to the next: ten minutes."""
HOUR_S: Final = 3600.0
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def bursts(node: str, scenario: str, clock: Clock) -> Iterator[tuple[float, bytes]]:
    """Yield what the reading process sends when, without end; the clock stays where the main process is."""
    library = simulated.install(node, scenario, clock=clock, wall=clock.wall)
    sent: Sent = []
    stop = Stop(clock, float("inf"), BEGIN_S, lambda: None)
    *threads, probe = reading_threads(library, (node, scenario), clock, INTERVAL_S, stop, sent)
    pipe = os.memfd_create("pipe")
    sender = Sender(pipe, RequestedInterval(INTERVAL_S), FRAME_INTERVAL_S)
    begin_s, rounds = BEGIN_S, 0
    while True:
        main_s, stop.ends_s = clock.now, begin_s + READ_S
        for thread in threads if rounds % PROBES else (*threads, probe):
            clock.now = begin_s
            thread()
        for at_s, items in sorted(sent, key=lambda each: each[0]):
            clock.now = at_s
            sender.send(*items)
            burst = os.pread(pipe, 1 << 24, 0)
            clock.now = main_s
            if burst:
                os.ftruncate(pipe, 0)
                os.lseek(pipe, 0, os.SEEK_SET)
                yield at_s, burst
                main_s = clock.now
        sent.clear()
        library.calls.clear()
        begin_s, rounds = stop.ends_s, rounds + 1


def watched(source: Iterator[tuple[float, bytes]], hours: list[float]) -> Iterator[tuple[float, bytes]]:
    """Yield what comes, collect garbage as the program does, and print memory and objects at some hours."""
    collect_s, marks = BEGIN_S + COLLECT_S, sorted(hours)
    for at_s, burst in source:
        if at_s >= collect_s:
            collect()
            collect_s = at_s + COLLECT_S
        if marks and at_s - BEGIN_S >= marks[0] * HOUR_S:
            blocks, objects = sys.getallocatedblocks(), len(gc.get_objects())
            row = f"{marks.pop(0):6g} {resident_bytes() / (1 << 20):8.1f} {blocks:10} {objects:10}"
            print(row, file=sys.__stdout__, flush=True)  # Textual takes what goes to `sys.stdout`
        yield at_s, burst


def memory(node: str, scenario: str, hours: list[float]) -> None:
    """Print the resident memory of the code of both processes after some hours, on the tab Main."""
    return_freed_memory()
    clock = Clock()
    print(f"{'hours':>6} {'MiB':>8} {'blocks':>10} {'objects':>10}")
    with on_clock(clock):
        source = watched(bursts(node, scenario, clock), hours)
        seconds, begun = max(hours) * HOUR_S, freeze_startup_objects
        draw("Main", source, clock, Counts(), INTERVAL_S, SIZE, seconds, begun, profiled=False)
    simulated.uninstall()
