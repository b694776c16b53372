"""The lines of a recording in verified blocks.

Each block ends with a check line, which holds the CRC-32 of the block and its number. Its lines are passed on
only when that line has come and is right. A number that is not the next one reveals that blocks are missing,
which what is left of a compressed file may not show. In older recordings blocks have no numbers, and only
those of plain files have check lines.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from nvltop.record.chunks import Gap
from nvltop.record.format import CHECK_START, HEADER_START, MAX_LINE

MAX_BLOCK: Final = 6 << 20
"""Size limit of a block with a check line, bytes."""
TOO_LONG: Final = f"a line longer than {MAX_LINE >> 20} MiB"
_CHECK: Final = re.compile(rb'\["#",(\d{1,10})(?:,(\d{1,15})(,"end")?)?\]')
NUMBERED: Final = b'"numbered":true'
"""The part of a header after which blocks end with a check line that holds their number."""
CHECKED: Final = b'"checked":true'
"""The part of a header of an older recording after which blocks end with a check line without a number."""


class Lines:
    """The lines of chunks of text, without their ends."""

    def __init__(self, chunks: Iterable[bytes | Gap], from_start: bool = True) -> None:
        """Take the chunks, and whether they begin where the file begins."""
        self._chunks = chunks
        self.line = 0
        """Number of the line returned last, from 1; inexact after a gap."""
        self.incomplete = False
        """Whether the last line has no end."""
        self.skipping = False
        """Set by the reader while only the header of a segment is of use; cleared when one is found."""
        self._numbered = False
        """Whether the last header says that blocks are numbered."""
        self._next: int | None = 0 if from_start else None
        """Number that the next block must have; None if any is right."""
        self._ended = False
        """Whether the last block says that it is the last one of its file."""

    @property
    def has_no_end(self) -> bool:
        """Whether the last block that the writer has written is missing."""
        return self._numbered and not self._ended

    def __iter__(self) -> Iterator[bytes | Gap]:
        """Yield the lines, and a `Gap` where some are damaged."""
        block: list[bytes] = []
        size, crc, checked = 0, 0, False
        for line in self._lines():
            if isinstance(line, Gap):
                block, size, crc, checked = [], 0, 0, False
                self._next = None
                yield line
                continue
            if line.startswith(CHECK_START):
                if not checked:
                    continue
                begins_segment = bool(block) and block[0].startswith(HEADER_START)
                check = _CHECK.fullmatch(line)
                if not check or int(check[1]) != crc or bool(check[2]) != self._numbered:
                    yield Gap("a checksum is wrong")
                    self._next, checked = None, False
                elif self._numbered and not self._is_next(check):
                    yield Gap("a part is missing")
                    # A segment can be read without what was before it.
                    checked = begins_segment
                if checked:
                    yield from block
                block, size, crc = [], 0, 0
                continue
            if line.startswith(HEADER_START):
                if block:
                    # The check line of the previous block is missing.
                    block, size, crc = [], 0, 0
                    self._next = None
                    yield Gap("a checksum is missing")
                self._numbered, self.skipping = NUMBERED in line, False
                checked = self._numbered or CHECKED in line
            if not checked:
                yield line
                continue
            block.append(line)
            crc = zlib.crc32(b"\n", zlib.crc32(line, crc))
            size += len(line)
            if size > MAX_BLOCK:
                block, size, crc, checked = [], 0, 0, False
                self._next = None
                yield Gap("a block that is too long")
        # Without its check line, the last block was cut off.
        self.incomplete = self.incomplete or bool(block)
        yield from block

    def _is_next(self, check: re.Match[bytes]) -> bool:
        """Return whether the block of a check line is the one that follows the previous block."""
        number = int(check[2])
        # One recording may follow another in the same file.
        is_next = self._next in (None, number) or (self._ended and number == 0)
        self._next, self._ended = number + 1, check[3] is not None
        return is_next

    def _lines(self) -> Iterator[bytes | Gap]:
        rest = bytearray()
        too_long = False
        searching = False
        for chunk in self._chunks:
            if isinstance(chunk, Gap):
                yield chunk
                # The next chunk begins with a line.
                rest.clear()
                too_long = searching = False
                continue
            start = 0
            while start < len(chunk):
                if self.skipping:
                    if not searching:
                        # A line begins here, or `rest` is the beginning of one.
                        searching = True
                        if rest or not start:
                            chunk, start = b"\n" + rest + chunk[start:], 0
                        else:
                            start -= 1  # the end of the previous line
                    elif rest:
                        chunk, start = bytes(rest) + chunk, 0
                    rest.clear()
                    at = chunk.find(b"\n" + HEADER_START, start)
                    if at < 0:
                        rest += chunk[-len(HEADER_START) :]
                        break
                    start = at + 1
                    self.skipping = too_long = searching = False
                end = chunk.find(b"\n", start)
                if end < 0:
                    rest += chunk[start:]
                    if len(rest) > MAX_LINE:
                        rest.clear()
                        self.line += not too_long
                        too_long = True
                    break
                rest += chunk[start:end]
                start = end + 1
                self.line += 1
                line: bytes | Gap = bytes(rest)
                if too_long or len(rest) > MAX_LINE:
                    line = Gap(TOO_LONG)
                rest.clear()
                too_long = False
                yield line
        if too_long:
            yield Gap(TOO_LONG)
        self.incomplete = bool(rest) and not self.skipping
