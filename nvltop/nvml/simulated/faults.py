"""Faults of a scenario other than those of the traffic: lost GPUs, driver events, slow calls, heat."""

from __future__ import annotations

from typing import Final, NamedTuple

from nvltop.frozen import frozen

FAULT_S: Final = 10.0
"""Start of a scenario's fault, seconds since the machine was switched on."""
SLOW_CALL_S: Final = 0.04
"""Duration of a call about links in `slow-driver`, seconds."""
PCIE_ONLY_SCENARIOS: Final = frozenset({"p2p-fallback", "p2p-dead"})
"""Scenarios whose traffic does not use NVLink."""
XID_EVENT: Final = 0x8
"""Bit of nvmlEventTypeXidCriticalError."""
XID_LOST, XID_NVLINK, XID_NVLINK5, XID_PEER, XID_PEER5 = 79, 74, 149, 45, 145


class OperationalEvent(NamedTuple):
    """What a GPU Operational Event has in place of an event bit (driver branch 615 and later)."""

    module: str
    code: int
    """Number of the event within the module."""
    severity: int
    """Value of nvmlOperationalEventSeverity_t."""
    attributes: int = 0
    group_attributes: int = 0
    xid: int | None = None
    """Xid in the context of the event."""


PROPAGATED, PRIMARY = 1 << 2, 1 << 5
"""Bits of NVML_OPERATIONAL_EVENT_ATTR_*."""
FATAL, RECOVERABLE = 40, 30
"""Values of nvmlOperationalEventSeverity_t."""


class DriverEvent(NamedTuple):
    """An event that the simulated driver reports."""

    t: float
    """Seconds since the machine was switched on."""
    gpu: int
    type: int
    """Bit of nvmlEventType."""
    data: int
    """Event data, for an Xid its number."""
    operational: OperationalEvent | None = None


@frozen
class ScenarioFaults:
    """Faults of one machine in one scenario."""

    scenario: str
    faulty_gpu: int
    """Index of the GPU that the fault affects."""
    gpus: int
    """Number of GPUs."""
    nvlink5: bool
    """Whether the GPUs have NVLink 5 or later."""
    operational: bool = False
    """Whether the driver reports GPU Operational Events beside the Xids."""

    def loses(self, gpu: int) -> bool:
        """Return whether a GPU falls off the bus, `FAULT_S` after the start."""
        return self.scenario == "gpu-lost" and gpu == self.faulty_gpu

    def is_overheated(self, gpu: int, t: float) -> bool:
        """Return whether a GPU is slowed down because it is too hot."""
        return self.scenario == "throttled" and gpu == self.faulty_gpu and t >= FAULT_S

    def delay_s(self) -> float:
        """Return the duration of a call about links, seconds."""
        return SLOW_CALL_S if self.scenario == "slow-driver" else 0.0

    def events(self) -> list[DriverEvent]:
        """Return the events of the scenario, in order of time."""
        if self.scenario == "gpu-lost":
            own, peer = XID_LOST, XID_PEER
        elif self.scenario == "xid":
            own, peer = (XID_NVLINK5, XID_PEER5) if self.nvlink5 else (XID_NVLINK, XID_NVLINK)
        else:
            return []
        peers = [gpu for gpu in range(self.gpus) if gpu != self.faulty_gpu]
        events = [
            DriverEvent(FAULT_S, self.faulty_gpu, XID_EVENT, own),
            *(DriverEvent(FAULT_S + 0.1, gpu, XID_EVENT, peer) for gpu in peers),
        ]
        if not self.operational:
            return events
        # Xid 79 is event 3 of GPU-BUS (release notes of R620); the number of the link event is ours.
        first = ("GPU-BUS", 3) if own == XID_LOST else ("GPU-NVLINK", 5)
        return [
            *events,
            DriverEvent(
                FAULT_S + 0.01, self.faulty_gpu, 0, 0, OperationalEvent(*first, FATAL, PRIMARY, 0, own)
            ),
            *(
                DriverEvent(
                    FAULT_S + 0.11,
                    gpu,
                    0,
                    0,
                    OperationalEvent("GPU-NVLINK", 6, RECOVERABLE, PROPAGATED, 0, peer),
                )
                for gpu in peers
            ),
        ]
