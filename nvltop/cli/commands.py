"""Commands with exit codes of their own: `--explain`, `--compare`, `--ras` and `--run`.

The first three return 0 if they found nothing, 1 if they found something, 2 for wrong usage and 3 for every
failure; `--run` returns the exit code of the command that it runs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from nvltop.cli import streams
from nvltop.cli.exit_codes import INTERRUPTED, NO_ANSWER, OK, USAGE, CommandError, usage_error
from nvltop.cli.options import read_settings, requested_interval
from nvltop.cli.parser import parser
from nvltop.frozen import frozen
from nvltop.text import print_message


@frozen
class Command:
    """A command of the command line."""

    name: str
    """Long flag without its dashes."""
    run: Callable[[argparse.Namespace], int]
    allows: frozenset[str]
    """Destinations of the flags that the command can be combined with."""


def requested_command(arguments: Sequence[str]) -> Command | None:
    """Return the command that a command line contains, valid or not."""
    for argument in arguments:
        for command in COMMANDS:
            if argument.partition("=")[0] == f"--{command.name}":
                return command
    return None


def main(command: Command, arguments: Sequence[str]) -> int:
    """Run a command and return the exit code, which is `NO_ANSWER` for every failure."""
    failure: OSError | None = None
    try:
        code = _run(command, _parsed(command, list(arguments)))
    except SystemExit as ended:  # --help and --version
        code = int(ended.code or OK)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except CommandError as error:
        print_message(str(error))
        code = error.code
    except Exception as crash:
        code = NO_ANSWER
        if isinstance(crash, OSError) and crash.errno in streams.WRITE_FAILURES:
            failure = crash
        else:
            from nvltop.crash import report_crash

            report_crash(crash)
    return streams.flush(OK, NO_ANSWER, failure) or code


def _parsed(command: Command, arguments: list[str]) -> argparse.Namespace:
    """Parse a command line; what follows `--run` belongs to the command that it runs."""
    if command.name != "run" or "--run" not in arguments:
        return parser().parse_args(arguments)
    at = arguments.index("--run")
    options = parser().parse_args([*arguments[:at], "--run"])
    options.run = arguments[at + 1 :]
    return options


def _run(command: Command, options: argparse.Namespace) -> int:
    defaults = vars(parser().parse_args([]))
    changed = {name for name, value in vars(options).items() if value != defaults[name]}
    if changed - command.allows - {command.name}:
        *rest, last = (f"--{name}" for name in sorted(command.allows & SHOWN))
        allowed = f"{', '.join(rest)} and {last}" if rest else last
        raise usage_error(f"--{command.name} can be combined only with {allowed}")
    if options.json:
        streams.use_utf8()
    else:
        streams.use_text_encoding(options.ascii, os.environ)
    return command.run(options)


def _explain(options: argparse.Namespace) -> int:
    if not options.explain:  # from a script whose variable is not set
        raise usage_error("--explain needs a name that is not empty")
    from nvltop.explain.command import run

    return run(options.explain, options.json, options.ascii)


def _compare(options: argparse.Namespace) -> int:
    if not all(options.compare):
        raise usage_error("--compare needs two names that are not empty")
    from nvltop.cli.run import open_live
    from nvltop.compare.command import run
    from nvltop.headless.session import RunError

    settings = read_settings(options, on_screen=False)
    try:
        return run(options.compare, settings, lambda: open_live(options, settings), options.json)
    except RunError as error:
        raise CommandError(str(error), USAGE if error.code == USAGE else NO_ANSWER) from None


def _run_command(options: argparse.Namespace) -> int:
    words = options.run[1:] if options.run[:1] == ["--"] else options.run
    if not words or not words[0]:
        raise usage_error("--run needs a command: nvltop --run -- COMMAND [ARGUMENT]...")
    from nvltop.cli.run import open_live
    from nvltop.record.format import RecordingError
    from nvltop.run_command.command import ERRORS_INTERVAL_S, INTERVAL_S, run

    settings = replace(
        read_settings(options, on_screen=False), interval_s=requested_interval(options) or INTERVAL_S
    )
    try:
        return run(words, settings, lambda: open_live(options, settings, ERRORS_INTERVAL_S), options.json)
    except RecordingError as error:
        raise CommandError(str(error), NO_ANSWER) from None


def _ras(options: argparse.Namespace) -> int:
    from nvltop.ras.client import RasError
    from nvltop.ras.command import REPEAT_S, RasOptions, run
    from nvltop.ras.inquiry import RasUsageError

    wanted = RasOptions(
        options.ras,
        options.yes,
        options.ras_force,
        options.max_iterations or 1,
        requested_interval(options) or REPEAT_S,
    )
    try:
        return run(wanted, options.json)
    except RasUsageError as error:
        raise usage_error(str(error)) from None
    except RasError as error:
        raise CommandError(str(error), NO_ANSWER) from None


LIVE: Final = frozenset({"demo", "scenario", "interval", "delay"})
"""Destinations of the flags for the machine that is read."""
SHOWN: Final = frozenset({"json", "ascii", "demo", "record", "yes"})
"""Destinations that an error message names."""
COMMANDS: Final = (
    Command("explain", _explain, frozenset({"json", "ascii"})),
    Command("compare", _compare, LIVE | {"json", "ascii"}),
    Command(
        "ras", _ras, frozenset({"json", "ascii", "yes", "ras_force", "max_iterations", "interval", "delay"})
    ),
    Command("run", _run_command, LIVE | {"json", "ascii", "record", "record_max", "no_redact"}),
)
