"""The simulated machine's NICs: they stand where those of sysfs do, and carry the job's other half."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from nvltop.model import NOT_SUPPORTED, Maybe, Nic, NicPort, NicPorts, PciLocation
from nvltop.nvml.simulated.faults import FAULT_S
from nvltop.nvml.simulated.nic_catalog import NicSpec
from nvltop.nvml.simulated.traffic import Bursts, Constant, Flow
from nvltop.text import bus_number

if TYPE_CHECKING:
    from nvltop.nvml.simulated.library import Library

BURST_SHARE: Final = 0.86
"""Share of a port's rate that the bursts of a training job reach."""
PERIOD_S: Final = 2.0
DUTY: Final = 0.55
PHASE_S: Final = 0.4
"""Gradients leave the node after they have been added up in it."""
STORAGE_BYTES_PER_S: Final = 0.3e9
CONTROL_BYTES_PER_S: Final = 40e3
LINK_DOWN_GBIT: Final = 2.5
"""What a port without a link tells as its rate."""
COUNTER_BASE: Final = 7 << 40
"""Counters start somewhere else on every port, so that a total is never mistaken for a rate."""
WAIT_PER_S: Final = 900
"""Steps a second of `port_xmit_wait` while the port is busy."""


class SimulatedNics:
    """Stands where the table of the real NICs does."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._node = library.machine.node

    def changed(self) -> bool:
        """Whether devices have come or gone."""
        return False

    def find(self) -> tuple[Nic, ...]:
        """Return which NICs there are."""
        return tuple(
            Nic(
                device=card.name,
                rdma=card.rdma,
                location=self._location(card),
                model=card.model,
                bond="bond" in card.name,
                interfaces=(card.name,) if not card.rdma else (),
            )
            for card in self._node.nics
        )

    def gpu_locations(self, buses: Sequence[str]) -> tuple[PciLocation, ...]:
        """Return where the GPUs with these bus ids sit."""
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
        """Return the way down to the switch that a GPU hangs on; parts are named after their first GPU."""
        node = self._node
        domain, bus = node.domain, node.buses[gpu - gpu % node.gpus_per_switch]
        host = node.buses[gpu - gpu % max(node.gpus_per_switch, node.gpus_per_host)]
        return f"pci{domain:04x}:{host:02x}", f"{domain:04x}:{bus:02x}:01.0", f"{domain:04x}:{bus:02x}:02.0"

    def _location(self, card: NicSpec) -> PciLocation:
        domain = self._node.domain
        own = f"{domain:04x}:{card.bus:02x}:00.{card.function}"
        port = f"{domain:04x}:{card.bus:02x}:1e.0"
        if card.gpu is None or card.level == "NODE":
            bridges: tuple[str, ...] = (f"pci{domain:04x}:{card.bus:02x}", port)
        else:
            inner = (f"{domain:04x}:{card.bus:02x}:1d.0",) * (card.level == "PXB")
            bridges = (*self._switch(card.gpu), *inner, port)
        return PciLocation(own, bridges, card.numa)

    def read(self, now_s: float) -> NicPorts:
        """Read all ports."""
        t = self._library.t
        return NicPorts(tuple(self._port(i, card, t) for i, card in enumerate(self._node.nics)))

    def _port(self, i: int, card: NicSpec, t: float) -> NicPort:
        up = not self._down(card, t)
        tx, rx = (self._counter(i, card, way, t) for way in (0, 1))
        beside = card.rdma and card.layer == "Ethernet"
        ip = COUNTER_BASE + int(CONTROL_BYTES_PER_S * t)
        return NicPort(
            device=card.name,
            port=1 if card.rdma else 0,
            link_layer=card.layer,
            state="active" if up else "down",
            physical=("LinkUp" if up else "Polling") if card.rdma else "",
            rate_bytes_per_s=(card.gbit if up else LINK_DOWN_GBIT) * 1e9 / 8,
            tx_bytes=tx,
            rx_bytes=rx,
            ip_tx_bytes=ip if beside else NOT_SUPPORTED,
            ip_rx_bytes=ip if beside else NOT_SUPPORTED,
            errors=self._errors(card, t),
        )

    def _down(self, card: NicSpec, t: float) -> bool:
        """Whether this is the NIC that the scenario is about, and it has lost its link."""
        machine = self._library.machine
        return machine.scenario == "nic-down" and card.gpu == machine.faults.faulty_gpu and t >= FAULT_S

    def _counter(self, i: int, card: NicSpec, way: int, t: float) -> int:
        t = FAULT_S if self._down(card, t) else t
        moved = COUNTER_BASE * (1 + 2 * i + way) + self._flow(i, card, way).integral(t)
        return int(moved) // 4 * 4 if card.rdma else int(moved)

    def _flow(self, i: int, card: NicSpec, way: int) -> Flow:
        if not card.rdma:
            return Constant(CONTROL_BYTES_PER_S * (1 + way))
        if not self._library.machine.busy:
            return Constant()
        if card.gpu is None:
            return Constant(STORAGE_BYTES_PER_S * way)
        high = BURST_SHARE * card.gbit * 1e9 / 8 * (1 - 0.003 * i)
        bursts = Bursts(0.002 * high, high, PERIOD_S, DUTY, PHASE_S, 0.01, 4.1 + 0.3 * i + 0.7 * way)
        return self._library.machine.until_hang(bursts)

    def _errors(self, card: NicSpec, t: float) -> dict[str, Maybe[int]]:
        if not card.rdma:
            return {"rx_crc_errors": 0, "rx_errors": 0, "tx_errors": 0, "carrier_down_count": 0}
        busy = self._library.machine.busy and card.gpu is not None
        found: dict[str, Maybe[int]] = {
            "symbol_error": 0,
            "link_error_recovery": 0,
            "link_downed": 0,
            "port_rcv_errors": 0,
            "port_xmit_discards": 0,
            "port_xmit_wait": int(WAIT_PER_S * t) if busy else 0,
        }
        if card.layer == "Ethernet":
            found |= {"out_of_sequence": 0, "carrier_down_count": 0}
        return found
