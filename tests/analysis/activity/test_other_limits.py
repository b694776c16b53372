"""Limits of a job: each alone, several at once, and none if none is observed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.activity.gauge_history import (
    MIN_SAMPLES,
    MIN_SAMPLES_READ,
    TOO_FEW,
    GaugeHistory,
    NicUsage,
)
from nvltop.analysis.activity.other_limits import (
    LIMIT_UNKNOWN,
    NO_TRAFFIC_NOW,
    OVERLAP_UNKNOWN,
    JobGpu,
    find_other_limits,
    first_limit,
    rank_limits,
    share_idle_together,
)
from nvltop.model import (
    LPF,
    Gauges,
    Gpu,
    GpuFrame,
    Judgement,
    Missing,
    Nic,
    NicFrame,
    NicPort,
    PcieTraffic,
    Straggler,
    known,
)
from nvltop.model.clock_reasons import HW_THERMAL, POWER_BRAKE, SW_POWER_CAP

NOT_REPORTED = Missing("not reported")
PCIE = 63.008e9


def gpu(reasons=0, pcie=1e9, seconds=30, read=True, util=90.0, **times):
    samples = GaugeHistory()
    for t in range(seconds):
        gauges = Gauges(
            event_reasons=reasons, pcie_gen=5, pcie_width=16, power_w=600.0 if read else NOT_REPORTED,
            util_percent=util(t) if callable(util) else util,
            **{name: 100.0 + share * t for name, share in times.items()},
        )  # fmt: skip
        frame = GpuFrame(Gpu(0, "GPU-0"), gauges=gauges, age_s={"gauges": 0.0}, pcie=PcieTraffic(pcie, pcie))
        samples.add(frame, float(t))
    return samples


def found(*gpus, straggler=None, network=0.1):
    members = [JobGpu(f"GPU-{i}", f"GPU {i}", samples, PCIE) for i, samples in enumerate(gpus)]
    return find_other_limits(members, straggler, network)


def judgement(state):
    return Judgement(None, ("GPU-0", "GPU-1"), state, at_limit=0.6)


@pytest.mark.parametrize(
    ("state", "others", "bound"),
    [
        ("light", found(gpu(), gpu()), "none"),
        ("below", found(gpu(), gpu()), "none"),
        ("limits", found(gpu(), gpu()), "nvlink"),
        ("limits-part", found(gpu(), gpu()), "nvlink"),
        ("may-limit", found(gpu(), gpu()), OVERLAP_UNKNOWN),
        ("unclear", found(gpu(), gpu()), LIMIT_UNKNOWN),
        ("silent", found(gpu(), gpu(HW_THERMAL)), NO_TRAFFIC_NOW),
        ("limits", found(gpu(), gpu(HW_THERMAL)), "heat"),
        ("limits", found(gpu(), gpu(POWER_BRAKE)), "power"),
        ("light", found(gpu(SW_POWER_CAP), gpu(SW_POWER_CAP)), "power"),
        ("limits", found(gpu(SW_POWER_CAP), gpu(SW_POWER_CAP)), "nvlink"),
        ("light", found(gpu(SW_POWER_CAP), gpu()), "none"),
        ("limits", found(gpu(), gpu(pcie=55e9)), "pcie"),
        ("below", found(gpu(), gpu(), network=0.85), "nic"),
        ("limits", found(gpu(), gpu(), straggler=Straggler("GPU-1", ("is late",))), "rank"),
        ("unknown", found(gpu(), network=NOT_REPORTED), LIMIT_UNKNOWN),
    ],
)
def test_the_first_limit(state, others, bound):
    assert first_limit(judgement(state), others) == bound


def test_several_limits_are_ranked_and_each_has_its_evidence():
    late = Straggler("GPU-1", ("is late",))
    others = found(gpu(SW_POWER_CAP), gpu(SW_POWER_CAP | HW_THERMAL, pcie=57e9), straggler=late, network=0.95)
    kinds = [limit.kind for limit in rank_limits(judgement("limits"), others)]
    assert kinds == ["heat", "rank", "nic", "pcie", "nvlink", "power"]
    evidence = {limit.kind: limit.evidence for limit in rank_limits(judgement("limits"), others)}
    assert evidence["pcie"] == "PCIe of GPU 1 carries 57 of 63 GB/s"
    assert evidence["rank"] == "the job waits for GPU 1"
    assert evidence["heat"] == "GPU 1 is slowed by heat 100% of the time"


def test_nvlink_is_not_a_limit_of_a_job_that_it_does_not_limit():
    assert rank_limits(judgement("light"), found(gpu())) == ()


def test_throttle_times_count_where_the_driver_gives_them():
    # The bit was set whenever it was looked at; the driver says that it applied for an eighth of the time.
    held = found(gpu(HW_THERMAL, hw_thermal_s=0.125), gpu())
    assert [(limit.kind, round(limit.share, 3)) for limit in held.after] == [("heat", 0.125)]
    assert found(gpu(HW_THERMAL, hw_thermal_s=0.05), gpu()) == ((), ())
    assert first_limit(judgement("limits"), held) == "nvlink"


def test_the_host_bounds_a_job_whose_gpus_idle_together():
    waits = [gpu(util=lambda t: 0.0 if t % 4 < 2 else 99.0) for _ in range(2)]
    others = found(*waits)
    assert [limit.kind for limit in others.after] == ["host"]
    assert first_limit(judgement("light"), others) == "host"
    # In turns is not together.
    turns = [gpu(util=lambda t, k=k: 0.0 if (t + 2 * k) % 4 < 2 else 99.0) for k in range(2)]
    assert share_idle_together(turns) == 0.0


def test_means_need_readings_and_say_why_there_are_none():
    assert gpu(seconds=5).power_w == TOO_FEW
    assert gpu(read=False).power_w == NOT_REPORTED
    assert gpu().power_w == 600.0


def test_the_busiest_port_over_a_minute():
    def port(name, share):
        return NicFrame(
            Nic(name, True),
            NicPort(name, 1, rate_bytes_per_s=50e9),
            tx_bytes_per_s=share * 50e9,
            rx_bytes_per_s=0.0,
        )

    network = NicUsage()
    assert not known(network.share)
    for t in range(200):
        network.add([port("a", 0.1), port("b", 0.9 if t >= 140 else 0.0)], float(t))
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

    network = NicUsage()
    for t in range(30):
        ports = [port("mlx5_0", 400.0, 0.1)] if rdma or role else []
        network.add([*ports, port("eno1", gbit, 0.9, rdma=bool(role), role=role)], float(t))
    assert network.share == pytest.approx(share)


@given(st.lists(st.one_of(st.floats(0, 100, width=32), st.none()), min_size=1, max_size=60))
def test_means_are_those_of_the_samples_that_were_read(utils):
    """The PCIe rate is 0 where no sample says the speed of the link: only the newest samples count for it."""
    samples = GaugeHistory()
    for t, util in enumerate(utils):
        gauges = Gauges(
            util_percent=NOT_REPORTED if util is None else util, pcie_gen=5, pcie_width=16,
        )  # fmt: skip
        pcie = PcieTraffic() if util is None else PcieTraffic(util * 1e8, 0.0)
        samples.add(GpuFrame(Gpu(0, "GPU-0"), gauges=gauges, age_s={"gauges": 0.0}, pcie=pcie), float(t))
    read = [u for u in utils if u is not None]
    assert list(samples.utils) == read
    enough = len(read) >= max(MIN_SAMPLES, MIN_SAMPLES_READ * len(utils))
    assert known(samples.util_percent) is enough
    if enough:
        assert samples.util_percent == pytest.approx(math.fsum(read) / len(read))
    newest = [u * 1e8 / PCIE for u in utils[-10:] if u is not None]
    assert samples.recent_pcie == pytest.approx(sum(newest) / len(newest) if newest else 0.0, rel=1e-3)


@given(st.lists(st.lists(st.integers(0, 40), min_size=10, max_size=30), min_size=1, max_size=4))
def test_gpus_idle_together_in_the_newest_samples_of_all(columns):
    members = [gpu(seconds=len(column), util=lambda t, own=column: float(own[t])) for column in columns]
    count = min(map(len, columns))
    newest = zip(*(column[-count:] for column in columns), strict=True)
    assert share_idle_together(members) == sum(max(utils) < 20 for utils in newest) / count
