"""Error counters of the links: the kinds that a board counts, and the cheapest method to read them."""

from __future__ import annotations

from dataclasses import field
from functools import cache
from typing import Final

import pynvml

from nvltop.frozen import mutable
from nvltop.model import LinkBer, LinkErrors, Maybe, Missing, known
from nvltop.model.missing import UNSUPPORTED
from nvltop.nvml.device import Device, per_link_request, read_per_link
from nvltop.nvml.driver import Driver
from nvltop.nvml.fields import FieldRequest, FieldValues

BLACKWELL: Final = 10
HOPPER: Final = 9
"""Values of nvmlDeviceArchitecture_t."""

NVLINK5: Final = {
    "malformed_packet": 206,
    "buffer_overrun": 207,
    "rcv": 208,
    "rcv_remote": 209,
    "rcv_general": 210,
    "local_link_integrity": 211,
    "xmit_discards": 212,
    "link_recovery_successful": 213,
    "link_recovery_failed": 214,
    "link_recovery": 215,
    "effective": 219,
    "symbol": 221,
    "plr_retry_blocks": 295,
}
"""Field ids since Blackwell; the scope id is the link (nvml.h, NVML_FI_DEV_NVLINK_COUNT_*)."""

EFFECTIVE_BER, PLR_BLOCKS, PLR_RETRIES, DATA_RATE = 220, 294, NVLINK5["plr_retry_blocks"], 296
"""Field ids of the quality of a link: 294 since driver 595, 296 since driver 610."""
BER_INTERVAL_S: Final = 60.0
"""Interval of the quality of the links, seconds."""

PER_LINK: Final = {"replay": 161, "recovery": 162, "crc": 163}
"""Field ids of Hopper (NVML_FI_DEV_NVLINK_ERROR_DL_*); 163 is unsupported since Blackwell."""

PER_LANE: Final = {
    "crc_flit": (32, 96),
    "crc_data": (39, 102),
    "replay": (46, 108),
    "recovery": (53, 114),
    "ecc_data": (148, 154),
}
"""Field ids of Pascal to Ampere, one for each link: the first of links 0-5 and the first of links 6-11.

On Hopper these fields return SUCCESS and 0 whatever happens, so they are not read there.
"""
PER_LANE_LINKS: Final = 12
"""Number of links with such fields."""

BY_CALL: Final = {"replay": 0, "recovery": 1, "crc_flit": 2, "crc_data": 3, "ecc_data": 4}
"""Values of nvmlNvLinkErrorCounter_t for nvmlDeviceGetNvLinkErrorCounter, for drivers without the fields."""


@cache
def _per_lane_request(kinds: tuple[str, ...], links: int) -> FieldRequest:
    return FieldRequest(
        *((PER_LANE[kind][link // 6] + link % 6, link) for kind in kinds for link in range(links))
    )


@mutable
class ErrorReader:
    """Reader of the error counters of one GPU; it determines once which method the board supports."""

    driver: Driver
    device: Device
    _method: str | None = field(default=None, init=False)
    _kinds: tuple[str, ...] = field(default=(), init=False)
    _ber_next_s: float = field(default=0.0, init=False)
    _ber_fields: tuple[int, ...] = field(
        default=(EFFECTIVE_BER, PLR_BLOCKS, PLR_RETRIES, DATA_RATE), init=False
    )
    """Fields of the quality of a link that the driver may support."""
    _newest: tuple[FieldRequest, FieldValues, LinkErrors] | None = field(default=None, init=False)
    """Fields that were read last, and the counts in them."""

    def read(self) -> Maybe[LinkErrors]:
        """Read all error counters except the kinds that the board does not count."""
        if isinstance(self.device.links, Missing):
            return self.device.links
        if not self.device.links:
            return LinkErrors({})
        if self._method is None:
            return self._probe(self.device.links)
        return self._read(self._method, self._kinds, self.device.links)

    def read_ber(self, now_s: float) -> Maybe[LinkBer] | None:
        """Read the quality of the links (since Blackwell); return None if unsupported or not yet due."""
        links = self.device.links
        if self._method != "nvlink5" or not known(links) or now_s < self._ber_next_s:
            return None
        self._ber_next_s = now_s + BER_INTERVAL_S
        values = read_per_link(self.driver, self.device, self._ber_fields, links)
        if isinstance(values, Missing):
            return values
        found = {
            field_id: tuple(answers)
            for field_id, answers in values.items()
            if not all(isinstance(v, Missing) and v in UNSUPPORTED for v in answers)
        }
        # Without the number of blocks, that of the retries gives no share.
        if PLR_BLOCKS not in found:
            found.pop(PLR_RETRIES, None)
        self._ber_fields = EFFECTIVE_BER, *(f for f in self._ber_fields if f in found and f != EFFECTIVE_BER)
        return LinkBer(
            tuple(values[EFFECTIVE_BER]),
            found.get(PLR_BLOCKS, ()),
            found.get(PLR_RETRIES, ()),
            found.get(DATA_RATE, ()),
        )

    @property
    def needs_calls(self) -> bool:
        """Whether each counter needs a driver call of its own."""
        return self._method == "call"

    def _probe(self, links: int) -> Maybe[LinkErrors]:
        failure: Maybe[LinkErrors] = LinkErrors({})
        for method in self._methods(links):
            answer = self._read(method, tuple(FIELDS_BY_METHOD[method]), links)
            if isinstance(answer, Missing):
                if answer not in UNSUPPORTED:
                    failure = answer
                continue
            kinds = {
                kind: counts
                for kind, counts in answer.counts.items()
                if not all(isinstance(c, Missing) and c in UNSUPPORTED for c in counts)
            }
            if any(known(c) for counts in kinds.values() for c in counts) and not (
                method == "lane" and self._lane_fields_stuck(kinds)
            ):
                self._method, self._kinds = method, tuple(kinds)
                return LinkErrors(kinds)
            if kinds:
                # The failure may be temporary, as with missing permission: report it, and probe again.
                failure = LinkErrors(kinds)
        return failure

    def _methods(self, links: int) -> tuple[str, ...]:
        arch = self.device.architecture
        if known(arch) and arch >= BLACKWELL:
            return ("nvlink5", "link")
        if known(arch) and arch >= HOPPER:
            return ("link", "call")
        if links > PER_LANE_LINKS:
            return ("nvlink5", "link", "call")
        return ("lane", "link", "call") if known(arch) else ("nvlink5", "link", "lane", "call")

    def _read(self, method: str, kinds: tuple[str, ...], links: int) -> Maybe[LinkErrors]:
        if method == "call":
            return LinkErrors({kind: self._read_by_call(BY_CALL[kind], links) for kind in kinds})
        if method == "lane":
            links = min(links, PER_LANE_LINKS)
            return self._read_fields(_per_lane_request(kinds, links), kinds, links)
        ids = tuple(FIELDS_BY_METHOD[method][kind] for kind in kinds)
        return self._read_fields(per_link_request(ids, links), kinds, links)

    def _read_fields(self, request: FieldRequest, kinds: tuple[str, ...], links: int) -> Maybe[LinkErrors]:
        # The counts rarely change.
        newest = self._newest if self._newest and self._newest[0] is request else None
        last = newest[1] if newest else None
        answer = request.read(self.driver, self.device.handle, self.device.index, last)
        if isinstance(answer, Missing):
            return answer
        if newest and answer is last:
            return newest[2]
        values = answer.values
        counts = {kind: tuple(values[i * links : (i + 1) * links]) for i, kind in enumerate(kinds)}
        self._newest = request, answer, LinkErrors(counts)
        return self._newest[2]

    def _read_by_call(self, counter: int, links: int) -> tuple[Maybe[int], ...]:
        return tuple(
            self.driver.call(
                pynvml.nvmlDeviceGetNvLinkErrorCounter,
                self.device.handle,
                link,
                counter,
                gpu=self.device.index,
            )
            for link in range(links)
        )

    def _lane_fields_stuck(self, kinds: dict[str, tuple[Maybe[int], ...]]) -> bool:
        """Return whether the per-lane fields are 0 although the call returns another count."""
        for kind, counts in kinds.items():
            if any(known(c) and c for c in counts):
                return False
            if kind != "ecc_data":
                called = self._read_by_call(BY_CALL[kind], len(counts))
                if any(known(c) and c for c in called):
                    return True
        return False


FIELDS_BY_METHOD: Final[dict[str, dict[str, int]]] = {
    "nvlink5": NVLINK5,
    "link": PER_LINK,
    "lane": {kind: ids[0] for kind, ids in PER_LANE.items()},
    "call": BY_CALL,
}
