"""The estimate of pair traffic adds up to what was read, and is as far off as the documentation says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.analysis.activity.pair_estimate import (
    LEAVES_NODE,
    NOT_IN_ONE_JOB,
    SHARED,
    estimate_pairs,
    fit_pairs,
)
from nvltop.model import Job, Missing, known
from nvltop.report.json import to_json

from .accuracy import misplaced, pair_rows, patterns

DOCS = Path(__file__).parents[3] / "nvltop" / "analysis" / "activity" / "README.md"


@settings(max_examples=25)
@given(st.integers(3, 16), st.data())
def test_rows_and_columns_are_what_was_sent_and_received(n, data):
    true = [[0.0 if i == j else data.draw(st.floats(0.1, 10.0)) for j in range(n)] for i in range(n)]
    sent = [sum(row) for row in true]
    received = [sum(row[j] for row in true) for j in range(n)]
    found = fit_pairs(sent, received)
    assert known(found)
    assert [sum(row) for row in found] == pytest.approx(sent, rel=0.02)
    assert [sum(row[j] for row in found) for j in range(n)] == pytest.approx(received, rel=0.02)
    assert all(found[i][i] == 0.0 for i in range(n))
    assert min(map(min, found)) >= 0.0


def test_it_is_right_for_all_to_all_and_one_pair_and_wrong_for_a_ring():
    assert "\n".join(pair_rows()) in DOCS.read_text()
    off = {name: misplaced(true) for name, true in patterns()}
    assert off["all to all"] < 0.001
    assert off["one pair at a time"] < 0.001
    assert off["all to all, some GPUs more than others"] < 0.05
    assert off["ring"] == pytest.approx(6 / 7, abs=0.001)
    assert off["pairs, all at once"] == pytest.approx(6 / 7, abs=0.001)


def test_nothing_is_estimated_of_what_was_not_read_or_leaves_the_node():
    assert fit_pairs([1.0, Missing("not read yet")], [1.0, 1.0]) == Missing("not read yet")
    assert fit_pairs([10.0, 10.0], [1.0, 1.0]) == LEAVES_NODE
    assert fit_pairs([0.0, 0.0], [0.0, 0.0]) == [[0.0, 0.0], [0.0, 0.0]]


def test_only_when_asked_and_only_behind_switches(bench):
    frame = bench("dgx-h100").run(2.0)
    assert "estimated_pair_tx_bytes_per_s" not in to_json(frame)["matrix"]
    data = to_json(frame, None, estimate_pairs(frame))["matrix"]
    assert data["pair_tx_bytes_per_s"][0][1] is None
    row = data["estimated_pair_tx_bytes_per_s"][0]
    assert row[0] is None
    assert sum(v for v in row if v) == pytest.approx(frame.gpus[0].nvlink.mean_tx_bytes_per_s, rel=0.02)
    direct = bench("hgx-a100-4").run(2.0)
    assert estimate_pairs(direct) == direct.matrix.pair_tx_bytes_per_s


def test_jobs_are_kept_apart_and_shared_gpus_left_out(bench):
    frame = bench("dgx-h100").run(2.0)
    uuids = [g.gpu.uuid for g in frame.gpus]

    def job(key, gpus, exact):
        return Job(key, key, "torchrun", "ada", (), tuple(gpus), (exact,) * len(gpus), 0.0, 0.0, exact, ())

    # Behind a switch the demo's GPUs send to their neighbour, so halves do not add up.
    apart = replace(frame, jobs=(job("a", uuids, True),))
    assert known(estimate_pairs(apart)[0][7])
    shared = replace(frame, jobs=(job("a", uuids[:4], False), job("b", uuids[4:], True)))
    assert estimate_pairs(shared)[0][1] == SHARED
    assert estimate_pairs(shared)[0][5] == NOT_IN_ONE_JOB
