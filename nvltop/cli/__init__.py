"""The command line: what to run, and how it ends."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from nvltop.catalogue import NODES, SCENARIOS
from nvltop.cli.ask import prints, refuse
from nvltop.cli.ending import FAILED, INTERRUPTED, OK, CommandError
from nvltop.cli.parser import parser
from nvltop.export import command as metrics
from nvltop.text import plain

NOT_WRITTEN: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""No room is left, or the disk or terminal has failed or gone: no fault of ours."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run nvltop; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    _never_fail_on_characters()
    try:
        code = _main(arguments)
        # What a reader has left is told here and not, in many words, as the interpreter ends.
        print(end="", flush=True)
        return code
    except BrokenPipeError:
        # The reader has seen enough (`nvltop --once | head`); nothing is left to say to it.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except CommandError as error:
        if "--check" in arguments:
            return _no_verdict(str(error))
        print(f"nvltop: {error}", file=sys.stderr)
        return error.code
    except Exception as crash:
        if "--check" in arguments:
            return _no_verdict(f"nvltop failed: {type(crash).__name__}: {crash}")
        if isinstance(crash, OSError) and crash.errno in NOT_WRITTEN:
            with contextlib.suppress(OSError):
                print(f"nvltop: cannot write: {crash.strerror}", file=sys.stderr)
            return FAILED
        from nvltop.crash import tell

        tell(crash)
        return FAILED


def _never_fail_on_characters() -> None:
    """Let stdout and stderr write what their encoding lacks in ASCII: not every locale is UTF-8."""
    codecs.register_error("plain", plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _no_verdict(why: str) -> int:
    """End as monitoring systems expect: they read stdout, and take 1 and 2 for verdicts."""
    from nvltop.report.check import UNKNOWN, line

    print(line(UNKNOWN, why))
    return UNKNOWN


def _about_itself(options: argparse.Namespace) -> str | None:
    """Return completions or the manual page if they were asked for."""
    if options.print_completion:
        from nvltop.cli.completion import script
        from nvltop.cli.flags import flags

        described = parser()
        return script(options.print_completion, described.prog, flags(described))
    if options.print_man:
        from nvltop.cli.man import page

        return page(parser())
    return None


def _main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    for asked, names in ((options.demo, NODES), (options.scenario, SCENARIOS)):
        if asked == "list":
            width = max(map(len, names))
            print("\n".join(f"{name:{width}}  {what}" for name, what in names.items()))
            return OK
    if (text := metrics.to_print(options) or _about_itself(options)) is not None:
        print(text)
        return OK
    refuse(options)
    from nvltop.cli.run import run

    on_screen = not prints(options) and sys.stdout.isatty() and sys.stdin.isatty()
    if options.ascii and not on_screen and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="ascii", errors="plain")
    return run(options, on_screen)
