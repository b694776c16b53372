"""Remove from items and frames what identifies the machine.

Names of the host and its users, UUIDs, serial numbers and addresses become placeholders such as
`GPU-a1`, `node-1` or `user-1`: the same for the same thing as long as one `Redactor` is used, and
without a way back. PCI bus ids stay; they are the same on all machines of a kind.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from typing import Any, Final, TypeVar

from nvltop.analysis.jobs import GROUPING_PROGRAMS
from nvltop.model import Ancestor, Counter, LinkState, Missing, Reading, Scope
from nvltop.record.identifiers import (
    ARGUMENTS,
    BY_FIELD,
    GPU,
    LABELS,
    MIN_NAME,
    NIC_NAME,
    NO_NAMES,
    PATTERNS,
    REMOVED,
    VERBATIM,
    host_names,
    local_names,
)

T = TypeVar("T")

_PLACEHOLDER: Final = re.compile(rf"{GPU}\d+")
LEFT_OUT: Final = Missing("left out")
"""Instead of the arguments of a process, which may hold anything, such as a password."""

_OURS: Final = re.compile(r"(?:GPU|NIC)\d+")

UUID_CHARS: Final = 36
MAX_TEXTS: Final = 4096
"""Redacted texts that are remembered."""

_NAMELESS: Final = frozenset({int, float, bool, type(None), LinkState, Counter, Scope})
"""Types whose values name nobody: nearly all that is read is of these alone."""
_FIELDS: Final[dict[type, tuple[str, ...]]] = {}


class Redactor:
    """Replaces names; remembers which by which."""

    def __init__(
        self, names: dict[str, str] | None = None, arguments: Callable[[str], str] | None = None
    ) -> None:
        """Take the names to look for in texts and what to call them; those of this machine by default.

        `arguments` returns the part of the arguments of a process that is kept; without it, nothing is kept.
        """
        self._arguments = arguments
        self.removed: tuple[str, ...] = (
            *REMOVED,
            ARGUMENTS if arguments is None else f"secrets in {ARGUMENTS}",
        )
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._replace = [(kind, re.compile(pattern)) for kind, pattern in PATTERNS]
        self._looked_for: set[str] = set()
        self._gpus_stay = False
        known = local_names() if names is None else names
        for name in sorted(known, key=len, reverse=True):
            self._look_for(name, known[name])

    def _look_for(self, name: str, kind: str) -> None:
        if name.lower() in self._looked_for:
            return
        self._looked_for.add(name.lower())
        if len(name) >= MIN_NAME and name.lower() not in NO_NAMES and not name.isdigit():
            self._replace.append((kind, re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)))
            self._texts.clear()

    def learn(self, users: Iterable[str], nics: Iterable[str]) -> None:
        """Look for names of users and NICs in texts from now on, as if items with them had been redacted."""
        for user in users:
            self._user(user)
        for nic in nics:
            self._nic(nic)

    def but_gpus(self, value: T) -> T:
        """Return `value` redacted, with the UUIDs of GPUs kept in their fields, though not in texts."""
        self._gpus_stay = True
        try:
            return self(value)
        finally:
            self._gpus_stay = False

    def alias(self, text: str) -> str:
        """Return a user's name, or a text, as it is in what has been redacted."""
        return self._given.get((BY_FIELD["user"], text.lower())) or self.text(text)

    def text(self, text: str) -> str:
        """Return a text of any length with placeholders for names and addresses."""
        for kind, pattern in self._replace:
            text = pattern.sub(partial(self._found, kind), text)
        return text

    def __call__(self, value: T) -> T:
        """Return an item, a frame or a part of one, redacted; itself if it has nothing to hide."""
        redacted: T = self._any(value)
        return redacted

    def _any(self, value: Any) -> Any:
        kind = type(value)
        if kind in _NAMELESS:
            return value
        if kind is Reading:
            return self._reading(value)  # nearly all that is recorded: without looking at each field
        if kind is str:
            return self._text(value)
        if kind is Missing:
            reason = self._text(value.reason)
            return value if reason is value.reason else Missing(reason)
        if kind is tuple:
            if _NAMELESS.issuperset(map(type, value)):
                return value
            new = tuple([self._any(v) for v in value])
            return value if all(map(operator.is_, value, new)) else new
        if isinstance(value, str) and not isinstance(value, Enum):
            new_text = self._text(str(value))
            return value if new_text == value else kind(new_text)  # a `FindingKey`
        if isinstance(value, Mapping):
            changed = {k: self._any(v) for k, v in value.items()}
            return value if all(map(operator.is_, value.values(), changed.values())) else changed
        if isinstance(value, tuple):
            # A named tuple: its values hold names as others do.
            return kind(*[self._any(v) for v in value])
        return self._dataclass(value) if is_dataclass(value) else value

    def _reading(self, reading: Reading) -> Reading:
        gpu = reading.gpu if reading.gpu is None else self._field(GPU, reading.gpu)
        data, problem = self._any(reading.data), self._any(reading.problem)
        if gpu == reading.gpu and data is reading.data and problem is reading.problem:
            return reading
        return Reading(gpu, reading.start_s, reading.end_s, reading.wall_s, data, problem)

    def _dataclass(self, value: Any) -> Any:
        changes = {}
        for name in _names(type(value)):
            old: Any = getattr(value, name)
            if type(old) in _NAMELESS:
                continue
            new: Any
            if name == "arguments" and type(old) is str:
                new = LEFT_OUT if self._arguments is None else self._text(self._arguments(old))
            elif name == "executable" and type(old) is str:
                # A program may write what it likes there, its arguments for one.
                new = self._text(_base_name(old))
            elif type(value) is Ancestor and type(old) is str and old:
                # It may be that of a script, which is an argument of its interpreter. The names on which
                # the grouping of processes depends stay, so that a replay groups them alike.
                new = old if old in GROUPING_PROGRAMS else LEFT_OUT.reason
            elif name == "device" and type(old) is str:
                new = self._nic(old)
            elif name == "interfaces":
                new = tuple([self._nic(v) for v in old])
                new = old if new == old else new
            elif name == "group_id" and type(old) is str:
                # As part of the key of its job, so that both have the same placeholder.
                new = self._text(f"{value.group_kind}:{old}").partition(":")[2]
            elif name in LABELS:
                new = self._labels(old)
            elif name in VERBATIM:
                new = old if type(old) is not Missing else self._any(old)
            elif name in BY_FIELD and type(old) is str:
                # They may stand in texts as well.
                if name == "hostname":
                    for part, what in host_names(old).items():
                        self._look_for(part, what)
                new = self._user(old) if name == "user" else self._field(BY_FIELD[name], old)
            elif name == "gpus" and all(type(v) is str for v in old):
                new = tuple([self._field(GPU, v) for v in old])
            else:
                new = self._any(old)
            if new is not old:
                changes[name] = new
        if not changes:
            return value
        return type(value)(
            **{n: changes[n] if n in changes else getattr(value, n) for n in _names(type(value))}
        )

    def _labels(self, value: Any) -> Any:
        if type(value) is str:
            return value if _OURS.fullmatch(value) else self._text(value)
        new = tuple([self._labels(v) for v in value])
        return value if all(map(operator.is_, value, new)) else new

    def _nic(self, name: str) -> str:
        """Return the name of a NIC, or a placeholder for one that an administrator has given."""
        new = self._text(name)
        if new != name or NIC_NAME.fullmatch(name):
            return new
        self._look_for(name, "nic-")
        return self._placeholder("nic-", name)

    def _user(self, name: str) -> str:
        """Return the placeholder of a user, whose name may stand in texts as well."""
        # Of `CORP\\jdoe` and `jdoe@corp` the name alone as well.
        for part in (name, name.rpartition("\\")[2].partition("@")[0]):
            self._look_for(part, BY_FIELD["user"])
        return self._placeholder(BY_FIELD["user"], name)

    def _field(self, kind: str, old: str) -> str:
        return old if kind == GPU and self._gpus_stay else self._placeholder(kind, old)

    def _text(self, text: str) -> str:
        if text not in self._texts:
            new = self.text(text)
            if len(self._texts) > MAX_TEXTS:
                self._texts.clear()
            self._texts[text] = text if new == text else new
        known = self._texts[text]
        # The same object, so that what needs no redaction is not copied.
        return text if known == text else known

    def _found(self, kind: str, match: re.Match[str]) -> str:
        return self._placeholder(kind, match[0])

    def _placeholder(self, kind: str, name: str) -> str:
        # Host and user names are not case-sensitive. The label of a pod has the first 8 digits of its UID.
        key = kind, name.lower()[: 8 if kind == "id-" and len(name) == UUID_CHARS else None]
        if key not in self._given:
            if kind == GPU and _PLACEHOLDER.fullmatch(name):
                return name  # of a recording, which has been redacted before
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._given[key] = f"{kind}{self._counts[kind]}"
        return self._given[key]


def _base_name(executable: str) -> str:
    return next(iter(executable.split()), "").rpartition("/")[2]


def _names(cls: type) -> tuple[str, ...]:
    if cls not in _FIELDS:
        _FIELDS[cls] = tuple(f.name for f in fields(cls) if f.init)
    return _FIELDS[cls]


class Unredacted(Redactor):
    """Removes nothing, for a recording that stays with its owner."""

    def __init__(self) -> None:
        super().__init__({})
        self.removed = ()

    def text(self, text: str) -> str:
        """Return the text as it is."""
        return text

    def __call__(self, value: T) -> T:
        """Return the value as it is."""
        return value
