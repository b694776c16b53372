"""The command line: what to run, and how it ends."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NoReturn

from nvltop import __version__
from nvltop.catalogue import DEFAULT_NODE, DEFAULT_SCENARIO, NODES, SCENARIOS
from nvltop.settings import MAX_INTERVAL_S, MIN_INTERVAL_S, REPORT_INTERVAL_S, SCREEN_INTERVAL_S, Settings

if TYPE_CHECKING:
    from nvltop.record.recorded import Source

OK: Final = 0
FAILED: Final = 1
BIG_BYTES: Final = 1 << 20
"""A recording that takes more than a blink to open."""
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells report it."""

EPILOG: Final = """\
exit codes: 0 done, 1 failed while running, 2 wrong usage, 3 no driver, no NVML or no GPU
example: nvltop --demo              a simulated DGX H100, without any GPU
         nvltop --json -n 60        one JSON object a second for a minute
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, and where help is."""
        self.exit(2, f"nvltop: {message}; see `nvltop --help`\n")


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
    output.add_argument("--csv", action="store_true", help="print CSV, units in the titles, and end")
    output.add_argument(
        "-n", "--max-iterations", type=_count, metavar="N", help="end after N reports or refreshes"
    )
    look = p.add_argument_group("what to show")
    look.add_argument(
        "-i", "--id", type=_ids, default=(), metavar="LIST", help="only these GPUs: index, UUID or PCI bus id"
    )
    pace = look.add_mutually_exclusive_group()
    pace.add_argument(
        "-d",
        "--delay",
        type=_tenths,
        metavar="TENTHS",
        help="refresh interval in tenths of a second (or 250ms, 1s)",
    )
    pace.add_argument(
        "--interval", type=_seconds, metavar="SEC", help="refresh interval in seconds (or 250ms, 1s)"
    )
    screen = p.add_argument_group("screen")
    screen.add_argument(
        "-C", "--no-color", "--no-colour", action="store_true", help="no colours (NO_COLOR is honoured, too)"
    )
    screen.add_argument("-U", "--no-unicode", "--ascii", action="store_true", help="ASCII characters only")
    screen.add_argument("-M", "--no-mouse", action="store_true", help="leave the mouse to the terminal")
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
        type=_size,
        metavar="SIZE",
        help="keep the newest SIZE bytes (such as 200M) of a recording",
    )
    record.add_argument("--replay", metavar="FILE", help="show a recording instead of this machine")
    p.add_argument("-V", "--version", action="version", version=f"nvltop {__version__}")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run nvltop; returns the exit code."""
    options = parser().parse_args(argv)
    for asked, names in ((options.demo, NODES), (options.scenario, SCENARIOS)):
        if asked == "list":
            width = max(map(len, names))
            print("\n".join(f"{name:{width}}  {what}" for name, what in names.items()))
            return OK
    if options.demo and options.demo not in NODES:
        return _usage(f"no simulated node {options.demo!r}; `nvltop --demo list` names them")
    if options.scenario and options.scenario not in SCENARIOS:
        return _usage(f"no scenario {options.scenario!r}; `nvltop --scenario list` names them")
    if options.scenario and not options.demo:
        return _usage("--scenario needs --demo: it says what happens on a simulated node")
    if options.once + options.json + options.csv > 1:
        return _usage("--once, --json and --csv exclude each other")
    if options.replay and (options.demo or options.record):
        return _usage("--replay goes with neither --demo nor --record")
    if options.record_max and not options.record:
        return _usage("--record-max needs --record")
    on_screen = (
        not (options.once or options.json or options.csv) and sys.stdout.isatty() and sys.stdin.isatty()
    )
    settings = _settings(options, SCREEN_INTERVAL_S if on_screen else REPORT_INTERVAL_S)
    demo = (options.demo, options.scenario or DEFAULT_SCENARIO) if options.demo else None
    try:
        return _run(options, settings, demo, on_screen)
    except BrokenPipeError:
        # The reader has seen enough (`nvltop --once | head`); nothing is left to say to it.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(
    options: argparse.Namespace, settings: Settings, demo: tuple[str, str] | None, on_screen: bool
) -> int:
    # Before anything else is imported: the worker starts while the screen's modules load.
    from nvltop.record.format import RecordingError

    try:
        source = _source(options, settings, demo, on_screen)
    except RecordingError as error:
        print(f"nvltop: {error}", file=sys.stderr)
        return FAILED
    try:
        if on_screen:
            from nvltop.tui.app import run

            assert source is not None
            outcome = run(source, settings)
            if outcome.message:
                print(f"nvltop: {outcome.message}", file=sys.stderr)
            return int(outcome.code)
        from nvltop import headless

        write = headless.as_text
        if options.json:
            write = headless.as_json
        elif options.csv:
            from nvltop.report.csv import head

            write = headless.as_csv
            print(head())
        try:
            if source is None:
                headless.replay(options.replay, settings, options.max_iterations, write)
            else:
                headless.run(source, settings, options.max_iterations or 1, write)
        except headless.RunError as failed:
            print(f"nvltop: {failed}", file=sys.stderr)
            return failed.code
        return OK
    finally:
        if source:
            source.close()


def _source(
    options: argparse.Namespace, settings: Settings, demo: tuple[str, str] | None, on_screen: bool
) -> Source | None:
    """Start what the items come from; None for a recording that is read without a clock."""
    if options.replay:
        if not on_screen:
            return None
        from nvltop.record.replay import Replay

        return Replay(options.replay, _reading(options.replay))
    from nvltop.sampler.client import Worker

    worker = Worker(settings.interval_s, demo)
    if not options.record:
        return worker
    from nvltop.record.format import RecordingError
    from nvltop.record.recorded import Recorded
    from nvltop.record.writer import Recorder

    try:
        return Recorded(worker, Recorder(options.record, options.record_max))
    except RecordingError:
        worker.close()
        raise


def _reading(path: str) -> Callable[[int, int], None]:
    """Return what tells on stderr how far a big file has been read."""
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        percent = 100 * done // max(total, 1)
        if total >= BIG_BYTES and sys.stderr.isatty() and (percent > told or done >= total):
            told = percent
            end = "\r" if done < total else "\n"
            print(f"nvltop: reading {path}: {percent} %", end=end, file=sys.stderr, flush=True)

    return progress


def _settings(options: argparse.Namespace, default_s: float) -> Settings:
    asked = options.delay or options.interval or default_s
    interval_s = min(max(asked, MIN_INTERVAL_S), MAX_INTERVAL_S)
    if interval_s != asked:
        print(f"nvltop: interval {asked:g} s is out of range, using {interval_s:g} s", file=sys.stderr)
    return Settings(
        interval_s=interval_s,
        color=not options.no_color and not os.environ.get("NO_COLOR"),
        unicode=not options.no_unicode,
        mouse=not options.no_mouse,
        only=options.id,
        max_refreshes=options.max_iterations,
    )


def _usage(message: str) -> int:
    print(f"nvltop: {message}", file=sys.stderr)
    return 2


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of times (1 or more)")
    return int(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)([kMGT]?)B?", text)
    if not match or not int(match.group(1)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 200M")
    power: int = 1000 ** " kMGT".index(match.group(2) or " ")
    return int(match.group(1)) * power


def _ids(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of GPUs such as 0,3")
    return names


def _tenths(text: str) -> float:
    return _duration(text, 0.1)


def _seconds(text: str) -> float:
    return _duration(text, 1.0)


def _duration(text: str, unit: float) -> float:
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ms|s|)", text)
    number = float(match.group(1)) if match else 0.0
    if not match or number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 5, 250ms or 1s")
    return number * {"ms": 0.001, "s": 1.0, "": unit}[match.group(2)]
