"""Rates of ports from their counters, ports that come and go, and their labels in the matrix."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.matrix import PciLayout
from nvltop.analysis.nics import NicTracks
from nvltop.analysis.rate_history import RateHistory
from nvltop.model import Frame, Inventory, Missing, Nic, NicPort, NicPorts, PciLocation, Reading, Tick, known

NIC = Nic("mlx5_0", True, PciLocation("0000:18:00.0", ("pci0000:15",), 0))
PORT = NicPort("mlx5_0", 1, "InfiniBand", "active", "LinkUp", 50e9)


def tracked(*counts, at=None, port=PORT, nic=NIC):
    """Feed TX counters, one a second, and return the port as it then is."""
    tracks = NicTracks()
    tracks.update_nics((nic,))
    times = at or range(len(counts))
    for t, count in zip(times, counts, strict=True):
        ports = NicPorts((replace(port, tx_bytes=count, rx_bytes=0),))
        tracks.update(Reading(None, t, t, 1.79e9 + t, ports), ports)
    (frame,) = tracks.at(float(times[-1]), {"mlx5_0": "NIC0"})
    return frame


def test_a_rate_needs_two_readings():
    assert isinstance(tracked(0).tx_bytes_per_s, Missing)
    assert tracked(4000, 4000 + 40_000_000_000).tx_bytes_per_s == 40e9


def test_a_port_at_rest_carries_nothing():
    assert tracked(77, 77).tx_bytes_per_s == 0.0


@given(st.lists(st.integers(0, 50_000_000_000), min_size=2, max_size=8))
def test_each_rate_is_what_was_moved_over_its_span(steps):
    counts = list(itertools.accumulate(steps, initial=4 << 30))
    tracks = NicTracks()
    tracks.update_nics((NIC,))
    for t, count in enumerate(counts):
        ports = NicPorts((replace(PORT, tx_bytes=count, rx_bytes=0),))
        tracks.update(Reading(None, t, t, 1.79e9 + t, ports), ports)
        (frame,) = tracks.at(float(t), {})
        if known(frame.tx_bytes_per_s) and frame.span_s:
            start, end = frame.span_s
            moved = counts[int(end)] - counts[int(start)]
            assert frame.tx_bytes_per_s * (end - start) == pytest.approx(moved)


@pytest.mark.parametrize("frame_every", [1, 2, 7])
def test_the_history_contains_every_reading_however_rarely_frames_are_made(frame_every):
    tracks, history = NicTracks(), RateHistory()
    tracks.update_nics((NIC,))
    total = 0
    for t in range(1000, 1044):
        total += 1_000_000 * t
        ports = NicPorts((replace(PORT, tx_bytes=total, rx_bytes=0),))
        tracks.update(Reading(None, t, t, 1.79e9 + t, ports), ports)
        if t % frame_every == 0:
            tick = Tick(float(t), 1.79e9 + t, 1.0)
            history.add(Frame(Inventory(0.0, 0.0), tick, 0.0, nics=tracks.at(float(t), {})))
    read = history.readings(("mlx5_0", 1, "tx"))
    assert list(read.bytes_per_s) == pytest.approx([1e6 * t for t in read.ends_s])
    assert list(read.ends_s) == list(range(1001, int(read.ends_s[-1]) + 1))
    assert len(read.ends_s) > 43 - frame_every


@pytest.mark.parametrize(
    ("counts", "times"),
    [((10**12, 0), (0, 1)), ((0, 10**12), (0, 1)), ((0, 1000), (0, 60))],
    ids=["reset", "more than any port carries", "gap"],
)
def test_no_spike_out_of(counts, times):
    assert isinstance(tracked(*counts, at=times).tx_bytes_per_s, Missing)


def test_traffic_within_the_adapter_may_be_more_than_the_port_carries():
    assert tracked(0, 120_000_000_000).tx_bytes_per_s == 120e9


def test_a_port_that_goes_down_still_has_the_rate_of_its_last_second():
    tracks = NicTracks()
    tracks.update_nics((NIC,))
    down = replace(PORT, state="down", rate_bytes_per_s=0.3e9, tx_bytes=30_000_000_000, rx_bytes=0)
    for t, port in enumerate((replace(PORT, tx_bytes=0, rx_bytes=0), down)):
        ports = NicPorts((port,))
        tracks.update(Reading(None, t, t, 1.79e9, ports), ports)
    assert tracks.at(1.0, {})[0].tx_bytes_per_s == 30e9


def test_a_counter_that_may_not_be_read_keeps_its_reason():
    refused = Missing("no permission")
    assert tracked(refused, refused).tx_bytes_per_s == refused


def test_errors_are_counted_from_the_start():
    tracks = NicTracks()
    tracks.update_nics((NIC,))
    for t, count in enumerate((5, 5, 8)):
        ports = NicPorts((replace(PORT, errors={"symbol_error": count}),))
        tracks.update(Reading(None, t, t, 1.79e9, ports), ports)
    error = tracks.at(2.0, {})[0].errors["symbol_error"]
    assert (error.total, error.since_start, error.last_change_s) == (8, 3, 0.0)


def test_what_is_read_no_more_is_stale():
    tracks = NicTracks()
    tracks.update_nics((NIC,))
    ports = NicPorts((PORT,))
    tracks.update(Reading(None, 0.0, 0.0, 1.79e9, ports), ports)
    assert not tracks.at(2.0, {})[0].stale
    assert tracks.at(20.0, {})[0].stale


@pytest.mark.parametrize(
    "after",
    [
        (replace(NIC, device="mlx5_bond_0", bond=True),),
        (replace(NIC, device="rocep24s0"),),
        (replace(NIC, device="mlx5_9", location=PciLocation("0000:18:00.1", ("pci0000:15",), 0)),),
    ],
    ids=["bonded", "renamed", "another function of the card"],
)
def test_a_name_that_another_has_taken_over_is_not_lost(after):
    tracks = NicTracks()
    tracks.update_nics((NIC,))
    ports = NicPorts((PORT,))
    tracks.update(Reading(None, 0.0, 0.0, 1.79e9, ports), ports)
    tracks.update_nics(after)
    assert tracks.at(1.0, {}) == ()


def test_a_virtual_function_that_is_switched_off_is_not_lost():
    tracks = NicTracks()
    tracks.update_nics((replace(NIC, virtual=True),))
    ports = NicPorts((PORT,))
    tracks.update(Reading(None, 0.0, 0.0, 1.79e9, ports), ports)
    tracks.update_nics(())
    assert tracks.at(1.0, {}) == ()


@pytest.mark.parametrize(
    ("driver", "numbered"), [("440.33.01", False), ("525.105.17", True), ("610.57.04", True), ("?", True)]
)
def test_old_drivers_label_by_name(driver, numbered):
    assert PciLayout.of(Inventory(0.0, 0.0, driver_version=driver)).numbered == numbered


def test_labels_of_an_old_driver_are_names(bench):
    node = bench("dgx1-v100")
    node.monitor.update(replace(node.inventory, driver_version="440.33.01"))
    matrix = node.poll().matrix
    assert matrix.labels[8:] == ("mlx5_0", "mlx5_1", "mlx5_2", "mlx5_3")
    assert matrix.legend == {}


def test_ethernet_without_rdma_is_not_in_the_matrix(bench):
    frame = bench("rtx-pro-6000").run(2.0)
    assert frame.matrix.labels == ("GPU0", "GPU1", "GPU2", "GPU3")
    assert [(f.nic.device, f.label, f.port.state) for f in frame.nics] == [
        ("eno1np0", "", "active"),
        ("eno2np1", "", "active"),
    ]


def test_a_gpu_that_sysfs_does_not_know_has_unknown_cells_with_their_reason(bench):
    node = bench("dgx-h100")
    node.monitor.update(replace(node.inventory, gpu_locations=node.inventory.gpu_locations[1:]))
    matrix = node.poll().matrix
    assert set(matrix.cells[0][8:]) == {"?"}
    assert "sysfs" in matrix.missing["GPU0,NIC0"]
    assert "sysfs" in matrix.missing["NIC0,GPU0"]
    assert matrix.cells[1][11] == "PXB"


def test_the_demo_moves_as_its_flow_says(bench):
    node = bench("dgx-h100")
    node.run(4.0)
    before = {f.nic.device: f for f in node.frame().nics}
    node.clock.now += 2.0
    after = {f.nic.device: f for f in node.poll().nics}
    for name, f in after.items():
        moved = f.port.tx_bytes - before[name].port.tx_bytes
        assert f.tx_bytes_per_s == pytest.approx(moved / 2.0)
    assert after["mlx5_0"].tx_bytes_per_s > 20e9
