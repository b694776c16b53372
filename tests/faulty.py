"""Runs of the real program with a simulated driver, or a worker, that fails in a given way."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import indent

BOOT = r"""\
import sys
sys.path[:] = sys.argv[2:]
import ctypes, math, os, signal, threading, time
from nvltop.nvml import simulated
from nvltop.nvml.simulated import Fault
from nvltop.sampler import stuck_workers, worker

# Workers that wait here do not affect other runs of nvltop.
stuck_workers.SOCKET_PREFIX = "nvltop-test-%d" % os.getppid()
follow_parent = worker.follow_parent
# As with a real driver, wait for calls in flight.
worker.follow_parent = lambda watch, stop, requested, finish_calls: (
    follow_parent(watch, stop, requested, True)
)

def after(seconds, work):
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()

def hang(lib, *names, gpu=None, seconds=20):
    returns = threading.Event()
    for name in names or list(lib._functions):
        lib.faults[name] = Fault(gpu=gpu, hang=returns)
    # End the hang, so that no test leaves a process behind.
    after(seconds, lambda: (lib.faults.clear(), returns.set()))

def prepare(lib):
{prepare}

install = simulated.install
def prepared(*arguments, **more):
    lib = install(*arguments, **more)
    prepare(lib)
    return lib
simulated.install = prepared
worker.main()
"""
PROGRAM = """\
import sys
from nvltop.sampler import launch
launch.BOOT = {boot!r}
from nvltop.__main__ import main
sys.exit(main())
"""


def boot(prepare: str) -> str:
    """Return the code of a worker; `prepare` is code that changes the simulated library `lib`."""
    return BOOT.format(prepare=indent(prepare, "    "))


def program(prepare: str, *arguments: str) -> list[str]:
    """Return the command of the program with such a worker."""
    return [sys.executable, "-c", PROGRAM.format(boot=boot(prepare)), *arguments]


def run(prepare: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program on a simulated node; return the completed process."""
    return subprocess.run(
        program(prepare, *arguments),
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
