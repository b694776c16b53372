"""One poll of one group of values of one GPU, as NVML gave them, with the time of the poll."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeVar

from nvltop.model.job import Processes
from nvltop.model.missing import NOT_READ, Maybe, Missing
from nvltop.model.nic import NicPorts

T = TypeVar("T")


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


class Counter(str, Enum):
    """What a throughput counter counts."""

    DATA = "data"
    """Bytes of data (fields 138, 139; 202, 204)."""
    RAW = "raw"
    """With protocol overhead (fields 140, 141)."""


class Scope(str, Enum):
    """What one throughput counter covers."""

    LINK = "link"
    GPU = "gpu"
    """The driver gives only a sum over the GPU's links."""


def split_tx_rx(values: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Split a series of counters, TX of every link, then RX of every link, into its halves."""
    count = len(values) // 2
    return values[:count], values[count:]


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """Cumulative NVLink traffic of one GPU, in bytes since the driver loaded or the GPU was reset."""

    counter: Counter
    scope: Scope
    tx_bytes: tuple[Maybe[int], ...]
    """By link index; one entry for `Scope.GPU`."""
    rx_bytes: tuple[Maybe[int], ...]
    stamp_us: tuple[int, ...] = ()
    """NVML's own time of each TX entry, then each RX entry (Unix µs); one number if all are equal,
    empty if the driver gave none."""


@dataclass(frozen=True, slots=True)
class LinkStates:
    """State and speed of every link present, by link index."""

    states: tuple[Maybe[LinkState], ...]
    speed_bytes_per_s: tuple[Maybe[float], ...]
    """What NVML says the link can carry per direction (field 164, else 84…137, else 90)."""


@dataclass(frozen=True, slots=True)
class LinkErrors:
    """Lifetime error counts, by kind and link index; only kinds that the board can count."""

    counts: dict[str, tuple[Maybe[int], ...]]


@dataclass(frozen=True, slots=True)
class LinkBer:
    """Bit error rate after correction of each link, as NVML packs it (field 220): bits 0-7 are the
    negative exponent, 8-11 the mantissa; 15e-255 is none at all.
    """

    effective: tuple[Maybe[int], ...]


@dataclass(frozen=True, slots=True)
class Gauges:
    """Values of the moment."""

    util_percent: Maybe[float] = NOT_READ
    memory_used_bytes: Maybe[int] = NOT_READ
    memory_total_bytes: Maybe[int] = NOT_READ
    power_w: Maybe[float] = NOT_READ
    temperature_c: Maybe[float] = NOT_READ
    sm_clock_mhz: Maybe[float] = NOT_READ
    pstate: Maybe[int] = NOT_READ
    event_reasons: Maybe[int] = NOT_READ
    """Bits of `nvmlDeviceGetCurrentClocksEventReasons`."""
    pcie_gen: Maybe[int] = NOT_READ
    pcie_width: Maybe[int] = NOT_READ
    power_cap_s: Maybe[float] = NOT_READ
    """Seconds since the driver loaded in which the power limit throttled the clocks (field 74)."""
    sw_thermal_s: Maybe[float] = NOT_READ
    """Likewise the driver's thermal limit (field 269)."""
    hw_thermal_s: Maybe[float] = NOT_READ
    """Likewise the hardware's thermal slowdown (field 270)."""
    power_brake_s: Maybe[float] = NOT_READ
    """Likewise the external power brake (field 271)."""


@dataclass(frozen=True, slots=True)
class PcieTraffic:
    """PCIe throughput in bytes/s, as the driver averaged it."""

    tx_bytes_per_s: Maybe[float] = NOT_READ
    rx_bytes_per_s: Maybe[float] = NOT_READ
    source: str = ""
    """`byte-counter` (fields 197, 198), `gpm`, or `20ms` (`nvmlDeviceGetPcieThroughput`)."""


@dataclass(frozen=True, slots=True)
class C2cTraffic:
    """C2C throughput in bytes/s (GPM metrics 100-103)."""

    tx_bytes_per_s: Maybe[float] = NOT_READ
    rx_bytes_per_s: Maybe[float] = NOT_READ


@dataclass(frozen=True, slots=True)
class Fabric:
    """NVLink fabric membership (`nvmlDeviceGetGpuFabricInfoV`) and what the driver asks for."""

    state: Maybe[str] = NOT_READ
    """`not-started`, `in-progress`, `completed`; missing where the GPU has no fabric."""
    status: Maybe[str] = NOT_READ
    """`success` or NVML's error text; only meaningful once completed."""
    health_mask: Maybe[int] = NOT_READ
    health_summary: Maybe[str] = NOT_READ
    """`healthy`, `unhealthy`, `limited-capacity`."""
    clique_id: Maybe[int] = NOT_READ
    cluster_uuid: Maybe[str] = NOT_READ
    recovery_action: Maybe[int] = NOT_READ
    """Field 230; 0 is none."""
    bandwidth_mode: Maybe[str] = NOT_READ
    remap_pending: Maybe[bool] = NOT_READ
    remap_failed: Maybe[bool] = NOT_READ
    remapped_rows: Maybe[int] = NOT_READ
    """Memory rows replaced for uncorrectable errors."""


@dataclass(frozen=True, slots=True)
class ComputeActivity:
    """How busy the GPU's units were, as a mean over the time from the reading's start to its end.

    Every 2 s where GPM answers; at the interval of the link counters while NVLink carries traffic.
    """

    sm: Maybe[float] = NOT_READ
    """Share of the time in which a streaming multiprocessor had work, 0…1 (GPM metric 2)."""
    tensor: Maybe[float] = NOT_READ
    """Share of the time in which the tensor cores were active, 0…1 (GPM metric 5)."""
    dram: Maybe[float] = NOT_READ
    """Share of the memory bandwidth in use, 0…1 (GPM metric 10)."""
    power_w: Maybe[float] = NOT_READ
    """Power at the end of the reading, not averaged over a second (field 186)."""
    source: str = ""
    """`gpm` (Hopper and later) or `samples` (`nvmlDeviceGetSamples`; only `sm` then, as the share of the
    time in which any kernel ran). Empty if neither answers."""
    note: str = ""
    """Why GPM is not read, or less often than the link counters, and what to do; mostly empty."""


@dataclass(frozen=True, slots=True)
class CounterRefresh:
    """How often the driver refreshes its NVLink counters, measured by reading one GPU in quick succession."""

    shortest_s: float
    """Shortest time from one refresh to the next; 0 if every reading had new values."""
    typical_s: float
    longest_s: float
    """Longest such time, pauses of the traffic left out."""
    regular: bool
    """Whether refreshes come at equal distances."""
    error_s: float = 0.0
    """Largest error of the typical time, from the time between two readings."""
    after_s: float = 0.0
    """CLOCK_MONOTONIC of the last reading before a refresh …"""
    until_s: float = 0.0
    """… and of the first one after it."""
    calls: int = 0
    """NVML calls that the measurement has taken so far."""


@dataclass(frozen=True, slots=True)
class Host:
    """The machine around the GPUs."""

    cpu_percent: Maybe[float] = NOT_READ
    """Of all CPUs together, 0…100, since the reading before."""
    memory_used_bytes: Maybe[int] = NOT_READ
    memory_total_bytes: Maybe[int] = NOT_READ


@dataclass(frozen=True, slots=True)
class GpuInterval:
    """The effective interval of one GPU's link counters."""

    gpu: int
    """NVML index."""
    interval_s: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What reading cost over the last second or so."""

    calls_per_s: float = 0.0
    driver_s_per_s: float = 0.0
    """Seconds inside driver calls per second."""
    interval_s: float = 0.0
    """The effective interval of the link counters of most GPUs; longer than asked when sweeps are slow."""
    sweep_s: float = 0.0
    """How long one sweep over the link counters of these GPUs takes."""
    cpu_s_per_s: Maybe[float] = NOT_READ
    """CPU seconds of the reading process per second."""
    other_intervals: tuple[GpuInterval, ...] = ()
    """The GPUs that a thread of their own reads at another interval than `interval_s`."""

    def interval_of(self, gpu: int) -> float:
        """Return the effective interval of a GPU's link counters in seconds, by NVML index."""
        return next((o.interval_s for o in self.other_intervals if o.gpu == gpu), self.interval_s)

    def effective_interval_s(self, requested_s: float, gpu: int | None = None) -> float:
        """Return the interval of the link counters of one GPU, or of most; never below the requested one.

        The value measured last may be older than a change of the requested interval.
        """
        return max(requested_s, self.interval_s if gpu is None else self.interval_of(gpu))


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
"""The name of each group of values, as in the JSON's `age_s` and in recordings."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One group of values of one GPU (or of the host), and when it was read."""

    gpu: str | None
    """UUID; None for the host and the worker itself."""
    start_s: float
    """CLOCK_MONOTONIC before the call, in seconds."""
    end_s: float
    """CLOCK_MONOTONIC after it."""
    wall_s: float
    """Unix time after it; a label, never used for rates."""
    data: Data
    problem: str | None = None
    """Set if the GPU as a whole did not answer, such as `GPU is lost`."""

    @property
    def group(self) -> str:
        """Name of the group that `data` belongs to."""
        return GROUPS[type(self.data)]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the driver reported on its own."""

    mono_s: float
    wall_s: float
    gpu: str | None
    kind: str
    """`xid`, `recovery-action`, `gpu-unavailable`, …"""
    code: int
    """The XID, or the driver's number for another kind."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The worker begins to wait for the driver's events; earlier ones are not reported."""

    mono_s: float
    wall_s: float
    gpus: int
    """Number of GPUs whose driver reports events."""


@dataclass(frozen=True, slots=True)
class Call:
    """A driver call under way."""

    thread: str
    function: str
    gpu: int | None
    """NVML index."""
    since_s: float
    """CLOCK_MONOTONIC; later by the time in which nvltop was paused meanwhile, if it was."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The main process's clock, and what it knows of the worker."""

    mono_s: float
    wall_s: float
    interval_s: float
    """Asked refresh interval."""
    worker: str = "running"
    """`starting`, `running`, `stuck`, `paused` (stopped or starved), `ended`, `replaced`, or `replay`."""
    calls: tuple[Call, ...] = ()
    """Calls that have been going on for more than a second."""
    note: str = ""
    """One line for the user about the worker, if there is something to say."""

    @property
    def not_reading(self) -> Missing | None:
        """The reason why the reading process reads nothing at all; None while it reads."""
        if self.worker == "ended":
            return Missing(self.note or "nvltop's reading process has ended")
        return Missing("nvltop's reading process does not run") if self.worker == "paused" else None
