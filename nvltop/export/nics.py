"""What is exported of each port of a NIC; `device` and `port` are those of node_exporter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nvltop.analysis.errors import INFORMATIVE
from nvltop.export.gpus import AGE
from nvltop.export.metric_set import PORT_LABELS, Fresh, Info, Metric, Sheet, Value
from nvltop.model import Maybe, Missing, NicFrame, known

MAX_PORTS: Final = 64
"""Ports exported; those of virtual functions, of which there can be hundreds, come last."""
GROUP: Final = "nics"
GONE: Final = "gone"

PORT: Final[Info[NicFrame]] = Info(
    Metric("nic_port", "What the port is; `label` is the NIC's in the matrix.", "info"),
    lambda f: {
        "label": f.label,
        "link_layer": f.port.link_layer,
        "pci_bus_id": f.nic.place.pci_bus_id if known(f.nic.place) else None,
        "numa_node": f.nic.place.numa_node if known(f.nic.place) else None,
        "interface": ",".join(f.nic.interfaces),
        "virtual": f.nic.virtual,
        "role": f.nic.role or "data",
    },
)
STATE: Final = Metric("nic_port_state", "1 for the state of the port, 0 for all others.")
STATES: Final = ("active", "armed", "init", "down", GONE)
ERRORS: Final = Metric("nic_port_errors", "Errors by the kernel's name of the counter.", "counter")
EVENTS: Final = Metric(
    "nic_port_events",
    "Counts by the kernel's name that have no threshold and are no errors as such.",
    "counter",
)


def _active(f: NicFrame) -> Maybe[float]:
    state = f.port.state
    return state if isinstance(state, Missing) else float(f.active)


VALUES: Final[tuple[Value[NicFrame], ...]] = (
    Value(Metric("nic_port_active", "Whether the port is up: 1 or 0."), _active),
    Value(
        Metric("nic_port_speed_bytes_per_second", "What the port runs at, one direction."),
        lambda f: f.port.rate_bytes_per_s,
        GROUP,
    ),
    Value(
        Metric("nic_port_transmit_bytes", "Bytes sent; on RoCE those of RDMA.", "counter"),
        lambda f: f.port.tx_bytes,
        GROUP,
    ),
    Value(
        Metric("nic_port_receive_bytes", "Bytes received; on RoCE those of RDMA.", "counter"),
        lambda f: f.port.rx_bytes,
        GROUP,
    ),
)
BESIDE: Final[tuple[Value[NicFrame], ...]] = (
    Value(
        Metric("nic_port_ip_transmit_bytes", "Bytes sent through the kernel, beside RDMA.", "counter"),
        lambda f: f.port.ip_tx_bytes,
        GROUP,
    ),
    Value(
        Metric("nic_port_ip_receive_bytes", "Bytes received through the kernel, beside RDMA.", "counter"),
        lambda f: f.port.ip_rx_bytes,
        GROUP,
    ),
)
"""Only on RoCE: elsewhere everything is counted above."""


def add_ports(sheet: Sheet, ports: Iterable[NicFrame], late_s: float) -> None:
    """Add the ports of a frame that is `late_s` old."""
    for f in sorted(ports, key=lambda f: (f.nic.virtual, bool(f.nic.role)))[:MAX_PORTS]:
        labels = dict(zip(PORT_LABELS, (f.nic.device, str(f.port.port)), strict=True))
        age_s = f.age_s + late_s
        gone = Missing("no longer there") if f.port.state == GONE else None
        fresh = Fresh({GROUP: age_s}, gone)
        sheet.add_info(PORT, f, labels)
        if known(f.port.state):
            sheet.add_state(STATE, labels, STATES, f.port.state)
        sheet.add_values(VALUES, f, labels, fresh)
        if f.nic.rdma and f.port.link_layer == "Ethernet":
            sheet.add_values(BESIDE, f, labels, fresh)
        for kind, count in f.errors.items():
            metric = EVENTS if kind in INFORMATIVE else ERRORS
            sheet.add(metric, {**labels, "kind": kind}, fresh.of(GROUP, count.total))
        sheet.add(AGE, {**labels, "group": GROUP}, round(age_s, 3))
