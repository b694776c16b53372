"""NICs in words: names, kinds, what their error counters count."""

from __future__ import annotations

from typing import Final

from nvltop.model import Missing, NicFrame
from nvltop.units import UNKNOWN

ERROR_WORDS: Final = {
    "symbol_error": "symbol errors",
    "link_error_recovery": "link recoveries",
    "link_downed": "link lost",
    "port_rcv_errors": "receive errors",
    "port_rcv_remote_physical_errors": "packets marked bad",
    "port_xmit_discards": "discarded packets",
    "local_link_integrity_errors": "integrity errors",
    "excessive_buffer_overrun_errors": "buffer overruns",
    "port_xmit_wait": "waits for credit",
    "out_of_sequence": "packets out of sequence",
    "packet_seq_err": "resends asked for",
    "implied_nak_seq_err": "implied resends",
    "local_ack_timeout_err": "acknowledge timeouts",
    "rnr_nak_retry_err": "receiver not ready",
    "out_of_buffer": "no receive buffer",
    "rx_icrc_encapsulated": "RoCE CRC errors",
    "roce_adp_retrans": "adaptive resends",
    "np_ecn_marked_roce_packets": "congestion marks (ECN)",
    "rp_cnp_handled": "congestion notices (CNP)",
    "to_retransmits": "resends after timeout",
    "seq_err_naks_rcvd": "resends asked for",
    "max_retry_exceeded": "retries exhausted",
    "retrans_pkts": "resent packets",
    "retrans_timeout_events": "resend timeouts",
    "rx_drops": "dropped on receive",
    "rx_crc_errors": "CRC errors",
    "rx_errors": "receive errors",
    "tx_errors": "send errors",
    "rx_missed_errors": "missed on receive",
    "tx_carrier_errors": "carrier errors",
    "carrier_down_count": "link lost",
}
"""What each counter counts, in plain words."""


def nic_name(f: NicFrame) -> str:
    """`mlx5_0`, or `mlx4_0 port 2` for a further port."""
    return f.nic.device if f.port.port < 2 else f"{f.nic.device} port {f.port.port}"


def nic_kind(f: NicFrame) -> str:
    """`IB`, `RoCE`, `Eth`, or the driver's own word for what the port speaks."""
    layer = f.port.link_layer
    if isinstance(layer, Missing):
        return UNKNOWN
    if layer == "Ethernet":
        return "RoCE" if f.nic.rdma else "Eth"
    return "IB" if layer == "InfiniBand" else layer
