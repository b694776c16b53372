"""Kinds of machines, as far as rules and their next steps depend on them.

The service that sets up NVLink depends on the board, and a next step must not name a service that the
machine does not have:

- bridges between cards, and boards whose GPUs are linked directly: no service;
- HGX boards with NVSwitches: the fabric manager on the host;
- HGX boards of NVLink 5 (B200, B300): the fabric manager with the subnet manager NVLSM, which needs
  `ib_umad` and reaches the NVSwitches through their InfiniBand devices (LPF);
- trays of a rack (GB200, GB300): NMX on the switch trays, outside this node;
- virtual machines: the host.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Final

from nvltop.frozen import frozen
from nvltop.model import Gpu, Inventory, RemoteKind, known

GUEST_MODES: Final = ("passthrough", "vgpu")
"""NVML virtualization modes of a GPU in a guest."""

_BRIDGED: Final = re.compile(r"PCI-?E|\bNVL\b|RTX|GeForce|Quadro|TITAN|\bA(2|10|16|30|40)\b|\bA\d{4}\b", re.I)
_SOLD_BRIDGED: Final = re.compile(r"\bH\d{3} NVL\b", re.I)
_BRIDGES: Final = (
    (re.compile(r"\bH200 NVL\b", re.I), 6),
    (re.compile(r"\b[AH][18]00\b|\bA30\b", re.I), 4),
    (re.compile(r"\bG[PV]100\b", re.I), 2),
)
"""Smallest number of links between two bridged cards, by model.

An H200 NVL has all 18 links to one other card (2-way bridge) or 6 to each of three (4-way bridge); A100,
A30 and H100 cards have 4 links per bridge."""
_RACK: Final = re.compile(r"\bGB[23]00\b")


class Interconnect(Enum):
    """How the GPUs of a node are linked."""

    NONE = "no NVLink"
    BRIDGE = "bridges between cards"
    DIRECT = "links from GPU to GPU on the board"
    SWITCH = "NVSwitches on the board"
    SWITCH5 = "NVLink 5 NVSwitches on the board"
    RACK = "NVSwitches of the rack"


@frozen
class Board:
    """Properties of the machine that rules depend on; they change only with the inventory."""

    interconnect: Interconnect
    virtual: bool
    """Whether this is a virtual machine to which the GPUs are passed through."""
    pcie_cards: bool
    """Whether the GPUs are cards in PCIe slots, which can be reseated."""
    reset_together: bool
    """Whether a GPU can only be reset together with the GPUs it is linked to.

    That is so on boards without NVSwitches and before Ampere (`nvidia-smi --gpu-reset`)."""

    @classmethod
    def of(cls, inventory: Inventory) -> Board:
        """Return the properties of the machine with this inventory."""
        gpus = inventory.gpus
        virtual = any(g.virtualization in GUEST_MODES for g in gpus)
        linked = [g for g in gpus if known(g.remotes) and g.remotes]
        switched = [g for g in linked if ends_in_switches(g)]
        cards = bool(gpus) and all(_is_card(g) for g in gpus)
        if not linked:
            kind = Interconnect.NONE
        elif any(is_rack(g) for g in switched):
            kind = Interconnect.RACK
        elif switched:
            kind = Interconnect.SWITCH5 if any(_nvlink5(g) for g in switched) else Interconnect.SWITCH
        else:
            kind = Interconnect.BRIDGE if all(optional_bridge(g) for g in linked) else Interconnect.DIRECT
        old = any(g.architecture in ("pascal", "volta") for g in linked)
        return cls(kind, virtual, cards, reset_together=kind is Interconnect.DIRECT or old)

    @property
    def fabric_next_step(self) -> str:
        """Return the next step for a fault of the fabric."""
        if self.virtual:
            return "Ask whoever runs the host: the NVSwitches and the fabric manager are outside this VM"
        if self.interconnect is Interconnect.RACK:
            return (
                "See the NVLink domain's state in NMX on the rack's switch trays,"
                " then `systemctl status nvidia-imex` here"
            )
        if self.interconnect is Interconnect.SWITCH5:
            return (
                "See `systemctl status nvidia-fabricmanager` and its log; it needs NVLSM (`nvlsm`)"
                " and the module `ib_umad` (see `lsmod`)"
            )
        if self.interconnect is Interconnect.SWITCH:
            return "See `systemctl status nvidia-fabricmanager` and /var/log/fabricmanager.log"
        return "See `nvidia-smi nvlink -s` and `dmesg`"

    @property
    def link_next_step(self) -> str:
        """Return the next step for a link that is down."""
        if self.interconnect is Interconnect.BRIDGE:
            return (
                "Switch the machine off, reseat the NVLink bridge and clean its contacts;"
                " if that does not help, try another bridge"
            )
        look = (
            "Look for Xid 149 and 145"
            if self.interconnect in (Interconnect.SWITCH5, Interconnect.RACK)
            else "Look for Xid 74"
        )
        if self.interconnect is Interconnect.SWITCH:
            look += " and for SXid lines of the NVSwitches"
        reset = "drain the GPU and reset it (`nvidia-smi -r`)"
        if self.reset_together:
            reset = "drain the node and reset all GPUs together (`nvidia-smi -r`)"
        if self.interconnect is Interconnect.RACK:
            reset += ", check the tray's cable cartridge and the switch port"
        if self.virtual:
            reset = "drain the VM, and ask whoever runs the host for a reset"
        return f"{look} in `dmesg`, {reset}; if it goes down again, ask for NVIDIA's field diagnostic"


def ends_in_switches(gpu: Gpu) -> bool:
    """Return whether links of a GPU lead to NVSwitches."""
    if known(gpu.switch_links) and gpu.switch_links > 0:
        return True
    return known(gpu.remotes) and any(r.kind is RemoteKind.SWITCH for r in gpu.remotes)


def is_rack(gpu: Gpu) -> bool:
    """Return whether this model is used in racks (GB200, GB300)."""
    return known(gpu.name) and _RACK.search(gpu.name) is not None


def optional_bridge(gpu: Gpu) -> bool:
    """Return whether this model is linked by bridges, with which a machine may or may not be equipped."""
    return known(gpu.name) and _is_bridged(gpu.name)


@lru_cache(maxsize=64)  # called for every GPU each second, and a node has few models
def _is_bridged(name: str) -> bool:
    return _BRIDGED.search(name) is not None


def sold_with_bridge(gpu: Gpu) -> bool:
    """Return whether cards of this model are sold to be used with a bridge (H100 NVL, H200 NVL)."""
    return known(gpu.name) and _SOLD_BRIDGED.search(gpu.name) is not None


def links_per_bridge(gpu: Gpu, present: int) -> int:
    """Return how many links of this model one bridge has, at most `present`.

    Cards that are not listed in `_BRIDGES` (RTX, Quadro, TITAN, A40) have all their links in one bridge.
    """
    name = gpu.name if known(gpu.name) else ""
    each = next((count for model, count in _BRIDGES if model.search(name)), present)
    return max(1, min(each, present))


def _is_card(gpu: Gpu) -> bool:
    if optional_bridge(gpu):
        return True
    return (
        known(gpu.name) and re.search(r"\bL40S?\b|\bL4\b|\bT4\b|\bP\d{2}\b|PRO \d{4}", gpu.name) is not None
    )


def _nvlink5(gpu: Gpu) -> bool:
    return gpu.architecture in ("blackwell", "rubin")
