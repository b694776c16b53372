"""Readings: one group of values of one GPU, as NVML returned them, with the time of the call."""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

from nvltop.frozen import frozen
from nvltop.model.job import Processes
from nvltop.model.link_counters import LinkCounters
from nvltop.model.missing import NOT_READ, Maybe, Missing
from nvltop.model.nic import NicPorts

NO_C2C: Final = Missing("no C2C")


class LinkState(str, Enum):
    """State of a link (`nvmlDeviceGetNvLinkState`, field 165)."""

    UP = "up"
    DOWN = "down"
    SLEEP = "sleep"
    """Low power; not a fault."""
    TRAFFIC_DISABLED = "traffic-disabled"
    """Trained, but not allowed to carry traffic (value 3, NVML 13.615)."""
    UNKNOWN = "unknown"

    @property
    def active(self) -> bool:
        """Whether a link in this state is trained (up, asleep, or trained without traffic)."""
        return self is not LinkState.DOWN and self is not LinkState.UNKNOWN


@frozen
class LinkStates:
    """State and speed of every link present, by link index."""

    states: tuple[Maybe[LinkState], ...]
    speed_bytes_per_s: tuple[Maybe[float], ...]
    """Speed of each link in bytes/s, one direction (field 164, else 84 to 137, else 90)."""


@frozen
class LinkErrors:
    """Lifetime error counts, by kind and link index; only kinds that the board can count."""

    counts: dict[str, tuple[Maybe[int], ...]]


@frozen
class LinkBer:
    """What NVML says about the quality of each link, read once a minute.

    The effective bit error rate (after correction, field 220) is packed: bits 0-7 are the negative exponent,
    bits 8-11 the mantissa; 15e-255 means no error.
    """

    effective: tuple[Maybe[int], ...]
    plr_blocks: tuple[Maybe[int], ...] = ()
    """Blocks sent with retransmission (PLR) since the counters began (field 294); empty if unsupported."""
    plr_retries: tuple[Maybe[int], ...] = ()
    """Blocks among them that were sent again (field 295), read in the same call."""
    data_rate: tuple[Maybe[int], ...] = ()
    """Rate that remains after error correction (FEC, field 296); NVIDIA does not state its unit."""


@frozen
class Gauges:
    """Values that NVML samples at the time of the call."""

    util_percent: Maybe[float] = NOT_READ
    memory_used_bytes: Maybe[int] = NOT_READ
    memory_total_bytes: Maybe[int] = NOT_READ
    power_w: Maybe[float] = NOT_READ
    temperature_c: Maybe[float] = NOT_READ
    sm_clock_mhz: Maybe[float] = NOT_READ
    pstate: Maybe[int] = NOT_READ
    event_reasons: Maybe[int] = NOT_READ
    """Bits of `nvmlDeviceGetCurrentClocksEventReasons`, such as those of `clock_reasons`."""
    pcie_gen: Maybe[int] = NOT_READ
    pcie_width: Maybe[int] = NOT_READ
    power_cap_s: Maybe[float] = NOT_READ
    """Seconds since the driver loaded in which the power limit throttled the clocks (field 74)."""
    sw_thermal_s: Maybe[float] = NOT_READ
    """Seconds in which the driver's thermal limit throttled the clocks (field 269)."""
    hw_thermal_s: Maybe[float] = NOT_READ
    """Seconds in which the hardware's thermal slowdown throttled the clocks (field 270)."""
    power_brake_s: Maybe[float] = NOT_READ
    """Seconds in which the external power brake throttled the clocks (field 271)."""


PCIE_SAMPLED: Final = "20ms"
"""Source of PCIe throughput that the driver measures while it is asked."""
PCIE_SAMPLE_S: Final = 0.02
"""Length of each such measurement, seconds (`nvmlDeviceGetPcieThroughput`)."""


@frozen
class PcieTraffic:
    """PCIe throughput in bytes/s, averaged by the driver."""

    tx_bytes_per_s: Maybe[float] = NOT_READ
    rx_bytes_per_s: Maybe[float] = NOT_READ
    source: str = ""
    """`byte-counter` (fields 197, 198), `gpm`, or `20ms` (`nvmlDeviceGetPcieThroughput`)."""


@frozen
class C2cTraffic:
    """C2C throughput in bytes/s (GPM metrics 100-103)."""

    tx_bytes_per_s: Maybe[float] = NOT_READ
    rx_bytes_per_s: Maybe[float] = NOT_READ


@frozen
class Fabric:
    """NVLink fabric membership (`nvmlDeviceGetGpuFabricInfoV`) and the recovery that the driver requests."""

    state: Maybe[str] = NOT_READ
    """`not-started`, `in-progress` or `completed`; missing if the GPU has no fabric."""
    status: Maybe[str] = NOT_READ
    """`success` or NVML's error text; only meaningful once completed."""
    health_mask: Maybe[int] = NOT_READ
    health_summary: Maybe[str] = NOT_READ
    """`healthy`, `unhealthy` or `limited-capacity`."""
    clique_id: Maybe[int] = NOT_READ
    cluster_uuid: Maybe[str] = NOT_READ
    recovery_action: Maybe[int] = NOT_READ
    """Value of field 230; 0 for no action."""
    bandwidth_mode: Maybe[str] = NOT_READ
    remap_pending: Maybe[bool] = NOT_READ
    remap_failed: Maybe[bool] = NOT_READ
    remapped_rows: Maybe[int] = NOT_READ
    """Number of memory rows remapped because of uncorrectable errors."""
    initialised_s: Maybe[float] = NOT_READ
    """CLOCK_MONOTONIC at which the driver initialised the GPU (`nvmlDeviceGetGpuUptime_v1`)."""
    c2c_crc_errors: Maybe[int] = NO_C2C
    """CRC errors of the links to the CPU since the counters began, their sum (field 231)."""
    c2c_replays: Maybe[int] = NO_C2C
    """Replays of these links (field 232)."""
    c2c_back_to_back_replays: Maybe[int] = NO_C2C
    """Replays of these links that followed another one directly (field 233)."""
    c2c_power_state: Maybe[str] = NO_C2C
    """`full` or `low`, the lowest of these links (field 234)."""


@frozen
class ComputeActivity:
    """How busy the GPU's units were, as a mean over the time from the reading's start to its end.

    GPM is read every 2 s, or at the interval of the link counters while NVLink carries traffic.
    """

    sm: Maybe[float] = NOT_READ
    """Share of the time in which a streaming multiprocessor was active, 0 to 1 (GPM metric 2)."""
    tensor: Maybe[float] = NOT_READ
    """Share of the time in which the tensor cores were active, 0 to 1 (GPM metric 5)."""
    dram: Maybe[float] = NOT_READ
    """Share of the memory bandwidth in use, 0 to 1 (GPM metric 10)."""
    power_w: Maybe[float] = NOT_READ
    """Power at the end of the reading, not averaged over a second (field 186)."""
    source: str = ""
    """`gpm` (Hopper and later) or `samples` (`nvmlDeviceGetSamples`; only `sm` then, as the share of the
    time in which a kernel ran). Empty if neither is available."""
    note: str = ""
    """Why GPM is not read, or is read less often than the link counters, and what to do; usually empty."""


@frozen
class CounterRefresh:
    """Refresh period of the driver's NVLink counters, measured by reading one GPU in quick succession."""

    shortest_s: float
    """Shortest time from one refresh to the next; 0 if every reading had new values."""
    typical_s: float
    longest_s: float
    """Longest time from one refresh to the next, excluding pauses of the traffic."""
    regular: bool
    """Whether the refreshes are equally spaced."""
    error_s: float = 0.0
    """Largest error of `typical_s`, which follows from the time between two readings."""
    after_s: float = 0.0
    """CLOCK_MONOTONIC of the last reading before a refresh."""
    until_s: float = 0.0
    """CLOCK_MONOTONIC of the first reading after that refresh."""
    calls: int = 0
    """Number of NVML calls of the measurement so far."""


@frozen
class Host:
    """The machine around the GPUs."""

    cpu_percent: Maybe[float] = NOT_READ
    """Utilization of all CPUs together since the previous reading, 0 to 100."""
    memory_used_bytes: Maybe[int] = NOT_READ
    memory_total_bytes: Maybe[int] = NOT_READ


@frozen
class GpuInterval:
    """The effective interval of one GPU's link counters."""

    gpu: int
    """NVML index."""
    interval_s: float


@frozen
class Cost:
    """Cost of reading, over about the last second."""

    calls_per_s: float = 0.0
    driver_s_per_s: float = 0.0
    """Seconds spent in driver calls, per second: the sum of all threads, above 1 if several wait at once."""
    interval_s: float = 0.0
    """Effective interval of the link counters of most GPUs; longer than requested if reads are slow."""
    sweep_s: float = 0.0
    """Duration of one pass over the link counters of these GPUs, in seconds."""
    cpu_s_per_s: Maybe[float] = NOT_READ
    """CPU seconds that the reading process used, per second."""
    other_intervals: tuple[GpuInterval, ...] = ()
    """GPUs whose own poll thread reads them at another interval than `interval_s`."""

    def interval_of(self, gpu: int) -> float:
        """Return the effective interval of a GPU's link counters in seconds, by NVML index."""
        for other in self.other_intervals:
            if other.gpu == gpu:
                return other.interval_s
        return self.interval_s

    def effective_interval_s(self, requested_s: float, gpu: int | None = None) -> float:
        """Return the interval of the link counters of one GPU, or of most; never below the requested one.

        The value measured last may be older than a change of the requested interval.
        """
        own_s = self.interval_s if gpu is None else self.interval_of(gpu)
        return own_s if own_s > requested_s else requested_s


Data: TypeAlias = (
    LinkCounters
    | LinkStates
    | LinkErrors
    | LinkBer
    | Gauges
    | PcieTraffic
    | C2cTraffic
    | Fabric
    | Host
    | Cost
    | Processes
    | NicPorts
    | ComputeActivity
    | CounterRefresh
)

GROUPS: dict[type[Data], str] = {
    LinkCounters: "links",
    LinkStates: "states",
    LinkErrors: "errors",
    Gauges: "gauges",
    PcieTraffic: "pcie",
    C2cTraffic: "c2c",
    Fabric: "fabric",
    Host: "host",
    Cost: "cost",
    LinkBer: "ber",
    Processes: "processes",
    NicPorts: "nics",
    ComputeActivity: "compute",
    CounterRefresh: "refresh",
}
"""Name of each group of values, as in `age_s` of the JSON output and in recordings."""


@frozen
class Reading:
    """One group of values of one GPU or of the host, with the time at which it was read."""

    gpu: str | None
    """UUID; None for the host and the worker itself."""
    start_s: float
    """CLOCK_MONOTONIC before the call, seconds."""
    end_s: float
    """CLOCK_MONOTONIC after the call, seconds."""
    wall_s: float
    """Unix time after the call; for display, never for rates."""
    data: Data
    problem: str | None = None
    """Reason why the GPU as a whole could not be read, such as `GPU is lost`; None if it could."""

    @property
    def group(self) -> str:
        """The name of the group of `data`."""
        return GROUPS[type(self.data)]


@frozen
class Call:
    """A driver call in progress."""

    thread: str
    function: str
    gpu: int | None
    """NVML index."""
    since_s: float
    """CLOCK_MONOTONIC at its start; later by the time for which nvltop was paused since then."""


@frozen
class Tick:
    """The clock of the main process, and the state of the worker."""

    mono_s: float
    wall_s: float
    interval_s: float
    """Requested refresh interval."""
    worker: str = "running"
    """`starting`, `running`, `stuck`, `paused` (stopped or starved), `ended`, `replaced`, or `replay`."""
    calls: tuple[Call, ...] = ()
    """Calls that have been in progress for more than a second."""
    note: str = ""
    """One line for the user about the worker; empty if there is nothing to report."""

    @property
    def not_reading(self) -> Missing | None:
        """The reason why the reading process reads nothing at all; None while it reads."""
        if self.worker == "ended":
            return Missing(self.note or "nvltop's reading process has ended")
        return Missing("nvltop's reading process does not run") if self.worker == "paused" else None
