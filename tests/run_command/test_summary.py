"""What a command did to the links: bytes of its GPUs, errors, resets, findings, and other traffic."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nvltop.model import Ancestor, Frame, GpuUse, Job, Missing, Process, Processes, known
from nvltop.run_command.json import to_json
from nvltop.run_command.summary import RunObserver, RunSummary
from nvltop.run_command.text import to_text

COMMAND = ("python3", "train.py")


def observed(bench_run, seconds: int = 12, pid: int = 41001) -> RunSummary:
    b = bench_run
    observer = RunObserver(pid)
    observer.begin(b.run(1))
    begun_s = b.clock.now
    for _ in range(seconds):
        observer.add(b.run(1))
    return observer.summary(COMMAND, 0, b.clock.now - begun_s, "", b.clock.now)


def with_count(frame: Frame, gpu: int, link: int, kind: str, total: int) -> Frame:
    g = frame.gpus[gpu]
    k = g.links[link]
    changed = replace(k, errors={**k.errors, kind: replace(k.errors[kind], total=total)})
    links = (*g.links[:link], changed, *g.links[link + 1 :])
    return replace(frame, gpus=(*frame.gpus[:gpu], replace(g, links=links), *frame.gpus[gpu + 1 :]))


def test_bytes_are_the_difference_of_the_counters(bench):
    b = bench("hgx-a100-4")
    first = b.run(1)
    observer = RunObserver(1)
    observer.begin(first)
    last = b.run(5)
    observer.add(last)
    found = observer.summary(COMMAND, 0, 5.0, "", b.clock.now)
    for g, before, after in zip(found.gpus, first.gpus, last.gpus, strict=True):
        moved = sum(k.tx_bytes_total for k in after.links) - sum(k.tx_bytes_total for k in before.links)
        assert g.tx_bytes == moved > 0
    assert not found.attributed
    assert "No process of the command" in to_text(found)


def test_means_of_other_traffic_are_over_the_time_between_readings(bench):
    """Links that are busy before and after a command of 1 s are read 2 s apart."""
    b = bench("hgx-a100-4")
    observer = RunObserver(1)
    observer.begin(b.run(5))
    observer.add(b.run(2))
    found = observer.summary(COMMAND, 0, 1.0, "", b.clock.now)
    for g in found.gpus:
        assert known(g.mean_over_s)
        assert known(g.tx_bytes)
        assert known(g.rx_bytes)
        assert known(g.at_limit_s)
        assert g.mean_over_s == pytest.approx(2.0, abs=0.1)
        assert g.means == (g.tx_bytes / g.mean_over_s, g.rx_bytes / g.mean_over_s)
        assert g.at_limit_s <= g.mean_over_s
    assert "Means are over the 2.00 s between the readings before and after it." in to_text(found)
    assert json.loads(to_json(found))["gpus"][0]["mean_over_s"] == found.gpus[0].mean_over_s


def test_only_the_gpus_of_the_command_are_counted_and_others_are_named(bench):
    frame = bench("hgx-a100-4").run(3)
    process = Process(77, (GpuUse(frame.gpus[0].gpu.uuid, "compute"),), ancestors=(Ancestor(70, "python3"),))
    others = tuple(g.gpu.uuid for g in frame.gpus[1:])
    job = Job("slurm:9", "SLURM 9", "slurm", "ada", (5,), others, (True,) * 3, 1.0, 1.0, True, ())
    own = replace(frame, jobs=(job,))
    observer = RunObserver(70)
    observer.begin(own)
    later = bench("hgx-a100-4").run(9)
    observer.add(replace(later, jobs=(job,), processes=Processes((process,))))
    found = observer.summary(COMMAND, 0, 2.0, "", later.tick.mono_s)
    assert [g.index for g in found.gpus if g.own] == [0]
    assert found.others == ("SLURM 9",)
    text = to_text(found)
    assert "Other traffic, not counted above: SLURM 9" in text
    assert [g["index"] for g in json.loads(to_json(found))["gpus"]] == [0]


@pytest.mark.parametrize(("before", "after", "errors", "resets"), [(3, 8, 1, 0), (8, 3, 0, 1), (3, 3, 0, 0)])
def test_errors_and_resets(bench, before, after, errors, resets):
    frame = bench("hgx-a100-4").run(3)
    observer = RunObserver(1)
    observer.begin(with_count(frame, 2, 5, "replay", before))
    observer.add(with_count(frame, 2, 5, "replay", after))
    found = observer.summary(COMMAND, 0, 2.0, "", frame.tick.mono_s)
    assert [(e.gpu, e.link, e.count) for e in found.errors] == [(2, 5, after - before)] * errors
    assert found.resets == ((2, 5),) * resets


def test_a_finding_that_began_meanwhile_is_reported(bench):
    found = observed(bench("hgx-a100-4", "link-down"), 20)
    assert "link-down" in {f.rule for f in found.findings}
    assert "critical: " in to_text(found)


def test_what_was_not_read_before_the_command_is_unknown(bench):
    frame = bench("hgx-a100-4").run(3)
    observer = RunObserver(1)
    observer.begin(replace(frame, gpus=frame.gpus[1:]))
    observer.add(frame)
    found = observer.summary(COMMAND, 0, 2.0, "", frame.tick.mono_s)
    assert isinstance(found.gpus[0].tx_bytes, Missing)
    assert known(found.gpus[1].tx_bytes)
    assert json.loads(to_json(found))["gpus"][0]["missing"]["tx_bytes"] == "not read before the command"
    assert "?" in to_text(found)


def test_a_short_command_is_not_measured(bench):
    frame = bench("hgx-a100-4").run(3)
    observer = RunObserver(1)
    observer.begin(frame)
    found = observer.summary(COMMAND, 0, 0.9, "", frame.tick.mono_s)
    assert "too short" in to_text(found)
    assert "GB" not in to_text(found)
