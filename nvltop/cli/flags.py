"""Descriptions of the flags, for the manual page and completions.

They are read from argparse's private attributes, in this module alone: shtab and argparse-manpage read
the same ones, and a table of flags of our own would repeat `add_argument()`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from nvltop.cli.argument_types import NameFrom

FILE_METAVARS: Final = ("FILE", "PATH", "A B")
"""Metavars of values that are files or folders."""


class Flag(NamedTuple):
    """A flag with all its names."""

    names: tuple[str, ...]
    help: str
    value: str | None
    """Metavar of the value, or of several values with blanks between; None if the flag takes no value."""
    optional: bool
    """Whether the value can be omitted."""
    repeats: bool
    choices: Mapping[str, str]
    """Possible values with their descriptions; empty if any value is allowed."""
    conflicts: tuple[str, ...]
    """Names of the flags that exclude this flag."""

    @property
    def file(self) -> bool:
        """Whether the value is a file or a folder."""
        return self.value in FILE_METAVARS

    @property
    def argument(self) -> str:
        """The value as shown after the names."""
        if self.value is None:
            return ""
        return f" [{self.value}]" if self.optional else f" {self.value}"


class Group(NamedTuple):
    """A group of flags with a title."""

    title: str
    flags: tuple[Flag, ...]


def groups(parser: argparse.ArgumentParser) -> Iterator[Group]:
    """Yield the groups of a parser in order, without empty groups."""
    conflicts: dict[str, tuple[str, ...]] = {}
    for exclusive in parser._mutually_exclusive_groups:
        for action in exclusive._group_actions:
            others = (other for other in exclusive._group_actions if other is not action)
            conflicts[action.dest] = tuple(name for other in others for name in other.option_strings)
    for group in parser._action_groups:
        if group._group_actions:
            yield Group(
                group.title or "", tuple(_flag(a, conflicts.get(a.dest, ())) for a in group._group_actions)
            )


def flags(parser: argparse.ArgumentParser) -> list[Flag]:
    """Return all flags of a parser."""
    return [flag for group in groups(parser) for flag in group.flags]


def _flag(action: argparse.Action, conflicts: tuple[str, ...]) -> Flag:
    choices: Mapping[str, str] = {}
    if action.choices is not None:
        choices = {str(choice): "" for choice in action.choices}
    elif isinstance(action.type, NameFrom):
        choices = action.type.names
    metavar = (
        action.metavar if isinstance(action.metavar, tuple) else (action.metavar or action.dest.upper(),)
    )
    return Flag(
        names=tuple(action.option_strings),
        help=action.help or "",
        value=None if action.nargs == 0 else " ".join(metavar),
        optional=action.nargs == argparse.OPTIONAL,
        repeats=isinstance(action, argparse._AppendAction),
        choices=choices,
        conflicts=conflicts,
    )
