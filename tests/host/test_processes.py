"""Properties of many processes, of processes with reused pids, and jobs."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from nvltop.analysis.jobs import group_jobs
from nvltop.host.processes import ProcessTable
from nvltop.model import GpuUse, Matrix, Processes, known

USE = (GpuUse("GPU-a", "compute", 1 << 30, 50.0),)


def test_two_thousand_processes_are_described_and_hidden_ones_counted():
    pids = {os.getpid(): USE} | {4_000_000 + i: USE for i in range(2000)}
    table = ProcessTable()
    begun = time.process_time()
    found = table.describe(pids)
    cost_s = time.process_time() - begun
    assert [p.pid for p in found.processes] == [os.getpid()]
    assert found.hidden == 2000
    assert found.hidden_reason
    assert cost_s < 2.0


def test_a_reused_pid_is_another_process():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    table = ProcessTable()
    first = table.describe({child.pid: USE}).processes[0]
    assert known(first.started_s)
    child.kill()
    child.wait()
    after = table.describe({child.pid: USE})
    assert after.processes == ()
    assert after.hidden == 1


TRAIN = """
import multiprocessing, os, sys, time
def rank():
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(60)
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    ranks = [context.Process(target=rank) for _ in range(int(sys.argv[2]))]
    [r.start() for r in ranks]
    [r.join() for r in ranks]
"""


def grouped(script: str, count: int, cwd: str) -> list[int]:
    """Run a shell that prints pids; return how many of them each job has."""
    # A shell with its own session, as in a terminal.
    shell = subprocess.Popen(
        ["bash", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=cwd
    )
    assert shell.stdout
    try:
        pids = [int(shell.stdout.readline()) for _ in range(count)]
        seen = ProcessTable().describe(dict.fromkeys(pids, USE))
        assert seen.hidden == 0
        assert {p.session for p in seen.processes} == {shell.pid}
        return sorted(len(job.pids) for job in group_jobs(Processes(seen.processes), (), Matrix()))
    finally:
        os.killpg(shell.pid, 9)
        shell.wait()
        shell.stdout.close()


@pytest.mark.parametrize(("method", "count"), [("fork", 8), ("spawn", 2), ("forkserver", 2)])
def test_ranks_of_one_program_are_one_job_and_two_programs_of_one_shell_are_two(tmp_path, method, count):
    (tmp_path / "train.py").write_text(TRAIN)
    one = f"{sys.executable} train.py {method} {count} &"
    assert grouped(f"{one} {one} wait", 2 * count, str(tmp_path)) == [count, count]


def test_programs_that_a_shell_or_its_script_started_are_not_merged(tmp_path):
    sleeper = "sleep 60 & echo $!;"
    assert grouped(f"{sleeper} {sleeper} wait", 2, str(tmp_path)) == [1, 1]
    script = tmp_path / "run.sh"
    script.write_text(f"#!/bin/bash\n{sleeper} {sleeper} wait\n")
    script.chmod(0o755)
    assert grouped("./run.sh & wait", 2, str(tmp_path)) == [1, 1]
