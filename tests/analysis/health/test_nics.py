"""Rules about NICs: cases in which they must fire, after how many samples, and near misses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.model import LPF, NO_NODE, Missing, NicPorts, Reading, known


def loud(frame):
    return {(f.rule, f.nic) for f in frame.findings if f.severity != "info" and f.rule.startswith("nic-")}


@pytest.fixture
def nics(watched):
    """Return a function that creates a node whose ports can be set by name."""

    def switch_on(node="dgx-h100", **says):
        w = watched(node)
        w.says = says
        honest = w.bench.read_nics

        def read() -> Reading:
            reading = honest()
            ports = [
                replace(p, **w.says.get(p.device, {}))
                for p in reading.data.ports
                if w.says.get(p.device, {}) is not None
            ]
            return replace(reading, data=NicPorts(tuple(ports)))

        w.bench.read_nics = read
        return w

    return switch_on


DOWN = {"state": "down", "physical": "Polling", "rate_bytes_per_s": 0.3e9}


def test_a_port_that_goes_down(nics):
    w = nics()
    w.run(3)
    w.says = {"mlx5_4": DOWN}
    found, samples = w.until("nic-down", 6)
    assert (found.nic, found.severity, samples) == ("mlx5_4", "critical", 3)
    assert found.summary == "NIC mlx5_4 went down"
    assert found.evidence["physical"] == "Polling"
    w.says = {}
    assert loud(w.run(4)) == set()
    assert [f.nic for f in w.bench.frame().past_findings] == ["mlx5_4"]


def test_the_management_functions_of_nvswitches_are_not_checked_as_nics(nics):
    waits = {"state": "init", "physical": "LinkUp"}
    w = nics(mlx5_3=waits, mlx5_4=DOWN)
    assert loud(w.run(5)) == {("nic-down", "mlx5_3"), ("nic-down", "mlx5_4")}
    w = nics(mlx5_3=waits, mlx5_4=DOWN)
    listed = w.bench.inventory.nics
    roles = {"mlx5_3": LPF, "mlx5_4": LPF}
    w.begin(nics=tuple(replace(nic, role=roles.get(nic.device, "")) for nic in listed))
    assert loud(w.run(5)) == set()
    assert {f.nic.device for f in w.bench.frame().nics if f.nic.role} == set(roles), "they are still listed"


@pytest.mark.parametrize(("gbit", "rdma", "reported"), [(1, True, False), (25, True, True), (1, False, True)])
def test_a_management_port_that_goes_down_is_not_a_network_fault(nics, gbit, rdma, reported):
    up = {"link_layer": "Ethernet", "physical": "", "rate_bytes_per_s": gbit * 1e9 / 8}
    w = nics(mlx5_2=up)
    listed = w.bench.inventory.nics
    kept = [replace(nic, rdma=nic.device != "mlx5_2") for nic in listed if rdma or nic.device == "mlx5_2"]
    w.begin(nics=tuple(kept))
    w.run(3)
    w.says = {
        "mlx5_2": {**up, "state": "down", "rate_bytes_per_s": Missing("the driver does not report the speed")}
    }
    assert (loud(w.run(5)) == {("nic-down", "mlx5_2")}) == reported


def test_a_gpu_is_far_only_where_numa_nodes_are_known(nics):
    w = nics("gb200-tray")
    places = {p.pci_bus_id: p for p in w.bench.inventory.gpu_locations}

    def far(node, of_gpus) -> bool:
        own = tuple(
            replace(nic, location=replace(nic.location, numa_node=node)) for nic in w.bench.inventory.nics
        )
        gpus = tuple(replace(p, bridges=("pciffff:00",), numa_node=of_gpus) for p in places.values())
        w.begin(nics=own, gpu_locations=gpus)
        return "nic-far" in {f.rule for f in w.run(2).findings}

    assert far(1, 0)
    assert not far(0, 0)
    assert not far(NO_NODE, 0)
    assert not far(1, NO_NODE)


def test_two_ports_that_go_down_are_two_findings(nics):
    w = nics()
    w.run(3)
    w.says = {"mlx5_4": DOWN, "mlx5_5": DOWN}
    assert loud(w.run(5)) == {("nic-down", "mlx5_4"), ("nic-down", "mlx5_5")}


def test_a_port_that_flickers_is_not_reported(nics):
    w = nics()
    w.run(3)
    w.says = {"mlx5_4": DOWN}
    w.step()
    w.says = {}
    assert loud(w.run(5)) == set()


def test_a_port_that_was_down_at_the_start_while_comparable_ports_are_up(nics):
    w = nics(mlx5_4=DOWN)
    found, _ = w.until("nic-down", 6)
    assert (found.nic, found.severity, found.confidence) == ("mlx5_4", "warning", "likely")
    assert "7 of its kind are up" in found.summary


def test_a_port_that_waits_for_its_subnet_manager(nics):
    w = nics()
    w.run(3)
    w.says = {"mlx5_4": {"state": "init"}}
    found, _ = w.until("nic-down", 6)
    assert found.summary == "NIC mlx5_4 has a link but no subnet manager has set it up (init)"


def test_a_port_that_is_switched_off_is_a_notice(nics):
    w = nics(mlx5_4={**DOWN, "physical": "Disabled"})
    found, _ = w.until("nic-down", 6)
    assert (found.severity, found.summary.startswith("NIC mlx5_4 is switched off")) == ("notice", True)


def test_unused_ports_without_a_cable_are_ignored(nics):
    second_ports = {"mlx5_1": DOWN, "mlx5_7": DOWN}
    assert loud(nics(**second_ports).run(10)) == set()
    assert loud(nics(**{f"mlx5_{i}": DOWN for i in (0, 3, 4)}).run(10)) == set()


def test_a_port_below_the_rate_of_comparable_ports(nics):
    w = nics(mlx5_9={"rate_bytes_per_s": 25e9})
    found, samples = w.until("nic-slow", 6)
    assert (found.nic, found.severity, samples) == ("mlx5_9", "warning", 3)
    assert "runs at 200 Gb/s, 7 of its kind at 400 Gb/s" in found.summary


def test_slower_cards_of_another_kind_are_by_design(nics):
    w = nics()
    assert {p.rate_bytes_per_s for p in w.bench.read_nics().data.ports} == {50e9, 25e9}
    assert loud(w.run(10)) == set()


def test_slower_ports_for_storage_are_by_design_even_on_cards_of_the_same_kind(nics):
    w = nics()
    listed = w.bench.inventory.nics
    assert known(listed)
    w.says = {f"mlx5_{i}": {"link_layer": "InfiniBand"} for i in (1, 2, 7, 8)}
    w.inventory(nics=tuple(replace(nic, model="one for all") for nic in listed))
    assert loud(w.run(10)) == set()


def test_an_unknown_rate_is_not_a_slow_port(nics):
    assert loud(nics(mlx5_9={"rate_bytes_per_s": Missing("no permission")}).run(6)) == set()


def test_a_nic_that_is_pulled_out(nics):
    w = nics()
    w.run(3)
    listed = w.bench.inventory.nics
    assert known(listed)
    w.says = {"mlx5_4": None}
    w.inventory(nics=tuple(nic for nic in listed if nic.device != "mlx5_4"))
    found, _ = w.until("nic-down", 6)
    assert (found.nic, found.severity) == ("mlx5_4", "critical")
    assert "gone" in found.summary
    frame = w.step()
    (port,) = [f for f in frame.nics if f.nic.device == "mlx5_4"]
    assert port.port.state == "gone"
    assert isinstance(port.tx_bytes_per_s, Missing)
    assert "mlx5_4" not in frame.matrix.legend.values()


def test_a_renamed_nic_is_not_gone(nics):
    w = nics()
    w.run(3)
    listed = w.bench.inventory.nics
    assert known(listed)
    w.says = {"mlx5_4": {"device": "rocep72s0"}}
    w.inventory(nics=tuple(replace(n, device="rocep72s0") if n.device == "mlx5_4" else n for n in listed))
    frame = w.run(6)
    assert loud(frame) == set()
    assert "mlx5_4" not in {f.nic.device for f in frame.nics}


def test_gpus_without_a_near_nic_are_information(watched):
    w = watched("a800")
    w.begin(nics=tuple(n for n in w.bench.inventory.nics if n.device in ("mlx5_0", "mlx5_1")))
    frame = w.run(5)
    (far,) = [f for f in frame.findings if f.rule == "nic-far"]
    assert (far.severity, far.evidence["gpus"]) == ("info", [4, 5, 6, 7])
    assert "nic-far" not in {f.rule for f in watched("dgx-h100").run(5).findings}


def test_ports_that_are_no_longer_read_are_not_fine(nics):
    w = nics()
    w.run(3)
    last = w.bench.read_nics()
    w.bench.read_nics = lambda: last
    (check,) = [c for c in w.run(10).checks if c.name == "NICs"]
    assert (check.outcome, "no longer read" in check.detail) == ("unknown", True)


@pytest.mark.parametrize(
    ("listed_nics", "outcome"), [((), "n/a"), (Missing("no sysfs at /host/sys"), "unknown"), (None, "fine")]
)
def test_the_check_of_nics(watched, listed_nics, outcome):
    w = watched("dgx-h100")
    if listed_nics is not None:
        w.begin(nics=listed_nics)
        w.bench.read_nics = lambda: Reading(None, 0.0, w.bench.clock.now, 0.0, NicPorts(()))
    (check,) = [c for c in w.run(5).checks if c.name == "NICs"]
    assert check.outcome == outcome
