"""The node as NVML describes it, and why no GPUs are found if there are none."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, fields
from typing import Any, Final

import pynvml

from nvltop.frozen import frozen
from nvltop.host.pci import display_vendors, kernel_module_version, loaded_library_version
from nvltop.host.sysfs import proc_root, sys_root
from nvltop.model import C2c, Gpu, Inventory, Maybe, Missing, Pair, Problem, known
from nvltop.nvml.device import Device, bus_key, open_device, read_gpu
from nvltop.nvml.driver import DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, NO_PERMISSION, VERSIONS_DIFFER, Driver
from nvltop.text import clean

TOPOLOGY_LEVELS: Final = {0: "PIX", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
"""Abbreviations of nvmlGpuTopologyLevel_t in `nvidia-smi topo -m`; 0 is two GPUs on one board."""
P2P_STATUSES: Final = {0: "OK", 1: "CNS", 2: "GNS", 3: "TNS", 4: "DR", 5: "NS", 6: "U"}
"""Abbreviations of nvmlGpuP2PStatus_t in `nvidia-smi topo -p2p`."""
P2P_NVLINK: Final = 2
"""nvmlGpuP2PCapsIndex_t of NVLink."""

MAX_GPUS: Final = 1024
"""Largest number of GPUs that are opened."""
EXCLUDED: Final = Missing("left out: a driver call on it hung")
DEMO_HINT: Final = "try `nvltop --demo` for a simulated node"


def initialise(driver: Driver) -> Problem | None:
    """Initialize NVML; return the problem if that failed."""
    # nvmlInit_v2 does not touch the GPUs, so one bad GPU does not stop the others.
    answer = driver.call(pynvml.nvmlInit)
    return explain_failure(answer, driver) if isinstance(answer, Missing) else None


def explain_failure(failure: Missing, driver: Driver) -> Problem:
    """Return a description of why NVML could not be used, and what to do."""
    vendors = display_vendors(sys_root())
    if failure in (LIBRARY_NOT_FOUND, DRIVER_NOT_LOADED) and "NVIDIA" not in vendors:
        other = _other_vendor(vendors)
        if other:
            return other
    if failure == LIBRARY_NOT_FOUND:
        return Problem(
            "no-library",
            "NVML (libnvidia-ml.so.1) was not found: no NVIDIA driver is installed here",
            f"install the driver, in a container run it with GPUs (`--gpus all`), or {DEMO_HINT}",
        )
    if failure == DRIVER_NOT_LOADED:
        return Problem(
            "no-driver",
            "the NVIDIA kernel driver is not loaded",
            f"see `lsmod` (nvidia) and `dmesg`, load it with `modprobe nvidia`, or {DEMO_HINT}",
        )
    if failure == VERSIONS_DIFFER:
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
    """Return the problem that the driver runs but lists no GPU."""
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
    """Return the driver version without the CUDA major version that NVML prepends."""
    if known(nvml_version):
        return nvml_version.partition(".")[2]
    return loaded_library_version() or "version unknown"


@frozen
class DetectedGpus:
    """The GPUs that NVML lists."""

    devices: tuple[Device, ...] = ()
    unopened: Mapping[int, Missing] = field(default_factory=dict)
    """Reason for each GPU that could not be opened, by NVML index."""


def detect_gpus(driver: Driver, excluded: Collection[int] = ()) -> Maybe[DetectedGpus]:
    """Open every GPU in NVML's order, except those with an index in `excluded`."""
    count = driver.call(pynvml.nvmlDeviceGetCount)
    if isinstance(count, Missing):
        return count
    devices: list[Device] = []
    unopened = {}
    for index in range(min(count, MAX_GPUS)):
        device = EXCLUDED if index in excluded else open_device(driver, index)
        if isinstance(device, Missing):
            unopened[index] = device
        else:
            devices.append(device)
    return DetectedGpus(tuple(devices), unopened)


def failed_inventory(driver: Driver, problem: Problem) -> Inventory:
    """Return the inventory of a node whose GPUs cannot be read at all."""
    return Inventory(
        mono_s=time.monotonic(),
        wall_s=time.time(),
        nvml_version=driver.call(pynvml.nvmlSystemGetNVMLVersion),
        hostname=clean(os.uname().nodename),
        problem=problem,
    )


def read_inventory(driver: Driver, found: DetectedGpus) -> Inventory:
    """Read the properties of the node and its GPUs, which change rarely."""
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
        hostname=clean(os.uname().nodename),
        gpus=tuple(sorted((*opened, *unopened), key=lambda gpu: gpu.index)),
        pairs=tuple(read_pairs(driver, devices)),
        problem=None if opened or unopened else no_gpu(),
    )


def unopened_gpu(index: int, why: Missing) -> Gpu:
    """Return a GPU that NVML lists but cannot open; all its properties are missing with the reason."""
    unread: dict[str, Any] = {
        f.name: C2c(why, why, why) if f.name == "c2c" else why
        for f in fields(Gpu)
        if f.name not in ("index", "uuid", "problem")
    }
    return Gpu(index=index, uuid=f"GPU-index-{index}", problem=why.reason, **unread)


def read_pairs(driver: Driver, devices: Sequence[Device]) -> list[Pair]:
    """Read the PCIe topology level and the NVLink P2P status of every ordered pair of GPUs."""
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
            p2p = P2P_STATUSES.get(status, f"? {status}") if known(status) else status
            pairs.append(Pair(a.uuid, b.uuid, level, p2p))
    return pairs


def _level(number: Any) -> Maybe[str]:
    if isinstance(number, Missing):
        return number
    return TOPOLOGY_LEVELS.get(number) or Missing(f"unknown topology level {number}")
