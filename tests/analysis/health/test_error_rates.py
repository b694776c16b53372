"""A link with far more errors a day than the others is a notice, and what is just not enough for it."""

from __future__ import annotations

from math import exp

import pytest

from nvltop.analysis.health import error_rates
from nvltop.analysis.health.error_rates import FastLink

DAY = 86400.0
RULE = "link-error-rate"


def node(counts, days=12.0, resets=None):
    """Prepare a Rubin node: counts by GPU and link, and the days since each GPU was initialised."""

    def prepare(lib):
        lib.machine.errors = lambda gpu, link, kind, t: counts(gpu, link) if kind == "rcv" else 0
        for gpu in range(8):
            lib.machine.initialised_t[gpu] = -(resets or {}).get(gpu, days) * DAY

    return prepare


def found(w):
    return [f for f in w.run(3).findings if f.rule == RULE]


def test_few_errors_of_one_link_stand_out_if_their_time_is_known(watched):
    w = watched("rubin", prepare=node(lambda gpu, link: 24 * ((gpu, link) == (2, 1))))
    (finding,) = found(w)
    assert (finding.severity, w.index(finding), finding.link) == ("notice", 2, 1)
    assert finding.headline == "GPU 2 link 1: 24 rx errors in 12d"
    assert finding.summary == (
        "GPU 2 link 1 stands out: 24 receive errors in 12 days, 2 a day, the other links 0 on average"
    )
    assert finding.evidence["total"] == 24
    assert finding.evidence["others_per_day"] == 0


def test_errors_that_nvltop_saw_do_not_decide_but_are_in_the_count(watched):
    w = watched("rubin", prepare=node(lambda gpu, link: 24 * ((gpu, link) == (2, 1))))
    assert found(w)
    node(lambda gpu, link: 29 * ((gpu, link) == (2, 1)))(w.lib)
    (finding,) = found(w)
    lifetime = w.bench.frame().gpus[2].links[1].errors["rcv"].total
    assert finding.evidence["total"] == lifetime == 29, "as on the tab Errors"
    assert finding.headline == "GPU 2 link 1: 29 rx errors in 12d"
    assert "29 receive errors in 12 days, 5 of them while nvltop watched, 2.4 a day" in finding.summary


def test_a_gpu_that_was_reset_yesterday_is_compared_by_its_rate(watched):
    counts = {(g, k): 40 for g in range(8) for k in range(36)} | {(3, k): 3 for k in range(36)}
    w = watched("rubin", prepare=node(lambda g, k: 39 if (g, k) == (3, 5) else counts[g, k], 12, {3: 1.0}))
    (finding,) = found(w)
    assert (w.index(finding), finding.link) == (3, 5)
    same_time = watched("rubin", prepare=node(lambda g, k: 39 if (g, k) == (3, 5) else counts[g, k]))
    assert not found(same_time)


@pytest.mark.parametrize(
    ("counts", "days"),
    [
        (lambda g, k: 9 * ((g, k) == (2, 1)), 12),
        (lambda g, k: 24 * ((g, k) == (2, 1)), 0.2),
        (lambda g, k: 24 if (g, k) == (2, 1) else 3, 12),
        (lambda g, k: 24 * (g == 2), 12),
        (lambda g, k: 24, 12),
        (lambda g, k: 12 if (g, k) == (2, 1) else k % 3, 12),
    ],
    ids=["too few", "too short", "ratio", "a whole GPU", "all", "by chance"],
)
def test_near_misses(watched, counts, days):
    assert not found(watched("rubin", prepare=node(counts, days)))


def test_a_time_that_is_unknown_gives_no_rate(watched):
    def prepare(lib):
        lib.machine.errors = lambda gpu, link, kind, t: 24 * ((gpu, link) == (2, 1)) * (kind == "replay")

    assert not found(watched("h100-four", prepare=prepare))


def test_a_link_is_reported_once(watched):
    w = watched("rubin", prepare=node(lambda gpu, link: 505 * ((gpu, link) == (2, 1))))
    rules = [f.rule for f in w.run(3).findings]
    assert "link-outlier" in rules
    assert RULE not in rules


@pytest.mark.parametrize(("count", "mean"), [(10, 1.0), (24, 3.0), (100, 50.0)])
def test_the_bound_is_above_the_exact_probability(count, mean):
    term = total = exp(-mean)
    for n in range(1, count):
        term *= mean / n
        total += term
    bound = exp(error_rates._log_probability(count, mean))
    assert 1 - total <= bound <= 10 * (1 - total) + 1e-9
    assert error_rates._log_probability(3, 4.0) == 0.0


def test_the_rate_of_a_link():
    assert FastLink("GPU-a", 1, "rcv", 24, 12 * DAY, 0.0).per_day == pytest.approx(2.0)
