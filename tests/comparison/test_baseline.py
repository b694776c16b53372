"""The links of a frame compared with an earlier moment or a file: what cannot be known is said, never 0."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.counter_track import CounterTrack
from nvltop.comparison.baseline import (
    NOT_COUNTED,
    Baseline,
    BaselineLink,
    FactChange,
    Facts,
    count_change,
    fact_changes,
    lost_links,
    of_file,
    of_frame,
)
from nvltop.comparison.source import SourceError, read_file, side_of
from nvltop.model import ErrorCount, Frame, Inventory, LinkState, Missing, Tick, known
from nvltop.tui.dialogs.compared_rows import compared_facts
from nvltop.tui.render.view_state import ViewState

BEGUN_S = 1.79e9
KEY = ("GPU-1", 7)


def compared(frame: Frame, baseline: Baseline, gpu: int, link: int, kind: str):
    g = frame.gpus[gpu]
    found = g.links[link]
    return count_change(baseline, frame, (g.gpu.uuid, link), kind, found.errors[kind], g.uptime_s)


def later(seconds: float) -> Frame:
    return Frame(Inventory(0.0, 0.0), Tick(seconds, BEGUN_S + seconds, 1.0, "running"), BEGUN_S)


@given(
    before=st.integers(0, 100),
    steps=st.lists(st.one_of(st.integers(0, 20), st.just(-1)), min_size=1, max_size=8),
    moment=st.integers(0, 7),
)
def test_an_increase_is_exact_or_unknown_with_a_reason(before, steps, moment):
    """A step of -1 resets the counter."""
    track, total, resets = CounterTrack(), before, 0
    track.update(0.0, total)
    taken: BaselineLink | None = None
    expected = 0
    for second, step in enumerate(steps, 1):
        if taken is None and second > moment:
            count = track.at(second - 1.0)
            taken, since_s = (
                BaselineLink(Facts({}), {"replay": count.total}, {"replay": count.since_start}),
                second - 1.0,
            )
            expected, resets = 0, 0
        total, resets = (0, resets + (total > 0)) if step < 0 else (total + step, resets)
        expected += max(0, step)
        track.update(float(second), total)
    if taken is None:
        return
    now = track.at(float(len(steps)))
    for since_start in (taken.since_start, None):
        link = replace(taken, since_start=since_start)
        baseline = Baseline(
            "x", BEGUN_S + since_s, {KEY: link}, frozenset({"GPU-1"}), from_file=not since_start
        )
        found = count_change(baseline, later(float(len(steps))), KEY, "replay", now, Missing("unknown"))
        if resets:
            assert isinstance(found.increase, Missing), found
            assert "reset in between" in found.increase.reason
        else:
            assert found.increase == expected


def test_a_moment_of_this_run(bench):
    b = bench("dgx-h100", "errors")
    b.interval_s = 1.0
    before = b.run(20)
    baseline = of_frame(before, "10:00:00")
    first = compared(before, baseline, 3, 7, "replay")
    assert (first.increase, first.before) == (0, before.gpus[3].links[7].errors["replay"].total)
    after = b.run(30)
    found = compared(after, baseline, 3, 7, "replay")
    assert found.increase == after.gpus[3].links[7].errors["replay"].total - found.before > 0
    over_s = baseline.over_s(after)
    assert over_s is not None
    assert known(found.per_hour) is (over_s >= 600)
    assert compared(after, baseline, 2, 7, "replay").increase == 0
    assert fact_changes(baseline, after, after.gpus[3], after.gpus[3].links[7]) == []
    key = after.gpus[3].gpu.uuid, 7
    less = replace(baseline, links={at: link for at, link in baseline.links.items() if at != key})
    assert compared(after, less, 3, 7, "replay").increase == Missing("the other side does not have this link")


@pytest.fixture
def before_and_after(bench):
    b = bench("dgx-h100", "link-down")
    b.interval_s = 1.0
    return b.run(3), b.run(20)


def changed(frame: Frame, **node) -> str:
    """Return a frame as JSON output, with other values of `node`."""
    report = json.loads(json.dumps(side_of("", frame).report))
    report["node"] |= node
    return json.dumps(report)


def test_a_file_of_the_same_node(before_and_after, tmp_path):
    before, after = before_and_after
    (tmp_path / "a.json").write_text(changed(before))
    baseline = of_file(read_file(str(tmp_path / "a.json")), after)
    assert (baseline.node, baseline.reason) == ("the same node", "the GPUs have the same UUIDs")
    g = after.gpus[3]
    [fact] = [f for link in g.links for f in fact_changes(baseline, after, g, link)]
    assert fact == FactChange("link state", "up", "down")
    assert compared(after, baseline, 2, 0, "replay").increase == 0
    # A driver that started in between has reset all counters, although none fell.
    young = replace(g, uptime_s=2.0)
    error = ErrorCount(5, 5, 0.0, None)
    found = count_change(baseline, after, (g.gpu.uuid, 6), "replay", error, young.uptime_s)
    assert found.increase == Missing("the driver initialised the GPU in between; 5 since then")
    assert count_change(baseline, after, (g.gpu.uuid, 6), "new kind", error, 1e9).increase == NOT_COUNTED
    unread = replace(g.links[6], state=LinkState.UNKNOWN, state_reason="refused")
    [fact] = fact_changes(baseline, after, g, unread)
    assert (fact.before, fact.now, fact.note) == ("up", "?", "could not be read now (refused)")


def test_what_is_better_or_can_be_read_again_is_not_worse(before_and_after):
    before, after = before_and_after
    faulty, g = of_frame(after, "start"), before.gpus[3]
    [fact] = [f for link in g.links for f in fact_changes(faulty, before, g, link)]
    assert fact == FactChange("link state", "down", "up", improved=True)
    lost = replace(after.gpus[3].links[6], state=LinkState.UNKNOWN, state_reason="GPU is lost")
    links = [lost if link.index == 6 else link for link in after.gpus[3].links]
    gpus = [replace(other, links=links) if other.gpu == g.gpu else other for other in after.gpus]
    unread = of_frame(replace(after, gpus=tuple(gpus)), "start")
    [fact] = fact_changes(unread, before, g, g.links[6])
    assert (fact.before, fact.now, fact.improved) == ("?", "up", True)
    # The page of the link shows it without alarm, and a change for the worse with it.
    for frame, baseline, role in ((before, faulty, ""), (after, of_frame(before, "start"), "error")):
        view = ViewState(frame=frame, gpus=frame.gpus)
        shown = compared_facts(view, baseline, frame.gpus[3], frame.gpus[3].links[7])[1]
        assert (shown[0].startswith("link state: "), shown[1]) == (True, role)


def test_a_file_of_another_node_is_shown_beside_but_not_subtracted(before_and_after, bench, tmp_path):
    _, after = before_and_after
    (tmp_path / "b.json").write_text(changed(bench("hgx-a100-4").run(6)))
    baseline = of_file(read_file(str(tmp_path / "b.json")), after)
    assert baseline.node == "another node"
    assert compared(after, baseline, 0, 0, "replay").increase.reason.startswith("another node: ")
    assert len(baseline.gpus) == 4
    found = compared(after, baseline, 7, 0, "replay")
    assert found.increase == Missing("the other side does not have this GPU")
    few = replace(after.gpus[0], links=after.gpus[0].links[:2])
    assert list(lost_links(baseline, few)) == list(range(2, 12))


def test_a_later_file_gives_no_negative_number(before_and_after, tmp_path):
    before, after = before_and_after
    report = json.loads(changed(after)) | {"time": "2099-01-01T00:00:00Z"}
    (tmp_path / "later.json").write_text(json.dumps(report))
    baseline = of_file(read_file(str(tmp_path / "later.json")), before)
    assert compared(before, baseline, 3, 7, "replay").increase == Missing("the other side is the later one")


@pytest.mark.parametrize("kind", ["missing", "pipe", "text", "folder", "huge"])
def test_an_unreadable_file_has_one_line(tmp_path, kind, monkeypatch):
    path = tmp_path / "x.json"
    if kind == "pipe":
        import os

        os.mkfifo(path)
    elif kind == "text":
        path.write_text("hello\n")
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        monkeypatch.setattr("nvltop.comparison.source.MAX_JSON_BYTES", 1 << 20)
        path.write_text('{"schema": "nvltop/1", "x": "' + "a" * (1 << 20) + '"}')
    with pytest.raises(SourceError) as error:
        read_file(str(path), brief=True)
    assert "\n" not in str(error.value)
    assert "x.json" in str(error.value)
