from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from nvltop.analysis.jobs import JobTracker, group_jobs
from nvltop.host.processes import NOT_IN_PROC, ProcessTable, cgroup_group
from nvltop.model import Ancestor, GpuUse, Missing, Process, Processes, Reading, known
from nvltop.nvml.processes import by_pid
from nvltop.nvml.simulated.processes import SimulatedProcessTable
from nvltop.record.redact import Redactor


def listed(node, seen=None):
    uses = by_pid([r.processes.read(node.clock.now) for r in node.readers])
    return (seen or SimulatedProcessTable(1.79e9)).describe(*uses)


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
    both = group_jobs(replace(found, processes=(*found.processes, other)), frame.gpus, frame.matrix)
    assert [job.exact for job in both] == [False, False]
    assert both[0].exclusive == (False, *[True] * 7)
    assert not any(group_jobs(replace(found, hidden=1), frame.gpus, frame.matrix)[0].exclusive)


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
        # containerd and CRI-O without systemd's cgroup driver
        (
            "11:memory:/system.slice/containerd.service/kubepods-burstable-pod0b1c2d3e_1111_2222_3333_444455556666"
            ".slice:cri-containerd:" + "ab" * 32,
            ("kubernetes", "0b1c2d3e-1111-2222-3333-444455556666"),
        ),
        (
            "0::/kubepods-besteffort-pod0b1c2d3e_1111_2222_3333_444455556666.slice:crio:" + "ab" * 32,
            ("kubernetes", "0b1c2d3e-1111-2222-3333-444455556666"),
        ),
        ("0::/system.slice:cri-containerd:" + "ab" * 32, ("container", "ab" * 6)),
        # a static pod's UID is a hash
        (
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + "0c1d" * 8 + ".slice/x",
            ("kubernetes", "0c1d" * 8),
        ),
        ("5:memory:/kubepods/burstable/pod" + "0c1d" * 8 + "/" + "ab" * 32, ("kubernetes", "0c1d" * 8)),
        ("4:freezer:/lsf/cluster1/job.4711.20117.1700000000", ("lsf", "4711")),
        ("4:freezer:/lsf/cluster1/job.4711[3].20117.1700000000", ("lsf", "4711[3]")),
        ("4:memory:/pbs_jobs.service/jobid/4711.opbs", ("pbs", "4711")),
        ("0::/pbs_jobs.service/jobs/4711[3].opbs", ("pbs", "4711[3]")),
        (r"4:memory:/pbspro.slice/pbspro-4711\x5b3\x5d.opbs.slice", ("pbs", "4711[3]")),
        ("4:memory:/torque/4711.head", ("pbs", "4711")),
        (
            "0::/system.slice/condor.service/condor_var_lib_condor_execute_slot1_23@node-7.example.org",
            ("htcondor", "slot1_23"),
        ),
        ("4:memory:/htcondor/condor_var_lib_condor_execute_slot1", ("htcondor", "slot1")),
        # nearly such: the batch systems' own services, a pod's name without an id, a short hash
        ("0::/system.slice/condor.service", ("", "")),
        ("0::/system.slice/pbs.service", ("", "")),
        ("0::/lsf/cluster1/daemons", ("", "")),
        ("0::/kubepods.slice/kubepods-pod0c1d0c1d.slice", ("", "")),
        ("0::/user.slice/podman-" + "0c1d" * 8, ("", "")),
    ],
)
def test_the_owner_is_read_from_the_cgroup_path(cgroup, group):
    assert cgroup_group(cgroup + "\n") == group


def rank(pid, *chain, session=1, gpu="GPU-0"):
    """Return a process and what has started it, nearest first, as `name` or `name:interpreter`."""
    ancestors = tuple(
        Ancestor(number, *name.split(":")) for number, name in zip(range(90, 0, -10), chain, strict=False)
    )
    return Process(pid, (GpuUse(gpu, "compute"),), "python3", ancestors=ancestors, session=session)


@pytest.mark.parametrize(
    ("chain", "session", "root"),
    [
        (("train.py:python3", "bash"), 80, 90),
        (("forkserver.py:python3", "train.py:python3", "bash"), 70, 80),
        (("EngineCore", "vllm:python3", "sh", "cron"), 70, 80),
        (("train.py:python3", "numactl", "bash"), 70, 90),
        (("raylet", "train.py:python3", "bash"), 70, 80),
        (("left out:left out", "bash"), 80, 90),  # as a recording has it
        (("train.py:python3",), 90, 90),  # of a service: it leads the session
        # shells and others that start what has nothing in common
        (("bash", "systemd"), 90, 100),
        (("run.sh:bash", "train.py:python3", "bash"), 70, 100),
        (("numactl", "bash"), 80, 100),
        (("su", "bash", "sudo", "bash"), 60, 100),
        (("xargs", "train.py:python3"), 80, 100),
        (("parallel:perl", "train.py:python3"), 80, 100),
        (("raylet", "systemd"), 7, 100),
        # beyond the session are terminals, notebooks and services
        (("jupyter-lab:python3", "bash"), 100, 100),
        (("train.py:python3", "editor", "bash"), 90, 90),
        (("train.py:python3",), 0, 100),  # a recording of 0.1.0
    ],
)
def test_the_program_that_started_a_process_as_its_part(bench, chain, session, root):
    frame = bench("h100-two").run(0)
    found = group_jobs(Processes((rank(100, *chain, session=session),)), frame.gpus, frame.matrix)
    assert [job.key for job in found] == [f"process:{root}"]


def test_first_of_all_processes_is_none_of_the_job(bench):
    frame = bench("h100-two").run(0)
    ancestors = (Ancestor(50, "train.py", "python3"), Ancestor(1, "entrypoint"))
    process = Process(100, (GpuUse("GPU-0", "compute"),), ancestors=ancestors)
    keys = [
        group_jobs(Processes((replace(process, session=s),)), frame.gpus, frame.matrix)[0].key for s in (7, 1)
    ]
    assert keys == ["process:50", "process:1"]


def test_ranks_of_one_program_are_one_job_called_after_it(bench):
    frame = bench().run(0)
    ranks = [
        rank(100 + i, "train.py:python3", "bash", session=80, gpu=g.gpu.uuid)
        for i, g in enumerate(frame.gpus)
    ]
    (job,) = group_jobs(Processes(tuple(ranks)), frame.gpus, frame.matrix)
    assert (job.label, len(job.gpus), job.exact) == ("train.py 90", 8, True)


def test_a_program_on_a_gpu_and_its_children_beyond_a_shell_are_one_job(bench):
    frame = bench("h100-two").run(0)
    parent = rank(100, "train.py:python3", "bash", session=80, gpu=frame.gpus[0].gpu.uuid)
    child = Process(
        101,
        (GpuUse(frame.gpus[1].gpu.uuid, "compute"),),
        ancestors=(Ancestor(99, "sh"), Ancestor(100, "python3"), *parent.ancestors),
        session=101,
    )
    (job,) = group_jobs(Processes((parent, child)), frame.gpus, frame.matrix)
    assert (job.key, job.pids) == ("process:90", (100, 101))


def test_a_launcher_among_the_ancestors_makes_a_job(bench):
    frame = bench().run(1.0)
    uuid = frame.gpus[0].gpu.uuid
    ranks = [
        Process(pid, (GpuUse(uuid, "compute"),), ancestors=(Ancestor(5, "python"), Ancestor(4, "mpirun")))
        for pid in (10, 11)
    ]
    assert [j.key for j in group_jobs(Processes(tuple(ranks)), frame.gpus, frame.matrix)] == ["mpirun:4"]


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
    assert (gone.processes, gone.hidden, gone.hidden_reason) == ((), 2, NOT_IN_PROC)


def test_a_redacted_recording_groups_processes_alike(bench):
    frame = bench("h100-two").run(0)
    for chain in (("train.py:python3", "bash"), ("run.sh:bash", "bash"), ("secret.sh:bash", "x.py:python3")):
        listed = Processes((rank(100, *chain, session=70), rank(101, *chain, session=70)))
        redacted = Redactor({})(listed)
        before, after = (group_jobs(p, frame.gpus, frame.matrix) for p in (listed, redacted))
        assert [job.key for job in before] == [job.key for job in after]
        assert "secret" not in str(redacted)


def test_arguments_and_user_go_base_name_and_pid_stay():
    secret = Process(7, (), "python3", "ada", "--token hunter2")
    redacted = Redactor({})(secret)
    assert (redacted.pid, redacted.executable) == (7, "python3")
    assert redacted.user != "ada"
    assert redacted.arguments == Missing("left out")


def test_cached_jobs_equal_recomputed_jobs(bench):
    b, cached = bench(), JobTracker()
    found = listed(b)
    for step in range(6):
        b.clock.now += 0.25
        frame = b.poll()
        if step == 4:
            found = replace(found, processes=found.processes[:3])
        assert cached.at(found, frame.gpus, frame.matrix) == group_jobs(found, frame.gpus, frame.matrix)
    assert cached.at(Missing("no"), frame.gpus, frame.matrix) == ()
