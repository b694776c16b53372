"""The flags as help, manual page and completions need them; the one place that looks inside argparse."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from nvltop.cli.argument_types import NameFrom

FILE_METAVARS: Final = ("FILE", "PATH")
"""What values that are files are called."""


class Flag(NamedTuple):
    """One flag, by all its names."""

    names: tuple[str, ...]
    help: str
    value: str | None
    """What its value is called; None if it takes none."""
    optional: bool
    """The value can be left out."""
    repeats: bool
    choices: Mapping[str, str]
    """Values that there are, each with what it is; empty if any will do."""
    conflicts: tuple[str, ...]
    """Names of the flags that it excludes."""

    @property
    def file(self) -> bool:
        """Its value is a file or a folder."""
        return self.value in FILE_METAVARS

    @property
    def argument(self) -> str:
        """Its value as it is shown behind the names."""
        if self.value is None:
            return ""
        return f" [{self.value}]" if self.optional else f" {self.value}"


class Group(NamedTuple):
    """Flags that belong together."""

    title: str
    flags: tuple[Flag, ...]


def groups(parser: argparse.ArgumentParser) -> Iterator[Group]:
    """Yield the groups of a parser in their order, empty ones left out."""
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
    return Flag(
        names=tuple(action.option_strings),
        help=action.help or "",
        value=None if action.nargs == 0 else str(action.metavar or action.dest.upper()),
        optional=action.nargs == argparse.OPTIONAL,
        repeats=isinstance(action, argparse._AppendAction),
        choices=choices,
        conflicts=conflicts,
    )
