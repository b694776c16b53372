"""Commands with exit codes of their own: `--explain` and `--compare`.

Each returns 0 if it found nothing, 1 if it found something, 2 for wrong usage and 3 for every failure.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nvltop.cli import streams
from nvltop.cli.exit_codes import INTERRUPTED, NO_ANSWER, OK, USAGE, CommandError, usage_error
from nvltop.cli.options import read_settings
from nvltop.cli.parser import parser
from nvltop.nvml.demo_nodes import DEFAULT_SCENARIO
from nvltop.text import print_message

if TYPE_CHECKING:
    from nvltop.sampler.client import Worker


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the command line."""

    name: str
    """Long flag without its dashes."""
    run: Callable[[argparse.Namespace], int]
    allows: frozenset[str]
    """Destinations of the flags that the command can be combined with."""


def requested_command(arguments: Sequence[str]) -> Command | None:
    """Return the command that a command line contains, valid or not."""
    flags = {argument.partition("=")[0] for argument in arguments}
    return next((command for command in COMMANDS if f"--{command.name}" in flags), None)


def main(command: Command, arguments: Sequence[str]) -> int:
    """Run a command and return the exit code, which is `NO_ANSWER` for every failure."""
    failure: OSError | None = None
    try:
        code = _run(command, parser().parse_args(arguments))
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


def _run(command: Command, options: argparse.Namespace) -> int:
    defaults = vars(parser().parse_args([]))
    changed = {name for name, value in vars(options).items() if value != defaults[name]}
    if changed - command.allows - {command.name}:
        allowed = " and ".join(f"--{name}" for name in sorted(command.allows & SHOWN))
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
    from nvltop.compare.command import run
    from nvltop.headless.session import RunError
    from nvltop.sampler.client import Worker, WorkerError

    settings = read_settings(options, on_screen=False)

    def live() -> Worker:
        demo = (options.demo, options.scenario or DEFAULT_SCENARIO) if options.demo else None
        return Worker(settings.interval_s, demo)

    try:
        return run(options.compare, settings, live, options.json)
    except (RunError, WorkerError) as error:
        usage = getattr(error, "code", NO_ANSWER) == USAGE
        raise CommandError(str(error), USAGE if usage else NO_ANSWER) from None


SHOWN: Final = frozenset({"json", "ascii", "demo"})
"""Destinations that an error message names."""
COMMANDS: Final = (
    Command("explain", _explain, frozenset({"json", "ascii"})),
    Command("compare", _compare, frozenset({"json", "ascii", "demo", "scenario", "interval", "delay"})),
)
