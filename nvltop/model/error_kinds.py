"""The kinds of error counters: of NVLinks, and of the ports of NICs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nvltop.frozen import frozen


@frozen
class ErrorKind:
    """One kind of error counter."""

    id: str
    """Key in JSON, metrics and recordings."""
    noun: str
    """Singular, in NVIDIA's or the kernel's words: `replay`."""
    plural: str
    short: str = ""
    """Plural for headlines, where `plural` is too long."""
    title: str = ""
    """Column title, at most 5 characters; empty for NICs, whose counters are rows."""
    smi_name: str = ""
    """Name that `nvidia-smi nvlink -e` prints."""
    priority: int = 0
    """Rank among the columns of links; where they do not fit, the highest numbers are dropped first."""
    informative: bool = False
    """Whether the kind has no published threshold: it is shown, but is not part of a sum of errors."""

    def name(self, number: float) -> str:
        """Return the noun for a number of errors: `replay` for 1, else `replays`."""
        return self.noun if number == 1 else self.plural

    def short_name(self, number: float) -> str:
        """Return the noun for a number of errors in a headline."""
        if not self.short:
            return self.name(number)
        return self.short.removesuffix("s") if number == 1 else self.short


LINK_ERROR_KINDS: Final = (
    ErrorKind("replay", "replay", "replays", "", "REPL", "Replay Errors", 0),
    ErrorKind("recovery", "recovery", "recoveries", "", "RECOV", "Recovery Errors", 1),
    ErrorKind("crc", "CRC error", "CRC errors", "", "CRC", "CRC Errors", 2),
    # Up to NVLink 3, the CRC errors of `nvlink -e` are those of flits.
    ErrorKind(
        "crc_flit", "CRC error in flits", "CRC errors in flits", "CRC errors", "CRCFL", "CRC Errors", 3
    ),
    # `nvlink -e` has no line for this kind and the next one.
    ErrorKind(
        "crc_data", "CRC error in data", "CRC errors in data", "CRC errors", "CRCDT", "CRC Data Errors", 4
    ),
    ErrorKind("ecc_data", "ECC error", "ECC errors", "", "ECC", "ECC Data Errors", 5),
    ErrorKind(
        "malformed_packet",
        "malformed packet",
        "malformed packets",
        "bad packets",
        "MALF",
        "Malformed packet Errors",
        13,
    ),
    ErrorKind(
        "buffer_overrun",
        "buffer overrun",
        "buffer overruns",
        "overruns",
        "OVERR",
        "Buffer overrun Errors",
        14,
    ),
    ErrorKind("rcv", "receive error", "receive errors", "rx errors", "RXERR", "Rx Errors", 6),
    ErrorKind("rcv_remote", "remote error", "remote errors", "", "RXREM", "Rx remote Errors", 15),
    ErrorKind(
        "rcv_general",
        "general receive error",
        "general receive errors",
        "general rx err",
        "RXGEN",
        "Rx General Errors",
        16,
    ),
    ErrorKind(
        "local_link_integrity",
        "integrity error",
        "integrity errors",
        "integrity",
        "INTEG",
        "Local link integrity Errors",
        12,
    ),
    ErrorKind("xmit_discards", "discarded packet", "discarded packets", "", "DISC", "Tx discards", 17, True),
    ErrorKind(
        "link_recovery_successful",
        "successful recovery",
        "successful recoveries",
        "",
        "RECOK",
        "Link recovery successful events",
        18,
        True,
    ),
    ErrorKind(
        "link_recovery_failed",
        "failed recovery",
        "failed recoveries",
        "",
        "RECFL",
        "Link recovery failed events",
        8,
    ),
    ErrorKind("link_recovery", "recovery", "recoveries", "", "RECOV", "Total link recovery events", 7),
    ErrorKind(
        "effective",
        "error left after correction",
        "errors left after correction",
        "",
        "EFFER",
        "Effective Errors",
        10,
    ),
    ErrorKind("symbol", "symbol error", "symbol errors", "", "SYMB", "Symbol Errors", 9),
    ErrorKind(
        "plr_retry_blocks", "retried block", "retried blocks", "", "RETRY", "PLR Xmit Retry Blocks", 11, True
    ),
)
"""Kinds that NVML counts for each link, in the order of `nvidia-smi nvlink -e`."""


def _port(id: str, noun: str, plural: str, informative: bool = False) -> ErrorKind:
    return ErrorKind(id, noun, plural, informative=informative)


PORT_ERROR_KINDS: Final = (
    _port("symbol_error", "symbol error", "symbol errors"),
    _port("link_error_recovery", "link recovery", "link recoveries"),
    _port("link_downed", "link lost", "link lost"),
    _port("port_rcv_errors", "receive error", "receive errors"),
    _port("port_rcv_remote_physical_errors", "packet marked bad", "packets marked bad"),
    _port("port_xmit_discards", "discarded packet", "discarded packets", informative=True),
    _port("local_link_integrity_errors", "integrity error", "integrity errors"),
    _port("excessive_buffer_overrun_errors", "buffer overrun", "buffer overruns"),
    _port("port_xmit_wait", "wait for credit", "waits for credit", informative=True),
    _port("out_of_sequence", "packet out of sequence", "packets out of sequence"),
    _port("packet_seq_err", "requested retransmission", "requested retransmissions"),
    _port("implied_nak_seq_err", "implied retransmission", "implied retransmissions"),
    _port("local_ack_timeout_err", "acknowledge timeout", "acknowledge timeouts"),
    _port("rnr_nak_retry_err", "receiver not ready", "receiver not ready"),
    _port("out_of_buffer", "no receive buffer", "no receive buffer", informative=True),
    _port("rx_icrc_encapsulated", "RoCE CRC error", "RoCE CRC errors"),
    _port("roce_adp_retrans", "adaptive retransmission", "adaptive retransmissions"),
    _port("np_ecn_marked_roce_packets", "congestion mark (ECN)", "congestion marks (ECN)", informative=True),
    _port("rp_cnp_handled", "congestion notice (CNP)", "congestion notices (CNP)", informative=True),
    _port("to_retransmits", "retransmission after timeout", "retransmissions after timeout"),
    _port("seq_err_naks_rcvd", "requested retransmission", "requested retransmissions"),
    _port("max_retry_exceeded", "retries exhausted", "retries exhausted"),
    _port("retrans_pkts", "retransmitted packet", "retransmitted packets"),
    _port("retrans_timeout_events", "retransmission timeout", "retransmission timeouts"),
    _port("rx_drops", "dropped on receive", "dropped on receive", informative=True),
    _port("rx_crc_errors", "CRC error", "CRC errors"),
    _port("rx_errors", "receive error", "receive errors"),
    _port("tx_errors", "transmit error", "transmit errors"),
    _port("rx_missed_errors", "missed on receive", "missed on receive", informative=True),
    _port("tx_carrier_errors", "carrier error", "carrier errors"),
    _port("carrier_down_count", "link lost", "link lost"),
)
"""Kinds that the kernel counts for each port of a NIC."""

_BY_ID: Final = {kind.id: kind for kind in (*LINK_ERROR_KINDS, *PORT_ERROR_KINDS)}
_ORDER: Final = {id: i for i, id in enumerate(_BY_ID)}

INFORMATIVE: Final = frozenset(kind.id for kind in _BY_ID.values() if kind.informative)
"""Ids of the kinds that are not part of a sum of errors."""


def error_kind(id: str) -> ErrorKind:
    """Return the kind with an id.

    A recording of a later version may contain a kind that is not listed here: its id then serves as its
    name, and it counts as an error.
    """
    kind = _BY_ID.get(id)
    if kind is None:
        words = id.replace("_", " ")
        kind = ErrorKind(id, words, words, title=id.upper()[:5], smi_name=words, priority=len(_BY_ID))
    return kind


def in_order(ids: Iterable[str]) -> list[ErrorKind]:
    """Return the kinds with these ids in the order of the tables, those that are not listed last."""
    return [error_kind(id) for id in sorted(ids, key=lambda id: _ORDER.get(id, len(_ORDER)))]
