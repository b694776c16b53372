"""The command line itself: every flag, in groups; help, completions and the man page are made from it."""

from __future__ import annotations

import argparse
from typing import Final, NoReturn

from nvltop import __version__
from nvltop.cli import argument_types
from nvltop.cli.exit_codes import usage_error
from nvltop.config.settings import ALERTS, THEMES
from nvltop.export import flags as metrics
from nvltop.nvml.demo_nodes import DEFAULT_NODE, DEFAULT_SCENARIO, NODES, SCENARIOS
from nvltop.report.formats import FORMATS
from nvltop.snapshot import command

SHELLS: Final = ("bash", "zsh", "fish")
DEFAULT_CHECK_S: Final = 6.0
"""Enough for two readings of the error counters, which are read every 5 s."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, and where help is."""
        raise usage_error(f"{message}; see `nvltop --help`")

    def format_help(self) -> str:
        """Return the text of `--help`."""
        from nvltop.cli.help import text

        return text(self)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = _Parser(
        prog="nvltop",
        description="A live dashboard for the NVLinks of this machine's GPUs.",
        allow_abbrev=False,
        add_help=False,
    )
    _add_output(p)
    _add_check(p)
    _add_selection(p)
    _add_screen(p)
    _add_simulation(p)
    _add_recordings(p)
    command.add_flags(p)
    metrics.add_flags(p)
    _add_program(p)
    return p


def _add_output(p: argparse.ArgumentParser) -> None:
    output = p.add_argument_group(
        "output (default: a live screen; a text report if stdout is not a terminal)"
    )
    for form in FORMATS:
        output.add_argument(*form.flags, action="store_true", help=form.help)
    output.add_argument(
        "--estimate", action="store_true", help="JSON: estimate traffic of pairs through NVSwitches"
    )
    output.add_argument(
        "-n",
        "--max-iterations",
        type=argument_types.count,
        metavar="N",
        help="exit after N reports or refreshes",
    )


def _add_check(p: argparse.ArgumentParser) -> None:
    watch = p.add_argument_group("monitoring systems, Slurm prolog, Kubernetes probes")
    watch.add_argument(
        "--check",
        action="store_true",
        help="print one line, end with 0 ok, 1 warning, 2 critical, 3 anything else (act on 2 only)",
    )
    watch.add_argument(
        "--for",
        dest="seconds",
        type=argument_types.seconds,
        metavar="SEC",
        help=f"watch for so long first (--check: {DEFAULT_CHECK_S:g} s); a recording: up to there",
    )


def _add_selection(p: argparse.ArgumentParser) -> None:
    look = p.add_argument_group("what to show")
    look.add_argument(
        "-i",
        "--id",
        type=argument_types.ids,
        default=(),
        metavar="LIST",
        help="only these GPUs: index, UUID or PCI bus id",
    )
    pace = look.add_mutually_exclusive_group()
    pace.add_argument(
        "-d",
        "--delay",
        type=argument_types.tenths,
        metavar="TENTHS",
        help="refresh interval in tenths of a second (or 250ms)",
    )
    pace.add_argument(
        "--interval",
        type=argument_types.seconds,
        metavar="SEC",
        help="refresh interval in seconds (or 250ms)",
    )


def _add_screen(p: argparse.ArgumentParser) -> None:
    screen = p.add_argument_group("screen")
    screen.add_argument(
        "-C", "--no-color", "--no-colour", action="store_true", help="no colours (NO_COLOR is honoured, too)"
    )
    screen.add_argument("-U", "--ascii", "--no-unicode", action="store_true", help="ASCII characters only")
    screen.add_argument("-M", "--no-mouse", action="store_true", help="leave the mouse to the terminal")
    screen.add_argument("--readonly", action="store_true", help="no signals to processes")
    screen.add_argument(
        "--theme", choices=THEMES, metavar="NAME", help=f"{', '.join(THEMES)} (also NVLTOP_THEME)"
    )
    screen.add_argument("--config", metavar="FILE", help="settings (else ~/.config/nvltop/config.toml)")
    screen.add_argument(
        "--alert",
        action="append",
        choices=ALERTS,
        metavar="WAY",
        default=[],
        help=f"tell of new warnings by {' or '.join(ALERTS)} (OSC 9, 777)",
    )


def _add_simulation(p: argparse.ArgumentParser) -> None:
    demo = p.add_argument_group("simulation")
    demo.add_argument(
        "--demo",
        nargs="?",
        const=DEFAULT_NODE,
        type=argument_types.NameFrom(NODES),
        metavar="NODE",
        help=f"a simulated node ({DEFAULT_NODE}); `list` names them",
    )
    demo.add_argument(
        "--scenario",
        type=argument_types.NameFrom(SCENARIOS),
        metavar="NAME",
        help=f"what happens on it ({DEFAULT_SCENARIO}); `list` names them",
    )


def _add_recordings(p: argparse.ArgumentParser) -> None:
    record = p.add_argument_group("recordings (redacted: no host names, no full UUIDs)")
    record.add_argument("--record", metavar="FILE", help="record into a new FILE (.gz: compressed)")
    record.add_argument(
        "--record-max",
        type=argument_types.size,
        metavar="SIZE",
        help="keep only the newest SIZE bytes (such as 200M)",
    )
    record.add_argument("--replay", metavar="FILE", help="show a recording or snapshot, not this machine")


def _add_program(p: argparse.ArgumentParser) -> None:
    itself = p.add_argument_group("nvltop itself")
    itself.add_argument(
        "--print-completion",
        choices=SHELLS,
        metavar="SHELL",
        help=f"print completions for {', '.join(SHELLS)}",
    )
    itself.add_argument("--print-man", action="store_true", help="print the manual page")
    itself.add_argument(
        "-V", "--version", action="version", version=f"nvltop {__version__}", help="print the version"
    )
    itself.add_argument("-h", "--help", action="help", help="print this help")
