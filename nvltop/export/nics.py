"""Metrics of each port of a NIC; the labels `device` and `port` are those of node_exporter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nvltop.export.gpus import READING_AGE
from nvltop.export.metric_set import PORT_LABELS, InfoSpec, MetricSet, MetricSpec, Staleness, ValueSpec
from nvltop.model import Missing, NicFrame, known
from nvltop.model.error_kinds import INFORMATIVE

MAX_PORTS: Final = 64
"""Highest number of ports exported; ports of virtual functions, possibly hundreds, come last."""
NIC_READINGS: Final = "nics"
NIC_GONE: Final = "gone"

PORT: Final[InfoSpec[NicFrame]] = InfoSpec(
    MetricSpec("nic_port", "Description of the port; `label` is that of the NIC in the matrix.", "info"),
    lambda f: {
        "label": f.label,
        "link_layer": f.port.link_layer,
        "pci_bus_id": f.nic.location.pci_bus_id if known(f.nic.location) else None,
        "numa_node": f.nic.location.numa_node if known(f.nic.location) else None,
        "interface": ",".join(f.nic.interfaces),
        "virtual": f.nic.virtual,
        "role": f.nic.role or "data",
    },
)
PORT_ACTIVE: Final = MetricSpec("nic_port_active", "Whether the port is up: 1 or 0.")
PORT_STATE: Final = MetricSpec("nic_port_state", "1 for the state of the port, 0 for all others.")
PORT_STATES: Final = ("active", "armed", "init", "down", NIC_GONE)
PORT_ERRORS: Final = MetricSpec("nic_port_errors", "Errors by the kernel's name of the counter.", "counter")
PORT_EVENTS: Final = MetricSpec(
    "nic_port_events",
    "Counts by the kernel's name that have no threshold and are not errors in themselves.",
    "counter",
)


PORT_VALUES: Final[tuple[ValueSpec[NicFrame], ...]] = (
    ValueSpec(
        MetricSpec("nic_port_speed_bytes_per_second", "Speed of the port in one direction."),
        lambda f: f.port.rate_bytes_per_s,
        NIC_READINGS,
    ),
    ValueSpec(
        MetricSpec("nic_port_transmit_bytes", "Bytes sent; on RoCE those of RDMA.", "counter"),
        lambda f: f.port.tx_bytes,
        NIC_READINGS,
    ),
    ValueSpec(
        MetricSpec("nic_port_receive_bytes", "Bytes received; on RoCE those of RDMA.", "counter"),
        lambda f: f.port.rx_bytes,
        NIC_READINGS,
    ),
)
ROCE_VALUES: Final[tuple[ValueSpec[NicFrame], ...]] = (
    ValueSpec(
        MetricSpec("nic_port_ip_transmit_bytes", "Bytes sent through the kernel, beside RDMA.", "counter"),
        lambda f: f.port.ip_tx_bytes,
        NIC_READINGS,
    ),
    ValueSpec(
        MetricSpec("nic_port_ip_receive_bytes", "Bytes received through the kernel, beside RDMA.", "counter"),
        lambda f: f.port.ip_rx_bytes,
        NIC_READINGS,
    ),
)
"""Metrics of RoCE ports only; other ports count this traffic in `PORT_VALUES`."""


def add_ports(
    metrics: MetricSet, ports: Iterable[NicFrame], late_s: float, not_reading: Missing | None
) -> None:
    """Add the ports of a frame that is `late_s` old.

    `not_reading` is the reason why the reading process does not read at all, if it does not.
    """
    for f in sorted(ports, key=lambda f: (f.nic.virtual, bool(f.nic.role)))[:MAX_PORTS]:
        labels = dict(zip(PORT_LABELS, (f.nic.device, str(f.port.port)), strict=True))
        age_s = f.age_s + late_s
        gone = Missing("no longer there") if f.port.state == NIC_GONE else None
        staleness = Staleness({NIC_READINGS: age_s}, gone or not_reading)
        metrics.add_info(PORT, f, labels)
        state = f.port.state if gone else staleness.fresh(NIC_READINGS, f.port.state)
        metrics.add(PORT_ACTIVE, labels, state if isinstance(state, Missing) else float(f.active))
        if known(state):
            metrics.add_state(PORT_STATE, labels, PORT_STATES, state)
        metrics.add_values(PORT_VALUES, f, labels, staleness)
        if f.nic.rdma and f.port.link_layer == "Ethernet":
            metrics.add_values(ROCE_VALUES, f, labels, staleness)
        for kind, count in f.errors.items():
            metric = PORT_EVENTS if kind in INFORMATIVE else PORT_ERRORS
            metrics.add(metric, {**labels, "kind": kind}, staleness.fresh(NIC_READINGS, count.total))
        metrics.add(READING_AGE, {**labels, "group": NIC_READINGS}, round(age_s, 3))
