"""The node as NVML tells it, and why there are no GPUs if there are none."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import pynvml

from nvltop.host.pci import display_vendors, kernel_module_version, loaded_library_version
from nvltop.host.sysfs import proc_root, sys_root
from nvltop.model import C2c, Gpu, Inventory, Maybe, Missing, Pair, Problem, known
from nvltop.nvml.device import Device, bus_key, open_device, read_gpu
from nvltop.nvml.driver import NO_PERMISSION, REASONS, Driver
from nvltop.text import clean

TOPOLOGY_LEVELS: Final = {0: "PIX", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
"""nvmlGpuTopologyLevel_t in the notation of `nvidia-smi topo -m`; 0 is two GPUs on one board."""
P2P_STATUSES: Final = {0: "OK", 1: "CNS", 2: "GNS", 3: "TNS", 4: "DR", 5: "NS", 6: "U"}
"""nvmlGpuP2PStatus_t in the notation of `nvidia-smi topo -p2p`."""
P2P_NVLINK: Final = 2

MAX_GPUS: Final = 1024
EXCLUDED: Final = Missing("left out: a driver call on it hung")
DEMO_HINT: Final = "try `nvltop --demo` for a simulated node"


def initialise(driver: Driver) -> Problem | None:
    """Initialise NVML; the problem if that failed."""
    # nvmlInit_v2 does not touch the GPUs, so one bad GPU does not stop the others.
    answer = driver.call(pynvml.nvmlInit)
    return explain_failure(answer, driver) if isinstance(answer, Missing) else None


def explain_failure(failure: Missing, driver: Driver) -> Problem:
    """Say in plain words why NVML could not be used, and what to do."""
    vendors = display_vendors(sys_root())
    if failure in (REASONS[12], REASONS[9]) and "NVIDIA" not in vendors:
        other = _other_vendor(vendors)
        if other:
            return other
    if failure == REASONS[12]:
        return Problem(
            "no-library",
            "NVML (libnvidia-ml.so.1) was not found: no NVIDIA driver is installed here",
            f"install the driver, in a container run it with GPUs (`--gpus all`), or {DEMO_HINT}",
        )
    if failure == REASONS[9]:
        return Problem(
            "no-driver",
            "the NVIDIA kernel driver is not loaded",
            f"see `lsmod` (nvidia) and `dmesg`, load it with `modprobe nvidia`, or {DEMO_HINT}",
        )
    if failure == REASONS[18]:
        library = driver.call(pynvml.nvmlSystemGetNVMLVersion)
        return Problem(
            "version-mismatch",
            f"the driver's library ({_driver_part(library)}) and kernel module"
            f" ({kernel_module_version(proc_root()) or 'version unknown'}) are different versions",
            f"reboot, or unload and reload the nvidia kernel modules; or {DEMO_HINT}",
        )
    if failure == NO_PERMISSION:
        return Problem(
            "no-permission",
            "no permission to talk to the NVIDIA driver",
            f"check the rights of /dev/nvidiactl and /dev/nvidia* (`ls -l /dev/nvidia*`), or {DEMO_HINT}",
        )
    return Problem(
        "init-failed",
        f"NVML could not be initialised: {failure.reason}",
        f"see what `nvidia-smi` says, or {DEMO_HINT}",
    )


def no_gpu() -> Problem:
    """Say that the driver runs but shows no GPU."""
    vendors = display_vendors(sys_root())
    if "NVIDIA" not in vendors and (other := _other_vendor(vendors)):
        return other
    return Problem(
        "no-gpu",
        "the NVIDIA driver runs but shows no GPU",
        f"in a container pass them in (`--gpus all`), else see `nvidia-smi -L` and `dmesg`, or {DEMO_HINT}",
    )


def _other_vendor(vendors: Collection[str]) -> Problem | None:
    tools = {"AMD": "amd-smi or amdgpu_top", "Intel": "xpu-smi or intel_gpu_top"}
    for vendor, tool in tools.items():
        if vendor in vendors:
            return Problem(
                "no-gpu",
                f"no NVIDIA GPU here, but one from {vendor}",
                f"nvltop reads NVIDIA's NVLink only: use {tool}, or {DEMO_HINT}",
            )
    return None


def _driver_part(nvml_version: Maybe[str]) -> str:
    """Drop the CUDA major number that NVML puts before the driver's version."""
    if known(nvml_version):
        return nvml_version.partition(".")[2]
    return loaded_library_version() or "version unknown"


@dataclass(frozen=True, slots=True)
class DetectedGpus:
    """The GPUs that NVML counts."""

    devices: tuple[Device, ...] = ()
    unopened: Mapping[int, Missing] = field(default_factory=dict)
    """NVML index of each GPU that could not be opened, and why."""


def detect_gpus(driver: Driver, leave_out: Collection[int] = ()) -> Maybe[DetectedGpus]:
    """Open every GPU in NVML's order; indices in `leave_out` are not touched."""
    count = driver.call(pynvml.nvmlDeviceGetCount)
    if isinstance(count, Missing):
        return count
    devices: list[Device] = []
    refused = {}
    for index in range(min(count, MAX_GPUS)):
        device = EXCLUDED if index in leave_out else open_device(driver, index)
        if isinstance(device, Missing):
            refused[index] = device
        else:
            devices.append(device)
    return DetectedGpus(tuple(devices), refused)


def failed_inventory(driver: Driver, problem: Problem) -> Inventory:
    """Return the inventory of a node whose GPUs cannot be read at all."""
    return Inventory(
        mono_s=time.monotonic(),
        wall_s=time.time(),
        nvml_version=driver.call(pynvml.nvmlSystemGetNVMLVersion),
        hostname=clean(socket.gethostname()),
        problem=problem,
    )


def read_inventory(driver: Driver, found: DetectedGpus) -> Inventory:
    """Read everything that changes rarely."""
    devices = found.devices
    cuda = driver.call(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    buses: dict[tuple[int, int, int], str] = {}
    for device in devices:
        info = driver.call(pynvml.nvmlDeviceGetPciInfo, device.handle, gpu=device.index)
        key = None if isinstance(info, Missing) else bus_key(info)
        if key:
            buses[key] = device.uuid
    opened = [read_gpu(driver, device, buses) for device in devices]
    unopened = [unopened_gpu(index, why) for index, why in found.unopened.items()]
    return Inventory(
        mono_s=time.monotonic(),
        wall_s=time.time(),
        driver_version=driver.call(pynvml.nvmlSystemGetDriverVersion),
        nvml_version=driver.call(pynvml.nvmlSystemGetNVMLVersion),
        cuda_driver_version=f"{cuda // 1000}.{cuda % 1000 // 10}" if known(cuda) else cuda,
        hostname=clean(socket.gethostname()),
        gpus=tuple(sorted((*opened, *unopened), key=lambda gpu: gpu.index)),
        pairs=tuple(read_pairs(driver, devices)),
        problem=None if opened or unopened else no_gpu(),
    )


def unopened_gpu(index: int, why: Missing) -> Gpu:
    """Return the row of a GPU that NVML counts but does not open: all unknown, with the reason."""
    unread = {
        f.name: C2c(why, why, why) if f.name == "c2c" else why
        for f in fields(Gpu)
        if f.name not in ("index", "uuid", "problem")
    }
    return Gpu(index=index, uuid=f"GPU-index-{index}", problem=why.reason, **unread)  # type: ignore[arg-type]


def read_pairs(driver: Driver, devices: Sequence[Device]) -> list[Pair]:
    """Read PCIe level and NVLink P2P status of every ordered pair."""
    levels: dict[tuple[str, str], Maybe[str]] = {}
    pairs = []
    for a in devices:
        for b in devices:
            if a is b:
                continue
            if (level := levels.get((b.uuid, a.uuid))) is None:
                level = _level(
                    driver.call(pynvml.nvmlDeviceGetTopologyCommonAncestor, a.handle, b.handle, gpu=a.index)
                )
                levels[a.uuid, b.uuid] = level
            status = driver.call(pynvml.nvmlDeviceGetP2PStatus, a.handle, b.handle, P2P_NVLINK, gpu=a.index)
            pairs.append(
                Pair(
                    a.uuid,
                    b.uuid,
                    level,
                    P2P_STATUSES.get(status, f"? {status}") if known(status) else status,
                )
            )
    return pairs


def _level(number: Any) -> Maybe[str]:
    if isinstance(number, Missing):
        return number
    return TOPOLOGY_LEVELS.get(number) or (
        "PIX" if number == 0 else Missing(f"unknown topology level {number}")
    )
