"""The layout of `--help`, and the texts at its end that the manual page shows as well."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from typing import Final

from nvltop.cli.exit_codes import EXIT_CODES

HELP_COLUMN: Final = 27
"""Column in which the help of a flag begins."""
MIN_WIDTH: Final = 70
MAX_WIDTH: Final = 100

EXAMPLES: Final = {
    "nvltop --demo": "simulate a DGX H100, without any GPU",
    "nvltop --demo nvl72": "simulate a rack of 18 nodes",
    "nvltop --json -n 60": "print a line of JSON each second for a minute",
}


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """argparse's formatter, as wide as the terminal within limits."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=HELP_COLUMN, width=help_width())

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """Return the short and the first long name, and the value once; the manual page has every name."""
        long = [name for name in action.option_strings if name.startswith("--")]
        names = [name for name in action.option_strings if name not in long[1:]]
        if action.nargs == argparse.REMAINDER:
            value = f" {action.metavar}"  # argparse would show `...`
        else:
            value = "" if action.nargs == 0 else f" {self._format_args(action, action.dest.upper())}"
        return ", ".join(names) + value


def help_width() -> int:
    """Return the width of the help in columns."""
    return min(max(shutil.get_terminal_size().columns, MIN_WIDTH), MAX_WIDTH)


def epilog() -> str:
    """Return the end of the help: exit codes and examples."""
    codes = ", ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())
    lines = textwrap.wrap(f"exit codes: {codes}", help_width(), subsequent_indent=" " * len("exit codes: "))
    width = max(map(len, EXAMPLES))
    return "\n".join([*lines, "", "examples:", *(f"  {k:{width}}  {v}" for k, v in EXAMPLES.items())])
