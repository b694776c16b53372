"""`nvltop --compare A B`: read both sides, print what differs, return the exit code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from nvltop.compare import json, text
from nvltop.compare.differences import compare
from nvltop.compare.inputs import LIVE, read_file, read_live
from nvltop.compare.sides import Side
from nvltop.config.settings import Settings
from nvltop.model import ItemSource

EQUAL: Final = 0
DIFFERENT: Final = 1


def run(names: list[str], settings: Settings, open_live: Callable[[], ItemSource], as_json: bool) -> int:
    """Compare two sides and return the exit code. Raises `RunError` if a side cannot be read."""
    before, after = (_read(name, settings, open_live) for name in names)
    comparison = compare(before, after)
    # A reader that has seen enough (`| head`) changes nothing about the result.
    with contextlib.suppress(BrokenPipeError):
        print(json.to_json(comparison) if as_json else text.to_text(comparison))
    return DIFFERENT if comparison.matters else EQUAL


def _read(name: str, settings: Settings, open_live: Callable[[], ItemSource]) -> Side:
    if name != LIVE:
        return read_file(name, settings)
    with contextlib.closing(open_live()) as worker:
        return read_live(worker, settings)
