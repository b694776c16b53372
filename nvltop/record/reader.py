"""Opens a recording that may come from a stranger: strict, in bounded memory, with the line of each error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from nvltop.model import Item
from nvltop.record.format import check_header
from nvltop.record.stream import LineReader, Progress
from nvltop.wire.codec import CodecError
from nvltop.wire.coder import Decoder

HEADER: Final = b'{"schema":'
LONG: Final = 4300
_ENDLESS_NUMBER: Final = re.compile(rb"[0-9]{%d}" % LONG)
"""Old versions of Python take time with the square of a number's length to read it."""


class RecordingReader:
    """The items of one file, once, in the order in which they came."""

    def __init__(self, path: str | Path, progress: Progress | None = None) -> None:
        """Open the file and check its header; raise `RecordingError` if it is no recording."""
        self.path = Path(path)
        self._lines = LineReader(self.path, progress)
        self._items = self._read()
        self.warning: str | None = None
        """Set at the end if the file was cut off."""
        try:
            self.header: dict[str, Any] = self._header()
        except BaseException:  # nobody else has the open file yet
            self.close()
            raise

    def __enter__(self) -> RecordingReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    @property
    def line(self) -> int:
        """Number of the line that the last item came from."""
        return self._lines.line

    def __iter__(self) -> Iterator[Item]:
        """Yield the items; raise `RecordingError` at the first line that is none."""
        return self._items

    def _header(self) -> dict[str, Any]:
        self._iterator = iter(self._lines)
        line = next(self._iterator, None)
        if line is None:
            raise self._lines.error("empty, or cut off before the first line was whole")
        return self._checked(line)

    def _checked(self, line: bytes) -> dict[str, Any]:
        # Another kind of file is no damaged recording.
        header: dict[str, Any] = self._json(line) if line.startswith(HEADER) else {}
        if wrong := check_header(header):
            raise self._lines.error(wrong)
        return header

    def _read(self) -> Iterator[Item]:
        decoder = Decoder()
        again = 0
        for line in self._iterator:
            if line.startswith(HEADER):
                again = self._checked(line).get("again", 0)
                decoder = Decoder(decoder.tick_s)
                continue
            value = self._json(line)
            try:
                item = decoder.item(value, len(line))
            except CodecError as error:
                raise self._lines.error(str(error)) from None
            if item is not None and again:
                again -= 1
            elif item is not None:
                yield item
        if self._lines.cut:
            self.warning = f"{self.path}: cut off after line {self.line}: {self._lines.cut}"

    def _json(self, line: bytes) -> Any:
        if len(line) > LONG and _ENDLESS_NUMBER.search(line):
            raise self._lines.error("a number without end")
        try:
            return json.loads(line)
        except RecursionError:
            raise self._lines.error("nested too deep") from None
        except ValueError:
            raise self._lines.error("not JSON") from None


def open_recording(path: str | Path, progress: Progress | None = None) -> RecordingReader:
    """Open a recording; `progress` is told bytes read and bytes in all while it is read."""
    return RecordingReader(path, progress)
