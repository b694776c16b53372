"""Selection of the lines of a log that can be about NVIDIA devices: nearly all others are skipped unread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

NEEDLES: Final = (
    b"NVRM:",
    b"Xid",
    b"fabricmanager",
    b"nvidia-imex",
    b"Linux version ",
    b"\n-- ",
    b"[ERROR]",
    b"[CRITICAL]",
    b"[FATAL]",
)
"""Each line of interest contains one of these; a line end stands for that of the line before."""
FABRIC: Final = (b"multicast group", b"Team setup request", b"Fabric Manager version", b"NVSwitch ")
"""In the same way in the log of the fabric manager."""
FABRIC_MARK: Final = b"] [tid "
TEAM: Final = FABRIC[1]
"""Stands in the second line of its record."""
DENSE: Final = 512
"""Bytes per line of the kernel driver below which all lines of a chunk are examined one by one."""
EXPORT: Final = b"__CURSOR="
"""First field of an entry of `journalctl -o export`."""
MAX_LINE: Final = 16384
"""Bytes of a line that are examined."""


def selected(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of interest in their order; chunks must end with a line."""
    for chunk in chunks:
        if chunk.count(NEEDLES[0]) * DENSE > len(chunk) and FABRIC_MARK not in chunk:
            yield from _each(chunk)
            continue
        starts = set[int]()
        for needle in (*NEEDLES, *FABRIC) if FABRIC_MARK in chunk else NEEDLES:
            at = chunk.find(needle)
            while at >= 0:
                start = chunk.rfind(b"\n", 0, at + 1) + 1
                starts.add(start)
                if needle is TEAM and start:
                    starts.add(chunk.rfind(b"\n", 0, start - 1) + 1)
                end = chunk.find(b"\n", max(at, start))
                if end < 0:
                    break
                at = chunk.find(needle, end)
        for start in sorted(starts):
            end = chunk.find(b"\n", start)
            line = chunk[start : min(end if end >= 0 else len(chunk), start + MAX_LINE)]
            yield line.decode(errors="replace").rstrip("\r")
            # The fabric manager goes on in lines without a stamp.
            if line.startswith(b"[") and b"] [tid" in line and end >= 0:
                yield from _continuation(chunk, end + 1, starts)


def _each(chunk: bytes) -> Iterator[str]:
    """Yield the lines of interest of a chunk in which most lines are of interest."""
    driver, *others = NEEDLES
    present = [needle for needle in others if needle in chunk]
    for line in chunk.split(b"\n"):
        if driver in line or line.startswith(b"-- ") or any(needle in line for needle in present):
            yield line[:MAX_LINE].decode(errors="replace").rstrip("\r")


def _continuation(chunk: bytes, start: int, taken: set[int]) -> Iterator[str]:
    for _ in range(4):
        end = chunk.find(b"\n", start)
        line = chunk[start : min(end if end >= 0 else len(chunk), start + MAX_LINE)]
        if start in taken or not line or line[:1] in b"[{<" or line[:1].isdigit():
            return
        yield line.decode(errors="replace")
        if end < 0:
            return
        start = end + 1


def entries(chunks: Iterable[bytes]) -> Iterator[dict[str, object]]:
    """Yield the entries of `journalctl -o export` as fields; entries are separated by empty lines."""
    fields: dict[str, object] = {}
    for chunk in chunks:
        for line in chunk.split(b"\n"):
            if not line:
                if fields:
                    yield fields
                fields = {}
                continue
            name, equals, value = line[:MAX_LINE].partition(b"=")
            # Fields with a line end in them are written in binary form and skipped here.
            if equals and len(fields) < 256:
                fields[name.decode(errors="replace")] = value.decode(errors="replace")
    if fields:
        yield fields
