"""Names of the error counters in NVIDIA's words."""

from __future__ import annotations

from typing import Final

WORDS: Final = {
    "replay": ("replay", "replays"),
    "recovery": ("recovery", "recoveries"),
    "crc": ("CRC error", "CRC errors"),
    "crc_flit": ("CRC error in flits", "CRC errors in flits"),
    "crc_data": ("CRC error in data", "CRC errors in data"),
    "ecc_data": ("ECC error", "ECC errors"),
    "malformed_packet": ("malformed packet", "malformed packets"),
    "buffer_overrun": ("buffer overrun", "buffer overruns"),
    "rcv": ("receive error", "receive errors"),
    "rcv_remote": ("remote error", "remote errors"),
    "rcv_general": ("general receive error", "general receive errors"),
    "local_link_integrity": ("integrity error", "integrity errors"),
    "xmit_discards": ("discarded packet", "discarded packets"),
    "link_recovery": ("recovery", "recoveries"),
    "link_recovery_successful": ("successful recovery", "successful recoveries"),
    "link_recovery_failed": ("failed recovery", "failed recoveries"),
    "effective": ("error left after correction", "errors left after correction"),
    "symbol": ("symbol error", "symbol errors"),
    "plr_retry_blocks": ("retried block", "retried blocks"),
}
"""One and several of each kind of error, in NVIDIA's words: "GPU 3 link 7 had 12 replays"."""

SHORT: Final = {
    "local_link_integrity": "integrity",
    "rcv_general": "general rx err",
    "rcv": "rx errors",
    "malformed_packet": "bad packets",
    "buffer_overrun": "overruns",
    "crc_flit": "CRC errors",
    "crc_data": "CRC errors",
}
"""Words for headlines, where those of `WORDS` are too long."""
