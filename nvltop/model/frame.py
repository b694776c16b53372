"""What is drawn and written: one moment of the node, worked out from the items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nvltop.model.activity import Activity, Judgement
from nvltop.model.finding import Check, Finding, Pending
from nvltop.model.inventory import Gpu, Inventory, Remote
from nvltop.model.job import Job, Processes
from nvltop.model.kernel_log import FabricLog, Incident
from nvltop.model.missing import NOT_READ, Maybe
from nvltop.model.nic import Nic, NicPort
from nvltop.model.reading import (
    C2cTraffic,
    ComputeActivity,
    Cost,
    Counter,
    Event,
    Fabric,
    Gauges,
    Host,
    LinkBer,
    LinkState,
    PcieTraffic,
    Scope,
    Tick,
)


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """One error counter of one link."""

    total: Maybe[int]
    """Since the driver loaded or the GPU was reset."""
    since_start: Maybe[int]
    """Increases seen since nvltop started; resets do not lower it."""
    per_min: Maybe[float]
    """Increases over the last minute."""
    last_change_s: float | None
    """Seconds since the last increase seen; None if none was."""
    minutes: int = 0
    """Bit mask of the last 30 one-minute windows with an increase; bit 0 is the current one."""
    peak_per_s: float = 0.0
    """Fastest increase between two readings of the last minute."""
    reset_s: float | None = None
    """Seconds since the counter was last seen to go down; None if it never was."""


@dataclass(frozen=True, slots=True)
class Link:
    """One link of one GPU, now."""

    index: int
    state: LinkState
    state_reason: str = ""
    """Why the state is unknown."""
    speed_bytes_per_s: Maybe[float] = NOT_READ
    """What the link can carry, one direction."""
    remote: Remote = field(default_factory=Remote)
    tx_bytes_per_s: Maybe[float] = NOT_READ
    rx_bytes_per_s: Maybe[float] = NOT_READ
    tx_bytes_total: Maybe[int] = NOT_READ
    rx_bytes_total: Maybe[int] = NOT_READ
    errors: Mapping[str, ErrorCount] = field(default_factory=dict)
    """By kind, only kinds that the board can count."""
    mean_tx_bytes_per_s: Maybe[float] = NOT_READ
    """Mean over the window of `GpuFrame.mean_span_s`."""
    mean_rx_bytes_per_s: Maybe[float] = NOT_READ

    @property
    def active(self) -> bool:
        """Whether the link is trained (up, asleep, or trained without traffic)."""
        return self.state.active


@dataclass(frozen=True, slots=True)
class NvLink:
    """The NVLinks of one GPU together."""

    links_present: Maybe[int] = NOT_READ
    """0 on a GPU without NVLink."""
    links_up: Maybe[int] = NOT_READ
    speed_bytes_per_s: Maybe[float] = NOT_READ
    """Sum of the up links' speeds, one direction: the 100 % of `% of speed`."""
    ceiling: Maybe[float] = NOT_READ
    """Share of the speed (0…1) that NCCL reaches in practice on this generation."""
    tx_bytes_per_s: Maybe[float] = NOT_READ
    rx_bytes_per_s: Maybe[float] = NOT_READ
    recent_share: Maybe[float] = NOT_READ
    """Mean over the last seconds of the busier direction's share of the speed."""
    recent_s: float = 0.0
    """How many seconds that mean is over; it grows to ten."""
    counter: Maybe[Counter] = NOT_READ
    scope: Maybe[Scope] = NOT_READ
    errors_total: Maybe[int] = NOT_READ
    """All error kinds that mean trouble, summed over the links: lifetime."""
    errors_since_start: Maybe[int] = NOT_READ
    tx_bytes_total: Maybe[int] = NOT_READ
    """Only where the driver counts all links as one; elsewhere links come and go, and a sum would jump."""
    rx_bytes_total: Maybe[int] = NOT_READ
    mean_tx_bytes_per_s: Maybe[float] = NOT_READ
    """Mean over the window of `GpuFrame.mean_span_s`: what tables show and sort by."""
    mean_rx_bytes_per_s: Maybe[float] = NOT_READ
    peak_tx_bytes_per_s: Maybe[float] = NOT_READ
    """Highest rate between two readings of that window."""
    peak_rx_bytes_per_s: Maybe[float] = NOT_READ


@dataclass(frozen=True, slots=True)
class LinkSpan:
    """What the links of one GPU moved between two refreshes of their counters."""

    start_s: float
    """CLOCK_MONOTONIC."""
    end_s: float
    tx_bytes_per_s: Maybe[float]
    """All links together."""
    rx_bytes_per_s: Maybe[float]
    rates: tuple[Maybe[float], ...]
    """Bytes/s of each counter: TX of every link, then RX; TX and RX alone for `Scope.GPU`."""


@dataclass(frozen=True, slots=True)
class Throttling:
    """Share of the last seconds, 0…1, in which the driver throttled the clocks, by reason.

    The driver counts these times (`Gauges.power_cap_s` and the like), so nothing between two readings is
    missed. Several reasons can apply at once: the shares do not add up.
    """

    over_s: Maybe[float] = NOT_READ
    """Length in seconds of the time that the shares refer to."""
    power_cap: Maybe[float] = NOT_READ
    sw_thermal: Maybe[float] = NOT_READ
    hw_thermal: Maybe[float] = NOT_READ
    power_brake: Maybe[float] = NOT_READ


@dataclass(frozen=True, slots=True)
class GpuFrame:
    """One GPU, now."""

    gpu: Gpu
    state: str = "ok"
    """`ok`, `lost`, `unreadable`."""
    state_reason: str = ""
    age_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds since each group of values was read."""
    gauges: Gauges = field(default_factory=Gauges)
    pcie: PcieTraffic = field(default_factory=PcieTraffic)
    c2c: C2cTraffic = field(default_factory=C2cTraffic)
    fabric: Fabric = field(default_factory=Fabric)
    nvlink: NvLink = field(default_factory=NvLink)
    links: Sequence[Link] = ()
    ber: LinkBer | None = None
    """None on boards that tell none, and before the first reading."""
    span_s: tuple[float, float] | None = None
    """CLOCK_MONOTONIC of the start and the end of the time that the newest link rates are means over."""
    pcie_span_s: tuple[float, float] | None = None
    stale: bool = False
    """The link counters (without NVLink: all values) are older than they should be."""
    spans: tuple[LinkSpan, ...] = ()
    """The last spans, oldest first: more than one may have ended since the frame before."""
    mean_span_s: tuple[float, float] | None = None
    """CLOCK_MONOTONIC of the window that the means of the links are over."""
    mean_is_step: bool = False
    """Whether that window is a step of the GPU's job (or several where a step is very short)."""
    compute: ComputeActivity = field(default_factory=ComputeActivity)
    compute_span_s: tuple[float, float] | None = None
    """CLOCK_MONOTONIC of the span that `compute` is the mean of."""
    throttling: Throttling = field(default_factory=Throttling)


@dataclass(frozen=True, slots=True)
class NicFrame:
    """One port of a NIC, now."""

    nic: Nic
    port: NicPort
    """As last read; its state is `gone` if the port no longer is."""
    label: str = ""
    """Of the NIC in the matrix, such as `NIC3`; empty if it is not in it."""
    tx_bytes_per_s: Maybe[float] = NOT_READ
    rx_bytes_per_s: Maybe[float] = NOT_READ
    ip_tx_bytes_per_s: Maybe[float] = NOT_READ
    """What goes through the kernel beside RDMA; only on RoCE."""
    ip_rx_bytes_per_s: Maybe[float] = NOT_READ
    errors: Mapping[str, ErrorCount] = field(default_factory=dict)
    """By the kernel's name of the counter, only those that there are."""
    span_s: tuple[float, float] | None = None
    """CLOCK_MONOTONIC of the two readings that the rates are from."""
    age_s: float = 0.0
    """Seconds since the port was read."""
    stale: bool = False
    """That is longer ago than it should be."""

    @property
    def active(self) -> bool:
        """Whether the port carries traffic, or could."""
        return self.port.state == "active"


@dataclass(frozen=True, slots=True)
class Matrix:
    """The matrix of `nvidia-smi topo -m`, and what else is known per pair of GPUs. All are square."""

    labels: tuple[str, ...] = ()
    """GPUs, then NICs."""
    cells: tuple[tuple[str, ...], ...] = ()
    """By label: `X`, `NV#`, `PIX`, `PXB`, `PHB`, `NODE`, `SYS`, or `?` where it could not be read."""
    p2p_nvlink: tuple[tuple[Maybe[str], ...], ...] = ()
    """By GPU: `X`, `OK`, or NVML's code for why not."""
    pair_tx_bytes_per_s: tuple[tuple[Maybe[float], ...], ...] = ()
    """By GPU, from row to column; missing on NVSwitch boards, where NVML cannot know it."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """`ROW,COLUMN` of each `?` cell and why."""
    legend: Mapping[str, str] = field(default_factory=dict)
    """Name of the NIC behind each label, where the labels are numbers."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "is NVLink working, and is it my bottleneck?"."""

    id: str
    """One of `VERDICT_IDS` (nvltop/analysis/verdict.py)."""
    summary: str
    """One or two sentences."""
    headline: str = ""
    """At most 45 characters."""
    watched_s: float = 0.0
    """How long the traffic has been read, in seconds."""
    judgement: Judgement | None = None
    """The numbers that it is made from: those of the most limited job."""
    others: int = 0
    """Other jobs that use NVLink."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything there is to show at one moment."""

    inventory: Inventory
    tick: Tick
    started_s: float
    """Unix time of the first item."""
    gpus: tuple[GpuFrame, ...] = ()
    matrix: Matrix = field(default_factory=Matrix)
    nics: tuple[NicFrame, ...] = ()
    """Every port of every NIC."""
    host: Host = field(default_factory=Host)
    cost: Cost = field(default_factory=Cost)
    verdict: Verdict = Verdict("starting", "Waiting for the first readings")
    findings: tuple[Finding, ...] = ()
    """Worst first."""
    past_findings: tuple[Finding, ...] = ()
    """Those that have ended, newest first."""
    checks: tuple[Check, ...] = ()
    events: tuple[Event, ...] = ()
    processes: Maybe[Processes] = NOT_READ
    jobs: tuple[Job, ...] = ()
    activity: tuple[Activity, ...] = ()
    """Of the jobs that use NVLink, and of GPUs that work together without a job being known."""
    judgements: tuple[Judgement, ...] = ()
    """Whether NVLink limits each job, and each GPU that belongs to none."""
    at_limit_s: tuple[tuple[str, float], ...] = ()
    """UUID of a GPU, and the seconds since the start in which its links were at or near their limit."""
    sequence: int = 0
    """Counts frames that brought new link rates; a series takes one value per step."""
    pending: tuple[Pending, ...] = ()
    """Conditions whose delay has not passed, worst first."""
    incidents: tuple[Incident, ...] = ()
    """Faults of the logs and of NVML that belong together, the newest first."""
    log_access: str = ""
    """Why the kernel log is not read, and what to do; empty while it is read or was not tried yet."""
    fabric_log: FabricLog = field(default_factory=FabricLog)

    @property
    def interval_s(self) -> float:
        """The effective interval of the link counters in seconds; longer than requested if reads are slow."""
        return self.cost.effective_interval_s(self.tick.interval_s)


Show = Callable[[Frame, "list[str] | None"], None]
"""Takes each frame, and the UUIDs of the GPUs to show; None stands for all."""
