"""Names of NICs, of their types and of their error counters."""

from __future__ import annotations

from typing import Final

from nvltop.formatting import UNKNOWN
from nvltop.model import LPF, Frame, Maybe, Missing, NicFrame
from nvltop.model.error_kinds import error_kind

EFA: Final = "1d0f:efa"
"""Prefix of PCI vendor and device of Amazon's Elastic Fabric Adapter, whose link layer is `Unspecified`."""


def nic_name(f: NicFrame) -> str:
    """Return `mlx5_0`, or `mlx4_0 port 2` for a port after the first."""
    return f.nic.device if f.port.port < 2 else f"{f.nic.device} port {f.port.port}"


def nic_number(frame: Frame, f: NicFrame) -> str:
    """Return the number of the NIC's column in the matrix, such as `N3`; `-` if it has none."""
    labels = frame.matrix.labels[len(frame.matrix.p2p_nvlink) :]
    return f"N{labels.index(f.label)}" if f.label in labels else "-"


def nic_kind(f: NicFrame) -> str:
    """Return `IB`, `RoCE`, `Eth`, `EFA`, `LPF`, or the driver's name of another link layer."""
    if f.nic.role == LPF:
        return "LPF"
    if f.nic.rdma and f.nic.model.startswith(EFA):
        return "EFA"
    layer = f.port.link_layer
    if isinstance(layer, Missing):
        return UNKNOWN
    if layer == "Ethernet":
        return "RoCE" if f.nic.rdma else "Eth"
    return "IB" if layer == "InfiniBand" else layer


def row_values(f: NicFrame) -> dict[str, Maybe[object]]:
    """Return the values in the row of a NIC, by name."""
    beside: dict[str, Maybe[object]] = {"IP TX": f.ip_tx_bytes_per_s, "IP RX": f.ip_rx_bytes_per_s}
    return {
        "type": f.port.link_layer,
        "state": f.port.state,
        "speed": f.port.rate_bytes_per_s,
        "TX": f.tx_bytes_per_s,
        "RX": f.rx_bytes_per_s,
        **(beside if nic_kind(f) == "RoCE" else {}),
        **{error_kind(kind).plural: error.total for kind, error in f.errors.items()},
    }


def unknowns(frame: Frame) -> list[str]:
    """Return the reason of each `?` of the NICs, one line per reason."""
    listed = frame.inventory.nics
    if isinstance(listed, Missing) and not frame.nics:
        return [f"NICs: {listed.reason}"]
    reasons: dict[str, list[str]] = {}
    for f in frame.nics:
        for what, value in row_values(f).items():
            if isinstance(value, Missing):
                reasons.setdefault(f"{what}: {value.reason}", []).append(nic_name(f))
    return [f"NIC {why} ({', '.join(where)})" for why, where in reasons.items()]
