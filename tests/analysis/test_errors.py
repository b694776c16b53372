"""Lifetime, since start and last change of an error counter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.counter_track import UNREAD_MINUTE, CounterTrack
from nvltop.analysis.errors import COUNTERS_UNREADABLE, NO_COUNTER_READ, ErrorTable
from nvltop.model import NOT_SUPPORTED, Maybe, Missing, known
from nvltop.model.missing import INVALID_ARGUMENT

NONE_DOWN: frozenset[int] = frozenset()
UNREAD = Missing("unknown driver error")


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


def test_unread_is_unknown_and_the_errors_meanwhile_are_counted():
    track = CounterTrack()
    track.update(10.0, 5)
    track.update(15.0, Missing("no permission"))
    assert track.at(15.0).since_start == Missing("no permission")
    track.update(20.0, 9)
    now = track.at(20.0)
    assert (now.since_start, now.per_min, now.minutes) == (4, 4.0, 1)


@pytest.mark.parametrize("rises", [False, True])
def test_the_last_count_above_0_and_its_age_stay_known(rises):
    track, gone = CounterTrack(), Missing("GPU is lost")
    track.update(10.0, 5)
    if rises:
        track.update(12.0, 6)
    track.update(15.0, gone)
    for now_s in (20.0, 30.0):
        now = track.at(now_s)
        assert (now.total, now.last_known) == (gone, (6, now_s - 12.0) if rises else (5, now_s - 10.0))
    track.update(35.0, 7)
    assert track.at(36.0).last_known is None
    never = CounterTrack()
    for t, total in ((10.0, 0), (15.0, gone)):
        never.update(t, total)
    assert never.at(20.0).last_known is None


@pytest.mark.parametrize("reads_nothing", [False, True])
def test_errors_of_an_hour_without_a_count_are_not_those_of_the_last_minute(reads_nothing):
    track = CounterTrack()
    track.update(10.0, 5)
    if reads_nothing:
        track.update(15.0, Missing("GPU is lost"))
    track.update(3600.0, 900)
    now = track.at(3601.0)
    assert (now.since_start, now.per_min, now.minutes, now.peak_per_s) == (895, UNREAD_MINUTE, 0, 0.0)
    track.update(3605.0, 902)
    assert track.at(3605.0).per_min == UNREAD_MINUTE
    assert track.at(3662.0).per_min == 2.0


def test_counters_of_a_gpu_that_answers_no_more_are_unknown_and_counted_on_later():
    why, table = Missing("GPU is lost"), ErrorTable()
    table.update(10.0, {"crc": (5, 0), "replay": (1, 1)})
    assert list(table.sums(NONE_DOWN)[:2]) == [7, 0]
    table.fail(15.0, why)
    assert list(table.sums(NONE_DOWN)[:2]) == [why, why]
    assert {error.total for kinds in table.at(15.0).values() for error in kinds.values()} == {why}
    table.update(20.0, {"crc": (5, 0), "replay": (1, 3)})
    assert list(table.sums(NONE_DOWN)[:2]) == [9, 2]
    assert table.at(20.0)[1]["replay"].since_start == 2


def test_a_sum_states_why_a_part_of_it_could_not_be_read():
    table = ErrorTable()
    table.update(10.0, {"crc": (5, UNREAD), "replay": (1, 1), "plr_retry_blocks": (UNREAD, UNREAD)})
    assert table.sums(NONE_DOWN) == (7, 0, UNREAD)
    table.update(15.0, {"crc": (6, 2), "replay": (1, 1), "plr_retry_blocks": (UNREAD, UNREAD)})
    assert table.sums(NONE_DOWN) == (10, 1, None)
    table.update(20.0, {"crc": (6, 2), "replay": (NOT_SUPPORTED, UNREAD)})
    assert table.sums(NONE_DOWN) == (8, 1, COUNTERS_UNREADABLE)


@pytest.mark.parametrize("why", [NOT_SUPPORTED, INVALID_ARGUMENT, UNREAD])
def test_a_counter_that_a_link_does_not_have_is_not_an_unknown_part_of_the_sum(why):
    table = ErrorTable()
    table.update(10.0, {"crc": (5, 2, why), "replay": (1, 0, why)})
    assert table.sums(frozenset({2})) == (8, 0, None)
    # Without its state, a link that is not connected looks like one that could not be read.
    assert table.sums(NONE_DOWN) == (8, 0, why if why == UNREAD else None)
    # A counter that was read exists, also if its link goes down.
    table.update(20.0, {"crc": (5, why, why), "replay": (1, 0, why)})
    assert table.sums(frozenset({1, 2})) == (6, 0, why)


@given(
    st.lists(
        st.lists(st.sampled_from([0, 1, 7, NOT_SUPPORTED, UNREAD]), min_size=3, max_size=3),
        min_size=1, max_size=4,
    ),
    st.frozensets(st.integers(0, 2)),
)  # fmt: skip
def test_a_sum_has_no_unknown_part_only_if_every_counter_that_exists_was_read(readings, down):
    table = ErrorTable()
    for i, counts in enumerate(readings):
        table.update(10.0 * i, {"crc": tuple(counts)})
    total, _, part = table.sums(down)
    exists = [
        any(known(counts[link]) for counts in readings) or (readings[-1][link] == UNREAD and link not in down)
        for link in range(3)
    ]
    numbers = [count for count in readings[-1] if known(count)]
    assert total == sum(numbers) if numbers else isinstance(total, Missing)
    unread = any(there and not known(count) for there, count in zip(exists, readings[-1], strict=True))
    assert (part is not None) == (unread and bool(numbers))


def test_a_reset_while_nothing_could_be_read_is_a_reset():
    track = CounterTrack()
    track.update(10.0, 5)
    track.update(15.0, Missing("GPU is lost"))
    track.restart(18.0)
    track.update(20.0, 9)
    now = track.at(30.0)
    assert (now.since_start, now.reset_s) == (0, 12.0)


@given(st.lists(st.tuples(st.floats(0.1, 5000.0), st.integers(0, 9), st.booleans()), min_size=1, max_size=40))
def test_increases_are_counted_once_and_none_is_dated_too_late(readings):
    """Whatever could not be read, `since_start` has all errors, and `per_min` those of a minute or none."""
    track, now_s, total, first, last_s = CounterTrack(), 0.0, 50, None, 0.0
    increases: list[tuple[float, float, int]] = []
    for wait_s, step, is_read in readings:
        now_s, total = now_s + wait_s, total + step
        if is_read:
            if first is None:
                first = total
            elif total > sum(n for *_, n in increases) + first:
                increases.append((last_s, now_s, total - first - sum(n for *_, n in increases)))
            last_s = now_s
        track.update(now_s, total if is_read else Missing("not read"))
        count = track.at(now_s)
        if not is_read:
            continue
        assert count.since_start == total - first
        if known(count.per_min):
            # An increase is in the last minute if the count before it is at most a minute older.
            assert count.per_min == sum(n for after, seen, n in increases if now_s - seen <= 60.0)
            assert all(seen - after <= 60.0 for after, seen, _ in increases if now_s - seen <= 60.0)


@given(st.lists(st.tuples(st.floats(0.1, 90.0), st.sampled_from(["same", "more", "restart"]))))
def test_counts_that_are_the_same_object_are_counts_that_are_equal(steps):
    """The pipe keeps equal counts one object: they are not compared, but they were read."""
    kept, copied = ErrorTable(), ErrorTable()
    now_s, replays = 100.0, 0
    counts: dict[str, tuple[Maybe[int], ...]] = {"replay": (0, 3), "crc": (7, Missing("timed out"))}
    for wait_s, step in steps:
        now_s += wait_s
        if step == "restart":
            kept.restart(now_s - 0.05)
            copied.restart(now_s - 0.05)
        elif step == "more":
            replays += 1
            counts = counts | {"replay": (replays, 3)}
        kept.update(now_s, counts)
        copied.update(now_s, dict(counts))
        assert kept.at(now_s) == copied.at(now_s)
        assert kept.sums(NONE_DOWN) == copied.sums(NONE_DOWN)


COUNTS = st.lists(st.one_of(st.integers(0, 2), st.just(Missing("timed out"))), min_size=5, max_size=5)


@given(st.lists(st.tuples(st.floats(0.1, 90.0), st.one_of(COUNTS, st.sampled_from(["restart", "fail"])))))
def test_links_that_share_a_track_have_the_counts_of_a_table_of_their_own(steps):
    """Counters whose counts have been equal share a track: no count of one link may show on another."""
    table, own, now_s = ErrorTable(), [ErrorTable() for _ in range(5)], 100.0
    for wait_s, step in steps:
        now_s += wait_s
        for one in (table, *own):
            if step == "restart":
                one.restart(now_s)
            elif step == "fail":
                one.fail(now_s, Missing("GPU is lost"))
        if isinstance(step, list):
            table.update(now_s, {"crc": tuple(step), "replay": (0,) * len(step)})
            for one, count in zip(own, step, strict=True):
                one.update(now_s, {"crc": (count,), "replay": (0,)})
        expected = {link: counts for link, one in enumerate(own) for counts in one.at(now_s).values()}
        assert table.at(now_s) == expected
        assert len(set(map(id, table._tracks.get("crc", ())))) <= len(expected)


def test_counters_that_stay_0_share_a_track_and_their_counts():
    table = ErrorTable()
    table.update(10.0, {"crc": (0,) * 36, "replay": (0,) * 36})
    counts = table.at(10.0)
    assert [len(set(map(id, tracks))) for tracks in table._tracks.values()] == [1, 1]
    assert len(set(map(id, counts.values()))) == 1
    table.update(15.0, {"crc": (0,) * 36, "replay": (*(0,) * 35, 1)})
    assert [len(set(map(id, tracks))) for tracks in table._tracks.values()] == [1, 2]
    assert [k["replay"].since_start for k in table.at(16.0).values()] == [0] * 35 + [1]
    assert [k["replay"].since_start for k in counts.values()] == [0] * 36


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


def test_a_reading_without_any_kind_says_that_counters_are_not_supported():
    """It said `no error counter read yet` for as long as nvltop ran."""
    table = ErrorTable()
    assert table.sums(frozenset()).total == NO_COUNTER_READ
    table.update(1.0, {})
    assert table.sums(frozenset()).total == NOT_SUPPORTED
