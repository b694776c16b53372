"""The parser of the command line; help, completions and the manual page are generated from it."""

from __future__ import annotations

import argparse
from typing import Final, NoReturn

from nvltop import __version__
from nvltop.cli import argument_types
from nvltop.cli.exit_codes import usage_error
from nvltop.config.settings import ALERTS, THEMES
from nvltop.export import flags as metrics
from nvltop.fleet import demo_fleets
from nvltop.fleet import flags as fleet
from nvltop.nvml.demo_nodes import DEFAULT_NODE, DEFAULT_SCENARIO, NODES, SCENARIOS
from nvltop.report.formats import FORMATS
from nvltop.snapshot import command

SHELLS: Final = ("bash", "zsh", "fish")
DEFAULT_CHECK_S: Final = 6.0
"""Duration of a check: enough for two readings of the error counters, which are read every 5 s."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise the error as one line that mentions `--help`."""
        raise usage_error(f"{message}; see `nvltop --help`")

    def format_help(self) -> str:
        """Return the text of `--help`."""
        from nvltop.cli.help import HelpFormatter, epilog

        self.formatter_class, self.epilog = HelpFormatter, epilog()
        return super().format_help()


def parser() -> argparse.ArgumentParser:
    """Return the parser with all flags."""
    p = _Parser(
        prog="nvltop",
        usage="nvltop [FLAG]...",
        description="A live dashboard for the NVLinks of this machine's GPUs.",
        allow_abbrev=False,
        add_help=False,
    )
    _add_output(p)
    _add_check(p)
    _add_view(p)
    _add_screen(p)
    _add_simulation(p)
    _add_recordings(p)
    _add_commands(p)
    command.add_flags(p)
    metrics.add_flags(p)
    fleet.add_flags(p)
    _add_program(p)
    return p


def _add_output(p: argparse.ArgumentParser) -> None:
    output = p.add_argument_group("output (default: a live screen, or a text report without a terminal)")
    for form in FORMATS:
        output.add_argument(*form.flags, action="store_true", help=form.help)
    output.add_argument(
        "--estimate", action="store_true", help="JSON: estimate traffic of pairs through NVSwitches"
    )
    output.add_argument(
        "--verbose", action="store_true", help="text report: add the matrix, NICs, every link, unknown values"
    )
    output.add_argument(
        "-n",
        "--max-iterations",
        type=argument_types.count,
        metavar="N",
        help="exit after N reports or frames",
    )


def _add_check(p: argparse.ArgumentParser) -> None:
    check = p.add_argument_group("monitoring systems, Slurm prologs and Kubernetes probes")
    check.add_argument(
        "--check",
        action="store_true",
        help="print one line and exit with 0 ok, 1 warning, 2 critical or 3 unknown (act on 2 only)",
    )
    check.add_argument(
        "--for",
        dest="seconds",
        type=argument_types.seconds,
        metavar="SEC",
        help=f"observe this long first (--check: {DEFAULT_CHECK_S:g} s); stop there in a recording",
    )


def _add_view(p: argparse.ArgumentParser) -> None:
    view = p.add_argument_group("what to show")
    view.add_argument(
        "-i",
        "--id",
        type=argument_types.ids,
        default=(),
        metavar="LIST",
        help="show only these GPUs (index, UUID or PCI bus id)",
    )
    interval = view.add_mutually_exclusive_group()
    interval.add_argument(
        "-d",
        "--delay",
        type=argument_types.tenths,
        metavar="TENTHS",
        help="interval of readings and reports in tenths of a second (or 250ms)",
    )
    interval.add_argument(
        "--interval",
        type=argument_types.seconds,
        metavar="SEC",
        help="interval of readings and reports in seconds (or 250ms)",
    )


def _add_screen(p: argparse.ArgumentParser) -> None:
    screen = p.add_argument_group("screen")
    screen.add_argument(
        "-C", "--no-color", "--no-colour", action="store_true", help="use no colours (as does NO_COLOR)"
    )
    screen.add_argument(
        "-U", "--ascii", "--no-unicode", action="store_true", help="use only ASCII characters"
    )
    screen.add_argument("-M", "--no-mouse", action="store_true", help="leave the mouse to the terminal")
    screen.add_argument("--readonly", action="store_true", help="send no signals to processes")
    screen.add_argument(
        "--theme", choices=THEMES, metavar="NAME", help=f"one of {', '.join(THEMES)} (or NVLTOP_THEME)"
    )
    screen.add_argument("--config", metavar="FILE", help="config file (default ~/.config/nvltop/config.toml)")
    screen.add_argument(
        "--alert",
        action="append",
        choices=ALERTS,
        metavar="WAY",
        default=[],
        help=f"signal new warnings by {' or '.join(ALERTS)} (OSC 9 and 777)",
    )


def _add_simulation(p: argparse.ArgumentParser) -> None:
    demo = p.add_argument_group("simulation")
    demo.add_argument(
        "--demo",
        nargs="?",
        const=DEFAULT_NODE,
        type=argument_types.NameFrom(NODES | demo_fleets.FLEETS),
        metavar="NODE",
        help=f"simulate a node (default {DEFAULT_NODE}); `list` lists them",
    )
    demo.add_argument(
        "--scenario",
        type=argument_types.NameFrom(SCENARIOS | demo_fleets.SCENARIOS),
        metavar="NAME",
        help=f"what happens on it (default {DEFAULT_SCENARIO}); `list` lists them",
    )


def _add_recordings(p: argparse.ArgumentParser) -> None:
    record = p.add_argument_group("recordings (redacted: no host names, no full UUIDs)")
    record.add_argument(
        "--record",
        metavar="FILE",
        help="record to a new FILE (compressed if it ends in .gz or .zst; -: stdout)",
    )
    record.add_argument(
        "--record-max",
        type=argument_types.size,
        metavar="SIZE",
        help="keep only the newest SIZE bytes (such as 200M)",
    )
    record.add_argument(
        "--no-redact", action="store_true", help="record names, UUIDs and arguments as they are"
    )
    record.add_argument(
        "--replay",
        metavar="FILE",
        help="show a recording or a snapshot instead of this machine (-: stdin)",
    )
    for flag, name, what in (("--from", "begin", "from"), ("--to", "end", "up to")):
        record.add_argument(
            flag,
            dest=name,
            type=argument_types.position,
            metavar="TIME",
            help=f"report only what was recorded {what} TIME (14:02, +90s or -5m)",
        )


def _add_commands(p: argparse.ArgumentParser) -> None:
    logs = p.add_argument_group("files of any machine (no GPU needed)")
    logs.add_argument(
        "--explain",
        metavar="FILE",
        help="explain a kernel log or bug report (-: stdin): who began each fault; 0 if there is none",
    )
    logs.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="list what differs between two snapshots, recordings (FILE@TIME) or --json outputs, or `live`",
    )
    ras = p.add_argument_group("a job that hangs (NCCL 2.28.7 or later)")
    ras.add_argument(
        "--ras",
        nargs="?",
        const="",
        metavar="ADDR:PORT",
        help="ask NCCL's RAS service on this host which rank is behind (the whole job answers); "
        "-n 2 asks twice",
    )
    ras.add_argument("--yes", action="store_true", help="ask without a confirmation")
    ras.add_argument(
        "--ras-force", action="store_true", help="ask older versions of NCCL as well, which can crash the job"
    )
    command = p.add_argument_group("measuring a command")
    command.add_argument(
        "--run",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND",
        help="run COMMAND, then print on stderr what it did to the links; must be the last flag",
    )


def _add_program(p: argparse.ArgumentParser) -> None:
    about = p.add_argument_group("information about nvltop")
    about.add_argument(
        "--print-completion",
        choices=SHELLS,
        metavar="SHELL",
        help=f"print completions for {', '.join(SHELLS[:-1])} or {SHELLS[-1]}",
    )
    about.add_argument("--print-man", action="store_true", help="print the manual page")
    about.add_argument(
        "-V", "--version", action="version", version=f"nvltop {__version__}", help="print the version"
    )
    about.add_argument("-h", "--help", action="help", help="print this help")
