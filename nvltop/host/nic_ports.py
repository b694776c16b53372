"""One port of a NIC: state, rate, traffic counters and error counters.

`port_xmit_data` and `port_rcv_data` count words of four bytes, on RoCE as well as on InfiniBand
(Documentation/ABI/stable/sysfs-class-infiniband). On RoCE they count RDMA only; other traffic passes through
the kernel, and the network interface counts it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nvltop.host.sysfs import DEVICE_GONE, NOT_A_NUMBER, NOT_THERE, KeptFiles, read_count
from nvltop.model import NOT_SUPPORTED, Maybe, Missing, Nic, NicPort, known
from nvltop.text import clean

WORD_BYTES: Final = 4
"""Unit of `port_*_data`, bytes."""
COUNTER_32_MAX: Final = (1 << 32) - 1
"""Maximum of a 32-bit counter, at which counters of old adapters stop."""
DRIVER_BYTE_COUNTERS: Final = (
    (("tx_bytes",), ("rx_bytes",)),
    (("tx_roce_bytes",), ("rx_roce_bytes",)),
    (("ip4OutOctets", "ip6OutOctets"), ("ip4InOctets", "ip6InOctets")),
    (("hw_tx_bytes_cnt",), ("hw_rx_bytes_cnt",)),
)
"""Counters of TX and of RX bytes in `hw_counters`, of drivers without `port_*_data`.

These drivers are EFA, bnxt_re, irdma and erdma. irdma counts RDMA over IPv4 and over IPv6 separately
(drivers/infiniband/hw/irdma/verbs.c, erdma/erdma_verbs.c); the counts are added.
"""

PORT_ERRORS: Final = (
    "symbol_error",
    "link_error_recovery",
    "link_downed",
    "port_rcv_errors",
    "port_rcv_remote_physical_errors",
    "port_xmit_discards",
    "local_link_integrity_errors",
    "excessive_buffer_overrun_errors",
    "port_xmit_wait",
)
"""Error counters in `counters`."""
DRIVER_ERRORS: Final = (
    "out_of_sequence",
    "packet_seq_err",
    "implied_nak_seq_err",
    "local_ack_timeout_err",
    "rnr_nak_retry_err",
    "out_of_buffer",
    "rx_icrc_encapsulated",
    "roce_adp_retrans",
    "np_ecn_marked_roce_packets",
    "rp_cnp_handled",
    "to_retransmits",
    "seq_err_naks_rcvd",
    "max_retry_exceeded",
    "retrans_pkts",
    "retrans_timeout_events",
    "rx_drops",
)
"""Error counters in `hw_counters`; each driver has some of them."""
INTERFACE_ERRORS: Final = ("rx_crc_errors", "rx_errors", "tx_errors", "rx_missed_errors", "tx_carrier_errors")
"""Error counters in `statistics` of a network interface."""

_RATE: Final = re.compile(r"(\d{1,7}(?:\.\d{1,3})?) Gb/sec")
_STATE: Final = re.compile(r"(?:\d+: *)?(\w+)")
STATE_BY_OPERSTATE: Final = {"up": "active", "down": "down", "lowerlayerdown": "down", "notpresent": "down"}


class NicPortReader:
    """Reader of one port."""

    def __init__(
        self, root: Path, nic: Nic, name: str, port: int, interface: str, keeps_open: bool = True
    ) -> None:
        """Initialize the reader.

        `root` is the directory of sysfs, `name` the NIC's name there, and `interface` the network interface
        of the port or an empty string. With `keeps_open`, files that are always read stay open until `close`.
        """
        self._nic, self._port = nic, port
        # Strings, because building a `Path` takes longer than reading the file.
        self._folder = f"{root}/class/infiniband/{name}/ports/{port}"
        self._net = f"{root}/class/net/{interface}" if interface else None
        self._port_files = KeptFiles(self._folder, keeps_open)
        self._net_files = KeptFiles(self._net, keeps_open) if self._net else None
        self._errors: dict[str, Maybe[int]] = {}
        self._kinds: list[tuple[str, str]] | None = None
        """Name and file of the error counters that exist; None before they are first read."""

    def read(self, with_errors: bool) -> NicPort | None:
        """Read the port; return None if it no longer exists."""
        if self._nic.rdma:
            self._port_files.begin()
        if self._net_files:
            self._net_files.begin()
        state = self._state()
        if state in (DEVICE_GONE, NOT_THERE):
            return None
        layer = self._port_files.read_text("link_layer") if self._nic.rdma else "Ethernet"
        physical = self._port_files.read_text("phys_state") if self._nic.rdma else ""
        if with_errors:
            self._errors = self._read_errors(layer)
        tx, rx = self._traffic()
        has_ip_counters = layer == "Ethernet" and self._nic.rdma
        return NicPort(
            device=self._nic.device,
            port=self._port,
            link_layer=layer,
            state=state,
            physical=physical.partition(":")[2].strip() if known(physical) else "",
            rate_bytes_per_s=self._rate(),
            tx_bytes=tx,
            rx_bytes=rx,
            ip_tx_bytes=self._statistic("tx_bytes") if has_ip_counters else NOT_SUPPORTED,
            ip_rx_bytes=self._statistic("rx_bytes") if has_ip_counters else NOT_SUPPORTED,
            errors=self._errors,
        )

    def close(self) -> None:
        """Close the files that are open."""
        self._port_files.close()
        if self._net_files:
            self._net_files.close()

    def unread(self, why: Missing) -> NicPort:
        """Return the port with all values missing."""
        return NicPort(self._nic.device, self._port, why, why, "", why, why, why, why, why)

    def _state(self) -> Maybe[str]:
        if self._nic.rdma:
            text = self._port_files.read_text("state")
            if isinstance(text, Missing):
                return text
            match = _STATE.fullmatch(text)
            return match[1].lower() if match else Missing(clean(f"unknown state {text}", 60))
        assert self._net_files
        text = self._net_files.read_text("operstate")
        if known(text) and text not in STATE_BY_OPERSTATE:
            # Some drivers report `unknown`; the carrier then shows the state.
            carrier = self._net_files.read_count("carrier")
            return (
                ("active" if carrier else "down") if known(carrier) else Missing("not reported by the driver")
            )
        return STATE_BY_OPERSTATE[text] if known(text) else text

    def _rate(self) -> Maybe[float]:
        if self._nic.rdma:
            text = self._port_files.read_text("rate")
            if isinstance(text, Missing):
                return text
            match = _RATE.match(text)
            return float(match[1]) * 1e9 / 8 if match else NOT_A_NUMBER
        assert self._net_files
        speed = self._net_files.read_count("speed")
        # Without a carrier, and on many virtual machines, the speed is -1.
        return speed * 1e6 / 8 if known(speed) else Missing("the driver does not report the speed")

    def _traffic(self) -> tuple[Maybe[int], Maybe[int]]:
        if not self._nic.rdma:
            return self._statistic("tx_bytes"), self._statistic("rx_bytes")
        tx, rx = (self._words(name) for name in ("port_xmit_data", "port_rcv_data"))
        if tx != NOT_THERE or rx != NOT_THERE:
            return tx, rx
        for tx_names, rx_names in DRIVER_BYTE_COUNTERS:
            tx, rx = self._sum(tx_names), self._sum(rx_names)
            if NOT_THERE not in (tx, rx):
                return tx, rx
        return NOT_SUPPORTED, NOT_SUPPORTED

    def _sum(self, names: Sequence[str]) -> Maybe[int]:
        """Return the sum of counters in `hw_counters`, or why one of them cannot be read."""
        total = 0
        for name in names:
            count = self._port_files.read_count(f"hw_counters/{name}")
            if isinstance(count, Missing):
                return count
            total += count
        return total

    def _words(self, name: str) -> Maybe[int]:
        words = self._port_files.read_count(f"counters/{name}")
        if isinstance(words, Missing):
            return words
        return (
            Missing("the counter has stopped at its end") if words == COUNTER_32_MAX else words * WORD_BYTES
        )

    def _statistic(self, name: str) -> Maybe[int]:
        return self._net_files.read_count(f"statistics/{name}") if self._net_files else NOT_SUPPORTED

    def _read_errors(self, layer: Maybe[str]) -> dict[str, Maybe[int]]:
        if self._kinds is None:
            files = [
                *((kind, f"{self._folder}/counters/{kind}") for kind in PORT_ERRORS),
                *((kind, f"{self._folder}/hw_counters/{kind}") for kind in DRIVER_ERRORS),
            ]
            if self._net and layer == "Ethernet":
                # On Ethernet, `link_downed` in `counters` stays 0.
                files += [(kind, f"{self._net}/statistics/{kind}") for kind in INTERFACE_ERRORS]
                files.append(("carrier_down_count", f"{self._net}/carrier_down_count"))
            self._kinds = [(kind, path) for kind, path in files if os.path.exists(path)]
        return {kind: read_count(path) for kind, path in self._kinds}
