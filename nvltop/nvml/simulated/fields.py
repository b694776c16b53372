"""Field values of a simulated GPU (`nvmlDeviceGetFieldValues`), which depend on its generation."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import Final, TypeAlias

from nvltop.nvml.errors import EFFECTIVE_BER, NVLINK5, PER_LINK
from nvltop.nvml.simulated.abi import INVALID_ARGUMENT, NOT_SUPPORTED
from nvltop.nvml.simulated.machine import Machine
from nvltop.nvml.simulated.node import AMPERE, BLACKWELL, HOPPER, Board

ENTRY: Final = struct.Struct("@IIqqIiQ")
"""nvmlFieldValue_t: field id, scope id, timestamp, latency, value type, return code, value."""
_WORDS, _LONGS = ENTRY.size // 4, ENTRY.size // 8
"""Distance between two entries, in numbers of four and of eight bytes."""
LATENCY_US: Final = 3
"""Latency that each value reports, µs."""
UNSIGNED: Final = 1
UNSIGNED_LONG_LONG: Final = 3
"""Values of nvmlValueType_t."""
ALL_LINKS: Final = 0xFFFFFFFF
"""Scope id of the sum over all links."""
KIB: Final = 1024

LANE_ERROR_FIELDS: Final = {
    "crc_flit": (32, 96),
    "crc_data": (39, 102),
    "replay": (46, 108),
    "recovery": (53, 114),
}
"""Fields of the error counters before Hopper, by error kind: the first ids of links 0-5 and of links 6-11."""
FIRST_SPEED_FIELDS: Final = (84, 132)
"""First ids of the speeds of links 0-5 and of links 6-11."""
TRAFFIC_FIELDS: Final = {138: ("tx", False), 139: ("rx", False), 140: ("tx", True), 141: ("rx", True)}
"""Direction of a traffic counter, and whether it counts raw bytes, by field id."""
PORT_BYTE_FIELDS: Final = {202: "tx", 204: "rx"}
PCIE_BYTE_FIELDS: Final = {197: "tx", 198: "rx"}
"""Direction of a byte counter by field id."""
THROTTLE_TIME_FIELDS: Final = {74: "power_cap", 269: "sw_thermal", 270: "hw_thermal", 271: "power_brake"}
"""Reason of a throttle time by field id."""
FIRST_RENUMBERED_FIELD: Final = 269
RENUMBERED_MIN_BRANCH: Final = 580
"""Oldest driver branch in which fields 269 to 271 are throttle times; they differ in 575."""
WRAP_32: Final = 1 << 32

Answer: TypeAlias = "tuple[int, int, int]"
"""Return code, value type and value of a field."""
FieldReader: TypeAlias = Callable[[int, int, float], Answer]
"""Function that returns a field's value; called with the GPU, the scope (usually the link) and the time."""

NOT_SUPPORTED_ANSWER: Final[Answer] = (NOT_SUPPORTED, 0, 0)


PLR_BLOCK_BYTES: Final = 256
"""Size of a block of retransmission; the real one is not published."""
DATA_RATE_SHARE: Final = 0.97
"""Share of the speed that remains after error correction; the real one is not published."""


def _unknown_field(gpu: int, scope: int, t: float) -> Answer:
    return NOT_SUPPORTED_ANSWER


class FieldTable:
    """The fields that the GPUs of one machine support."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        tables = {board: self._table(board) for board in set(machine.node.boards)}
        self.tables = [tables[board] for board in machine.node.boards]
        """Field readers of each GPU by field id."""

    def fill(self, gpu: int, address: memoryview, count: int, t: float, stamp_us: int) -> None:
        """Fill in `count` entries in place, each with a return code of its own, column by column."""
        words, longs = address.cast("I"), address.cast("q")
        asked = zip(words[::_WORDS].tolist(), words[1::_WORDS].tolist(), strict=True)
        table = self.tables[gpu]
        answers = [table.get(field_id, _unknown_field)(gpu, scope, t) for field_id, scope in asked]
        codes, kinds, values = zip(*answers, strict=True)
        longs[1::_LONGS] = array("q", (stamp_us,)) * count
        longs[2::_LONGS] = array("q", (LATENCY_US,)) * count
        words[6::_WORDS] = array("I", kinds)
        address.cast("i")[7::_WORDS] = array("i", codes)
        address.cast("Q")[4::_LONGS] = array("Q", values)

    def _table(self, board: Board) -> dict[int, FieldReader]:
        architecture = board.architecture
        table: dict[int, FieldReader] = {90: self._speed_common, 91: self._count, 146: self._remote_link}
        for field_id, (direction, raw) in TRAFFIC_FIELDS.items():
            table[field_id] = self._traffic(board, direction, raw)
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
                    # On Hopper these fields are always 0; no error kind is called "".
                    counted = kind if architecture < HOPPER else ""
                    table[starts[link // 6] + link % 6] = self._error_of(link, counted)
        if architecture >= HOPPER:
            table |= {164: self._speed, 165: self._state, 166: self._version, 230: self._zero}
            if board.c2c_links and self._machine.node.branch >= 575:
                table |= dict.fromkeys((231, 232, 233, 234), self._c2c_zero)
            table |= {170: self._c2c_count, 171: self._c2c_up, 172: self._c2c_speed}
            table |= {
                field_id: self._pcie(direction, architecture)
                for field_id, direction in PCIE_BYTE_FIELDS.items()
            }
        if architecture == HOPPER:
            table |= {field_id: self._error(kind) for kind, field_id in PER_LINK.items()}
        if architecture >= BLACKWELL:
            table |= {field_id: self._error(kind) for kind, field_id in NVLINK5.items()}
            table |= {
                field_id: self._port_bytes(direction) for field_id, direction in PORT_BYTE_FIELDS.items()
            }
            table[EFFECTIVE_BER] = self._effective_ber
            if self._machine.node.branch >= 595:
                table[294] = self._plr_blocks
            if self._machine.node.branch >= 610:
                table[296] = self._data_rate
        elif architecture >= AMPERE:
            # Some fields of later generations fail with INVALID_ARGUMENT instead of NOT_SUPPORTED.
            table[219] = lambda gpu, scope, t: (INVALID_ARGUMENT, 0, 0)
        return table

    def _links(self, gpu: int) -> int:
        return len(self._machine.node.links[gpu])

    def _link_error(self, gpu: int, link: int) -> int:
        """Return the error code of fields of this link, 0 if they can be read."""
        node = self._machine.node
        links = len(node.links[gpu])
        if link < links and not node.mig:
            return 0
        return NOT_SUPPORTED if not links or node.mig else INVALID_ARGUMENT

    def _traffic(self, board: Board, direction: str, raw: bool) -> FieldReader:
        m = self._machine

        def answer(gpu: int, link: int, t: float) -> Answer:
            node = m.node
            links = len(node.links[gpu])
            if link < links and not node.mig:
                if not m.up(gpu, link, t):
                    return INVALID_ARGUMENT, 0, 0
                return 0, UNSIGNED_LONG_LONG, m.counter(gpu, link, direction, raw, t) // KIB
            if link != ALL_LINKS or not links or node.mig:
                return self._link_error(gpu, link), 0, 0
            if not board.total_scope:
                return NOT_SUPPORTED_ANSWER
            active = [k for k in range(links) if m.up(gpu, k, t)]
            return 0, UNSIGNED_LONG_LONG, sum([m.counter(gpu, k, direction, raw, t) for k in active]) // KIB

        return answer

    def _port_bytes(self, direction: str) -> FieldReader:
        def answer(gpu: int, link: int, t: float) -> Answer:
            if code := self._link_error(gpu, link):
                return code, 0, 0
            return 0, UNSIGNED_LONG_LONG, self._machine.counter(gpu, link, direction, True, t)

        return answer

    def _pcie(self, direction: str, architecture: int) -> FieldReader:
        """Return the reader of a PCIe byte counter.

        Up to Hopper it has 32 bits and wraps many times a second.
        """

        def answer(gpu: int, scope: int, t: float) -> Answer:
            count = int(self._machine.pcie(gpu, direction).integral(t)) + 5 * WRAP_32
            return 0, UNSIGNED_LONG_LONG, count if architecture >= BLACKWELL else count % WRAP_32

        return answer

    def _milliwatts(self, watts: float) -> Answer:
        return 0, UNSIGNED, round(1000 * watts)

    def _throttled(self, reason: str) -> FieldReader:
        """Return the reader of a throttle time in nanoseconds."""
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
        any_active = any(self._machine.up(gpu, k, t) for k in range(self._links(gpu)))
        return (
            (0, UNSIGNED, self._machine.node.boards[gpu].link_mb_per_s)
            if any_active
            else NOT_SUPPORTED_ANSWER
        )

    def _speed(self, gpu: int, link: int, t: float) -> Answer:
        if code := self._link_error(gpu, link):
            return code, 0, 0
        return (
            0,
            UNSIGNED,
            self._machine.node.boards[gpu].link_mb_per_s if self._machine.up(gpu, link, t) else 0,
        )

    def _speed_of(self, link: int) -> FieldReader:
        return lambda gpu, scope, t: self._speed(gpu, link, t)

    def _state(self, gpu: int, link: int, t: float) -> Answer:
        code = self._link_error(gpu, link)
        return (code, 0, 0) if code else (0, UNSIGNED, int(self._machine.up(gpu, link, t)))

    def _version(self, gpu: int, link: int, t: float) -> Answer:
        if code := self._link_error(gpu, link):
            return code, 0, 0
        # The version of a link that is down is 0.
        return (
            0,
            UNSIGNED,
            self._machine.node.boards[gpu].link_version if self._machine.up(gpu, link, t) else 0,
        )

    def _remote_link(self, gpu: int, link: int, t: float) -> Answer:
        if code := self._link_error(gpu, link):
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

    def _error(self, kind: str) -> FieldReader:
        def answer(gpu: int, link: int, t: float) -> Answer:
            code = self._link_error(gpu, link)
            return (code, 0, 0) if code else (0, UNSIGNED_LONG_LONG, self._machine.errors(gpu, link, kind, t))

        return answer

    def _effective_ber(self, gpu: int, link: int, t: float) -> Answer:
        code = self._link_error(gpu, link)
        return (code, 0, 0) if code else (0, UNSIGNED_LONG_LONG, self._machine.effective_ber(gpu, link, t))

    def _error_of(self, link: int, kind: str) -> FieldReader:
        read = self._error(kind)
        return lambda gpu, scope, t: read(gpu, link, t)

    def _c2c_count(self, gpu: int, scope: int, t: float) -> Answer:
        return 0, UNSIGNED, self._machine.node.boards[gpu].c2c_links

    def _c2c_up(self, gpu: int, link: int, t: float) -> Answer:
        return (0, UNSIGNED, 1) if link < self._machine.node.boards[gpu].c2c_links else NOT_SUPPORTED_ANSWER

    def _c2c_speed(self, gpu: int, link: int, t: float) -> Answer:
        board = self._machine.node.boards[gpu]
        return (0, UNSIGNED, board.c2c_mb_per_s) if link < board.c2c_links else NOT_SUPPORTED_ANSWER

    def _c2c_zero(self, gpu: int, link: int, t: float) -> Answer:
        return (0, UNSIGNED, 0) if link < self._machine.node.boards[gpu].c2c_links else NOT_SUPPORTED_ANSWER

    def _plr_blocks(self, gpu: int, link: int, t: float) -> Answer:
        code = self._link_error(gpu, link)
        if code:
            return code, 0, 0
        return 0, UNSIGNED_LONG_LONG, self._machine.counter(gpu, link, "tx", True, t) // PLR_BLOCK_BYTES

    def _data_rate(self, gpu: int, link: int, t: float) -> Answer:
        code = self._link_error(gpu, link)
        speed = self._machine.node.boards[gpu].link_mb_per_s * 1e6
        return (code, 0, 0) if code else (0, UNSIGNED, round(speed * DATA_RATE_SHARE / 1024))

    def _zero(self, gpu: int, scope: int, t: float) -> Answer:
        return 0, UNSIGNED, 0
