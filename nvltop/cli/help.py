"""The text of `--help`: one line a flag where that can be, groups under their titles, no wider than 100."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Iterator
from typing import Final

from nvltop.cli.exit_codes import EXIT_CODES
from nvltop.cli.flags import Flag, groups

INDENT: Final = 27
"""Where the words about a flag begin."""
WIDEST: Final = 100
NARROWEST: Final = 70

EXAMPLES: Final = {
    "nvltop --demo": "a simulated DGX H100, without any GPU",
    "nvltop --json -n 60": "one JSON object a second for a minute",
}


def text(parser: argparse.ArgumentParser) -> str:
    """Return the help for the terminal that there is."""
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    return "\n".join(lines(parser, width)) + "\n"


def lines(parser: argparse.ArgumentParser, width: int) -> Iterator[str]:
    """Yield the lines of the help, none wider than `width`."""
    yield f"usage: {parser.prog} [FLAG]..."
    yield ""
    yield from textwrap.wrap(parser.description or "", width)
    for group in groups(parser):
        yield ""
        yield from textwrap.wrap(f"{group.title}:", width)
        for flag in group.flags:
            yield from _flag(flag, width)
    yield ""
    codes = ", ".join(f"{code} {what}" for code, what in EXIT_CODES.items())
    yield from textwrap.wrap(f"exit codes: {codes}", width, subsequent_indent=" " * len("exit codes: "))
    for number, (command, what) in enumerate(EXAMPLES.items()):
        yield f"{'' if number else 'example:':9}{command:21}{what}"


def _flag(flag: Flag, width: int) -> Iterator[str]:
    # Of a flag with many names the first short and the first long one; the manual page has all.
    long = [name for name in flag.names if name.startswith("--")][:1]
    names = [*(name for name in flag.names if not name.startswith("--")), *long]
    shown = f"  {', '.join(names)}{flag.argument}"
    first, *rest = textwrap.wrap(flag.help, width - INDENT, break_on_hyphens=False)
    if len(shown) >= INDENT:
        yield shown
        shown = ""
    yield f"{shown:{INDENT}}{first}"
    for line in rest:
        yield " " * INDENT + line
