"""Counts that rules compare are the same object until one of them changes, and what is found is the same."""

from __future__ import annotations

from dataclasses import replace

from nvltop.analysis.health.error_rates import ErrorRates
from nvltop.analysis.health.outliers import Outliers, SettledErrors
from nvltop.analysis.link_states import errors_by_link


def grow(lib, counts):
    """Let a receive error counter of GPU 2, link 5, begin at 500, and that of GPU 1, link 0, be `counts`."""

    def errors(gpu, link, kind, t):
        if kind != "rcv":
            return 0
        return {(2, 5): 500, (1, 0): counts(t)}.get((gpu, link), 0)

    lib.machine.errors = errors


def test_an_error_that_gets_older_leaves_the_counts_as_they_are(bench):
    b = bench("hgx-b200")
    grow(b.library, lambda t: int(t >= 6))
    b.run(8)
    settled, outliers = SettledErrors(), Outliers()
    before = b.frame().gpus
    counts = [settled.of_gpu(g) for g in before]
    found = outliers.find(before, settled)
    assert [(o.gpu, o.link) for o in found] == [(before[2].gpu.uuid, 5)]
    b.clock.now += 3
    after = b.frame().gpus
    assert errors_by_link(after[1].links) is not errors_by_link(before[1].links), "the error has an age"
    assert all(settled.of_gpu(g) is old for g, old in zip(after, counts, strict=True))
    assert outliers.find(after, settled) is found


def test_what_is_found_is_what_a_first_comparison_finds(bench):
    """One counter rises, and falls once: a reset, after which its time grows with each second."""
    b = bench("hgx-b200")
    b.interval_s = 1.0
    grow(b.library, lambda t: 40 + int(t) if t < 20 else 12)
    settled, outliers, rates = SettledErrors(), Outliers(), ErrorRates()
    for frame in b.frames(40):
        gpus, now_s = frame.gpus, frame.tick.mono_s
        fresh = SettledErrors()
        assert outliers.find(gpus, settled) == Outliers().find(gpus, fresh)
        kept = [(f.gpu, f.link, f.kind, f.total) for f in rates.find(gpus, settled, now_s)]
        assert kept == [(f.gpu, f.link, f.kind, f.total) for f in ErrorRates().find(gpus, fresh, now_s)]


def errors_of(lib, gpu, link, total):
    """Let the counter of receive errors of one more link be `total`."""
    others = lib.machine.errors
    lib.machine.errors = lambda g, n, kind, t: (
        total(t) if (g, n, kind) == (gpu, link, "rcv") else others(g, n, kind, t)
    )


def test_errors_before_a_reset_do_not_lower_the_counts_that_are_compared(bench):
    """A counter that rose by 30 falls to 0, while that of another link stays at 12 from the beginning."""
    b = bench("hgx-b200")
    b.interval_s = 1.0
    grow(b.library, lambda t: 30 if 5 <= t < 10 else 0)
    errors_of(b.library, 2, 5, lambda t: 12)
    b.run(20)
    frame = b.frame()
    error = frame.gpus[1].links[0].errors["rcv"]
    assert (error.total, error.since_start) == (0, 30)
    gpus = [replace(g, uptime_s=8 * 3600.0) for g in frame.gpus]
    fast = ErrorRates().find(gpus, SettledErrors(), frame.tick.mono_s)
    assert [(f.gpu, f.link, f.total) for f in fast] == [(frame.gpus[2].gpu.uuid, 5, 12)]


def test_an_outlier_whose_counter_was_reset_states_the_time_since_the_reset(bench):
    """The counter rises by 400 before it is reset, which are not a part of the 300 after that."""
    b = bench("hgx-b200")
    b.interval_s = 1.0
    errors_of(b.library, 1, 0, lambda t: 100 if t < 5 else 500 if t < 10 else 300)
    b.run(20)
    b.interval_s = 60.0
    b.run(45 * 60.0)
    [outlier] = [f for f in b.frame().findings if f.rule == "link-outlier"]
    assert "300 receive errors in the 45m since a reset of the counter, the other" in outlier.summary
