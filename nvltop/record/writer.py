"""Write a recording in the background.

Items are redacted, encoded and compressed as they arrive. A separate thread writes the blocks, because a disk
or network share may be slow. When writing fails, recording ends and the run goes on: see
`RecordingWriter.error`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from nvltop.model import Item, Tick, time_of
from nvltop.record.compression import checked, compressor
from nvltop.record.format import MAX_HEADER_MARKS, Mark, RecordingError
from nvltop.record.journal import Journal
from nvltop.record.marks import Marker
from nvltop.record.output import FileOutput, StreamOutput
from nvltop.record.redact import Redactor

STDOUT: Final = "-"
"""Name of the recording that is written to standard output."""
BLOCK_S: Final = 8.0
"""Length of a block of a compressed file, seconds. A killed writer loses the current block and no more."""
BLOCK_BYTES: Final = 1 << 18
"""Size of a block, bytes, above which it is written early; compressing it takes some ten milliseconds."""
PLAIN_BLOCK_S: Final = 1.0
"""Length of a block of a file that is not compressed, seconds: longer blocks would not make it smaller."""
SEGMENT_S: Final = 50.0
"""Length of a segment, seconds. Damage to a segment loses no more than the segment."""
CLOSE_TIMEOUT_S: Final = 2.0
"""Time in seconds that closing waits for the disk."""
MIN_BYTES: Final = 1 << 16
"""Smallest size limit of a recording, bytes."""


class RecordingWriter:
    """Records items into a new file, and leaves out of them what `redact` removes.

    With `max_bytes` the file becomes FILE.1 when it has reached half of that, in place of the previous
    FILE.1, and a new FILE begins. The two together stay below `max_bytes`. Each can be replayed alone.
    """

    def __init__(
        self, path: str | Path, max_bytes: int | None = None, redact: Redactor | None = None
    ) -> None:
        """Create the file, mode 0600; raise `RecordingError` if it exists or cannot be created.

        The path `-` stands for standard output, to which each frame is written at once.
        """
        self.path = Path(path)
        if max_bytes is not None and max_bytes < MIN_BYTES:
            raise RecordingError(f"a recording takes at least {MIN_BYTES >> 10} KiB")
        self._redact = redact or Redactor()
        self._is_stream = str(path) == STDOUT
        self._pack = bytes if self._is_stream else compressor(self.path)
        self._block_s = PLAIN_BLOCK_S if self._pack is bytes else BLOCK_S
        self._most = None if max_bytes is None or self._is_stream else max_bytes // 2
        self._journal = Journal(self._redact.removed)
        self._marker = Marker()
        self._marks: list[Mark] = []
        """Marks of the current segment."""
        self._block_begin_s: float | None = None
        self._segment_begin_s: float | None = None
        self._output = StreamOutput() if self._is_stream else FileOutput(self.path, max_bytes is not None)
        self._file_bytes = 0
        self._number = 0
        """Number of the next block of the file."""
        self._begin_segment()

    @property
    def error(self) -> RecordingError | None:
        """Why recording has stopped, if it has."""
        return self._output.error

    @property
    def is_closed(self) -> bool:
        """Whether the reader of a stream has closed it."""
        return self._output.is_closed

    def write(self, item: Item) -> None:
        """Record an item; does nothing once recording has stopped."""
        if self.error or self.is_closed:
            return
        item = self._redact(item)
        self._marks += self._marker.marks(item)[: max(0, MAX_HEADER_MARKS - len(self._marks))]
        self._put(self._journal.lines(item))
        now_s = time_of(item)
        if self._block_begin_s is None:
            self._block_begin_s = now_s
        if self._segment_begin_s is None:
            self._segment_begin_s = now_s
        is_due = now_s - self._block_begin_s >= self._block_s or self._block_bytes >= BLOCK_BYTES
        if self._is_stream and isinstance(item, Tick):
            is_due = True
        if is_due:
            self._flush()
            if self._segment_begin_s is not None and now_s - self._segment_begin_s >= SEGMENT_S:
                self._begin_segment()

    def close(self) -> None:
        """Write what is left; wait no longer than `CLOSE_TIMEOUT_S` for the disk."""
        if not self.error:
            self._flush(last=True)
            self._end_file()
        self._output.close(CLOSE_TIMEOUT_S)

    def _begin_segment(self) -> None:
        """Begin a segment, which can be read alone: a header, then the newest item of each kind."""
        self._block: list[bytes] = []
        self._block_bytes = 0
        self._segment_begin_s = None
        self._put(self._journal.begin(self._marks))
        self._marks = []

    def _put(self, lines: list[bytes]) -> None:
        self._block += lines
        self._block_bytes += sum(map(len, lines))

    def _flush(self, last: bool = False) -> None:
        size = self._append(b"".join(self._block))
        self._block, self._block_bytes, self._block_begin_s = [], 0, None
        # The next part may be longer than this one.
        if self._most and not last and self._file_bytes + 2 * size > self._most:
            self._end_file()
            self._output.do(self._output.rotate)
            self._file_bytes = self._number = 0
            self._begin_segment()

    def _end_file(self) -> None:
        """Write an empty block that says that nothing follows, so that a lost end is noticed."""
        self._append(b"", is_last=True)

    def _append(self, block: bytes, is_last: bool = False) -> int:
        """Write a block, and return its size in the file in bytes."""
        part = self._pack(checked(block, self._number, is_last))
        self._number += 1
        self._output.do(partial(self._output.append, part), len(part))
        self._file_bytes += len(part)
        return len(part)
