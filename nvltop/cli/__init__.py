"""The command line: parses it, runs the program, and returns the exit code."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from nvltop.cli import commands, fleet, streams
from nvltop.cli.exit_codes import FAILED, INTERRUPTED, NO_VERDICT, OK, CommandError
from nvltop.cli.options import chosen_format, read_settings, validate, wants_report
from nvltop.cli.parser import parser
from nvltop.export import flags as metrics
from nvltop.fleet import demo_fleets
from nvltop.nvml.demo_nodes import NODES, SCENARIOS
from nvltop.text import clean, print_message


def main(argv: Sequence[str] | None = None) -> int:
    """Run nvltop and return the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    failure: OSError | None = None
    streams.prepare()
    if command := commands.requested_command(arguments):
        return commands.main(command, arguments)
    try:
        code = _main(arguments)
    except SystemExit as ended:  # --help and --version
        code = int(ended.code or OK)
    except BrokenPipeError:
        code = OK
    except KeyboardInterrupt:
        code = INTERRUPTED
    except CommandError as error:
        code = _no_verdict(str(error)) if "--check" in arguments else error.code
        if "--check" not in arguments:
            print_message(str(error))
    except Exception as crash:
        if isinstance(crash, OSError) and crash.errno in streams.WRITE_FAILURES:
            code, failure = NO_VERDICT if "--check" in arguments else FAILED, crash
        elif "--check" in arguments:
            code = _no_verdict(f"nvltop failed: {type(crash).__name__}: {crash}")
        else:
            from nvltop.crash import report_crash

            report_crash(crash)
            code = FAILED
    # The code of `--check` is valid even if its line is lost; 1 would mean a warning to the caller.
    return streams.flush(code, OK if "--check" in arguments else FAILED, failure)


def _no_verdict(reason: str) -> int:
    """Print a line for a monitoring system, which reads stdout and takes 1 and 2 for verdicts; return 3."""
    from nvltop.report.check import UNKNOWN, plugin_output

    with contextlib.suppress(OSError):
        print(plugin_output(UNKNOWN, clean(reason)))
    return UNKNOWN


def _program_text(options: argparse.Namespace) -> str | None:
    """Return the completions or the manual page if one of them is requested."""
    if options.print_completion:
        from nvltop.cli.completion import script
        from nvltop.cli.flags import flags

        complete = parser()
        return script(options.print_completion, complete.prog, flags(complete))
    if options.print_man:
        from nvltop.cli.man import page

        return page(parser())
    if options.print_rules:
        from nvltop.fleet.rules import rules

        return rules()
    return None


def _main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    for requested, names in (
        (options.demo, NODES | demo_fleets.FLEETS),
        (options.scenario, SCENARIOS | demo_fleets.SCENARIOS),
    ):
        if requested == "list":
            width = max(map(len, names))
            print("\n".join(f"{name:{width}}  {description}" for name, description in names.items()))
            return OK
    if (text := metrics.to_print(options) or _program_text(options)) is not None:
        streams.use_utf8()
        print(text)
        return OK
    validate(options)
    from nvltop.cli.run import run

    keys = sys.stdin.isatty() or options.replay == "-"
    on_screen = not wants_report(options) and options.record != "-" and sys.stdout.isatty() and keys
    if streams.stdout_was_closed() and not (
        options.serve or options.check or options.snapshot is not None or options.picture
    ):
        raise CommandError("stdout is closed, so the report cannot be written", FAILED)
    form = chosen_format(options)
    if form and form.data:
        streams.use_utf8()
    elif not on_screen:
        streams.use_text_encoding(options.ascii, os.environ)
    if fleet.requested(options):
        return fleet.run(options, read_settings(options, on_screen) if on_screen else None)
    return run(options, on_screen)
