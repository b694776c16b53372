"""Activity of jobs that run for minutes: steps are found, tracked, dropped, and not reported too early."""

from __future__ import annotations

from pathlib import Path

import pytest

from nvltop.analysis.activity import step_tracker
from nvltop.analysis.activity.period_estimate import NOT_LONG_ENOUGH, estimate_period
from nvltop.model import Job, Missing, known

from .accuracy import answer, cases, row
from .patterns import Drawn, plain, random_bursts
from .rig import SPEED, Gpus

DOCS = Path(__file__).parents[3] / "nvltop" / "analysis" / "activity" / "README.md"
LOUD = 0.7 * SPEED


def loud(flow: Drawn) -> Drawn:
    return Drawn(
        flow.base, flow.starts, [v * LOUD / 100 for v in flow.sums], [v * LOUD / 100 for v in flow.levels]
    )


def step(activity) -> float:
    assert known(activity.step), activity.step
    return activity.step.period_s


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_every_job_of_the_table(case):
    found = answer(case)
    if known(found.step):
        assert case.step_s is not None
        assert found.step.period_s == pytest.approx(case.step_s, rel=0.02)
    else:
        assert case.step_s is None
    if case.share and known(found.communication):
        assert found.communication == pytest.approx(case.share, rel=0.05)
    assert row(case, found) in DOCS.read_text(), f"the table is out of date: {row(case, found)}"


def test_no_step_in_the_first_seconds():
    gpus = Gpus([loud(plain(1.1, 0.4))] * 4)
    assert gpus.run(18.0) == ()
    (found,) = gpus.run(22.5)
    assert found.step == NOT_LONG_ENOUGH
    (found,) = gpus.run(34.0)
    assert step(found) == pytest.approx(1.1, rel=0.01)


def test_a_job_that_slows_down_drifts():
    flow = Drawn()
    t = 0.1
    while t < 500.0:
        length = 3.0 if t < 350.0 else 3.3
        flow.burst(t, 0.3 * length, LOUD)
        t += length
    gpus = Gpus([flow] * 4)
    (before,) = gpus.run(340.0, judged_s=300.0)
    assert step(before) == pytest.approx(3.0, rel=0.01)
    assert before.step.drift == pytest.approx(0.0, abs=0.01)
    (after,) = gpus.run(440.0, judged_s=100.0)
    assert step(after) == pytest.approx(3.3, rel=0.01)
    assert after.step.drift == pytest.approx(0.1, abs=0.02)


def test_a_job_that_changes_its_step_is_tracked():
    flow = Drawn()
    t = 0.1
    while t < 500.0:
        length = 3.0 if t < 400.0 else 7.3
        flow.burst(t, 0.3 * length, LOUD)
        t += length
    gpus = Gpus([flow] * 4)
    (found,) = gpus.run(400.0, judged_s=0)
    assert step(found) == pytest.approx(3.0, rel=0.01)
    (found,) = gpus.run(470.0, judged_s=0)
    assert step(found) == pytest.approx(7.3, rel=0.01)


def test_a_steady_period_is_checked_against_the_full_window_once_a_minute(monkeypatch):
    lengths: list[float] = []

    def recorded(channels, step_s):
        lengths.append(len(channels[0]) * step_s)
        return estimate_period(channels, step_s)

    monkeypatch.setattr(step_tracker, "estimate_period", recorded)
    gpus = Gpus([loud(plain(2.0, 0.3, seconds=1000.0))] * 4)
    gpus.run(400.0, judged_s=0)
    lengths.clear()
    (found,) = gpus.run(640.0, judged_s=0)
    assert step(found) == pytest.approx(2.0, rel=0.001)
    assert sum(seconds > 200.0 for seconds in lengths) == 4
    assert len(lengths) >= 30


def test_traffic_without_a_period_is_searched_less_often_the_longer_it_has_none(monkeypatch):
    times: list[float] = []

    def recorded(channels, step_s):
        times.append(gpus.now_s)
        return estimate_period(channels, step_s)

    monkeypatch.setattr(step_tracker, "estimate_period", recorded)
    gpus = Gpus([loud(random_bursts(2.0, seconds=400.0))] * 4)
    (found,) = gpus.run(360.0, judged_s=0)
    assert isinstance(found.step, Missing)
    early = {t for t in times if 20.0 < t <= 60.0}
    late = {t for t in times if 280.0 < t <= 360.0}
    assert 9 <= len(early) <= 10, "every four seconds"
    assert 5 <= len(late) <= 6, "every sixteen seconds"
    assert len(gpus.tracker.activities[0].ranks) == 4


def test_a_stopped_job_is_not_analysed_more_often(monkeypatch):
    gpus = Gpus([loud(plain(2.0, 0.3, seconds=200.0))] * 2)
    gpus.run(206.0, judged_s=0)
    (tracked,) = gpus.tracker._jobs.values()
    assert tracked.step_tracker.stopped
    # The job stopped between an analysis of its newest part and the analysis of the whole window.
    tracked.step_tracker.doubted = True
    times: list[float] = []
    update = step_tracker.StepTracker.update

    def recorded(*args):
        times.append(args[-1])
        return update(*args)

    monkeypatch.setattr(step_tracker.StepTracker, "update", recorded)
    gpus.run(246.0, judged_s=0)
    assert 4 <= len(times) <= 6, "every eight seconds, not at every frame"


def test_a_job_that_stops_is_silent_and_keeps_its_step():
    gpus = Gpus([loud(plain(2.0, 0.4, seconds=60.0))] * 4)
    (before,) = gpus.run(58.0, judged_s=40.0)
    assert before.step.silent_s < 2.0
    (after,) = gpus.run(120.0, judged_s=60.0)
    assert step(after) == pytest.approx(2.0, rel=0.01)
    assert after.step.silent_s == pytest.approx(58.0, abs=3.0)


def test_a_gap_in_the_readings_is_not_a_silence():
    gpus = Gpus([loud(plain(2.0, 0.4))] * 4, lost=lambda t: t > 60.0)
    gpus.run(60.0, judged_s=40.0)
    gpus.now_s = 100.0
    gpus.evaluate()
    (after,) = gpus.tracker.activities
    assert after.step.silent_s < 3.0


def test_what_does_not_change_stays_the_same_object():
    gpus = Gpus([loud(plain(3.0, 0.4))] * 4, interval_s=1.0)
    changes = 0
    gpus.run(150.0)
    for until_s in range(151, 171):
        before = gpus.tracker.activities, gpus.tracker.judgements
        after = gpus.run(float(until_s)), gpus.tracker.judgements
        for now, last in zip(after, before, strict=True):
            assert (now == last) is (now[0] is last[0])
            changes += now != last
    assert changes < 10


def test_two_unknown_jobs_on_one_switch_are_separated():
    a, b = loud(plain(2.0, 0.4)), loud(plain(3.1, 0.3))
    gpus = Gpus([a, a, a, b, b, b])
    found = gpus.run(240.0, judged_s=60.0)
    assert [len(f.gpus) for f in found] == [3, 3]
    assert [step(f) for f in found] == [pytest.approx(2.0, rel=0.01), pytest.approx(3.1, rel=0.01)]


def test_idle_gpus_have_no_activity():
    assert Gpus([Drawn()] * 4).run(60.0) == ()


def test_a_new_interval_starts_new_cells():
    gpus = Gpus([loud(plain(3.0, 0.4))] * 4)
    gpus.run(60.0)
    gpus.interval_s = 0.5
    (found,) = gpus.run(64.0) or (None,)
    assert found is None or isinstance(found.step, Missing)
    (found,) = gpus.run(140.0)
    assert step(found) == pytest.approx(3.0, rel=0.01)


def test_memory_is_bounded():
    gpus = Gpus([loud(plain(2.0, 0.4, seconds=900.0))] * 2)
    gpus.run(300.0)
    series = gpus.tracker._traffic.series(["GPU-0"])["GPU-0"]
    size = series.size
    gpus.run(800.0)
    assert series.size == size == 1024
    assert len(series.cells_before(series.newest, size - 1)[0]) == size - 1


@pytest.mark.parametrize("interval_s", [0.1, 1.0])
def test_other_intervals(interval_s):
    gpus = Gpus([loud(plain(9.3, 0.35, 0.01))] * 2, interval_s=interval_s)
    (found,) = gpus.run(200.0)
    assert step(found) == pytest.approx(9.3, rel=0.02)
    assert found.communication == pytest.approx(0.35, abs=0.02)
    [judged] = gpus.tracker.judgements
    assert (found.communication, found.intensity) == (judged.busy, judged.level)
    assert all(rank.communication == pytest.approx(0.35, abs=0.02) for rank in found.ranks)


def job(key: str, gpus: range, exact: bool = True) -> Job:
    uuids = tuple(f"GPU-{i}" for i in gpus)
    return Job(key, key, "torchrun", "ada", (), uuids, (exact,) * len(uuids), 0.0, 0.0, exact, ())


def test_two_jobs_whose_processes_are_known():
    a, b = loud(plain(2.0, 0.4, 0.01)), loud(plain(2.7, 0.3, 0.01))
    gpus = Gpus([a, a, b, b], jobs=(job("slurm:1", range(2)), job("slurm:2", range(2, 4))))
    found = gpus.run(150.0, judged_s=80.0)
    assert [f.job for f in found] == ["slurm:1", "slurm:2"]
    assert [step(f) for f in found] == [pytest.approx(2.0, rel=0.01), pytest.approx(2.7, rel=0.01)]
    gpus.jobs = gpus.jobs[1:]
    gpus.run(152.0)
    assert gpus.tracker.activities[0].job == "slurm:2"
    assert step(gpus.tracker.activities[0]) == pytest.approx(2.7, rel=0.01)


def test_two_jobs_on_the_same_gpus_are_possible_at_most():
    a = loud(plain(2.0, 0.4, 0.01))
    gpus = Gpus([a] * 4, jobs=(job("slurm:1", range(4), False), job("slurm:2", range(4), False)))
    found = gpus.run(150.0, judged_s=100.0)
    assert {f.step.confidence for f in found if known(f.step)} == {"possible"}
