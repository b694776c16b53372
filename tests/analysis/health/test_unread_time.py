"""No more readings: whose fault that is, and what is still reported about the node."""

from __future__ import annotations

import pytest

from nvltop.model import Call, Frame, Tick

HANGS = "nvmlDeviceGetFieldValues"


def silent(
    w, seconds: float, worker: str = "running", hangs: bool = False, step: float = 1.0, note: str = ""
) -> Frame:
    """Let time pass with ticks only."""
    begun = w.bench.clock.now
    for _ in range(round(seconds / step)):
        w.bench.clock.now += step
        now = w.bench.clock.now
        calls = (Call("links", HANGS, None, begun + 0.1),) if hangs and now - begun > 1.1 else ()
        w.bench.monitor.update(Tick(now, 1.79e9 + now, 1.0, worker, calls, note))
    return w.bench.monitor.frame()


def found(frame: Frame) -> dict[str, str]:
    return {f.rule: f.severity for f in frame.findings}


@pytest.mark.parametrize(
    ("worker", "hangs", "expected"),
    [
        ("stuck", True, {"driver-stuck": "critical"}),
        ("running", True, {"driver-stuck": "critical"}),
        ("running", False, {"reader-gone": "unknown"}),
        ("ended", False, {"reader-gone": "unknown"}),
        ("paused", True, {"reader-gone": "unknown"}),
    ],
)
def test_who_is_at_fault(watched, worker, hangs, expected):
    w = watched("h100-four")
    w.run(5)
    for _ in range(2):
        frame = silent(w, 8, worker, hangs)
        assert found(frame) == expected
    # A worker that replaces a hung one begins with short calls.
    frame = silent(w, 4, "replaced" if worker == "stuck" else worker)
    assert found(frame) == expected
    if "reader-gone" in expected:
        assert "driver has not answered" not in frame.findings[0].summary


def test_the_last_message_of_the_worker_is_in_the_finding(watched):
    w = watched("h100-four")
    w.run(3)
    frame = silent(w, 8, "ended", note="nvltop's reading process failed: ImportError: no ctypes")
    assert frame.findings[0].summary.startswith(
        "Nothing is read: nvltop's reading process failed: ImportError: no ctypes; the"
    )


def test_a_worker_that_was_just_restarted_is_given_time(watched):
    w = watched("h100-four")
    w.run(3)
    silent(w, 50, "ended")
    assert "driver-stuck" not in found(silent(w, 4, "replaced", hangs=True))
    assert found(w.run(4)) == {}


def test_old_values_yield_neither_a_verdict_nor_a_check(watched):
    w = watched("h100-four")
    before = w.run(14)
    assert before.verdict.id == "saturated"
    frame = silent(w, 4, "ended")
    assert frame.verdict.id == "saturated"
    frame = silent(w, 6, "ended")
    assert (frame.verdict.id, frame.verdict.summary) == (
        "unknown",
        "Unknown: nothing has been read for 10s",
    )
    assert [c for c in frame.checks if c.outcome == "fine"] == []
    after = w.run(60)
    assert (after.verdict.id, found(after)) == ("saturated", {"saturated": "info"}), after.verdict
    assert [c.name for c in after.checks if c.outcome == "fine"] == [
        c.name for c in before.checks if c.outcome == "fine"
    ]


def test_old_values_of_one_gpu_are_not_fine(watched):
    w = watched("h100-four")
    w.run(3)
    uuid = w.bench.inventory.gpus[3].uuid
    readers = [r for r in w.bench.readers if r.device.uuid != uuid]
    w.bench.session.readers = tuple(readers)
    frame = w.run(8)
    assert [g.gpu.index for g in frame.gpus if g.stale] == [3]
    fine = [c.detail for c in frame.checks if c.outcome == "fine" and c.name in ("links", "link errors")]
    assert len(fine) == 2
    assert all("GPU 3 skipped: not readable" in detail for detail in fine)
    assert frame.verdict.id != "unknown"


@pytest.mark.parametrize("pause_s", [8.0, 60.0, 86400.0])
def test_a_pause_of_nvltop_itself_is_not_unread_time(watched, pause_s):
    w = watched("h100-four")
    w.run(5)
    # The tick arrives before the items that waited in the pipe.
    frame = silent(w, pause_s, hangs=False, step=pause_s)
    assert found(frame) == {}
    assert found(w.run(5)) == {}


def test_a_pause_without_nvlink_and_a_pause_that_ends_without_readings(watched):
    w = watched("rtx4090-pair")
    w.run(5)
    assert set(found(silent(w, 60.0, step=60.0))) == {"no-nvlink"}
    assert w.bench.monitor.frame().verdict.id == "unknown"
    assert found(silent(w, 8.0, hangs=True))["driver-stuck"] == "critical"
