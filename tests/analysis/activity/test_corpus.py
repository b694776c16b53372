"""Every job of the corpus gets its true answer, and all outputs agree on it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from nvltop.analysis.job_rates import reached_rate
from nvltop.model import known
from tests.agreement import contradictions

from .corpus import HEAD, LIMITS, bursts, drawn, flat, four, named, table
from .patterns import Drawn
from .simulated import Job, Node, outcome, spinning, state_of

DOCS = Path(__file__).parents[3] / "nvltop" / "analysis" / "activity" / "README.md"
CORPUS = list(named())


@pytest.mark.parametrize("job", CORPUS, ids=lambda job: job.name)
def test_every_job_of_the_corpus(job):
    frame = Node(job).run()
    said = f"{state_of(job, frame)}: {frame.verdict.headline} | {frame.verdict.summary}"
    assert outcome(job, frame) == "right", said
    assert contradictions(frame) == []


def test_the_corpus_is_large_and_its_table_is_in_the_docs():
    assert len(CORPUS) >= 60
    assert len({job.name for job in CORPUS}) == len(CORPUS)
    docs = DOCS.read_text()
    assert HEAD in docs
    for row in table([(job, "right") for job in CORPUS]):
        assert row in docs, row


@pytest.mark.parametrize("job", list(drawn())[::20], ids=lambda job: job.name)
def test_some_of_the_drawn_jobs(job):
    """The table of all of them is printed by `python -m tests.analysis.activity.corpus`."""
    frame = Node(job).run()
    assert outcome(job, frame) != "wrong"
    assert contradictions(frame) == []


def test_all_outputs_agree_at_any_second_of_a_job():
    by_name = {job.name: job for job in CORPUS}
    for name in ("hang, polling at 3.3%, read every 0.25 s", "two jobs with different steps"):
        node = Node(replace(by_name[name], seconds=0.0))
        for _ in range(36):
            assert contradictions(node.run(2.0)) == []


def test_a_job_in_which_one_gpu_sends_to_the_other_reaches_the_rate_of_one_direction():
    """The mean of what two GPUs send was half of it, as that of an all-reduce in both directions."""
    flow, nothing = flat(0.96), flat(0.0)
    frame = Node(Job("", "", "pair", [flow, nothing], LIMITS, received=[nothing, flow], seconds=20.0)).run()
    [j] = frame.judgements
    assert j.direction == "one-way"
    assert j.level == pytest.approx(0.96, abs=0.005)
    reached, most = j.reached_bytes_per_s, j.practical_bytes_per_s
    assert known(reached)
    assert known(most)
    assert reached / most == pytest.approx(j.level)
    assert reached_rate(j).endswith(" GB/s a GPU, one way")
    assert contradictions(frame) == []


def test_a_level_is_that_of_the_most_used_links_and_the_bus_bandwidth_that_of_the_gpu():
    by_name = {job.name: job for job in CORPUS}
    [ring] = Node(by_name["ring over 4 of 12 straight links, constant"]).run().judgements
    [all_to_all] = Node(by_name["all to all over straight links at the limit"]).run().judgements
    assert ring.links == all_to_all.links == "pair"
    assert ring.practical_bytes_per_s == pytest.approx(all_to_all.practical_bytes_per_s)
    assert ring.gpu_bytes_per_s == pytest.approx(ring.reached_bytes_per_s, rel=1e-3)
    assert known(all_to_all.reached_bytes_per_s)
    assert all_to_all.gpu_bytes_per_s == pytest.approx(3 * all_to_all.reached_bytes_per_s, rel=1e-3)
    [bridge] = Node(by_name["a bridge at a third"]).run().judgements
    assert bridge.links == "gpu"


def test_gpus_that_were_never_read_do_not_stop_the_analysis_of_the_others():
    """Their traffic was looked up when the group of GPUs without a known job was to be split."""
    node = Node(Job("", "", "h100", four(flat(0.5), 3), frozenset(), seconds=70.0))
    frame = node.run()
    [j] = (j for j in frame.judgements if len(j.gpus) > 1)
    assert j.state == "below"
    assert contradictions(frame) == []


def test_a_silent_job_keeps_its_step_and_shares():
    job = next(j for j in CORPUS if j.name.startswith("hang, polling at 0.0%, read every 0.25"))
    node = Node(replace(job, seconds=49.0))
    (before,) = node.run().judgements
    states = []
    for _ in range(90):
        (now,) = node.run(1.0).judgements
        states.append(now.state)
        assert now.step_s == pytest.approx(2.0, rel=0.02)
        assert now.busy == pytest.approx(before.busy, abs=0.02)
        assert now.at_limit == pytest.approx(before.at_limit, abs=0.02)
    assert "silent" not in states[:9]
    assert set(states[13:]) == {"silent"}


@pytest.mark.parametrize("interval_s", [0.25, 1.0])
def test_a_hang_becomes_a_finding_that_names_the_odd_gpu(interval_s):
    """Polling at 2.5 % of the speed does not hide it."""
    job = next(j for j in CORPUS if j.name.startswith("hang, polling at 3.3%, read every 0.25"))
    node = Node(replace(job, seconds=130.0, interval_s=interval_s, pcie=lambda gpu, t: 1e8))
    frame = node.run()
    (finding,) = (f for f in frame.findings if f.rule == "stuck-collective")
    assert finding.gpu == frame.gpus[2].gpu.uuid
    assert finding.evidence["different"] == 2
    assert frame.verdict.id == "silent"


def test_the_seconds_at_the_limit_are_counted():
    job = next(j for j in CORPUS if j.name == "ring, 4 s steps, 50% at the limit")
    frame = Node(job).run()
    for _, seconds in frame.at_limit_s:
        assert seconds == pytest.approx(0.5 * job.seconds, rel=0.04)
    light = next(j for j in CORPUS if j.name == "constant 10% of NCCL max")
    assert {seconds for _, seconds in Node(light).run().at_limit_s} == {0.0}


def test_a_measurement_is_a_tenth_of_its_window_old_and_less_if_the_traffic_changes():
    flow = Drawn()
    for start in range(0, 150, 2):
        flow.burst(float(start), 0.6 if start < 90 else 1.8, 0.96)
    base = next(j for j in CORPUS if j.name == "ring, 2 s steps, 30% at the limit")
    node = Node(replace(base, sent=[flow] * 4, seconds=70.0))
    node.run()
    changed = []
    for second in range(70, 110):
        before = node.monitor.frame().judgements[0].busy
        if node.run(1.0).judgements[0].busy != before:
            changed.append(second)
    steady, later = [s for s in changed if s < 90], [s for s in changed if 92 <= s < 106]
    assert {b - a for a, b in pairwise(steady)} <= {6, 7}
    assert all(b - a <= 3 for a, b in pairwise(later))


@pytest.mark.parametrize(("refresh_s", "first_s"), [(0.0, 21), (0.5, 23), (1.0, 24)])
def test_a_job_is_analysed_as_soon_as_enough_of_it_has_been_seen(refresh_s, first_s):
    """Rates of counters that are rarely refreshed begin later, and their cells grow once that is noticed."""
    flow = bursts(2.0, 0.4, 0.6, 40.0)
    node = Node(Job("", "", "h100", four(flow), frozenset(), refresh_s=refresh_s, seconds=0.0))
    assert next(second for second in range(1, 40) if node.run(1.0).activity) == first_s


@pytest.mark.parametrize("traffic_s", [90.0, 30.0], ids=["at work", "silent"])
def test_a_job_whose_gpus_change_is_shown_with_those_that_it_uses(traffic_s):
    """Not with those of the last measurement, beside a list of its new processes."""
    flow = bursts(2.0, 0.6, 0.96, traffic_s)
    every = ((0, 1, 2, 3),)
    node = Node(Job("", "", "h100", four(flow), frozenset(), seconds=0.0, jobs=every, gauges=spinning))
    node.run(61.0)
    for jobs in ((0, 1), (2, 3)), every, ((0, 1, 2),), every:
        node.job = replace(node.job, jobs=jobs)
        node.monitor.update(node._reading(None, node.now_s, node.now_s, node._processes()))
        frame = node.run(1.0)
        used = {job.key: job.gpus for job in frame.jobs}
        assert {j.job: j.gpus for j in frame.judgements if j.job} == used
        assert all(a.gpus == used[a.job] for a in frame.activity if a.job)
        assert any(a.job for a in frame.activity)
        assert contradictions(frame) == []
