"""Properties that rarely change: the driver, the GPUs, their links and the topology."""

from __future__ import annotations

from dataclasses import field
from enum import Enum

from nvltop.frozen import frozen
from nvltop.model.missing import NOT_READ, Maybe
from nvltop.model.nic import Nic, PciLocation


class RemoteKind(str, Enum):
    """Type of the remote device of a link (`nvmlDeviceGetNvLinkRemoteDeviceType`)."""

    GPU = "gpu"
    SWITCH = "switch"
    NPU = "npu"
    UNKNOWN = "unknown"


@frozen
class Remote:
    """The remote end of a link."""

    kind: RemoteKind = RemoteKind.UNKNOWN
    pci_bus_id: Maybe[str] = NOT_READ
    """PCI bus id in NVML's format; missing if hidden (in VMs, NVML returns FFFFFFFF:FF:FF.0)."""
    gpu: str | None = None
    """UUID of the remote GPU if it belongs to this node, otherwise None."""
    link: Maybe[int] = NOT_READ
    """Link number on the remote device (field 146)."""


@frozen
class C2c:
    """The chip-to-chip links of a GPU to a CPU, which are not NVLinks (fields 170 to 172)."""

    links: Maybe[int] = NOT_READ
    links_up: Maybe[int] = NOT_READ
    speed_bytes_per_s: Maybe[float] = NOT_READ
    """Sum of the speeds of the active links, one direction."""


@frozen
class Gpu:
    """Properties of one GPU that do not change while nvltop runs."""

    index: int
    """Current NVML index; it can change when a GPU is lost, `uuid` cannot."""
    uuid: str
    name: Maybe[str] = NOT_READ
    pci_bus_id: Maybe[str] = NOT_READ
    architecture: Maybe[str] = NOT_READ
    """`hopper`, `blackwell`, …, or `arch N` for a number unknown to this version."""
    numa_node: Maybe[int] = NOT_READ
    cpu_affinity: Maybe[str] = NOT_READ
    """CPU list such as `0-55,112-167`."""
    module_id: Maybe[int] = NOT_READ
    """Position on the baseboard (`nvmlDeviceGetModuleId`)."""
    minor: Maybe[int] = NOT_READ
    """N of /dev/nvidiaN."""
    virtualization: Maybe[str] = NOT_READ
    """`none`, `passthrough`, `vgpu`, `host-vgpu` or `host-vsga`."""
    mig: Maybe[bool] = NOT_READ
    persistence: Maybe[bool] = NOT_READ
    power_limit_w: Maybe[float] = NOT_READ
    pcie_gen_max: Maybe[int] = NOT_READ
    pcie_width_max: Maybe[int] = NOT_READ
    nvlink_generation: Maybe[str] = NOT_READ
    """Generation as NVIDIA names it, such as `4.0`; not NVML's enum value."""
    switch_links: Maybe[int] = NOT_READ
    """Number of links to NVSwitches (field 147)."""
    remotes: Maybe[tuple[Remote, ...]] = NOT_READ
    """Remote end of each link, by link index; empty if the GPU has no NVLink."""
    c2c: C2c = field(default_factory=C2c)
    problem: str | None = None
    """Reason why the driver did not open this GPU, such as `GPU is lost`; None if it did."""
    numa_affinity: Maybe[str] = NOT_READ
    """Nearest NUMA nodes by memory, such as `0` or `0,2-17`; `numa_node` is the first of them."""
    numa_id: Maybe[int] = NOT_READ
    """NUMA node that consists of the GPU's own memory, on GH200 and GB200."""
    vbios: Maybe[str] = NOT_READ
    """Version of the VBIOS."""
    board_part_number: Maybe[str] = NOT_READ
    nvlink_firmware: Maybe[str] = NOT_READ
    """Versions by microcode, such as `MSE 14.4.0, NETIR 36.2014.1862` (`nvmlDeviceGetNvLinkInfo`)."""
    nvlink_encryption: Maybe[bool] = NOT_READ
    """Whether NVLink encryption (NVLE) is enabled."""
    chassis_serial: Maybe[str] = NOT_READ
    """Serial number of the chassis (`nvmlDeviceGetPlatformInfo`)."""
    slot: Maybe[int] = NOT_READ
    """Slot in the chassis, with those of switches counted."""
    tray: Maybe[int] = NOT_READ
    """Index of the tray among the compute trays of the chassis."""
    host_id: Maybe[int] = NOT_READ
    """Index of the node within its slot."""
    slowdown_c: Maybe[int] = NOT_READ
    """Temperature from which the hardware slows the GPU down, degrees Celsius
    (`nvmlDeviceGetTemperatureThreshold`). Since Ada, drivers report only margins to their limits."""


@frozen
class Pair:
    """How GPUs `a` and `b` are connected, as reported for `a`."""

    a: str
    b: str
    pcie: Maybe[str]
    """`PIX`, `PXB`, `PHB`, `NODE` or `SYS` (`nvmlDeviceGetTopologyCommonAncestor`)."""
    p2p_nvlink: Maybe[str]
    """`OK`, or NVML's code for the reason why not, as in `nvidia-smi topo -p2p n`."""


@frozen
class Problem:
    """The reason why no GPU can be read."""

    id: str
    """`no-library`, `no-driver`, `version-mismatch`, `no-permission`, `no-gpu`, `init-failed` or
    `wrong-pynvml`."""
    summary: str
    next_step: str


@frozen
class Inventory:
    """The node; sent at the start and after each change."""

    mono_s: float
    """CLOCK_MONOTONIC at the time of reading, seconds."""
    wall_s: float
    """Unix time at the time of reading; for display, never for rates."""
    driver_version: Maybe[str] = NOT_READ
    nvml_version: Maybe[str] = NOT_READ
    cuda_driver_version: Maybe[str] = NOT_READ
    hostname: Maybe[str] = NOT_READ
    gpus: tuple[Gpu, ...] = ()
    pairs: tuple[Pair, ...] = ()
    problem: Problem | None = None
    pci_gpus: Maybe[tuple[str, ...]] = NOT_READ
    """PCI bus ids of the GPUs that the kernel driver lists and whose device file nvltop may open."""
    container: Maybe[bool] = NOT_READ
    """Whether nvltop runs in a container, which may have access to only some of the GPUs."""
    booted_s: Maybe[float] = NOT_READ
    """Unix time at which the machine booted."""
    nics: Maybe[tuple[Nic, ...]] = NOT_READ
    """NICs in the order of `nvidia-smi topo -m`."""
    gpu_locations: tuple[PciLocation, ...] = ()
    """PCI locations of the GPUs for which sysfs has one."""
    demo: str | None = None
    """`NODE, SCENARIO` of a simulated node, otherwise None."""
    driver_loaded_s: Maybe[float] = NOT_READ
    """Unix time at which the NVIDIA kernel modules were loaded."""
    wsl: Maybe[bool] = NOT_READ
    """Whether this is Windows Subsystem for Linux, where NVML does not report NVLink."""
