"""Quality of links, and error counters of the links to the CPU, as newer drivers report them."""

from __future__ import annotations

import pytest

from nvltop.analysis.health.ber_rates import format_ber, rate_of
from nvltop.analysis.link_quality import NOTHING_SENT, OTHER_UNIT, data_rate, retry_share, worst_retry_share
from nvltop.export.exposition import MetricsPage
from nvltop.export.links import BER
from nvltop.model import NOT_SUPPORTED, Missing, known
from nvltop.nvml.errors import EFFECTIVE_BER
from nvltop.nvml.simulated.fields import DATA_RATE_SHARE, PLR_BLOCK_BYTES
from nvltop.nvml.simulated.machine import ERROR_FREE_BER


@pytest.fixture
def b(bench):
    return bench("gb300-two")


def answer(b, field_id: int, value: int) -> None:
    """Let the driver answer a field with a value, on every GPU."""
    for table in b.library.fields.tables:
        table[field_id] = lambda gpu, scope, t: (0, 3, value)


def test_the_share_of_retries_has_both_counters_from_one_call(b):
    answer(b, 295, 1_000_000)
    g = b.run(1.0).gpus[0]
    [blocks, *_] = g.ber.plr_blocks
    assert blocks > 1e9 / PLR_BLOCK_BYTES
    assert retry_share(g, g.links[0]) == pytest.approx(1_000_000 / blocks)
    shares = [share for k in g.links if known(share := retry_share(g, k))]
    worst = worst_retry_share(g)
    assert worst is not None
    assert worst[1] == max(shares)


def test_no_share_without_blocks(b):
    answer(b, 294, 0)
    g = b.run(1.0).gpus[0]
    assert retry_share(g, g.links[0]) == NOTHING_SENT


def test_the_data_rate_is_believed_only_if_it_fits_the_speed(b):
    g = b.run(1.0).gpus[0]
    speed = g.links[0].speed_bytes_per_s
    assert data_rate(g, g.links[0]) == pytest.approx(DATA_RATE_SHARE * speed, rel=1e-6)
    for wrong in (round(speed / 1e6), round(speed), 0):
        b.clock.now += 60
        answer(b, 296, wrong)
        g = b.run(1.0).gpus[0]
        assert data_rate(g, g.links[0]) == OTHER_UNIT


def test_old_drivers_and_boards_have_none_and_are_not_asked_again(bench):
    g = bench("h100-two").run(1.0).gpus[0]
    assert g.ber is None
    assert data_rate(g, g.links[0]) == retry_share(g, g.links[0]) == NOT_SUPPORTED
    b = bench("gb200-two")
    g = b.run(1.0).gpus[0]
    assert (g.ber.plr_blocks, g.ber.plr_retries, g.ber.data_rate) == ((), (), ())
    assert b.readers[0].errors._ber_fields == (EFFECTIVE_BER,)


def test_errors_of_the_links_to_the_cpu(bench):
    b = bench("gb300-two")
    answer(b, 232, 3)
    answer(b, 234, 1)
    fabric = b.run(1.0).gpus[0].fabric
    links = b.library.machine.node.boards[0].c2c_links
    assert (fabric.c2c_crc_errors, fabric.c2c_replays, fabric.c2c_power_state) == (0, 3 * links, "low")


def test_a_gpu_without_links_to_the_cpu_is_asked_once(bench):
    b = bench("h100-two")
    assert b.run(1.0).gpus[0].fabric.c2c_crc_errors == Missing("no C2C")


@pytest.mark.parametrize(
    ("node", "has_rates"), [("gb200-two", True), ("b200-four", True), ("h100-two", False)]
)
def test_boards_since_blackwell_report_bit_error_rates(bench, node, has_rates):
    frame = bench(node).run(2.0)
    links = sum(len(g.links) for g in frame.gpus)
    (check,) = [c for c in frame.checks if c.name == "bit error rates"]
    assert all((g.ber is not None) == has_rates for g in frame.gpus)
    if has_rates:
        assert check.outcome == "fine"
        assert check.detail.startswith(f"effective BER of {links} links below 1e-12")
        assert {rate for g in frame.gpus for rate in g.ber.effective} == {ERROR_FREE_BER}
    else:
        assert check.outcome == "n/a"


def test_a_link_with_errors_has_a_higher_bit_error_rate_below_the_limit(bench):
    b = bench("gb200-two", "errors")
    frame = b.run(70.0)
    gpu, link = b.library.machine.faulty_link
    rates = {g.gpu.index: rate_of(g.ber, link) for g in frame.gpus}
    assert {i: format_ber(rate) for i, rate in rates.items() if known(rate)} == {
        i: "2e-13" if i == gpu else "0" for i in rates
    }
    assert "link-ber" not in {f.rule for f in frame.findings}
    page = MetricsPage(clock=b.clock)
    page.show(frame)
    lines = (page.get() or b"").decode().splitlines()
    exported = {line.rpartition(" ")[2] for line in lines if line.startswith(f"nvltop_{BER.name}{{")}
    assert exported == {"0.0", "2e-13"}
