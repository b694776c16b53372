"""Host facts of many processes, of reused numbers, and of a slow /proc."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from nvltop.host.processes import ProcessTable
from nvltop.model import GpuUse, known

USE = (GpuUse("GPU-a", "compute", 1 << 30, 50.0),)


def test_two_thousand_processes_are_described_and_the_unseen_counted():
    pids = {os.getpid(): USE} | {4_000_000 + i: USE for i in range(2000)}
    table = ProcessTable()
    begun = time.process_time()
    found = table.describe(pids)
    cost_s = time.process_time() - begun
    assert [p.pid for p in found.processes] == [os.getpid()]
    assert found.hidden == 2000
    assert found.hidden_reason
    assert cost_s < 2.0


def test_a_number_that_another_process_has_by_now_is_another_process():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    table = ProcessTable()
    first = table.describe({child.pid: USE}).processes[0]
    assert known(first.started_s)
    child.kill()
    child.wait()
    after = table.describe({child.pid: USE})
    assert after.processes == ()
    assert after.hidden == 1
