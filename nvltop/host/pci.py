"""Which graphics devices the PCI bus has, whatever their drivers say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

VENDORS: Final = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
DISPLAY_CLASSES: Final = ("0x0300", "0x0302", "0x0380", "0x1200")
"""VGA, 3D and other display controllers, and processing accelerators."""


def display_vendors(sys_root: Path = Path("/sys")) -> set[str]:
    """Return the vendors of the node's GPUs: `NVIDIA`, `AMD`, `Intel`."""
    devices = list((sys_root / "bus/pci/devices").glob("*"))
    found = {VENDORS.get(_read(d / "vendor")) for d in devices if _read(d / "class")[:6] in DISPLAY_CLASSES}
    return {vendor for vendor in found if vendor}


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def kernel_module_version(proc_root: Path = Path("/proc")) -> str | None:
    """Return the version of the loaded nvidia kernel module, such as `570.124.06`."""
    try:
        text = (proc_root / "driver/nvidia/version").read_text(errors="replace")
    except OSError:
        return None
    match = re.search(r"Kernel Module\D*([0-9]+(?:\.[0-9]+)+)", text)
    return match.group(1) if match else None


def loaded_library_version(proc_root: Path = Path("/proc")) -> str | None:
    """Return the version in the file name of the NVML library that this process has loaded."""
    try:
        maps = (proc_root / "self/maps").read_text(errors="replace")
    except OSError:
        return None
    match = re.search(r"libnvidia-ml\.so\.([0-9]+(?:\.[0-9]+)+)", maps)
    return match.group(1) if match else None
