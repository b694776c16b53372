"""What goes wrong in a scenario, apart from the traffic: lost GPUs, events, slow answers, heat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FAULT_S: Final = 10.0
"""When the fault of a scenario begins."""
SLOW_CALL_S: Final = 0.04
PCIE_ONLY_SCENARIOS: Final = frozenset({"p2p-fallback", "p2p-dead"})
"""Scenarios whose traffic does not use NVLink."""
GPU_IS_LOST: Final = 15
XID_LOST, XID_NVLINK, XID_NVLINK5, XID_PEER, XID_PEER5 = 79, 74, 149, 45, 145


@dataclass(frozen=True, slots=True)
class ScenarioFaults:
    """The scenario's faults of one machine."""

    scenario: str
    faulty_gpu: int
    """The one it is about."""
    gpus: int
    nvlink5: bool

    def is_lost(self, gpu: int, t: float) -> bool:
        """Whether a GPU has fallen off the bus."""
        return self.scenario == "gpu-lost" and gpu == self.faulty_gpu and t >= FAULT_S

    def is_overheated(self, gpu: int, t: float) -> bool:
        """Whether a GPU is slowed by heat."""
        return self.scenario == "throttled" and gpu == self.faulty_gpu and t >= FAULT_S

    def delay_s(self) -> float:
        """Return how long an answer about links takes."""
        return SLOW_CALL_S if self.scenario == "slow-driver" else 0.0

    def xids(self) -> list[tuple[float, int, int]]:
        """Return time, GPU and code of each XID, in order."""
        if self.scenario == "gpu-lost":
            own, echo = XID_LOST, XID_PEER
        elif self.scenario == "xid":
            own, echo = (XID_NVLINK5, XID_PEER5) if self.nvlink5 else (XID_NVLINK, XID_NVLINK)
        else:
            return []
        told = [(FAULT_S, self.faulty_gpu, own)]
        return told + [(FAULT_S + 0.1, gpu, echo) for gpu in range(self.gpus) if gpu != self.faulty_gpu]
