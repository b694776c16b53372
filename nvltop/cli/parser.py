"""The command line itself: every flag, in groups; help, completions and the man page are made from it."""

from __future__ import annotations

import argparse
from typing import Final, NoReturn

from nvltop import __version__, oneshot
from nvltop.catalogue import DEFAULT_NODE, DEFAULT_SCENARIO
from nvltop.cli import values
from nvltop.cli.ending import usage
from nvltop.export import command as metrics
from nvltop.settings import ALERTS, THEMES

CHECK_S: Final = 6.0
"""Enough for two readings of the error counters, which are read every 5 s."""

EPILOG: Final = """\
exit codes: 0 done, 1 failed while running, 2 wrong usage, 3 no driver, no NVML or no GPU
example: nvltop --demo              a simulated DGX H100, without any GPU
         nvltop --json -n 60        one JSON object a second for a minute
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, and where help is."""
        raise usage(f"{message}; see `nvltop --help`")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = _Parser(
        prog="nvltop",
        description="A live dashboard for the NVLinks of this machine's GPUs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    output = p.add_argument_group("output (a live screen, unless stdout is no terminal)")
    output.add_argument("-1", "--once", action="store_true", help="print one text report and end")
    output.add_argument("--json", action="store_true", help="print JSON (schema nvltop/1) and end")
    output.add_argument(
        "--estimate",
        action="store_true",
        help="JSON: also estimate what pairs of GPUs send each other through NVSwitches",
    )
    output.add_argument("--csv", action="store_true", help="print CSV, units in the titles, and end")
    output.add_argument(
        "-n", "--max-iterations", type=values.count, metavar="N", help="end after N reports or refreshes"
    )
    watch = p.add_argument_group("monitoring systems, Slurm prolog, Kubernetes probes")
    watch.add_argument(
        "--check",
        action="store_true",
        help="print one line and end: 0 ok, 1 warning, 2 critical, 3 anything else (act on 2 only)",
    )
    watch.add_argument(
        "--for",
        dest="seconds",
        type=values.seconds,
        metavar="SEC",
        help=f"how long to look, {CHECK_S:g} s unless told; a recording: up to there",
    )
    look = p.add_argument_group("what to show")
    look.add_argument(
        "-i",
        "--id",
        type=values.ids,
        default=(),
        metavar="LIST",
        help="only these GPUs: index, UUID or PCI bus id",
    )
    pace = look.add_mutually_exclusive_group()
    pace.add_argument(
        "-d",
        "--delay",
        type=values.tenths,
        metavar="TENTHS",
        help="refresh interval in tenths of a second (or 250ms, 1s)",
    )
    pace.add_argument(
        "--interval", type=values.seconds, metavar="SEC", help="refresh interval in seconds (or 250ms, 1s)"
    )
    screen = p.add_argument_group("screen")
    screen.add_argument(
        "-C", "--no-color", "--no-colour", action="store_true", help="no colours (NO_COLOR is honoured, too)"
    )
    screen.add_argument("-U", "--no-unicode", "--ascii", action="store_true", help="ASCII characters only")
    screen.add_argument("-M", "--no-mouse", action="store_true", help="leave the mouse to the terminal")
    screen.add_argument("--readonly", action="store_true", help="no signals to processes")
    screen.add_argument("--theme", choices=THEMES, help="colours (also NVLTOP_THEME)")
    screen.add_argument("--config", metavar="FILE", help="settings (else ~/.config/nvltop/config.toml)")
    screen.add_argument(
        "--alert",
        action="append",
        choices=ALERTS,
        default=[],
        help="tell of new warnings by the terminal's bell, or by a desktop notification (OSC 9, 777)",
    )
    demo = p.add_argument_group("simulation")
    demo.add_argument(
        "--demo",
        nargs="?",
        const=DEFAULT_NODE,
        metavar="NODE",
        help=f"a simulated node, {DEFAULT_NODE} unless named; `list` names them",
    )
    demo.add_argument(
        "--scenario",
        metavar="NAME",
        help=f"what happens on it, {DEFAULT_SCENARIO} unless named; `list` names them",
    )
    record = p.add_argument_group("recordings (redacted: no host names, no full UUIDs)")
    record.add_argument(
        "--record", metavar="FILE", help="record what is read to FILE (.gz: compressed; never overwrites)"
    )
    record.add_argument(
        "--record-max",
        type=values.size,
        metavar="SIZE",
        help="keep the newest SIZE bytes (such as 200M) of a recording",
    )
    record.add_argument(
        "--replay", metavar="FILE", help="show a recording or a snapshot instead of this machine"
    )
    metrics.add_flags(p)
    oneshot.add_flags(p)
    p.add_argument("-V", "--version", action="version", version=f"nvltop {__version__}")
    return p
