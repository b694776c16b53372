"""The verdict: the most limited job's state, after the faults of the node."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from nvltop.analysis import job_rates, verdict_text
from nvltop.analysis.verdict import VERDICT_BY_STATE, VERDICT_IDS, node_verdict
from nvltop.model import MAX_HEADLINE, Finding, Judgement, Limit, Missing, Overlap, Severity, Tick
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated import Fault
from nvltop.nvml.simulated.nodes import BUILDERS
from tests.agreement import contradictions
from tests.conftest import THOROUGH

DOCS = Path(__file__).parents[2] / "nvltop" / "analysis" / "activity" / "README.md"
SCENARIOS = (
    "training", "idle", "saturated", "errors", "link-down", "gpu-lost", "hang", "straggler", "throttled",
    "fabric-stuck", "p2p-dead", "p2p-fallback", "xid", "slow-driver", "nic-down",
)  # fmt: skip
EVERY_SECOND = (
    GpuReader.read_counters, GpuReader.read_states, GpuReader.read_gauges, GpuReader.read_errors,
    GpuReader.read_host_traffic, GpuReader.read_fabric,
)  # fmt: skip


def run(b, seconds):
    """Read the counters four times per second, and everything else once."""
    frame = b.poll()
    for n in range(1, round(seconds * 4) + 1):
        b.clock.now += 0.25
        frame = b.poll(*EVERY_SECOND) if n % 4 == 0 else b.poll(GpuReader.read_counters)
    return frame


@pytest.mark.parametrize(
    ("node", "scenario", "expected"),
    [
        ("h100-two", "training", "saturated"),
        ("h100-two", "saturated", "saturated"),
        ("h100-two", "idle", "idle"),
        ("h100-two", "p2p-fallback", "pcie"),
        ("h100-two", "gpu-lost", "degraded"),
        ("h100-two", "link-down", "degraded"),
        ("h100-two", "p2p-dead", "degraded"),
        ("h100-two", "fabric-stuck", "degraded"),
        ("rtx4090-pair", "training", "no-nvlink"),
    ],
)
def test_verdict(bench, node, scenario, expected):
    frame = run(bench(node, scenario), 16.0)
    assert frame.verdict.id == expected, frame.verdict
    assert contradictions(frame) == []


ALL_SCENARIOS = ("h100-two", "gb200-two")
BY_TURNS = ("a100-pcie-pairs", "rtx3090-pair", "mixed", "gb10")
"""Nodes that have all scenarios, and nodes that have every second one each, as what the outputs say about a
scenario depends on the generation at most."""


@pytest.mark.parametrize(
    ("node", "scenario"),
    [(node, scenario) for node in ALL_SCENARIOS for scenario in SCENARIOS]
    + [
        (node, scenario)
        for i, node in enumerate(BY_TURNS)
        for j, scenario in enumerate(SCENARIOS)
        if THOROUGH or (i + j) % 2 == 0
    ],
)
def test_all_outputs_agree(bench, node, scenario):
    b = bench(node, scenario)
    assert contradictions(b.poll()) == []
    for seconds in (2.0, 5.0, 6.0):
        assert contradictions(run(b, seconds)) == []


def test_before_rates_are_known_nothing_is_claimed(bench):
    assert bench().poll().verdict.id == "starting"


def test_unreadable_counters_give_no_verdict(bench):
    b = bench(prepare=lambda lib: lib.faults.update(nvmlDeviceGetFieldValues=Fault(4)))
    frame = b.run(2.0)
    assert frame.verdict.id == "unknown"
    assert "no permission" in frame.verdict.summary


@pytest.mark.parametrize("worker", ["stuck", "ended", "running"])
def test_old_numbers_give_no_verdict(bench, worker):
    b = bench("h100-two")
    assert run(b, 8.0).verdict.id == "saturated"
    for _ in range(12):
        b.clock.now += 1.0
        b.monitor.update(Tick(b.clock.now, 1_790_000_000.0 + b.clock.now, 0.25, worker))
    frame = b.monitor.frame()
    assert frame.verdict.id == "unknown"
    assert "old" in frame.verdict.headline
    assert contradictions(frame) == []


def judgement(state="may-limit", **values):
    defaults = {
        "window_s": 60.0, "step_s": 2.0, "busy": 0.61, "at_limit": 0.6, "at_limit_most": 0.6, "level": 0.96,
        "mean": 0.58, "reached_bytes_per_s": 342e9, "practical_bytes_per_s": 357e9,
        "gpu_bytes_per_s": 342e9,
    }  # fmt: skip
    return Judgement(**{"job": None, "gpus": ("a", "b", "c", "d"), "state": state, **defaults, **values})


INDEX = {"a": 0, "b": 1, "c": 2, "d": 3}
LIMITS = (
    (),
    (Limit("pcie", 0.9, "PCIe of GPU 15 carries 157 of 163 GB/s"),),
    (Limit("nic", 0.95, "a NIC port carries 95% of its line rate"),),
    (Limit("rank", Missing("not known"), "the job waits for GPU 15"),),
    (Limit("heat", 1.0, "GPU 15 is slowed by heat 100% of the time"),),
)


@pytest.mark.parametrize("state", VERDICT_BY_STATE)
def test_headlines_are_short_and_complete(state):
    for limits, suffix, step_s in itertools.product(
        LIMITS, ("", " (+1 job)", " (+12 jobs)"), (None, 0.3, 2.0, 13.0, 59.9)
    ):
        for values in ({}, {"gpu": "d"}, {"links": "pair"}, {"links": "pair", "busy": Missing("x")},
                       {"links": "pair", "at_limit": Missing("x")}, {"at_limit": Missing("x")},
                       {"busy": 1.0, "level": 1.02, "at_limit": 1.0, "at_limit_most": 1.0},
                       {"busy": Missing("x"), "level": Missing("x"), "at_limit": Missing("x"),
                        "at_limit_most": Missing("x"), "mean": Missing("x")}):  # fmt: skip
            found = judgement(state, step_s=step_s, limits=limits, silent_s=4000.0, why="reasons", **values)
            text = verdict_text.headline(found, INDEX, suffix)
            assert 0 < len(text) <= MAX_HEADLINE, text
            assert text.endswith(suffix), text
            assert not re.search(r"[^)%.\w]$", text), text
            assert "…" not in text, text
            assert verdict_text.summary(found, INDEX, {})


def test_headlines_beside_other_jobs_are_not_cut_without_a_mark():
    """They ended in `at 26% of NCCL ma (+3 jobs)` and `at 73% of (+3 jobs)`."""
    unclear = {"busy": Missing("x"), "level": Missing("x"), "at_limit": Missing("x"), "mean": 0.26}
    for state, values, text in (
        ("unclear", unclear, "Measuring: NVLink at 26% of max"),
        ("unclear", {**unclear, "links": "pair"}, "Measuring: pair at 26% of max"),
        (
            "below",
            {"links": "pair", "step_s": None, "busy": 0.39, "level": 0.73},
            "Pair busy 39% of the time",
        ),
    ):
        found = verdict_text.headline(judgement(state, **values), INDEX, " (+3 jobs)")
        assert found == f"{text} (+3 jobs)"
    assert verdict_text.fit_headline(["word " * 20], " (+3 jobs)").endswith(" word word… (+3 jobs)")


def test_the_sentence_of_a_job_whose_overlap_is_unknown():
    assert verdict_text.headline(judgement(), INDEX) == "NVLink may limit 61% of each 2 s step"
    assert verdict_text.summary(judgement(), INDEX, {}) == (
        "61% of each 2 s step moves data at 96% of NCCL max; without that communication a step would take"
        " between 0.78 s (nothing overlaps) and 2 s (all of it overlaps)"
    )


def test_the_sentence_of_a_job_whose_communication_is_exposed():
    overlap = Overlap("tensor cores", 0.04, 0.71, 0.94)
    found = judgement("limits", overlap=overlap)
    assert verdict_text.headline(found, INDEX) == "NVLink limits 57% of each 2 s step"
    assert verdict_text.summary(found, INDEX, {}) == (
        "61% of each 2 s step moves data at 96% of NCCL max; tensor cores 4% while the links are busy,"
        " 71% otherwise: the communication is exposed; without it a step would take about 0.85 s"
    )


@pytest.mark.parametrize("near", [0.79, 0.83])
@pytest.mark.parametrize("step_s", [None, 5.0])
def test_links_at_their_limit_most_of_the_time_limit_a_job_that_computes_meanwhile(near, step_s):
    """A job keeps its state while the shares vary around 80 %; it was said to be limited 0% of the time."""
    overlap = Overlap("tensor cores", 0.2, 0.2, 0.0)
    found = judgement("limits", step_s=step_s, busy=near, at_limit=near, at_limit_most=near, overlap=overlap)
    time = "the time" if step_s is None else "each 5 s step"
    job = "the job " if step_s is None else ""
    assert verdict_text.headline(found, INDEX) == f"NVLink limits {job}{near:.0%} of {time}"
    assert verdict_text.summary(found, INDEX, {}) == (
        f"{near:.0%} of {time} moves data at 96% of NCCL max; computing goes on meanwhile (tensor cores 20%"
        " while the links are busy, 20% otherwise), but the job cannot be faster than its traffic"
    )


def test_pairs_without_a_link_do_not_mean_that_the_job_uses_pcie():
    """NCCL's rings on a DGX-1 stay on NVLink; a part of the job's traffic was said to go over PCIe."""
    job = SimpleNamespace(unlinked=(("a", "b"), ("a", "c")), gpus=("a", "b", "c"))
    text = verdict_text.summary(judgement(job="x"), INDEX, {"x": job})  # type: ignore[dict-item]
    assert text.endswith(
        ". No NVLink joins GPU 0 and 1 and 1 more pair: what these exchange directly goes over PCIe"
    )


def test_bus_bandwidth_has_two_readings_that_differ_by_the_formula():
    found = judgement(nvls_capable=True, gpus=tuple("abcdefgh"))
    busbw = job_rates.bus_bandwidth(replace(found, gpu_bytes_per_s=309e9))
    assert busbw.ring == 309e9
    # health.md: 480 GB/s of busbw for algbw 275 GB/s, which is 309 GB/s on the wire.
    assert busbw.nvls == pytest.approx(309e9 * 14 / 9)
    assert busbw.nvls / 1.75 == pytest.approx(275e9, rel=0.01)
    assert job_rates.bus_bandwidth(judgement()).nvls is None
    assert (
        job_rates.reached_rate(found) == "342 of 357 GB/s a GPU (busbw 342 if ring, 532 if NVLS all-reduce)"
    )


def test_the_words_say_which_links_the_numbers_are_of():
    """Over one of three straight links a ring reaches all that it can, and a third of what the GPU could."""
    pair = {"links": "pair", "reached_bytes_per_s": 77e9, "practical_bytes_per_s": 80e9}
    found = judgement(**pair, gpu_bytes_per_s=231e9)
    assert "96% of NCCL max on the busiest pair" in verdict_text.summary(found, INDEX, {})
    text = "77 of 80 GB/s on the busiest pair"
    assert job_rates.reached_rate(found) == f"{text}, 231 a GPU (busbw 231 if ring all-reduce)"
    # A single pair does not make an all-reduce. Where both ends are named, "the busiest" adds nothing.
    found = judgement(**pair, gpu_bytes_per_s=77e9, gpu="a", remote="d")
    assert job_rates.reached_rate(found) == text
    summary = verdict_text.summary(found, INDEX, {})
    assert "at 96% of NCCL max (on GPU 0, over its links to GPU 3)" in summary
    assert job_rates.reached_rate(judgement(gpu="a")) == "342 of 357 GB/s on the busiest GPU"
    below = judgement("below", **pair, level=0.4)
    assert verdict_text.headline(below, INDEX) == "Pair busy 61% of each 2 s step at 40% of max"


def test_bursts_that_are_not_resolved_show_no_rate():
    missing = Missing("the bursts are shorter than the readings")
    found = judgement(level=missing, reached_bytes_per_s=missing, gpu_bytes_per_s=missing)
    assert job_rates.reached_rate(found) == ""


def test_small_rates_keep_three_digits():
    found = judgement(reached_bytes_per_s=0.4321e9, direction="one-way", level=0.0012)
    assert job_rates.reached_rate(found) == "0.432 of 357 GB/s a GPU, one way"
    found = judgement(reached_bytes_per_s=19.42e9, practical_bytes_per_s=20e9, gpu="a")
    assert job_rates.reached_rate(found) == "19.4 of 20 GB/s on the busiest GPU"


def frames(bench):
    return bench("h100-two").run(2.0)


def test_a_gpu_with_fewer_links_does_not_lower_what_the_others_reach(bench):
    """The line of the job said "96% of NCCL max" and "355 of 350 GB/s"; the 350 were those of GPU 3."""
    frame = run(bench("dgx-h100", "link-down"), 24)
    assert [len([k for k in g.links if k.state == "up"]) for g in frame.gpus].count(17) == 1
    [j] = frame.judgements
    assert j.reached_bytes_per_s / j.practical_bytes_per_s == pytest.approx(j.level, abs=0.01)


def test_a_fault_comes_first_and_the_judgement_stays_in_the_summary(bench):
    frame = frames(bench)
    uuid = frame.gpus[1].gpu.uuid
    found = judgement("limits", gpus=tuple(g.gpu.uuid for g in frame.gpus))
    lost = Finding(
        "gpu-lost", Severity.CRITICAL, uuid, None, "GPU 1 has stopped answering", headline="GPU 1 is lost"
    )
    result = node_verdict(frame.inventory, frame.gpus, frame.tick, [found], [lost])
    assert (result.id, result.headline) == ("degraded", "GPU 1 is lost")
    assert result.summary.startswith("GPU 1 has stopped answering. 61% of each 2 s step")
    # Findings about NICs and warnings do not make the node degraded.
    nic = Finding("nic-down", Severity.CRITICAL, None, None, "NIC mlx5_5 went down", nic="mlx5_5")
    warning = replace(lost, rule="link-errors", severity=Severity.WARNING)
    assert node_verdict(frame.inventory, frame.gpus, frame.tick, [found], [nic, warning]).id == "saturated"


def test_the_verdict_is_that_of_the_most_limited_job_and_counts_the_others(bench):
    frame = frames(bench)
    a, b = (g.gpu.uuid for g in frame.gpus[:2])
    light, limited = judgement("light", gpus=(a,)), judgement("limits", gpus=(b,), job="x")
    resting = judgement("idle", gpus=(a,))
    result = node_verdict(frame.inventory, frame.gpus, frame.tick, [light, limited, resting])
    assert result.judgement is limited
    assert (result.id, result.others) == ("saturated", 1)
    assert result.headline.endswith("(+1 job)")


def test_every_state_has_an_id_and_both_are_in_the_docs():
    assert set(VERDICT_BY_STATE.values()) <= set(VERDICT_IDS)
    docs = DOCS.read_text()
    for state, which in VERDICT_BY_STATE.items():
        assert f"| `{state}` | `{which}` |" in docs, state
    for which in VERDICT_IDS:
        assert f"`{which}`" in docs, which


@pytest.mark.parametrize("node", sorted(BUILDERS))
def test_no_headline_is_truncated(bench, node):
    frame = bench(node, "idle").run(1.0)
    headline = frame.verdict.headline
    assert headline
    assert len(headline) <= MAX_HEADLINE
    assert headline == frame.verdict.summary or not frame.verdict.summary.startswith(headline)
