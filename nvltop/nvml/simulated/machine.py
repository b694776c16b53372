"""A running simulated machine: the value of every counter and gauge at any time."""

from __future__ import annotations

import math
from functools import cache
from typing import Final

from nvltop.nvml.simulated.faults import FAULT_S, PCIE_ONLY_SCENARIOS, ScenarioFaults
from nvltop.nvml.simulated.node import BLACKWELL, LinkEnd, Node
from nvltop.nvml.simulated.traffic import Bursts, Constant, Flow, Stopped
from nvltop.nvml.simulated.workload import BURST_S, Workload

BURST_SHARE: Final = 0.75
"""Share of the speed that bursts reach; less than NCCL reaches at best."""
SATURATED_SHARE: Final = 0.76
"""Share of the speed that NCCL reaches at best."""
BURST_NOISE: Final = 0.01
"""Relative amplitude of the noise on bursts."""
RAW_OVER_DATA: Final = 1.12
"""Ratio of raw bytes to data bytes."""
RAW_IDLE_BYTES_PER_S: Final = 0.3e6
"""Increase of the RAW counter of a link without data, bytes/s."""
PCIE_LANE_BYTES_PER_S: Final = {1: 0.25e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}
"""Rate of one lane by PCIe generation."""

ERROR_INTERVAL_S: Final = 4.0
"""Interval at which an error counter of the faulty link of `errors` increases, seconds."""
ERROR_FREE_BER: Final = 0xFFF
"""Packed bit error rate of a link without errors: 15e-255."""
FAULTY_BER: Final = 2 << 8 | 13
"""Packed bit error rate of the faulty link of `errors`: 2e-13, below the limit of 1e-12."""
COUNTER_BASE: Final = 41 << 30
"""Initial count, multiplied by a different factor for each link, so that no total looks like a rate."""

INITIAL_THROTTLED_S: Final = {"power_cap": 5310.25, "sw_thermal": 12.5, "hw_thermal": 0.0, "power_brake": 0.0}
"""Initial throttle time by reason, seconds."""


OPERATIONAL_BRANCH: Final = 615
"""First driver branch with GPU Operational Events."""
INITIAL_UPTIME_S: Final = 12.2 * 86400
"""Time since which the driver has been loaded when the simulation starts, seconds."""


class Machine:
    """A node that runs a scenario."""

    def __init__(self, node: Node, scenario: str) -> None:
        self.node = node
        self.scenario = scenario
        self.busy = scenario != "idle"
        self.refresh_s = 0.0
        """Period at which the NVLink counters are refreshed, seconds; 0 if they are always up to date."""
        gpu = min(3, max(0, node.gpus - 1))
        links = len(node.links[gpu]) if node.gpus else 0
        connected = [k for k in range(links) if node.links[gpu][k].kind != "none"]
        self.faulty_link = (gpu, connected[min(7, len(connected) - 1)]) if connected else None
        """GPU and link that the scenario's fault affects."""
        nvlink5 = bool(node.boards) and node.boards[0].architecture >= BLACKWELL
        self.faults = ScenarioFaults(scenario, gpu, node.gpus, nvlink5, node.branch >= OPERATIONAL_BRANCH)
        self.pending_events = self.faults.events()
        """Events that the driver has not reported yet."""
        self.workload = Workload(scenario, gpu)
        self.initialised_t = dict.fromkeys(range(node.gpus), -INITIAL_UPTIME_S)
        """Time at which the driver last initialised each GPU, in the seconds of the simulation."""
        self.firmware: dict[int, str] = {}
        """VBIOS versions of GPUs that differ from the others, by index."""
        self._integrals: dict[int, tuple[Flow, float, float]] = {}
        """Each flow, the time for which it was last integrated, and the result, by id."""
        self._tx = {(g, k): self._flow(g, k) for g, ends in enumerate(node.links) for k in range(len(ends))}
        self._senders = {(g, k): self._sender(g, k) for g, k in self._tx}
        """GPU and link that send what a GPU receives on a link."""

    def _flow(self, gpu: int, link: int) -> Flow:
        if not self.busy or self.node.links[gpu][link].kind == "none" or self.scenario in PCIE_ONLY_SCENARIOS:
            return Constant()
        speed = self.node.boards[gpu].link_mb_per_s * 1e6
        if self.scenario == "saturated":
            return Constant(SATURATED_SHARE * speed)
        flow: Flow = Bursts(
            low=0.004 * speed,
            high=BURST_SHARE * speed * (1 - 0.002 * gpu),
            period_s=self.workload.step_s,
            duty=BURST_S / self.workload.step_s,
            phase_s=self.workload.skew_s(gpu),
            noise=BURST_NOISE,
            frequency=5.0 + 0.37 * link + 0.11 * gpu,
        )
        if self.scenario == "link-down" and self._goes_down(gpu, link):
            return Stopped(flow, FAULT_S)
        return self.until_hang(flow)

    def until_hang(self, flow: Flow) -> Flow:
        """Return the flow, stopped at the time at which the job hangs."""
        return flow if self.workload.end_s is None else Stopped(flow, self.workload.end_s)

    def _goes_down(self, gpu: int, link: int) -> bool:
        """Return whether this is the faulty link, seen from either end."""
        end = self.node.links[gpu][link]
        return (gpu, link) == self.faulty_link or (
            end.kind == "gpu" and (end.device, end.link) == self.faulty_link
        )

    def _sender(self, gpu: int, link: int) -> tuple[int, int]:
        end = self.node.links[gpu][link]
        if end.kind == "gpu":
            return end.device, end.link
        # Through a switch, each GPU receives what its neighbour sends.
        neighbour = (gpu + 1) % self.node.gpus, link
        return neighbour if neighbour in self._tx else (gpu, link)

    def flow(self, gpu: int, link: int, direction: str) -> Flow:
        """Return the traffic of a link; RX of a direct link is TX of its remote end."""
        return self._tx[self._senders[gpu, link] if direction == "rx" else (gpu, link)]

    def counter(self, gpu: int, link: int, direction: str, raw: bool, t: float) -> int:
        """Return a link's byte counter."""
        base = COUNTER_BASE * (1 + (gpu * 37 + link) * 2 + (direction == "rx"))
        if not raw and not self.node.boards[gpu].data_counts:
            return base
        if self.refresh_s:
            t = t // self.refresh_s * self.refresh_s
        # Each flow is read where it is sent and where it arrives.
        flow = self.flow(gpu, link, direction)
        cached = self._integrals.get(id(flow))
        if cached is None or cached[1] != t or cached[0] is not flow:
            cached = self._integrals[id(flow)] = flow, t, flow.integral(t)
        data = cached[2]
        return int(base + (data * RAW_OVER_DATA + RAW_IDLE_BYTES_PER_S * t if raw else data))

    def up(self, gpu: int, link: int, t: float) -> bool:
        """Return whether a link is active."""
        if self.node.links[gpu][link].kind == "none":
            return False
        return not (self.scenario == "link-down" and t >= FAULT_S and self._goes_down(gpu, link))

    def errors(self, gpu: int, link: int, kind: str, t: float) -> int:
        """Return an error counter of a link."""
        if self.scenario != "errors" or (gpu, link) != self.faulty_link:
            return 0
        replays = int(max(0.0, t - ERROR_INTERVAL_S) / ERROR_INTERVAL_S)
        crc = 40 + 3 * replays
        counts = {"replay": 12 + replays, "crc": crc, "crc_flit": crc, "recovery": 1}
        counts |= {
            "rcv": 12 + replays,
            "link_recovery": 505 + replays,
            "link_recovery_successful": 505 + replays,
        }
        return counts.get(kind, 0)

    def effective_ber(self, gpu: int, link: int, t: float) -> int:
        """Return the packed bit error rate of a link; that of a faulty one stays below the limit."""
        is_faulty = self.scenario == "errors" and (gpu, link) == self.faulty_link
        return FAULTY_BER if is_faulty and t >= ERROR_INTERVAL_S else ERROR_FREE_BER

    def link_end(self, gpu: int, link: int) -> LinkEnd:
        """Return the remote end of a link."""
        return self.node.links[gpu][link]

    def utilization(self, gpu: int, t: float) -> float:
        """Return the utilization of a GPU, from 0 to 1."""
        return self.workload.activity(gpu, "util").rate(t)

    def mean_activity(self, gpu: int, unit: str, start_s: float, end_s: float) -> float:
        """Return the mean activity of a unit between two times, from 0 to 1; for the units see `Phase`."""
        activity = self.workload.activity(gpu, unit)
        return (activity.integral(end_s) - activity.integral(start_s)) / (end_s - start_s)

    def power_w(self, gpu: int, t: float) -> float:
        """Return the power at a time, watts."""
        return self.node.boards[gpu].power_limit_w * self.workload.power(gpu).rate(t)

    def mean_power_w(self, gpu: int, t: float) -> float:
        """Return the mean power over the last second, watts, from twenty samples."""
        return sum(self.power_w(gpu, t - k / 20) for k in range(20)) / 20

    def throttled_s(self, gpu: int, reason: str, t: float) -> float:
        """Return for how long the clocks have been throttled for a reason, seconds."""
        now_s = t - FAULT_S if reason == "hw_thermal" and self.faults.is_overheated(gpu, t) else 0.0
        return INITIAL_THROTTLED_S[reason] + now_s

    def temperature_c(self, gpu: int, t: float) -> int:
        """Return the temperature, °C."""
        if self.faults.is_overheated(gpu, t):
            return 88
        return round(31 + 30 * (self.busy) + 2 * math.sin(t / 20 + gpu))

    def memory_used(self, gpu: int) -> int:
        """Return the bytes of memory in use."""
        return int(self.node.boards[gpu].memory_gib * (0.86 if self.busy else 0.006) * (1 << 30))

    def pcie(self, gpu: int, direction: str) -> Flow:
        """Return the PCIe traffic: little if the job uses NVLink, else all of its traffic."""
        if not self.busy:
            return Constant(2e5)
        board = self.node.boards[gpu]
        top = PCIE_LANE_BYTES_PER_S[board.pcie_gen] * board.pcie_width
        over_nvlink = (
            any(end.kind != "none" for end in self.node.links[gpu])
            and self.scenario not in PCIE_ONLY_SCENARIOS
        )
        share = 0.05 if over_nvlink else 0.55
        share *= 1.0 if direction == "tx" else 0.8
        step_s = self.workload.step_s
        skew_s = self.workload.skew_s(gpu)
        return self.until_hang(_pcie_bursts(0.01 * top, share * top, step_s, BURST_S / step_s, skew_s))

    def c2c(self, gpu: int, direction: str) -> Flow:
        """Return the C2C traffic with the CPU."""
        board = self.node.boards[gpu]
        top = board.c2c_links * board.c2c_mb_per_s * 1e6
        return self.until_hang(Constant((0.2 if direction == "tx" else 0.3) * top * self.busy))


@cache
def _pcie_bursts(low: float, high: float, period_s: float, duty: float, phase_s: float) -> Bursts:
    return Bursts(low, high, period_s, duty, phase_s)
