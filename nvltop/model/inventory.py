"""What changes rarely: the driver, the GPUs, their links and how they are joined."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from nvltop.model.missing import NOT_READ, Maybe
from nvltop.model.nic import Nic, PciLocation


class RemoteKind(str, Enum):
    """What stands at the other end of a link (`nvmlDeviceGetNvLinkRemoteDeviceType`)."""

    GPU = "gpu"
    SWITCH = "switch"
    NPU = "npu"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Remote:
    """The other end of a link."""

    kind: RemoteKind = RemoteKind.UNKNOWN
    pci_bus_id: Maybe[str] = NOT_READ
    """As NVML prints it; missing where it is hidden (VMs answer FFFFFFFF:FF:FF.0)."""
    gpu: str | None = None
    """UUID of the GPU of this node that the link ends in, if it does."""
    link: Maybe[int] = NOT_READ
    """Link number on the remote device (field 146)."""


@dataclass(frozen=True, slots=True)
class C2c:
    """Chip-to-chip link to a CPU; not NVLink links, and counted apart from them (fields 170-172)."""

    links: Maybe[int] = NOT_READ
    links_up: Maybe[int] = NOT_READ
    speed_bytes_per_s: Maybe[float] = NOT_READ
    """Sum over the links that are up, one direction."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, as far as it does not change while we watch."""

    index: int
    """NVML's index now; it can change when a GPU is lost, `uuid` cannot."""
    uuid: str
    name: Maybe[str] = NOT_READ
    pci_bus_id: Maybe[str] = NOT_READ
    architecture: Maybe[str] = NOT_READ
    """`hopper`, `blackwell`, …, or `arch N` for a number this version does not know."""
    numa_node: Maybe[int] = NOT_READ
    cpu_affinity: Maybe[str] = NOT_READ
    """CPU list such as `0-55,112-167`."""
    module_id: Maybe[int] = NOT_READ
    """Place on the baseboard (`nvmlDeviceGetModuleId`)."""
    minor: Maybe[int] = NOT_READ
    """N of /dev/nvidiaN."""
    virtualization: Maybe[str] = NOT_READ
    """`none`, `passthrough`, `vgpu`, `host-vgpu`, `host-vsga`."""
    mig: Maybe[bool] = NOT_READ
    persistence: Maybe[bool] = NOT_READ
    power_limit_w: Maybe[float] = NOT_READ
    pcie_gen_max: Maybe[int] = NOT_READ
    pcie_width_max: Maybe[int] = NOT_READ
    nvlink_generation: Maybe[str] = NOT_READ
    """NVIDIA's name, such as `4.0`; not NVML's enum value."""
    switch_links: Maybe[int] = NOT_READ
    """Links that end in an NVSwitch (field 147)."""
    remotes: Maybe[tuple[Remote, ...]] = NOT_READ
    """One per link present, by link index; empty where the GPU has no NVLink."""
    c2c: C2c = field(default_factory=C2c)
    problem: str | None = None
    """Why the driver would not open this GPU at all, such as `GPU is lost`."""
    numa_affinity: Maybe[str] = NOT_READ
    """NUMA nodes whose memory is near, such as `0` or `0,2-17`; `numa_node` is the first of them."""
    numa_id: Maybe[int] = NOT_READ
    """The NUMA node that its own memory is, on the boards where it is one (GH200, GB200)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """How two GPUs are joined, seen from `a`."""

    a: str
    b: str
    pcie: Maybe[str]
    """`PIX`, `PXB`, `PHB`, `NODE` or `SYS` (`nvmlDeviceGetTopologyCommonAncestor`)."""
    p2p_nvlink: Maybe[str]
    """`OK` or NVML's code for why not, as in `nvidia-smi topo -p2p n`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there are no GPUs to show."""

    id: str
    """`no-library`, `no-driver`, `version-mismatch`, `no-permission`, `no-gpu`, `init-failed` or
    `wrong-pynvml`."""
    summary: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """The node; sent at the start and whenever something in it changed."""

    mono_s: float
    """CLOCK_MONOTONIC when it was read, in seconds."""
    wall_s: float
    """Unix time of the same moment; a label, never used for rates."""
    driver_version: Maybe[str] = NOT_READ
    nvml_version: Maybe[str] = NOT_READ
    cuda_driver_version: Maybe[str] = NOT_READ
    hostname: Maybe[str] = NOT_READ
    gpus: tuple[Gpu, ...] = ()
    pairs: tuple[Pair, ...] = ()
    problem: Problem | None = None
    pci_gpus: Maybe[tuple[str, ...]] = NOT_READ
    """PCI bus ids of the GPUs that the kernel driver has and whose device file we may open."""
    container: Maybe[bool] = NOT_READ
    """Whether we run in a container, which may be shown fewer GPUs than there are."""
    booted_s: Maybe[float] = NOT_READ
    """Unix time at which the machine was switched on."""
    nics: Maybe[tuple[Nic, ...]] = NOT_READ
    """In the order of `nvidia-smi topo -m`."""
    gpu_locations: tuple[PciLocation, ...] = ()
    """Where GPUs sit on the PCI bus, those of which sysfs tells it."""
    demo: str | None = None
    """`NODE, SCENARIO` when the node is simulated."""
    driver_loaded_s: Maybe[float] = NOT_READ
    """Unix time at which the NVIDIA kernel modules were loaded."""
    wsl: Maybe[bool] = NOT_READ
    """Whether this is Windows Subsystem for Linux, where NVML does not report NVLink."""
