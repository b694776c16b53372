"""NICs in the text report: their rows, and a reason for each `?`."""

from __future__ import annotations

from dataclasses import replace

from nvltop.host.nic_ports import DRIVER_ERRORS, INTERFACE_ERRORS, PORT_ERRORS
from nvltop.model import LPF, Missing, NicPorts
from nvltop.model.error_kinds import PORT_ERROR_KINDS
from nvltop.report.nics import nic_kind, nic_name, unknowns
from nvltop.report.text import to_text


def test_each_port_has_a_row_and_each_label_its_name(bench):
    text = to_text(bench("dgx-h100").run(2.0))
    assert "NIC Legend:\n\n  NIC0: mlx5_0\n  NIC1: mlx5_1\n" in text
    (row,) = [line.split() for line in text.splitlines() if line.startswith("NIC3 ") and "mlx5_3" in line]
    assert row[:5] == ["NIC3", "mlx5_3", "IB", "active", "50.00"]
    assert float(row[5]) > 0


def test_a_node_without_nics_has_no_section_for_them(bench):
    assert "NIC" not in to_text(bench("dgx2").run(2.0)).replace("NICs", "", 1)


def test_every_counter_that_is_read_has_a_name():
    listed = {kind.id for kind in PORT_ERROR_KINDS}
    assert {*PORT_ERRORS, *DRIVER_ERRORS, *INTERFACE_ERRORS, "carrier_down_count"} == listed


def test_names_and_kinds(bench):
    frame = bench("dgx-h100").run(2.0)
    ib, roce = frame.nics[:2]
    assert (nic_kind(ib), nic_kind(roce), nic_name(ib)) == ("IB", "RoCE", "mlx5_0")
    second = replace(ib, port=replace(ib.port, port=2, link_layer=Missing("no permission")))
    assert (nic_name(second), nic_kind(second)) == ("mlx5_0 port 2", "?")
    efa = replace(ib, nic=replace(ib.nic, model="1d0f:efa2"), port=replace(ib.port, link_layer="Unspecified"))
    assert nic_kind(efa) == "EFA"
    assert nic_kind(replace(efa, nic=replace(efa.nic, rdma=False, model="1d0f:ec20"))) == "Unspecified"
    assert nic_kind(replace(ib, nic=replace(ib.nic, role=LPF))) == "LPF"


def test_each_unknown_has_its_reason(bench):
    node = bench("dgx-h100")
    honest = node.read_nics

    def refused():
        reading = honest()
        ports = [replace(p, tx_bytes=Missing("no permission")) for p in reading.data.ports]
        return replace(reading, data=NicPorts(tuple(ports)))

    node.read_nics = refused
    frame = node.run(2.0)
    (line,) = unknowns(frame)
    assert line.startswith("NIC TX: no permission (mlx5_0, mlx5_1, ")
    assert line in to_text(frame)
    unread = replace(frame, nics=(), inventory=replace(frame.inventory, nics=Missing("no sysfs at /sys")))
    assert unknowns(unread) == ["NICs: no sysfs at /sys"]
