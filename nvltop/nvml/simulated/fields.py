"""Field values of a simulated GPU: `nvmlDeviceGetFieldValues`, as its generation answers."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from nvltop.nvml.errors import NVLINK5, PER_LINK
from nvltop.nvml.simulated.machine import Machine
from nvltop.nvml.simulated.node import AMPERE, BLACKWELL, HOPPER, Board

ENTRY: Final = struct.Struct("@IIqqIiQ")
"""nvmlFieldValue_t: field, scope, timestamp, latency, type, return code, value."""
UNSIGNED: Final = 1
UNSIGNED_LONG_LONG: Final = 3

INVALID_ARGUMENT: Final = 2
NOT_SUPPORTED: Final = 3
ALL_LINKS: Final = 0xFFFFFFFF
KIB: Final = 1024

LANE_ERROR_FIELDS: Final = {
    "crc_flit": (32, 96),
    "crc_data": (39, 102),
    "replay": (46, 108),
    "recovery": (53, 114),
}
FIRST_SPEED_FIELDS: Final = (84, 132)
TRAFFIC_FIELDS: Final = {138: ("tx", False), 139: ("rx", False), 140: ("tx", True), 141: ("rx", True)}
PORT_BYTE_FIELDS: Final = {202: "tx", 204: "rx"}
PCIE_BYTE_FIELDS: Final = {197: "tx", 198: "rx"}
THROTTLE_TIME_FIELDS: Final = {74: "power_cap", 269: "sw_thermal", 270: "hw_thermal", 271: "power_brake"}
FIRST_RENUMBERED_FIELD: Final = 269
RENUMBERED_MIN_BRANCH: Final = 580
"""Driver branch from which fields 269 to 271 are throttle times; 575 had others there."""
WRAP_32: Final = 1 << 32

Answer: TypeAlias = "tuple[int, int, int]"
"""Return code, value type, value."""
FieldAnswerer: TypeAlias = Callable[[int, int, float], Answer]
"""Asked with GPU, scope (mostly the link) and time."""

NOT_SUPPORTED_ANSWER: Final[Answer] = (NOT_SUPPORTED, 0, 0)


class FieldTable:
    """Answers field ids for one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        tables = {board: self._table(board) for board in set(machine.node.boards)}
        self.tables = [tables[board] for board in machine.node.boards]
        """What each GPU answers, by field id."""

    def fill(self, gpu: int, address: memoryview, count: int, t: float, stamp_us: int) -> None:
        """Answer `count` entries in place; each has its own return code."""
        table = self.tables[gpu]
        for i in range(count):
            field_id, scope = ENTRY.unpack_from(address, i * ENTRY.size)[:2]
            answer = table.get(field_id)
            code, kind, value = answer(gpu, scope, t) if answer else NOT_SUPPORTED_ANSWER
            ENTRY.pack_into(address, i * ENTRY.size, field_id, scope, stamp_us, 3, kind, code, value)

    def _table(self, board: Board) -> dict[int, FieldAnswerer]:
        architecture = board.architecture
        table: dict[int, FieldAnswerer] = {90: self._speed_common, 91: self._count, 146: self._remote_link}
        for field_id, (way, raw) in TRAFFIC_FIELDS.items():
            table[field_id] = self._traffic(board, way, raw)
        for link in range(12):
            table[FIRST_SPEED_FIELDS[link // 6] + link % 6] = self._speed_of(link)
        table[186] = lambda gpu, scope, t: self._milliwatts(self._machine.power_w(gpu, t))
        if board.averages_power:
            table[185] = lambda gpu, scope, t: self._milliwatts(self._machine.mean_power_w(gpu, t))
        new = int(self._machine.node.driver.partition(".")[0]) >= RENUMBERED_MIN_BRANCH
        for field_id, reason in THROTTLE_TIME_FIELDS.items():
            if new or field_id < FIRST_RENUMBERED_FIELD:
                table[field_id] = self._throttled(reason)
        if architecture >= AMPERE:
            table[147] = self._switch_links
        if architecture < BLACKWELL:
            for kind, starts in LANE_ERROR_FIELDS.items():
                for link in range(12):
                    # On Hopper these fields answer, and lie.
                    told = kind if architecture < HOPPER else ""
                    table[starts[link // 6] + link % 6] = self._error_of(link, told)
        if architecture >= HOPPER:
            table |= {164: self._speed, 165: self._state, 166: self._version, 230: self._zero}
            table |= {170: self._c2c_count, 171: self._c2c_up, 172: self._c2c_speed}
            table |= {field_id: self._pcie(way, architecture) for field_id, way in PCIE_BYTE_FIELDS.items()}
        if architecture == HOPPER:
            table |= {field_id: self._error(kind) for kind, field_id in PER_LINK.items()}
        if architecture >= BLACKWELL:
            table |= {field_id: self._error(kind) for kind, field_id in NVLINK5.items()}
            table |= {field_id: self._port_bytes(way) for field_id, way in PORT_BYTE_FIELDS.items()}
        elif architecture >= AMPERE:
            # Fields of a later generation answer INVALID_ARGUMENT here, not NOT_SUPPORTED.
            table[219] = lambda gpu, scope, t: (INVALID_ARGUMENT, 0, 0)
        return table

    def _links(self, gpu: int) -> int:
        return len(self._machine.node.links[gpu])

    def _refuse(self, gpu: int, link: int) -> int:
        """Return the code for a question about this link, 0 if it can be answered."""
        links = self._links(gpu)
        if not links or self._machine.node.mig:
            return NOT_SUPPORTED
        return INVALID_ARGUMENT if link >= links else 0

    def _traffic(self, board: Board, way: str, raw: bool) -> FieldAnswerer:
        def answer(gpu: int, link: int, t: float) -> Answer:
            m = self._machine
            if link == ALL_LINKS and self._links(gpu) and not m.node.mig:
                if not board.total_scope:
                    return NOT_SUPPORTED_ANSWER
                lit = [k for k in range(self._links(gpu)) if m.up(gpu, k, t)]
                return 0, UNSIGNED_LONG_LONG, sum(m.counter(gpu, k, way, raw, t) for k in lit) // KIB
            if code := self._refuse(gpu, link):
                return code, 0, 0
            if not m.up(gpu, link, t):
                return INVALID_ARGUMENT, 0, 0
            return 0, UNSIGNED_LONG_LONG, m.counter(gpu, link, way, raw, t) // KIB

        return answer

    def _port_bytes(self, way: str) -> FieldAnswerer:
        def answer(gpu: int, link: int, t: float) -> Answer:
            if code := self._refuse(gpu, link):
                return code, 0, 0
            return 0, UNSIGNED_LONG_LONG, self._machine.counter(gpu, link, way, True, t)

        return answer

    def _pcie(self, way: str, architecture: int) -> FieldAnswerer:
        """Count PCIe bytes: 32 bits wide up to Hopper, where they wrap many times a second."""

        def answer(gpu: int, scope: int, t: float) -> Answer:
            moved = int(self._machine.pcie(gpu, way).integral(t)) + 5 * WRAP_32
            return 0, UNSIGNED_LONG_LONG, moved if architecture >= BLACKWELL else moved % WRAP_32

        return answer

    def _milliwatts(self, watts: float) -> Answer:
        return 0, UNSIGNED, round(1000 * watts)

    def _throttled(self, reason: str) -> FieldAnswerer:
        """Count the nanoseconds for which clocks were throttled."""
        return lambda gpu, scope, t: (
            0,
            UNSIGNED_LONG_LONG,
            int(1e9 * self._machine.throttled_s(gpu, reason, t)),
        )

    def _count(self, gpu: int, scope: int, t: float) -> Answer:
        if self._machine.node.mig or self._machine.node.links_unsupported:
            return NOT_SUPPORTED_ANSWER
        return 0, UNSIGNED, self._links(gpu)

    def _speed_common(self, gpu: int, scope: int, t: float) -> Answer:
        lit = any(self._machine.up(gpu, k, t) for k in range(self._links(gpu)))
        return (0, UNSIGNED, self._machine.node.boards[gpu].link_mb_per_s) if lit else NOT_SUPPORTED_ANSWER

    def _speed(self, gpu: int, link: int, t: float) -> Answer:
        if code := self._refuse(gpu, link):
            return code, 0, 0
        return (
            0,
            UNSIGNED,
            self._machine.node.boards[gpu].link_mb_per_s if self._machine.up(gpu, link, t) else 0,
        )

    def _speed_of(self, link: int) -> FieldAnswerer:
        return lambda gpu, scope, t: self._speed(gpu, link, t)

    def _state(self, gpu: int, link: int, t: float) -> Answer:
        code = self._refuse(gpu, link)
        return (code, 0, 0) if code else (0, UNSIGNED, int(self._machine.up(gpu, link, t)))

    def _version(self, gpu: int, link: int, t: float) -> Answer:
        if code := self._refuse(gpu, link):
            return code, 0, 0
        # Links that are down have no version.
        return (
            0,
            UNSIGNED,
            self._machine.node.boards[gpu].link_version if self._machine.up(gpu, link, t) else 0,
        )

    def _remote_link(self, gpu: int, link: int, t: float) -> Answer:
        if code := self._refuse(gpu, link):
            return code, 0, 0
        if not self._machine.up(gpu, link, t) or self._machine.node.hides_remotes:
            return NOT_SUPPORTED_ANSWER
        return 0, UNSIGNED, self._machine.link_end(gpu, link).link

    def _switch_links(self, gpu: int, scope: int, t: float) -> Answer:
        ends = self._machine.node.links[gpu]
        if not ends or self._machine.node.mig:
            return NOT_SUPPORTED_ANSWER
        return (
            0,
            UNSIGNED,
            sum(e.kind == "switch" and self._machine.up(gpu, k, t) for k, e in enumerate(ends)),
        )

    def _error(self, kind: str) -> FieldAnswerer:
        def answer(gpu: int, link: int, t: float) -> Answer:
            code = self._refuse(gpu, link)
            return (code, 0, 0) if code else (0, UNSIGNED_LONG_LONG, self._machine.errors(gpu, link, kind, t))

        return answer

    def _error_of(self, link: int, kind: str) -> FieldAnswerer:
        asked = self._error(kind)
        return lambda gpu, scope, t: asked(gpu, link, t)

    def _c2c_count(self, gpu: int, scope: int, t: float) -> Answer:
        return 0, UNSIGNED, self._machine.node.boards[gpu].c2c_links

    def _c2c_up(self, gpu: int, link: int, t: float) -> Answer:
        return (0, UNSIGNED, 1) if link < self._machine.node.boards[gpu].c2c_links else NOT_SUPPORTED_ANSWER

    def _c2c_speed(self, gpu: int, link: int, t: float) -> Answer:
        board = self._machine.node.boards[gpu]
        return (0, UNSIGNED, board.c2c_mb_per_s) if link < board.c2c_links else NOT_SUPPORTED_ANSWER

    def _zero(self, gpu: int, scope: int, t: float) -> Answer:
        return 0, UNSIGNED, 0
