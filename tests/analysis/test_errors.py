"""Lifetime, since start and last change of an error counter."""

from nvltop.analysis.errors import CounterTrack
from nvltop.model import Missing


def test_lifetime_counts_are_not_new_errors():
    track = CounterTrack()
    track.update(10.0, 505)
    now = track.at(20.0)
    assert (now.total, now.since_start, now.per_min, now.last_change_s) == (505, 0, 0.0, None)


def test_an_increase_is_counted_and_dated():
    track = CounterTrack()
    for t, total in ((10.0, 505), (15.0, 505), (20.0, 508)):
        track.update(t, total)
    now = track.at(50.0)
    assert (now.since_start, now.per_min, now.last_change_s) == (3, 3.0, 30.0)
    assert track.at(90.0).per_min == 0.0


def test_a_reset_is_not_an_error():
    track = CounterTrack()
    for t, total in ((10.0, 505), (15.0, 2), (20.0, 3)):
        track.update(t, total)
    assert track.at(20.0).since_start == 1


def test_unread_is_unknown_and_comes_back_with_a_new_baseline():
    track = CounterTrack()
    track.update(10.0, 5)
    track.update(15.0, Missing("no permission"))
    assert track.at(15.0).since_start == Missing("no permission")
    track.update(20.0, 9)
    assert track.at(20.0).since_start == 0


def test_the_errors_scenario(bench):
    b = bench("dgx-h100", "errors")
    b.interval_s = 1.0
    frame = b.run(30.0)
    replay = frame.gpus[3].links[7].errors["replay"]
    assert replay.total == 12 + 6
    assert replay.since_start == 6
    assert replay.last_change_s < 5.0
    quiet = [k for g in frame.gpus for k in g.links if (g.gpu.index, k.index) != (3, 7)]
    assert all(e.since_start == 0 for k in quiet for e in k.errors.values())
