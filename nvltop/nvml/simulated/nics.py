"""The simulated machine's NICs, which replace those of sysfs and carry the job's traffic to other nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from nvltop.model import NO_FIRMWARE, NOT_SUPPORTED, Maybe, Nic, NicPort, NicPorts, PciLocation
from nvltop.nvml.simulated.faults import FAULT_S
from nvltop.nvml.simulated.nic_catalog import NicSpec
from nvltop.nvml.simulated.traffic import Bursts, Constant, Flow
from nvltop.text import bus_number

if TYPE_CHECKING:
    from nvltop.nvml.simulated.library import Library

BURST_SHARE: Final = 0.86
"""Share of a port's rate that the bursts of a training job reach."""
PERIOD_S: Final = 2.0
"""Period of the bursts, seconds."""
DUTY: Final = 0.55
"""Share of the period that a burst lasts."""
PHASE_S: Final = 0.4
"""Delay of the NICs' bursts after those of NVLink, seconds: gradients are first summed within the node."""
STORAGE_BYTES_PER_S: Final = 0.3e9
"""Rate at which data arrives on storage ports."""
CONTROL_BYTES_PER_S: Final = 40e3
"""Rate of other traffic on Ethernet."""
LINK_DOWN_GBIT: Final = 2.5
"""Rate that a port without a link reports, Gb/s."""
COUNTER_BASE: Final = 7 << 40
"""Initial count, multiplied by a different factor for each port, so that no total looks like a rate."""
WAIT_PER_S: Final = 900
"""Increase of `port_xmit_wait` per second while the port is busy."""


class SimulatedNics:
    """A replacement of `host.nics.NicTable`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._node = library.machine.node

    def changed(self) -> bool:
        """Return whether devices have appeared or disappeared."""
        return False

    def find(self) -> tuple[Nic, ...]:
        """Return the NICs."""
        return tuple(
            Nic(
                device=spec.name,
                rdma=spec.rdma,
                location=self._location(spec),
                model=spec.model,
                bond="bond" in spec.name,
                interfaces=(spec.name,) if not spec.rdma else (),
                firmware="28.43.2026" if spec.rdma else NO_FIRMWARE,
            )
            for spec in self._node.nics
        )

    def gpu_locations(self, buses: Sequence[str]) -> tuple[PciLocation, ...]:
        """Return the PCI locations of the GPUs with these bus ids."""
        node = self._node
        at = {(node.domain, bus, 0, 0): gpu for gpu, bus in enumerate(node.buses)}
        gpus = [at[number] for bus in buses if (number := bus_number(bus)) in at]
        return tuple(
            PciLocation(
                f"{node.domain:04x}:{node.buses[gpu]:02x}:00.0",
                (*self._switch(gpu), f"{node.domain:04x}:{node.buses[gpu]:02x}:1f.0"),
                node.numa[gpu] if node.numa else None,
                port_width=node.boards[gpu].pcie_width,
                port_gen=node.boards[gpu].pcie_gen,
            )
            for gpu in gpus
        )

    def _switch(self, gpu: int) -> tuple[str, ...]:
        """Return the PCI path to the switch of a GPU; its parts are named after their first GPU."""
        node = self._node
        domain, bus = node.domain, node.buses[gpu - gpu % node.gpus_per_switch]
        host = node.buses[gpu - gpu % max(node.gpus_per_switch, node.gpus_per_host)]
        return f"pci{domain:04x}:{host:02x}", f"{domain:04x}:{bus:02x}:01.0", f"{domain:04x}:{bus:02x}:02.0"

    def _location(self, spec: NicSpec) -> PciLocation:
        domain = self._node.domain
        own = f"{domain:04x}:{spec.bus:02x}:00.{spec.function}"
        port = f"{domain:04x}:{spec.bus:02x}:1e.0"
        if spec.gpu is None or spec.level == "NODE":
            bridges: tuple[str, ...] = (f"pci{domain:04x}:{spec.bus:02x}", port)
        else:
            inner = (f"{domain:04x}:{spec.bus:02x}:1d.0",) * (spec.level == "PXB")
            bridges = (*self._switch(spec.gpu), *inner, port)
        return PciLocation(own, bridges, spec.numa)

    def read(self, now_s: float) -> NicPorts:
        """Read all ports."""
        t = self._library.t
        return NicPorts(tuple(self._port(i, spec, t) for i, spec in enumerate(self._node.nics)))

    def _port(self, i: int, spec: NicSpec, t: float) -> NicPort:
        up = not self._down(spec, t)
        tx, rx = (self._counter(i, spec, direction, t) for direction in (0, 1))
        beside = spec.rdma and spec.layer == "Ethernet"
        ip = COUNTER_BASE + int(CONTROL_BYTES_PER_S * t)
        return NicPort(
            device=spec.name,
            port=1 if spec.rdma else 0,
            link_layer=spec.layer,
            state="active" if up else "down",
            physical=("LinkUp" if up else "Polling") if spec.rdma else "",
            rate_bytes_per_s=(spec.gbit if up else LINK_DOWN_GBIT) * 1e9 / 8,
            tx_bytes=tx,
            rx_bytes=rx,
            ip_tx_bytes=ip if beside else NOT_SUPPORTED,
            ip_rx_bytes=ip if beside else NOT_SUPPORTED,
            errors=self._errors(spec, t),
        )

    def _down(self, spec: NicSpec, t: float) -> bool:
        """Return whether this is the faulty NIC of the scenario, and has lost its link."""
        machine = self._library.machine
        return machine.scenario == "nic-down" and spec.gpu == machine.faults.faulty_gpu and t >= FAULT_S

    def _counter(self, i: int, spec: NicSpec, direction: int, t: float) -> int:
        t = FAULT_S if self._down(spec, t) else t
        moved = COUNTER_BASE * (1 + 2 * i + direction) + self._flow(i, spec, direction).integral(t)
        return int(moved) // 4 * 4 if spec.rdma else int(moved)

    def _flow(self, i: int, spec: NicSpec, direction: int) -> Flow:
        if not spec.rdma:
            return Constant(CONTROL_BYTES_PER_S * (1 + direction))
        if not self._library.machine.busy:
            return Constant()
        if spec.gpu is None:
            return Constant(STORAGE_BYTES_PER_S * direction)
        high = BURST_SHARE * spec.gbit * 1e9 / 8 * (1 - 0.003 * i)
        bursts = Bursts(0.002 * high, high, PERIOD_S, DUTY, PHASE_S, 0.01, 4.1 + 0.3 * i + 0.7 * direction)
        return self._library.machine.until_hang(bursts)

    def _errors(self, spec: NicSpec, t: float) -> dict[str, Maybe[int]]:
        if not spec.rdma:
            return {"rx_crc_errors": 0, "rx_errors": 0, "tx_errors": 0, "carrier_down_count": 0}
        busy = self._library.machine.busy and spec.gpu is not None
        found: dict[str, Maybe[int]] = {
            "symbol_error": 0,
            "link_error_recovery": 0,
            "link_downed": 0,
            "port_rcv_errors": 0,
            "port_xmit_discards": 0,
            "port_xmit_wait": int(WAIT_PER_S * t) if busy else 0,
        }
        if spec.layer == "Ethernet":
            found |= {"out_of_sequence": 0, "carrier_down_count": 0}
        return found
