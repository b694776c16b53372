"""Grouping of processes by traffic alone: ranks of one job, of two, or independent processes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.model import Job

from .patterns import Drawn, plain
from .rig import SPEED, Gpus
from .test_tracker import loud

STILL = Drawn()


def alone(gpu: int) -> Job:
    return Job(
        f"process:{gpu}", f"python3 {gpu}", "process", "ada", (gpu,), (f"GPU-{gpu}",), (True,), 0, 0, True, ()
    )


def steady() -> Drawn:
    flow = Drawn()
    flow.burst(0.0, 1000.0, 0.7 * SPEED)
    return flow


def bonds(sent, until_s=80.0, jobs=None) -> list[str]:
    """Return the key of the job to which each process belongs."""
    gpus = Gpus(sent, jobs=[alone(i) for i in range(len(sent))] if jobs is None else jobs)
    gpus.run(until_s, judged_s=until_s)
    found = gpus.tracker.rank_grouping.job_of
    return [found.get(f"process:{i}", "") for i in range(len(sent))]


@pytest.mark.parametrize(
    "flow", [loud(plain(2.0, 0.6)), loud(plain(0.3, 0.1)), steady()], ids=["slow", "fast", "flat"]
)
def test_ranks_that_move_data_together_are_one_job(flow):
    assert bonds([flow] * 4, 14.0) == ["process:0"] * 4


def test_separate_processes_without_traffic_stay_apart():
    assert bonds([STILL] * 4) == [""] * 4
    # In addition to a job, and to background traffic without a job.
    hum = Drawn()
    hum.burst(0.0, 1000.0, 0.001 * SPEED)
    flow = loud(plain(2.0, 0.6))
    assert bonds([flow, flow, STILL, hum]) == ["process:0", "process:0", "", ""]


def test_two_jobs_with_other_steps_are_two():
    one, two = loud(plain(2.0, 0.6)), loud(plain(3.1, 1.0))
    assert bonds([one, two, one, two]) == ["process:0", "process:1"] * 2


@pytest.mark.parametrize(
    "changed",
    [{"kind": "container"}, {"user": "bob"}, {"exact": False}, {"gpus": ("GPU-1", "GPU-2")}],
    ids=lambda c: next(iter(c)),
)
def test_other_jobs_are_not_grouped(changed):
    flow = loud(plain(2.0, 0.6))
    jobs = [alone(0), replace(alone(1), **changed)]
    assert bonds([flow, flow, flow], jobs=jobs) == ["", "", ""]


def test_ranks_stay_grouped_while_silent_and_until_they_end():
    flow = Drawn()
    for i in range(15):
        flow.burst(2.0 * i, 0.8, 0.7 * SPEED)
    gpus = Gpus([flow] * 3, jobs=[alone(i) for i in range(3)])
    gpus.run(400.0, judged_s=400.0)
    assert gpus.tracker.rank_grouping.job_of == {f"process:{i}": "process:0" for i in range(3)}
    gpus.jobs = gpus.jobs[1:]
    gpus.run(402.0)
    assert gpus.tracker.rank_grouping.job_of == {"process:1": "process:0", "process:2": "process:0"}


def test_a_late_rank_is_grouped():
    late = Drawn()
    for i in range(20, 50):
        late.burst(2.0 * i, 0.8, 0.7 * SPEED)
    early = Drawn()
    for i in range(50):
        early.burst(2.0 * i, 0.8, 0.7 * SPEED)
    assert bonds([early, early, late], 30.0) == ["process:0", "process:0", ""]
    assert bonds([early, early, late], 70.0) == ["process:0"] * 3
