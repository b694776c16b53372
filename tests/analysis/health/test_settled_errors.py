"""Counts that rules compare are the same object until one of them changes, and what is found is the same."""

from __future__ import annotations

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
