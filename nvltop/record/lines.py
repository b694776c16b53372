"""The lines of a recording in verified blocks.

A plain recording ends each block with a line that holds the CRC-32 of the block. Its lines are passed on only
when that line has come and is right. Compressed recordings have their checksums in the compressed data.
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
_CHECK: Final = re.compile(rb'\["#",(\d{1,10})\]')
CHECKED: Final = b'"checked":true'
"""The part of a header after which blocks end with a check line."""


class Lines:
    """The lines of chunks of text, without their ends."""

    def __init__(self, chunks: Iterable[bytes | Gap]) -> None:
        self._chunks = chunks
        self.line = 0
        """Number of the line returned last, from 1; inexact after a gap."""
        self.incomplete = False
        """Whether the last line has no end."""
        self.skipping = False
        """Set by the reader while only the header of a segment is of use; cleared when one is found."""

    def __iter__(self) -> Iterator[bytes | Gap]:
        """Yield the lines, and a `Gap` where some are damaged."""
        block: list[bytes] = []
        size, crc, checked = 0, 0, False
        for line in self._lines():
            if isinstance(line, Gap):
                block, size, crc, checked = [], 0, 0, False
                yield line
                continue
            if line.startswith(CHECK_START):
                check = _CHECK.fullmatch(line)
                if not checked:
                    continue
                if check and int(check[1]) == crc:
                    yield from block
                else:
                    yield Gap("a checksum is wrong")
                    checked = False
                block, size, crc = [], 0, 0
                continue
            if line.startswith(HEADER_START):
                if block:
                    # The check line of the previous block is missing.
                    block, size, crc = [], 0, 0
                    yield Gap("a checksum is missing")
                checked, self.skipping = CHECKED in line, False
            if not checked:
                yield line
                continue
            block.append(line)
            crc = zlib.crc32(b"\n", zlib.crc32(line, crc))
            size += len(line)
            if size > MAX_BLOCK:
                block, size, crc, checked = [], 0, 0, False
                yield Gap("a block that is too long")
        # Without its check line, the last block was cut off.
        self.incomplete = self.incomplete or bool(block)
        yield from block

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
