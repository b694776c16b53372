"""NICs in sysfs trees like those of real machines, and in malformed trees."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.pcie import PCIE_LEVELS, pcie_level
from nvltop.host.nics import NicTable, sort_as_nvidia_smi
from nvltop.host.pci_location import gpu_locations
from nvltop.host.sysfs import read_count
from nvltop.model import LPF, NO_FIRMWARE, NOT_SUPPORTED, Missing, Nic, PciLocation, known
from tests.sysfs import Tree, make_machine

MACHINES = json.loads((Path(__file__).parents[1] / "data/topo_nics.json").read_text())
HOST = "pci0000:15"
SWITCH = (HOST, "0000:15:01.0", "0000:16:00.0")


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "sys")


def found(tree):
    table = NicTable(tree.root)
    nics = table.find()
    assert known(nics)
    return table, {nic.device: nic for nic in nics}


def test_the_kernel_reports_the_firmware_of_rdma_devices(tree):
    for name, address in (("mlx5_0", "0000:17:00.0"), ("mlx5_1", "0000:17:00.1")):
        tree.rdma(name, tree.pci(address, SWITCH))
    tree.write("class/infiniband/mlx5_0/fw_ver", "28.43.2026")
    tree.write("class/infiniband/mlx5_1/fw_ver", "")
    _, nics = found(tree)
    assert nics["mlx5_0"].firmware == "28.43.2026"
    assert nics["mlx5_1"].firmware == NO_FIRMWARE


@pytest.mark.parametrize("machine", MACHINES, ids=[m["node"] for m in MACHINES])
def test_levels_equal_those_of_nvidia_smi_topo(tree, machine):
    rows = [row.split() for row in machine["rows"]]
    buses = make_machine(tree, machine["gpus"], machine["nics"], rows)
    places = [*gpu_locations(tree.root, buses)]
    assert len(places) == machine["gpus"]
    nics = NicTable(tree.root).find()
    assert known(nics)
    assert [nic.device for nic in nics] == machine["nics"]
    places += [nic.location for nic in nics if known(nic.location)]
    assert len(places) == machine["gpus"] + len(nics)
    for i, row in enumerate(rows):
        got = ["X" if j == i else pcie_level(places[i], other) for j, other in enumerate(places)]
        expected = [got[j] if cell.startswith("NV") else cell for j, cell in enumerate(row)]
        assert got[: len(row)] == expected


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((*SWITCH, "0000:17:00.0"), (*SWITCH, "0000:17:02.0"), "PIX"),
        ((*SWITCH, "0000:17:00.0"), (*SWITCH, "0000:17:00.0"), "PIX"),
        ((*SWITCH, "0000:17:00.0"), (*SWITCH, "0000:17:02.0", "0000:19:00.0", "0000:1a:00.0"), "PXB"),
        ((HOST, "0000:15:01.0"), (HOST, "0000:15:02.0"), "PHB"),
        ((HOST,), (HOST,), "PHB"),
        ((HOST, "0000:15:01.0"), ("pci0000:85", "0000:85:01.0"), "NODE"),
    ],
    ids=["one switch", "two functions", "a switch behind a switch", "host bridge", "root bus", "two bridges"],
)
def test_bridges_between_two_devices(a, b, expected):
    one, other = PciLocation("0000:18:00.0", a, 0), PciLocation("0000:1b:00.0", b, 0)
    assert pcie_level(one, other) == pcie_level(other, one) == expected


BRIDGES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5).map(tuple)
PLACES = st.builds(PciLocation, st.sampled_from("xyz"), BRIDGES, st.sampled_from([0, 1, None, Missing("no")]))


@given(PLACES, PLACES)
def test_levels_are_symmetric_and_numa_nodes_matter_only_beyond_the_host_bridge(a, b):
    near = pcie_level(a, b)
    assert near == pcie_level(b, a)
    assert isinstance(near, Missing) or near in PCIE_LEVELS
    beyond = a.bridges[0] != b.bridges[0] and a.pci_bus_id != b.pci_bus_id
    assert beyond == (isinstance(near, Missing) or near in ("NODE", "SYS"))


def test_a_machine_without_numa_nodes_has_one_node(tree):
    (tree.root / "devices/system/node/online").unlink()
    tree.pci("0000:18:00.0", ("pci0000:15",), -1)
    tree.pci("0000:98:00.0", ("pci0000:85",), -1)
    a, b = gpu_locations(tree.root, ["00000000:18:00.0", "00000000:98:00.0"])
    assert pcie_level(a, b) == "NODE"


@pytest.mark.parametrize(
    ("online", "a", "b", "near"),
    [
        ("0-1", -1, 1, "SYS"),
        ("0-1", -1, -1, "SYS"),
        ("0-1", 0, 1, "SYS"),
        ("0-1", 1, 1, "NODE"),
        ("0", -1, 0, "SYS"),
        ("0", -1, -1, "NODE"),
        (None, -1, -1, "NODE"),
    ],
)
def test_a_device_without_a_numa_node_is_on_no_node(tree, online, a, b, near):
    if online is None:
        (tree.root / "devices/system/node/online").unlink()
    else:
        tree.write("devices/system/node/online", online)
    tree.pci("0000:18:00.0", ("pci0000:15",), a)
    tree.pci("0000:98:00.0", ("pci0000:85",), b)
    one, other = gpu_locations(tree.root, ["00000000:18:00.0", "00000000:98:00.0"])
    assert pcie_level(one, other) == pcie_level(other, one) == near


def test_an_unreadable_numa_node_is_unknown():
    one = PciLocation("0000:18:00.0", ("pci0000:15",), Missing("no permission"))
    assert pcie_level(one, PciLocation("0000:98:00.0", ("pci0000:85",), 1)) == Missing("no permission")
    # The NUMA node does not matter within one host bridge.
    assert pcie_level(one, PciLocation("0000:19:00.0", ("pci0000:15",), 1)) == "PHB"


@pytest.mark.parametrize(
    "names",
    [
        [f"mlx5_{i}" for i in range(18)],
        ["mlx5_2", "mlx5_3", "mlx5_10", "mlx5_17", "mlx5_bond_0"],
        ["ibp14s0", "ibp71s0", "ibp134s0", "ibp195s0", "rocep32s0f0"],
        ["rocep1s0f0", "rocep1s0f1", "roceP2p1s0f0", "roceP2p1s0f1"],
    ],
    ids=["counted on", "bonds last", "one naming after the other", "by domain"],
)
def test_order_of_real_machines(names):
    def bus(name: str, i: int) -> str:
        return {"ibp14s0": "0000:0e:00.0", "rocep32s0f0": "0000:20:00.0"}.get(
            name, f"0000:{0x40 + i:02x}:00.0"
        )

    nics = [
        Nic(name, True, PciLocation(bus(name, i), (HOST,)), bond="bond" in name)
        for i, name in enumerate(names)
    ]
    assert [nic.device for nic in sort_as_nvidia_smi(dict.fromkeys(nics[::-1]))] == names


def test_the_order_of_registration_precedes_that_of_names(tree):
    for number, name, bus in ((1, "mlx5_ib0", 0x18), (0, "mlx5_eth0", 0x9A), (2, "mlx5_ib1", 0x0C)):
        pci = tree.pci(f"0000:{bus:02x}:00.0", (f"pci0000:{bus - 1:02x}",))
        tree.rdma(name, pci)
        (pci / f"infiniband_verbs/uverbs{number}").mkdir(parents=True)
    assert list(found(tree)[1]) == ["mlx5_eth0", "mlx5_ib0", "mlx5_ib1"]


def test_a_port_of_infiniband(tree):
    port = tree.rdma("mlx5_0", tree.pci("0000:18:00.0", SWITCH))
    (port / "hw_counters").mkdir()
    (port / "hw_counters/out_of_sequence").write_text("3\n")
    table, nics = found(tree)
    (said,) = table.read(0.0).ports
    assert (said.state, said.physical, said.link_layer) == ("active", "LinkUp", "InfiniBand")
    assert said.rate_bytes_per_s == 50e9
    assert (said.tx_bytes, said.rx_bytes) == (4000, 8000), "words of four bytes"
    assert said.errors == {
        "symbol_error": 0, "link_downed": 1, "port_rcv_errors": 0, "port_xmit_wait": 7, "out_of_sequence": 3,
    }  # fmt: skip
    assert not nics["mlx5_0"].virtual
    assert nics["mlx5_0"].model == "15b3:1021"


def test_error_counters_are_read_rarely(tree):
    port = tree.rdma("mlx5_0", tree.pci("0000:18:00.0", SWITCH))
    table, _ = found(tree)
    table.read(0.0)
    (port / "counters/symbol_error").write_text("9\n")
    assert table.read(4.0).ports[0].errors["symbol_error"] == 0
    assert table.read(5.0).ports[0].errors["symbol_error"] == 9


def test_roce_counts_rdma_and_other_traffic_separately(tree):
    pci = tree.pci("0000:18:00.0", SWITCH)
    tree.rdma("mlx5_0", pci, "Ethernet", "200 Gb/sec (4X HDR)")
    tree.net("ens1np0", pci)
    table, nics = found(tree)
    (said,) = table.read(0.0).ports
    assert list(nics) == ["mlx5_0"], "the interface does not count as a NIC of its own"
    assert nics["mlx5_0"].interfaces == ("ens1np0",)
    assert (said.tx_bytes, said.ip_tx_bytes, said.ip_rx_bytes) == (4000, 300, 400)
    assert said.errors["carrier_down_count"] == 2


def test_ethernet_without_rdma(tree):
    tree.net("eno1", tree.pci("0000:04:00.0", ("pci0000:00", "0000:00:1c.0")), 10000)
    tree.net("eno2", tree.pci("0000:04:00.1", ("pci0000:00", "0000:00:1c.0")), -1, "down")
    (tree.root / "class/net/lo").mkdir()
    tree.net("usb0", tree.pci("0000:00:14.0", ("pci0000:00",)) / "usb1/1-2/1-2:1.0")
    table, nics = found(tree)
    assert list(nics) == ["eno1", "eno2"], "no loopback, no network of a management controller"
    one, two = table.read(0.0).ports
    assert (one.state, one.rate_bytes_per_s, one.tx_bytes) == ("active", 1.25e9, 300)
    assert two.state == "down"
    assert isinstance(two.rate_bytes_per_s, Missing)
    assert isinstance(two.ip_tx_bytes, Missing)


def test_a_virtio_interface_has_the_location_of_its_pci_function(tree):
    pci = tree.pci("0000:00:03.0", ("pci0000:00",))
    tree.net("ens3", pci / "virtio0", -1, "unknown")
    (tree.root / "class/net/ens3/carrier").write_text("1\n")
    table, nics = found(tree)
    place = nics["ens3"].location
    assert known(place)
    assert place.pci_bus_id == "0000:00:03.0"
    assert table.read(0.0).ports[0].state == "active"


def test_a_bond_is_one_nic(tree):
    first = tree.pci("0000:18:00.0", SWITCH)
    second = tree.pci("0000:18:00.1", SWITCH)
    tree.rdma("mlx5_bond_0", first, "Ethernet")
    for name, pci in (("ens1f0", first), ("ens1f1", second)):
        tree.master(tree.net(name, pci), "bond0")
    _, nics = found(tree)
    assert list(nics) == ["mlx5_bond_0"]
    assert nics["mlx5_bond_0"].bond
    assert "bond0" in nics["mlx5_bond_0"].interfaces


def test_a_virtual_function_is_marked(tree):
    pci = tree.pci("0000:18:00.2", SWITCH)
    tree.rdma("mlx5_2", pci)
    (pci / "physfn").symlink_to("../0000:18:00.0")
    assert found(tree)[1]["mlx5_2"].virtual


def test_byte_counters_of_drivers_without_port_counters(tree):
    port = tree.rdma("rdmap16s27", tree.pci("0000:10:1b.0", SWITCH), "Unspecified", "100 Gb/sec (4X EDR)")
    for file in (port / "counters").iterdir():
        file.unlink()
    (port / "hw_counters").mkdir()
    for name, value in (("tx_bytes", 11), ("rx_bytes", 22), ("retrans_pkts", 5)):
        (port / "hw_counters" / name).write_text(f"{value}\n")
    (said,) = found(tree)[0].read(0.0).ports
    assert (said.tx_bytes, said.rx_bytes, said.errors) == (11, 22, {"retrans_pkts": 5})


@pytest.mark.parametrize(
    ("counters", "moved"),
    [
        ({"ip4OutOctets": 1, "ip6OutOctets": 20, "ip4InOctets": 300, "ip6InOctets": 4000}, (21, 4300)),
        ({"hw_tx_bytes_cnt": 11, "hw_rx_bytes_cnt": 22, "hw_tx_packets_cnt": 3}, (11, 22)),
        ({"tx_roce_bytes": 11, "rx_roce_bytes": 22}, (11, 22)),
        ({"ip4OutPkts": 5, "ip4InPkts": 6}, (NOT_SUPPORTED, NOT_SUPPORTED)),
        ({"ip4OutOctets": 1, "ip4InOctets": 2}, (NOT_SUPPORTED, NOT_SUPPORTED)),
    ],
    ids=["irdma", "erdma", "bnxt_re", "packets alone", "a half of it"],
)
def test_byte_counters_with_other_names(tree, counters, moved):
    pci = tree.pci("0000:10:1b.0", SWITCH)
    port = tree.rdma("rocep16s27", pci, "Ethernet", "100 Gb/sec (4X EDR)")
    tree.net("ens27", pci)
    for file in (port / "counters").iterdir():
        file.unlink()
    (port / "hw_counters").mkdir()
    for name, value in counters.items():
        (port / "hw_counters" / name).write_text(f"{value}\n")
    (said,) = found(tree)[0].read(0.0).ports
    assert (said.tx_bytes, said.rx_bytes) == moved
    assert (said.ip_tx_bytes, said.ip_rx_bytes) == (300, 400)


def test_wifi_does_not_count_as_a_nic(tree):
    (tree.net("wlP9s9", tree.pci("0009:01:00.0", ("pci0009:00",))) / "phy80211").mkdir()
    tree.net("enP7s7", tree.pci("0007:01:00.0", ("pci0007:00",)), 10000)
    assert list(found(tree)[1]) == ["enP7s7"]


def test_the_management_functions_of_nvswitches_differ_from_adapters_with_the_same_device_id(tree):
    for number, vpd in (
        (0, b"\x82\x00NVIDIA ConnectX-7\x90PN\x00"),
        (1, b"\x82\x00\x90V0\x0bSMDL=SW_MNG"),
        (2, None),
    ):
        pci = tree.pci(f"0000:{0x18 + number:02x}:00.0", SWITCH)
        tree.rdma(f"mlx5_{number}", pci)
        if vpd:
            (pci / "vpd").write_bytes(vpd)
    table, nics = found(tree)
    assert [nic.role for nic in nics.values()] == ["", LPF, ""]
    (tree.root / "bus/pci/devices/0000:19:00.0/vpd").unlink()
    again = table.find()
    assert known(again)
    assert again[1].role == LPF, "the firmware is asked once for each function"


@pytest.mark.parametrize("garbage", ["", "-1", "1e3", "0x10", "N/A (no PMA)", "9" * 40, "\x1b[31m7", "٣"])
def test_malformed_files_give_missing_values(tree, garbage):
    port = tree.rdma("mlx5_0", tree.pci("0000:18:00.0", SWITCH))
    for name in ("state", "rate", "phys_state", "link_layer", "counters/port_xmit_data"):
        (port / name).write_text(garbage)
    (said,) = found(tree)[0].read(0.0).ports
    assert isinstance(said.tx_bytes, Missing)
    assert isinstance(said.rate_bytes_per_s, Missing)
    assert said.rx_bytes == 8000
    assert "\x1b" not in repr(said)


def test_a_counter_at_its_maximum_is_missing(tree):
    port = tree.rdma("mthca0", tree.pci("0000:18:00.0", SWITCH))
    (port / "counters/port_xmit_data").write_text(f"{2**32 - 1}\n")
    tx = found(tree)[0].read(0.0).ports[0].tx_bytes
    assert isinstance(tx, Missing)
    assert "end" in tx.reason


def test_a_counter_without_permission_has_its_reason(tree, monkeypatch):
    port = tree.rdma("mlx5_0", tree.pci("0000:18:00.0", SWITCH))
    opened = os.open

    def refuse(path, flags, *rest):
        if "counters/port_" in str(path):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)
    assert read_count(port / "counters/port_xmit_data") == Missing("no permission")
    (said,) = found(tree)[0].read(0.0).ports
    assert said.tx_bytes == said.rx_bytes == Missing("no permission")


def test_a_removed_nic_is_no_longer_read_and_detected_as_a_change(tree):
    tree.rdma("mlx5_0", tree.pci("0000:18:00.0", SWITCH))
    tree.rdma("mlx5_1", tree.pci("0000:28:00.0", ("pci0000:25",)))
    table, _ = found(tree)
    assert not table.changed()
    (tree.root / "class/infiniband/mlx5_1").unlink()
    assert [p.device for p in table.read(0.0).ports] == ["mlx5_0"]
    assert table.changed()
    assert list(found(tree)[1]) == ["mlx5_0"]


def test_in_a_copied_tree_the_pci_device_is_found_by_its_name(tree):
    tree.pci("0000:18:00.0", SWITCH, 1)
    tree.write("class/infiniband/mlx5_0/device/uevent", "DRIVER=mlx5_core\nPCI_SLOT_NAME=0000:18:00.0")
    tree.write("class/infiniband/rxe0/device/uevent", "DRIVER=x")
    _, nics = found(tree)
    assert nics["mlx5_0"].location == PciLocation("0000:18:00.0", SWITCH, 1)
    assert isinstance(nics["rxe0"].location, Missing)


def test_a_subfunction_is_on_the_same_switch_as_its_parent(tree):
    pci = tree.pci("0000:18:00.0", SWITCH)
    tree.rdma("mlx5_0", pci)
    own = pci / "mlx5_core.sf.2"
    own.mkdir()
    tree.rdma("mlx5_1", own)
    _, nics = found(tree)
    parent, child = nics["mlx5_0"].location, nics["mlx5_1"].location
    assert known(parent)
    assert known(child)
    assert pcie_level(parent, child) == "PIX"


def test_a_hostile_name_is_sanitized_and_the_port_is_read(tree):
    tree.net("eth\x1b[31m", tree.pci("0000:04:00.0", ("pci0000:00",)))
    table, nics = found(tree)
    assert list(nics) == [r"eth\x1b[31m"]
    assert table.read(0.0).ports[0].tx_bytes == 300


def test_without_sysfs_it_is_unknown_and_without_nics_there_are_none(tree, tmp_path):
    assert isinstance(NicTable(tmp_path / "nothing").find(), Missing)
    assert NicTable(tree.root).find() == ()


def test_the_directory_of_sysfs_can_be_configured(tree, monkeypatch):
    tree.rdma("mlx5_0", tree.pci("0000:18:00.0", SWITCH))
    monkeypatch.setenv("HOST_SYS", str(tree.root))
    nics = NicTable().find()
    assert known(nics)
    assert [nic.device for nic in nics] == ["mlx5_0"]


@pytest.mark.parametrize(
    ("speed", "gen"),
    [("8.0 GT/s PCIe", 3), ("16 GT/s", 4), ("2.5 GT/s PCIe", 1), ("Unknown", None), ("", None), (None, None)],
)
def test_the_port_above_a_gpu_is_the_limit_of_its_slot(tree, speed, gen):
    port = tree.pci("0000:17:00.0", ["pci0000:16"])
    tree.pci("0000:18:00.0", ["pci0000:16", "0000:17:00.0"])
    tree.write(port / "max_link_width", 8)
    if speed is not None:
        tree.write(port / "max_link_speed", speed)
    (place,) = gpu_locations(tree.root, ["00000000:18:00.0"])
    assert place.port_width == 8
    assert (place.port_gen if known(place.port_gen) else None) == gen
