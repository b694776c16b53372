"""Quality of links, and error counters of the links to the CPU, as newer drivers report them."""

from __future__ import annotations

import pytest

from nvltop.analysis.link_quality import NOTHING_SENT, OTHER_UNIT, data_rate, retry_share, worst_retry_share
from nvltop.model import NOT_SUPPORTED, Missing, known
from nvltop.nvml.errors import EFFECTIVE_BER
from nvltop.nvml.simulated.fields import DATA_RATE_SHARE, PLR_BLOCK_BYTES


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
