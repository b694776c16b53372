"""The command line of `--explain`, which has exit codes of its own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from nvltop.cli import streams
from nvltop.cli.exit_codes import INTERRUPTED, NO_EXPLANATION, OK, CommandError, usage_error
from nvltop.cli.parser import parser
from nvltop.text import print_message

CONFLICTS = ("once", "csv", "check", "estimate", "snapshot", "demo", "record", "replay", "serve", "id")
"""Options that `--explain` cannot be combined with, beside those of time."""


def is_requested(arguments: Sequence[str]) -> bool:
    """Return whether a command line explains a log."""
    return any(argument.partition("=")[0] == "--explain" for argument in arguments)


def main(arguments: Sequence[str]) -> int:
    """Explain a log and return the exit code, which is `NO_EXPLANATION` for every failure."""
    failure: OSError | None = None
    try:
        code = _run(parser().parse_args(arguments))
    except SystemExit as ended:  # --help and --version
        code = int(ended.code or OK)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except CommandError as error:
        print_message(str(error))
        code = error.code
    except Exception as crash:
        code = NO_EXPLANATION
        if isinstance(crash, OSError) and crash.errno in streams.WRITE_FAILURES:
            failure = crash
        else:
            from nvltop.crash import report_crash

            report_crash(crash)
    return streams.flush(OK, NO_EXPLANATION, failure) or code


def _run(options: argparse.Namespace) -> int:
    name: str = options.explain
    if not name:  # from a script whose variable is not set
        raise usage_error("--explain needs a name that is not empty")
    for other in (*CONFLICTS, "seconds", "max_iterations"):
        if getattr(options, other, None) not in (None, False, ()):
            raise usage_error("--explain can be combined only with --json and --ascii")
    if options.json:
        streams.use_utf8()
    else:
        streams.use_text_encoding(options.ascii, os.environ)
    from nvltop.explain.command import run

    return run(name, options.json, options.ascii)
