"""Field values of a simulated GPU: `nvmlDeviceGetFieldValues`, as its generation answers."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from nvltop.nvml.simulated.machine import Machine
from nvltop.nvml.simulated.node import AMPERE, HOPPER

ENTRY: Final = struct.Struct("@IIqqIiQ")
"""nvmlFieldValue_t: field, scope, timestamp, latency, type, return code, value."""
UNSIGNED: Final = 1
UNSIGNED_LONG_LONG: Final = 3

INVALID_ARGUMENT: Final = 2
NOT_SUPPORTED: Final = 3
ALL_LINKS: Final = 0xFFFFFFFF
KIB: Final = 1024

LANES: Final = {"crc_flit": (32, 96), "crc_data": (39, 102), "replay": (46, 108), "recovery": (53, 114)}
PER_LINK: Final = {161: "replay", 162: "recovery", 163: "crc"}

Answer: TypeAlias = "tuple[int, int, int]"
"""Return code, value type, value."""

Question = Callable[[int, int, float], "tuple[int, int, int]"]
"""Asked with GPU, scope (mostly the link) and time."""


class Fields:
    """Answers field ids for one machine."""

    def __init__(self, machine: Machine) -> None:
        self._m = machine
        self._by_id: dict[int, Question] = {
            90: self._speed_common,
            91: self._count,
            138: self._data_tx,
            139: self._data_rx,
            140: self._raw_tx,
            141: self._raw_rx,
            146: self._remote_link,
            147: self._switch_links,
        }
        architecture = machine.node.board.architecture
        if architecture >= HOPPER:
            self._by_id |= {
                164: self._speed,
                165: self._state,
                166: self._version,
                170: self._zero,
                230: self._zero,
            }
        for field_id, kind in PER_LINK.items() if architecture >= HOPPER else ():
            self._by_id[field_id] = self._error(kind)
        for kind, starts in LANES.items():
            for link in range(12):
                self._by_id[starts[link // 6] + link % 6] = self._lane(kind, link)
        for link in range(12):
            self._by_id[(84, 132)[link // 6] + link % 6] = self._lane_speed(link)

    def fill(self, gpu: int, address: memoryview, count: int, t: float, stamp_us: int) -> None:
        """Answer `count` entries in place; each has its own return code."""
        for i in range(count):
            field_id, scope = ENTRY.unpack_from(address, i * ENTRY.size)[:2]
            answer = self._by_id.get(field_id)
            code, kind, value = answer(gpu, scope, t) if answer else (NOT_SUPPORTED, 0, 0)
            ENTRY.pack_into(address, i * ENTRY.size, field_id, scope, stamp_us, 3, kind, code, value)

    def _links(self, gpu: int) -> int:
        return len(self._m.node.links[gpu])

    def _refuse(self, gpu: int, link: int) -> int:
        """Return the code for a question about this link, 0 if it can be answered."""
        links = self._links(gpu)
        return NOT_SUPPORTED if not links else INVALID_ARGUMENT if link >= links else 0

    def _traffic(self, gpu: int, link: int, t: float, direction: str, raw: bool) -> Answer:
        m = self._m
        if link == ALL_LINKS and self._links(gpu):
            if not m.node.board.total_scope:
                return NOT_SUPPORTED, 0, 0
            total = sum(
                m.counter(gpu, k, direction, raw, t) for k in range(self._links(gpu)) if m.up(gpu, k, t)
            )
            return 0, UNSIGNED_LONG_LONG, total // KIB
        if code := self._refuse(gpu, link):
            return code, 0, 0
        if not m.up(gpu, link, t):
            return INVALID_ARGUMENT, 0, 0
        return 0, UNSIGNED_LONG_LONG, m.counter(gpu, link, direction, raw, t) // KIB

    def _data_tx(self, gpu: int, link: int, t: float) -> Answer:
        return self._traffic(gpu, link, t, "tx", False)

    def _data_rx(self, gpu: int, link: int, t: float) -> Answer:
        return self._traffic(gpu, link, t, "rx", False)

    def _raw_tx(self, gpu: int, link: int, t: float) -> Answer:
        return self._traffic(gpu, link, t, "tx", True)

    def _raw_rx(self, gpu: int, link: int, t: float) -> Answer:
        return self._traffic(gpu, link, t, "rx", True)

    def _count(self, gpu: int, scope: int, t: float) -> Answer:
        return 0, UNSIGNED, self._links(gpu)

    def _speed_common(self, gpu: int, scope: int, t: float) -> Answer:
        if not self._links(gpu):
            return NOT_SUPPORTED, 0, 0
        return 0, UNSIGNED, self._m.node.board.link_mb_per_s

    def _speed(self, gpu: int, link: int, t: float) -> Answer:
        if code := self._refuse(gpu, link):
            return code, 0, 0
        return 0, UNSIGNED, self._m.node.board.link_mb_per_s if self._m.up(gpu, link, t) else 0

    def _lane_speed(self, link: int) -> Question:
        return lambda gpu, scope, t: self._speed(gpu, link, t)

    def _state(self, gpu: int, link: int, t: float) -> Answer:
        code = self._refuse(gpu, link)
        return (code, 0, 0) if code else (0, UNSIGNED, int(self._m.up(gpu, link, t)))

    def _version(self, gpu: int, link: int, t: float) -> Answer:
        code = self._refuse(gpu, link)
        return (code, 0, 0) if code else (0, UNSIGNED, self._m.node.board.link_version)

    def _remote_link(self, gpu: int, link: int, t: float) -> Answer:
        if code := self._refuse(gpu, link):
            return code, 0, 0
        if not self._m.up(gpu, link, t):
            return NOT_SUPPORTED, 0, 0
        return 0, UNSIGNED, self._m.end(gpu, link).link

    def _switch_links(self, gpu: int, scope: int, t: float) -> Answer:
        ends = self._m.node.links[gpu]
        if not ends or self._m.node.board.architecture < AMPERE:
            return NOT_SUPPORTED, 0, 0
        return 0, UNSIGNED, sum(e.kind == "switch" and self._m.up(gpu, k, t) for k, e in enumerate(ends))

    def _error(self, kind: str) -> Question:
        def answer(gpu: int, link: int, t: float) -> Answer:
            code = self._refuse(gpu, link)
            return (code, 0, 0) if code else (0, UNSIGNED_LONG_LONG, self._m.errors(gpu, link, kind, t))

        return answer

    def _lane(self, kind: str, link: int) -> Question:
        def answer(gpu: int, scope: int, t: float) -> Answer:
            if code := self._refuse(gpu, link):
                return code, 0, 0
            # On Hopper these fields answer, and lie.
            count = self._m.errors(gpu, link, kind, t) if self._m.has_legacy_errors else 0
            return 0, UNSIGNED_LONG_LONG, count

        return answer

    def _zero(self, gpu: int, scope: int, t: float) -> Answer:
        return 0, UNSIGNED, 0
