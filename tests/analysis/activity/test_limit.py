"""What bounds a job: each answer by itself, and none where nothing seen does."""

from __future__ import annotations

import pytest

from nvltop.analysis.activity.limit import UNKNOWN, limit
from nvltop.analysis.activity.samples import (
    HW_THERMAL,
    POWER_BRAKE,
    SW_POWER_CAP,
    TOO_FEW,
    Network,
    Samples,
)
from nvltop.model import (
    LPF,
    Gauges,
    Gpu,
    GpuFrame,
    Missing,
    Nic,
    NicFrame,
    NicPort,
    PcieTraffic,
    Straggler,
    known,
)

NOT_TOLD = Missing("not told")


def gpu(reasons=0, pcie=1e9, seconds=30, read=True):
    samples = Samples()
    for t in range(seconds):
        gauges = Gauges(event_reasons=reasons, pcie_gen=5, pcie_width=16, power_w=600.0 if read else NOT_TOLD)
        frame = GpuFrame(Gpu(0, "GPU-0"), gauges=gauges, age_s={"gauges": 0.0}, pcie=PcieTraffic(pcie, pcie))
        samples.note(frame, float(t))
    return samples


@pytest.mark.parametrize(
    ("share", "intensity", "gpus", "network", "bound"),
    [
        (0.4, 0.9, [gpu(), gpu()], 0.1, "none"),
        (0.9, 0.95, [gpu(), gpu()], 0.1, "nvlink"),
        (0.9, 0.5, [gpu(), gpu()], 0.1, "none"),
        (0.9, NOT_TOLD, [gpu(), gpu()], 0.1, NOT_TOLD),
        (0.9, 0.95, [gpu(), gpu(HW_THERMAL)], 0.1, "heat"),
        (0.9, 0.95, [gpu(), gpu(POWER_BRAKE)], 0.1, "power"),
        (0.1, 0.95, [gpu(SW_POWER_CAP), gpu(SW_POWER_CAP)], 0.1, "power"),
        (0.1, 0.95, [gpu(SW_POWER_CAP), gpu()], 0.1, "none"),
        (0.9, 0.95, [gpu(), gpu(pcie=55e9)], 0.1, "pcie"),
        (0.4, 0.5, [gpu(), gpu()], 0.85, "nic"),
        (NOT_TOLD, NOT_TOLD, [gpu(), gpu()], NOT_TOLD, UNKNOWN),
    ],
)
def test_what_bounds_a_job(share, intensity, gpus, network, bound):
    assert limit(share, intensity, None, gpus, network) == bound


def test_a_rank_that_is_waited_for_bounds_it():
    assert limit(0.9, 0.95, Straggler("GPU-0", ("is late",)), [gpu()], 0.1) == "rank"


def test_means_need_readings_and_say_why_there_are_none():
    assert gpu(seconds=5).power_w == TOO_FEW
    assert gpu(read=False).power_w == NOT_TOLD
    assert gpu().power_w == 600.0


def test_the_busiest_port_over_a_minute():
    def port(name, share):
        return NicFrame(
            Nic(name, True),
            NicPort(name, 1, rate_bytes_per_s=50e9),
            tx_bytes_per_s=share * 50e9,
            rx_bytes_per_s=0.0,
        )

    network = Network()
    assert not known(network.share)
    for t in range(200):
        network.note([port("a", 0.1), port("b", 0.9 if t >= 140 else 0.0)], float(t))
    assert network.share == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("rdma", "gbit", "role", "share"),
    [
        (True, 1.0, "", 0.1),
        (True, 10.0, "", 0.9),  # a port that may carry data
        (False, 1.0, "", 0.9),  # all that the machine has
        (False, 100.0, LPF, 0.1),
    ],
    ids=["management", "fast", "no RDMA", "NVSwitch"],
)
def test_a_port_without_data_does_not_bound_a_job(rdma, gbit, role, share):
    def port(name, gbit, share, *, rdma=True, role=""):
        rate = gbit * 1e9 / 8
        return NicFrame(
            Nic(name, rdma, role=role),
            NicPort(name, 1, rate_bytes_per_s=rate),
            tx_bytes_per_s=share * rate,
            rx_bytes_per_s=0.0,
        )

    network = Network()
    for t in range(30):
        ports = [port("mlx5_0", 400.0, 0.1)] if rdma or role else []
        network.note([*ports, port("eno1", gbit, 0.9, rdma=bool(role), role=role)], float(t))
    assert network.share == pytest.approx(share)
