"""Types of the arguments of flags: each converts a text to a value, or raises an error of one line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nvltop.record.positions import Position


class NameFrom:
    """The type of a name from a list, or `list`; unknown names are reported later, by `validate()`."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = {**names, "list": "list all names"}
        """Description of each name."""

    def __call__(self, text: str) -> str:
        """Return the text."""
        return text


def count(text: str) -> int:
    """Return a positive number."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"invalid number {text!r} (expected 1 or more)")
    return int(text)


def size(text: str) -> int:
    """Return bytes; the units of `200M` and `1GB` are powers of 1000."""
    match = re.fullmatch(r"([0-9]+)([kMGT]?)B?", text)
    if not match or not int(match.group(1)):
        raise argparse.ArgumentTypeError(f"invalid size {text!r} (expected e.g. 200M)")
    power: int = 1000 ** " kMGT".index(match.group(2) or " ")
    return int(match.group(1)) * power


def ids(text: str) -> tuple[str, ...]:
    """Return the names of GPUs: an index, a UUID or a PCI bus id each."""
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"invalid list of GPUs {text!r} (expected e.g. 0,3)")
    return names


def tenths(text: str) -> float:
    """Return seconds; a number without a unit is in tenths of a second."""
    return _duration(text, 0.1)


def seconds(text: str) -> float:
    """Return seconds; a number without a unit is in seconds."""
    return _duration(text, 1.0)


def _duration(text: str, unit: float) -> float:
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ms|s|)", text)
    number = float(match.group(1)) if match else 0.0
    if not match or number <= 0:
        raise argparse.ArgumentTypeError(f"invalid duration {text!r} (expected e.g. 5, 250ms or 1s)")
    return number * {"ms": 0.001, "s": 1.0, "": unit}[match.group(2)]


def position(text: str) -> Position:
    """Return a time in a recording."""
    from nvltop.record.positions import parse_position

    try:
        return parse_position(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
