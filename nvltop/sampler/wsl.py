"""Windows Subsystem for Linux, where NVML reports no NVLink even if a bridge is fitted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from nvltop.model import Gpu, Inventory, Missing, known

NOT_REPORTED: Final = Missing("WSL2 does not report NVLink")
_CAPABLE: Final = re.compile(
    r"\b2080\b|\b2070 SUPER|\b3090\b|TITAN (RTX|V)\b|Quadro (RTX [5-8]000|G[PV]100)|RTX A(4500|5\d00|6000)"
    r"|\bA(30|40)\b|\b[PVAHB][1-9]00\b"
)
"""Models with NVLink that a Windows machine may have; later GeForce and RTX models do not have NVLink."""


def without_links(inventory: Inventory) -> Inventory:
    """Return the inventory with the links of NVLink-capable GPUs marked as unknown if it is from WSL."""
    if inventory.wsl is not True:
        return inventory
    return replace(inventory, gpus=tuple(_unknown(gpu) for gpu in inventory.gpus))


def _unknown(gpu: Gpu) -> Gpu:
    capable = known(gpu.name) and _CAPABLE.search(gpu.name)
    return replace(gpu, remotes=NOT_REPORTED) if capable and gpu.remotes == () else gpu
