"""Check lines and compression of the blocks of a recording: none, gzip or Zstandard, by the file's ending.

Each compressed block is a complete gzip member or Zstandard frame, so that it can be read without the others.
The numbers in the check lines reveal a block that is missing without a trace.
"""

from __future__ import annotations

import contextlib
import importlib
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from nvltop.record.format import CHECK_START, RecordingError

GZIP: Final = b"\x1f\x8b\x08"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
ZSTD_LEVEL: Final = 9
WINDOW_BITS: Final = 13
MEMORY_LEVEL: Final = 6
"""Arguments of `zlib.compressobj`: a window of 8 kB, and buffers of 50 kB in all."""

Compress = Callable[[bytes], bytes]


def compressor(path: Path) -> Compress:
    """Return the function that makes a block of lines a part of the file, by the file's ending."""
    if path.suffix == ".gz":
        return gzip_part
    if path.suffix == ".zst":
        zstd = zstandard(path)
        parameter = zstd.CompressionParameter
        options = {parameter.compression_level: ZSTD_LEVEL, parameter.checksum_flag: 1}
        return lambda block: bytes(zstd.compress(block, options=options))
    return bytes


def deflated(parts: Iterable[bytes | bytearray], level: int) -> bytes:
    """Return data, which may come in parts, compressed with little memory, for `zlib.decompress`.

    The buffers of `zlib.compress`, 270 kB, are mapped and cleared in each call, 0.1 ms.
    """
    deflate = zlib.compressobj(level, zlib.DEFLATED, WINDOW_BITS, MEMORY_LEVEL)
    return b"".join([*map(deflate.compress, parts), deflate.flush()])


def gzip_part(block: bytes) -> bytes:
    """Return lines as a complete gzip member."""
    # Z_FILTERED: noise has no repetitions, and searching for short ones only costs time. Higher levels take
    # twice as long for 2.5 % of the size.
    deflate = zlib.compressobj(4, zlib.DEFLATED, 16 + zlib.MAX_WBITS, 9, zlib.Z_FILTERED)
    return deflate.compress(block) + deflate.flush()


def checked(block: bytes, number: int, is_last: bool = False) -> bytes:
    """Return lines followed by the check line of block `number`, the first being 0."""
    return b"%s%s%d,%d%s]\n" % (block, CHECK_START, zlib.crc32(block), number, b',"end"' * is_last)


def zstandard(path: Path) -> Any:
    """Return the module for Zstandard; raise `RecordingError` if there is none."""
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise RecordingError(f"{path}: .zst needs Python 3.14 or the package backports.zstd; .gz needs nothing")


class Inflate:
    """A decompressor of one gzip member, with the interface of Zstandard's."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        """Whether the end of the member was reached."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """The bytes after the end of the member."""
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        """Whether all input has been decompressed."""
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return the next bytes, at most `max_length`."""
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
