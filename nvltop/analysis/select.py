"""Selection of the GPUs that the user named."""

from __future__ import annotations

from collections.abc import Sequence

from nvltop.model import Gpu, known
from nvltop.text import bus_number


class NoSuchGpuError(LookupError):
    """No GPU has the given name; the message lists the existing ones."""


def select(gpus: Sequence[Gpu], wanted: Sequence[str]) -> list[str] | None:
    """Return the UUIDs of the GPUs named by index, UUID or PCI bus id; None means all GPUs."""
    if not wanted:
        return None
    return [_find(gpus, name.strip()) for name in wanted]


def _find(gpus: Sequence[Gpu], name: str) -> str:
    for gpu in gpus:
        if name == str(gpu.index) or name.lower() == gpu.uuid.lower():
            return gpu.uuid
        if known(gpu.pci_bus_id) and bus_number(name) and bus_number(name) == bus_number(gpu.pci_bus_id):
            return gpu.uuid
    there = ", ".join(str(gpu.index) for gpu in gpus)
    raise NoSuchGpuError(f"no GPU {name!r} here; give an index ({there}), a UUID or a PCI bus id")
