"""Graphics devices on the PCI bus, independent of their drivers."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nvltop.host.sysfs import list_names, read_text
from nvltop.model import Maybe, Missing, known
from nvltop.text import bus_number, clean

VENDOR_NAMES: Final = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
"""Vendors by PCI vendor id."""
DISPLAY_CLASSES: Final = ("0x0300", "0x0302", "0x0380", "0x1200")
"""PCI classes of VGA, 3D and other display controllers, and of processing accelerators."""


def display_vendors(sys_root: Path = Path("/sys")) -> set[str]:
    """Return the vendors of the node's GPUs: `NVIDIA`, `AMD`, `Intel`."""
    folder = sys_root / "bus/pci/devices"
    devices = [folder / name for name in list_names(folder)]
    found = {
        VENDOR_NAMES.get(_read(d / "vendor")) for d in devices if _read(d / "class")[:6] in DISPLAY_CLASSES
    }
    return {vendor for vendor in found if vendor}


def kernel_driver_gpus(
    shown: Sequence[str], proc_root: Path = Path("/proc"), dev_root: Path = Path("/dev")
) -> Maybe[tuple[str, ...]]:
    """Return the PCI bus ids of the accessible GPUs that the nvidia kernel driver lists.

    `shown` are the bus ids that NVML lists. Other GPUs are tested by opening their device files; GPUs that a
    container or a device cgroup (Slurm) makes inaccessible are omitted.
    """
    found = []
    root = proc_root / "driver/nvidia/gpus"
    if not os.path.isdir(root):
        return Missing("the kernel driver lists no GPUs")
    numbers = {bus_number(bus) for bus in shown}
    for name in list_names(root):
        number = bus_number(name)
        minor = re.search(r"Device Minor:\s*(\d+)", _read(root / name / "information"))
        if number and (number in numbers or (minor and _is_accessible(dev_root / f"nvidia{minor.group(1)}"))):
            found.append(clean(name))
    return tuple(found)


def _is_accessible(device: Path) -> bool:
    """Return whether a device file is accessible; an I/O error means a broken device, not a hidden one."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EIO
    return True


def _read(path: Path) -> str:
    text = read_text(path)
    return text if known(text) else ""


def kernel_module_version(proc_root: Path = Path("/proc")) -> str | None:
    """Return the version of the loaded nvidia kernel module, such as `570.124.06`."""
    match = re.search(r"Kernel Module\D*([0-9]+(?:\.[0-9]+)+)", _read(proc_root / "driver/nvidia/version"))
    return match.group(1) if match else None


def loaded_library_version(proc_root: Path = Path("/proc")) -> str | None:
    """Return the version in the file name of the NVML library that this process has loaded."""
    try:
        maps = (proc_root / "self/maps").read_text(errors="replace")
    except OSError:
        return None
    match = re.search(r"libnvidia-ml\.so\.([0-9]+(?:\.[0-9]+)+)", maps)
    return match.group(1) if match else None
