from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from nvltop.analysis.jobs import Jobs, jobs
from nvltop.host.processes import ELSEWHERE, ProcessTable, group_of
from nvltop.model import Ancestor, GpuUse, Missing, Process, Processes, Reading, known
from nvltop.nvml.processes import by_pid
from nvltop.nvml.simulated.processes import SimulatedTable
from nvltop.record.redact import Redactor


def listed(node, seen=None):
    uses = by_pid([r.processes.read(node.clock.now) for r in node.readers])
    return (seen or SimulatedTable(1.79e9)).describe(*uses)


def test_a_training_node_has_one_job_that_has_its_gpus_alone(bench):
    node = bench()
    node.run(2.0)
    node.monitor.update(Reading(None, node.clock.now, node.clock.now, 1.79e9, listed(node)))
    frame = node.frame()
    (job,) = frame.jobs
    assert (job.kind, len(job.pids), len(job.gpus), job.exact, job.unlinked) == ("torchrun", 8, 8, True, ())
    assert known(job.tx_bytes_per_s)
    assert job.tx_bytes_per_s > 0
    assert not node.library.crashes


def test_two_jobs_on_one_gpu_or_one_unseen_make_the_traffic_inexact(bench):
    node = bench()
    frame = node.run(2.0)
    found = listed(node)
    other = Process(9, (GpuUse(frame.gpus[0].gpu.uuid, "compute"),))
    both = jobs(replace(found, processes=(*found.processes, other)), frame.gpus, frame.matrix)
    assert [job.exact for job in both] == [False, False]
    assert both[0].exclusive == (False, *[True] * 7)
    assert not any(jobs(replace(found, hidden=1), frame.gpus, frame.matrix)[0].exclusive)


@pytest.mark.parametrize(
    ("cgroup", "group"),
    [
        ("0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0", ("slurm", "4711")),
        (
            "0::/kubepods.slice/kubepods-pod0b1c2d3e_1111_2222_3333_444455556666.slice/x",
            ("kubernetes", "0b1c2d3e-1111-2222-3333-444455556666"),
        ),
        ("0::/system.slice/docker-" + "ab" * 32 + ".scope", ("container", "ab" * 6)),
        ("0::/user.slice/user-1000.slice", ("", "")),
    ],
)
def test_the_cgroup_path_tells_whose_it_is(cgroup, group):
    assert group_of(cgroup + "\n") == group


def test_a_launcher_among_the_ancestors_makes_a_job(bench):
    frame = bench().run(1.0)
    uuid = frame.gpus[0].gpu.uuid
    ranks = [
        Process(pid, (GpuUse(uuid, "compute"),), ancestors=(Ancestor(5, "python"), Ancestor(4, "mpirun")))
        for pid in (10, 11)
    ]
    assert [j.key for j in jobs(Processes(tuple(ranks)), frame.gpus, frame.matrix)] == ["mpirun:4"]


def test_real_processes_with_hostile_names_ended_ones_and_hidden_ones():
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b'a\\x1b[31mb'); print(1, flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout
    child.stdout.readline()
    table, use = ProcessTable(), (GpuUse("GPU-1", "compute"),)
    try:
        seen = table.describe({child.pid: use, os.getpid(): use})
        by = {p.pid: p for p in seen.processes}
        assert seen.hidden == 0
        assert set(by) == {child.pid, os.getpid()}
        assert by[child.pid].executable == "a\\x1b[31mb"
        assert os.getpid() in [a.pid for a in by[child.pid].ancestors]
    finally:
        child.communicate()
    gone = table.describe({child.pid: use, 0: use})
    assert (gone.processes, gone.hidden, gone.hidden_reason) == ((), 2, ELSEWHERE)


def test_arguments_and_user_go_base_name_and_pid_stay():
    secret = Process(7, (), "python3", "ada", "--token hunter2")
    told = Redactor({})(secret)
    assert (told.pid, told.executable) == (7, "python3")
    assert told.user != "ada"
    assert told.arguments == Missing("left out")


def test_what_is_kept_of_jobs_is_what_is_worked_out_anew(bench):
    b, kept = bench(), Jobs()
    found = listed(b)
    for step in range(6):
        b.clock.now += 0.25
        frame = b.poll()
        if step == 4:
            found = replace(found, processes=found.processes[:3])
        assert kept.at(found, frame.gpus, frame.matrix) == jobs(found, frame.gpus, frame.matrix)
    assert kept.at(Missing("no"), frame.gpus, frame.matrix) == ()
