"""Which of two values of a node is the better one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nvltop.analysis.pcie import PCIE_LEVELS

ORDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "state": ("ok",),
    "link state": ("down", "traffic-disabled", "sleep", "up"),
    "NIC state": ("active",),
    "fabric state": ("not-started", "in-progress", "completed"),
    "fabric status": ("success",),
    "fabric health": ("unhealthy", "limited-capacity", "healthy"),
}
"""Values by name, the best last; a value that is not listed is worse than all of them."""
RISING: Final = frozenset(
    {"link speed", "NIC speed", "PCIe width", "PCIe width_max", "PCIe gen", "PCIe gen_max"}
)
"""Names of the numbers that are better if they are higher."""
TOPOLOGY: Final = "topology"


def is_better(what: str, earlier: Any, later: Any) -> bool:
    """Return whether the later value of `what` is better than the earlier one; False if that is not known."""
    ranks = _rank(what, earlier), _rank(what, later)
    return ranks[0] is not None and ranks[1] is not None and ranks[1] > ranks[0]


def _rank(what: str, value: Any) -> float | None:
    if what in RISING:
        return float(value) if isinstance(value, (int, float)) else None
    if what == TOPOLOGY:
        return _rank_of_cell(str(value))
    order = ORDERS.get(what)
    if order is None:
        return None
    return order.index(value) if value in order else -1


def _rank_of_cell(cell: str) -> float | None:
    """Return the rank of a cell of the matrix: the nearest PCIe path, and above it the number of NVLinks."""
    if cell.startswith("NV") and cell[2:].isdecimal():
        return float(cell[2:])
    return -1.0 - PCIE_LEVELS.index(cell) if cell in PCIE_LEVELS else None
