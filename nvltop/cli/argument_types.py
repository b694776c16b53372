"""What the arguments of flags are: each type turns its text into a value or says in one line why not."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping


class NameFrom:
    """The type of a name out of a list, or `list`; wrong ones are told later, with how to see the list."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = {**names, "list": "name them all"}
        """Each with what it is."""

    def __call__(self, text: str) -> str:
        """Take any text."""
        return text


def count(text: str) -> int:
    """Return a number of times."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of times (1 or more)")
    return int(text)


def size(text: str) -> int:
    """Return bytes; `200M` and `1GB` are powers of 1000."""
    match = re.fullmatch(r"([0-9]+)([kMGT]?)B?", text)
    if not match or not int(match.group(1)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 200M")
    power: int = 1000 ** " kMGT".index(match.group(2) or " ")
    return int(match.group(1)) * power


def ids(text: str) -> tuple[str, ...]:
    """Return GPUs as they were named: by index, UUID or PCI bus id."""
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of GPUs such as 0,3")
    return names


def tenths(text: str) -> float:
    """Return seconds; a bare number is tenths of one."""
    return _duration(text, 0.1)


def seconds(text: str) -> float:
    """Return seconds."""
    return _duration(text, 1.0)


def _duration(text: str, unit: float) -> float:
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ms|s|)", text)
    number = float(match.group(1)) if match else 0.0
    if not match or number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 5, 250ms or 1s")
    return number * {"ms": 0.001, "s": 1.0, "": unit}[match.group(2)]
