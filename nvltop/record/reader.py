"""Read a recording from an untrusted source, in bounded time and memory, and skip what is damaged."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final

from nvltop.model import Item, time_of
from nvltop.record.chunks import Chunks, Gap, Progress
from nvltop.record.format import HEADER_START, Header, RecordingError, parse_header
from nvltop.record.lines import Lines
from nvltop.wire.line_codec import LineDecoder
from nvltop.wire.schema import CodecError, Schema

STDIN: Final = "-"
"""Name of the recording that is read from standard input."""
MAX_DIGITS: Final = 4300
"""Number of digits above which old versions of Python take quadratic time to parse a number."""
MAX_LISTED: Final = 8
"""Number of skipped names that the warning lists."""
_LONG_NUMBER: Final = re.compile(rb"[0-9]{%d}" % MAX_DIGITS)


class RecordingReader:
    """The items of one recording, once, in the order in which they were recorded."""

    def __init__(
        self,
        path: str | Path,
        progress: Progress | None = None,
        offset: int = 0,
        file: BinaryIO | io.FileIO | None = None,
    ) -> None:
        """Open the file and read its first header; raise `RecordingError` if there is none.

        `offset` is the position of a segment from which to read. With `file`, read that instead.
        """
        self.path = Path(path)
        self._chunks = Chunks(self.path, progress, offset, file)
        self._lines = Lines(self._chunks, from_start=not offset)
        self._iterator = iter(self._lines)
        self._schemas: dict[str, Schema] = {}
        self._version = "?"
        self._end_s: float | None = None
        """Time of the newest item so far."""
        self._gap_s: float | None = None
        """`_end_s` when the gap began that has not ended yet."""
        self._in_gap = False
        """Whether lines are skipped until the next segment."""
        self._lost_s = 0.0
        """Seconds in the gaps that have ended."""
        self._lost_begin = False
        """Whether a gap began before the first item."""
        self._first_gap = ""
        """Why the first gap exists, with its line."""
        self.warning: str | None = None
        """One line about what was skipped or lost; set at the end."""
        try:
            self.header: Header = self._first_header()
        except BaseException:  # the caller cannot close the file yet
            self.close()
            raise
        self._items = self._read()

    def __enter__(self) -> RecordingReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._chunks.close()

    def __iter__(self) -> Iterator[Item]:
        """Yield the items; raise `RecordingError` if none can be read."""
        return self._items

    def _first_header(self) -> Header:
        """Return the first header; skip what is before it if that is damaged."""
        for line in self._iterator:
            try:
                if isinstance(line, Gap):
                    raise ValueError(line.why)
                return self._parsed_header(line)
            except ValueError as error:
                # Another kind of file is rejected at its first line.
                self._begin_gap(str(error))
                if not isinstance(line, Gap) and not self._may_be_recording():
                    break
        if self._first_gap:
            raise RecordingError(f"{self.path}:{self._first_gap}")
        raise RecordingError(f"{self.path}:1: empty, or cut off before the first line was complete")

    def _may_be_recording(self) -> bool:
        """Return whether a file whose first line is not a header may be a damaged recording."""
        return self.path.suffix in (".gz", ".zst", ".nvltop", ".jsonl") and "newer" not in self._first_gap

    def _parsed_header(self, line: bytes) -> Header:
        if not line.startswith(HEADER_START):
            value: Any = _json(line) if line.startswith(b'{"schema":') else {}
        else:
            value = _json(line)
        header = parse_header(value, self._schemas)
        self._version = header.version
        return header

    def _read(self) -> Iterator[Item]:
        decoder = LineDecoder(self.header.schema)
        again, found, resumes = 0, False, False
        self._in_gap = self._lines.skipping = False
        for line in self._iterator:
            try:
                if isinstance(line, Gap):
                    raise ValueError(line.why)
                if line.startswith(HEADER_START):
                    header = self._parsed_header(line)
                    again = header.again if found else 0
                    decoder = LineDecoder(header.schema, decoder.tick_s)
                    resumes, self._in_gap, self._lines.skipping = self._in_gap, False, False
                    continue
                if self._in_gap:
                    continue
                value = _json(line)
                item = decoder.item(value, len(line))
            except ValueError as error:
                self._begin_gap(str(error))
                continue
            repeated = again > 0
            if repeated and value[0] != "g":
                again -= 1
            if item is None:
                continue
            now_s = time_of(item)
            if repeated:
                # What was known when the segment began; after a gap, some of it may have been lost.
                if not resumes or self._end_s is None or now_s <= self._end_s:
                    continue
            elif self._gap_s is not None:
                self._lost_s += max(0.0, now_s - self._gap_s)
                self._gap_s = None
            found = True
            self._end_s = now_s if self._end_s is None else max(self._end_s, now_s)
            yield item
        self._finish(found)

    def _begin_gap(self, why: str) -> None:
        """Skip lines until the next segment."""
        if not self._first_gap:
            self._first_gap = f"{max(self._lines.line, 1)}: {why}"
        if self._gap_s is None:
            self._gap_s = self._end_s
            self._lost_begin = self._lost_begin or self._end_s is None
        self._in_gap = self._lines.skipping = True

    def _finish(self, found: bool) -> None:
        """Set the warning; raise `RecordingError` if nothing could be read."""
        if not found and self._first_gap:
            raise RecordingError(f"{self.path}:{self._first_gap}")
        parts = []
        cut = self._chunks.cut or ("the last line is incomplete" if self._lines.incomplete else "")
        if self._lines.has_no_end and not self._in_gap:
            cut = cut or "the end is missing"
        if self._first_gap and not (cut and self._in_gap and not self._lost_s):
            lost = ["the beginning"] * self._lost_begin
            lost += [f"{self._lost_s:.0f} s"] * (self._lost_s > 0 or not (lost or self._in_gap))
            lost += ["the end"] * self._in_gap
            parts.append(f"damaged, {' and '.join(lost)} lost (line {self._first_gap})")
        if cut:
            parts.append(f"cut off after line {self._lines.line}: {cut}")
        skipped = list(dict.fromkeys(s for schema in self._schemas.values() for s in schema.skipped))
        if skipped:
            listed = ", ".join(skipped[:MAX_LISTED]) + (", …" if len(skipped) > MAX_LISTED else "")
            parts.append(
                f"written by nvltop {self._version}, skipped what this version does not have: {listed}"
            )
        self.warning = f"{self.path}: {'; '.join(parts)}" if parts else None


def _json(line: bytes) -> Any:
    """Return the JSON value of a line; raise `ValueError` with a short reason."""
    if len(line) > MAX_DIGITS and _LONG_NUMBER.search(line):
        raise CodecError("a number with too many digits")
    try:
        return json.loads(line)
    except RecursionError:
        raise CodecError("nested too deep") from None
    except ValueError:
        raise CodecError("not JSON") from None


def open_recording(path: str | Path, progress: Progress | None = None, offset: int = 0) -> RecordingReader:
    """Open a recording, or standard input for `-`; `progress` is called with the bytes read and the size."""
    if str(path) == STDIN:
        return RecordingReader("standard input", progress, offset, io.FileIO(0, closefd=False))
    return RecordingReader(path, progress, offset)
