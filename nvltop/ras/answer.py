"""Parse the reply of a RAS service: JSON of NCCL 2.28.7 and later, or the text of older versions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from nvltop.frozen import frozen, mutable
from nvltop.ras.client import RasError, Reply
from nvltop.text import clean

MAX_RANKS: Final = 200_000
"""Ranks of all communicators above which a reply is refused."""
IN_PROGRESS: Final = 7
"""`ncclInProgress`, as a state of initialisation or as an asynchronous result."""


@frozen
class Rank:
    """One rank of a communicator."""

    rank: int
    host: str = ""
    pid: int | None = None
    nvml_index: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    """Operations launched, by collective; empty if not reported."""
    status: str = "RUNNING"
    """`INIT`, `RUNNING`, `FINALIZE`, `ABORT`, `ERROR n`, `UNRESPONSIVE` or `DEAD`."""


@frozen
class Communicator:
    """One communicator of a job."""

    hash: str
    size: int
    ranks: tuple[Rank, ...] = ()
    """Ranks that answered; of a text reply only those that it lists."""
    missing: tuple[Rank, ...] = ()
    """Ranks that did not answer."""
    errors: str = ""
    """`MISMATCH`, `INCOMPLETE` or `ERROR` where a text reply says so."""
    common_counts: Mapping[str, int] = field(default_factory=dict)
    """Highest count by collective that a text reply gives without listing its ranks."""

    @property
    def status(self) -> str:
        """The statuses of the ranks, the most frequent first."""
        statuses = [rank.status for rank in self.ranks]
        return ", ".join(sorted(set(statuses), key=lambda s: (-statuses.count(s), s))) or "UNKNOWN"


@frozen
class RasReport:
    """What NCCL reports of a job."""

    nccl_version: str
    communicators: tuple[Communicator, ...]
    timeouts: int = 0
    """Communication timeouts while the service gathered the data."""
    complete: bool = True
    """Whether every rank is listed, as JSON does; a text lists only the ranks of small groups."""


def parse(reply: Reply) -> RasReport:
    """Parse a reply. Raises `RasError` if it is not one of a RAS service."""
    return _parse_json(reply.text) if reply.is_json else _parse_text(reply.text)


def _parse_json(text: str) -> RasReport:
    try:
        found = json.loads(text)
        communicators = tuple(_communicator(c) for c in found["communicators"])
        timeouts = int(found.get("ras", {}).get("timeouts_count", 0))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise RasError("the answer is not the JSON of an NCCL RAS service") from None
    if sum(len(c.ranks) + len(c.missing) for c in communicators) > MAX_RANKS:
        raise RasError(f"the answer lists more than {MAX_RANKS} ranks")
    return RasReport(clean(str(found.get("nccl_version", "unknown")), 40), communicators, timeouts)


def _communicator(c: Mapping[str, Any]) -> Communicator:
    return Communicator(
        clean(str(c["hash"]), 40),
        int(c["size"]),
        tuple(_rank(rank) for rank in c.get("ranks", ())),
        tuple(_rank(rank) for rank in c.get("missing_ranks", ())),
    )


def _rank(r: Mapping[str, Any]) -> Rank:
    counts = {clean(str(k), 40): int(v) for k, v in (r.get("collective_counts") or {}).items()}
    return Rank(
        int(r["rank"]),
        clean(str(r.get("host", "")), 100),
        None if r.get("pid") is None else int(r["pid"]),
        None if r.get("nvml_dev") is None else int(r["nvml_dev"]),
        counts,
        _status(r.get("status") or {}),
    )


def _status(status: Mapping[str, Any]) -> str:
    if status.get("considered_dead"):
        return "DEAD"
    if status.get("unresponsive"):
        return "UNRESPONSIVE"
    for key in ("init_state", "async_error"):
        if (code := int(status.get(key) or 0)) not in (0, IN_PROGRESS):
            return f"ERROR {code}"
    if status.get("abort_flag"):
        return "ABORT"
    if status.get("init_state") == IN_PROGRESS:
        return "INIT"
    return "FINALIZE" if status.get("finalize_called") or status.get("destroy_flag") else "RUNNING"


_COMMUNICATOR: Final = re.compile(r"#\d+-\d+ \(([0-9a-fx:]{1,40})\) ([A-Z]{1,20})")
_LAUNCHED: Final = re.compile(
    r"(\d{1,9}) ranks? ha(?:s|ve) launched up to (?:(\w{1,30}) )?operation (\d{1,18})"
)
_STATUS: Final = re.compile(r"(\d{1,9}) ranks? ha(?:s|ve) status ([A-Z]{1,20})")
_LISTED: Final = re.compile(
    r"Rank (\d{1,9}) -- GPU (\d{1,4}) managed by process (\d{1,10}) on node (\S{1,100})"
)
_MISSING: Final = re.compile(r"The missing ranks?: ([\d, -]{1,2000})")
_GROUP: Final = re.compile(r"\d+ +\d+ +\d+ +[\d-]+ +(\d{1,9}) +(\d{1,9}) +([A-Z]+) +([A-Z]+)")
_VERSION: Final = re.compile(r"NCCL version (\d+\.\d+\.\d+)")
_TIMEOUTS: Final = re.compile(r"Encountered (\d{1,9}) communication timeouts?")


def _parse_text(text: str) -> RasReport:
    """Parse the summary of the text format; it lists only the ranks of small groups."""
    if "Communicators" not in text:
        first = clean(text.strip().split("\n", 1)[0], 80)
        raise RasError(f"the answer is not that of an NCCL RAS service: {first!r}")
    found: dict[str, _TextCommunicator] = {}
    current: _TextCommunicator | None = None
    groups: list[Communicator] = []
    for line in map(str.strip, text.splitlines()):
        if match := _GROUP.fullmatch(line):
            per_comm, _, status, errors = match.groups()
            if errors == "OK":
                groups.append(Communicator(f"group {len(groups)}", int(per_comm), (Rank(-1, status=status),)))
        elif match := _COMMUNICATOR.match(line):
            current = found.setdefault(match[1], _TextCommunicator(match[1]))
            current.errors = match[2]
        elif current is not None:
            current.add(line)
    version, timeouts = _VERSION.search(text), _TIMEOUTS.search(text)
    return RasReport(
        version[1] if version else "unknown",
        (*groups, *(c.communicator() for c in found.values())),
        int(timeouts[1]) if timeouts else 0,
        complete=False,
    )


@mutable
class _TextCommunicator:
    """A communicator whose problem a text reply describes, line by line."""

    hash: str
    errors: str = ""
    size: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Counts of the group of ranks whose lines follow."""
    common: dict[str, int] = field(default_factory=dict)
    status: str = "RUNNING"
    ranks: dict[int, Rank] = field(default_factory=dict)
    missing: list[Rank] = field(default_factory=list)

    def add(self, line: str) -> None:
        if match := _LAUNCHED.search(line):
            kind = match[2] or "any"
            self.counts = {kind: int(match[3])}
            self.common[kind] = max(self.common.get(kind, 0), int(match[3]))
            self.size += int(match[1])
        elif match := _STATUS.search(line):
            self.counts, self.status = {}, match[2]
            self.size += int(match[1])
        elif match := _LISTED.search(line):
            rank, gpu, pid = int(match[1]), int(match[2]), int(match[3])
            known = self.ranks.get(rank)
            counts = {**(known.counts if known else {}), **self.counts}
            self.ranks[rank] = Rank(rank, clean(match[4], 100), pid, gpu, counts, self.status)
        elif match := _MISSING.search(line):
            self.missing += [Rank(int(n), status="UNRESPONSIVE") for n in re.findall(r"\d{1,9}", match[1])]

    def communicator(self) -> Communicator:
        size = self.size + len(self.missing)
        return Communicator(
            self.hash, size, tuple(self.ranks.values()), tuple(self.missing), self.errors, self.common
        )
