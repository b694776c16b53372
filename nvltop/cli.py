"""The command line: what to run, and how it ends."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from nvltop import __version__, oneshot
from nvltop.catalogue import DEFAULT_NODE, DEFAULT_SCENARIO, NODES, SCENARIOS
from nvltop.export import command as metrics
from nvltop.export.address import ServeError
from nvltop.settings import (
    ALERTS,
    MAX_INTERVAL_S,
    MIN_INTERVAL_S,
    REPORT_INTERVAL_S,
    SCREEN_INTERVAL_S,
    THEMES,
    Settings,
)

if TYPE_CHECKING:
    from nvltop.export.exporter import Exporter
    from nvltop.record.recorded import Source

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
CHECK_S: Final = 6.0
"""Enough for two readings of the error counters, which are read every 5 s."""
BIG_BYTES: Final = 1 << 20
"""A recording that takes more than a blink to open."""
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells report it."""

EPILOG: Final = """\
exit codes: 0 done, 1 failed while running, 2 wrong usage, 3 no driver, no NVML or no GPU
example: nvltop --demo              a simulated DGX H100, without any GPU
         nvltop --json -n 60        one JSON object a second for a minute
"""


class CommandError(Exception):
    """The run ends here; the message is one line for the user."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, and where help is."""
        raise CommandError(f"{message}; see `nvltop --help`", USAGE)


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
        "-n", "--max-iterations", type=_count, metavar="N", help="end after N reports or refreshes"
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
        type=_seconds,
        metavar="SEC",
        help=f"how long to look, {CHECK_S:g} s unless told; a recording: up to there",
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
        type=_size,
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run nvltop; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
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
        from nvltop.crash import tell

        tell(crash)
        return FAILED


def _no_verdict(why: str) -> int:
    """End as monitoring systems expect: they read stdout, and take 1 and 2 for verdicts."""
    from nvltop.report.check import UNKNOWN, line

    print(line(UNKNOWN, why))
    return UNKNOWN


def _main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    for asked, names in ((options.demo, NODES), (options.scenario, SCENARIOS)):
        if asked == "list":
            width = max(map(len, names))
            print("\n".join(f"{name:{width}}  {what}" for name, what in names.items()))
            return OK
    if (text := metrics.to_print(options)) is not None:
        print(text)
        return OK
    if options.demo and options.demo not in NODES:
        raise _usage(f"no simulated node {options.demo!r}; `nvltop --demo list` names them")
    if options.scenario and options.scenario not in SCENARIOS:
        raise _usage(f"no scenario {options.scenario!r}; `nvltop --scenario list` names them")
    if options.scenario and not options.demo:
        raise _usage("--scenario needs --demo: it says what happens on a simulated node")
    outputs = (options.json, options.csv, options.check, options.snapshot is not None)
    if sum(outputs) > 1 or (options.once and (options.check or options.snapshot is not None)):
        raise _usage("--json, --csv, --check and --snapshot exclude each other")
    if options.estimate and not options.json:
        raise _usage("--estimate needs --json; on the screen, press e")
    if options.seconds and not (options.check or options.snapshot):
        raise _usage("--for needs --check or --snapshot: it says how long to look")
    if options.serve and (any(outputs) or options.replay):
        raise _usage("--serve goes with none of --once, --json, --csv, --check, --snapshot and --replay")
    if options.serve_hostname and not options.serve:
        raise _usage("--serve-hostname needs --serve")
    if options.snapshot_on_critical and (any(outputs) or options.replay):
        raise _usage("--snapshot-on-critical goes with the live screen and with --serve")
    if options.replay and (options.demo or options.record):
        raise _usage("--replay goes with neither --demo nor --record")
    if options.record_max and not options.record:
        raise _usage("--record-max needs --record")
    on_screen = not any(outputs) and sys.stdout.isatty() and sys.stdin.isatty()
    settings = _settings(options, on_screen)
    demo = (options.demo, options.scenario or DEFAULT_SCENARIO) if options.demo else None
    return _run(options, settings, demo, on_screen)


def _run(
    options: argparse.Namespace, settings: Settings, demo: tuple[str, str] | None, on_screen: bool
) -> int:
    # Before anything else is imported: the worker starts while the screen's modules load.
    from nvltop.record.format import RecordingError

    exporter = source = None
    try:
        exporter = metrics.start(options)
        source = _source(options, settings, demo, on_screen)
        if exporter:
            print(f"nvltop: metrics on {exporter.url}", file=sys.stderr, flush=True)
        if on_screen:
            from nvltop.tui.app import run

            assert source is not None
            outcome = run(source, settings, exporter.show if exporter else None)
            if outcome.message:
                print(f"nvltop: {outcome.message}", file=sys.stderr)
            return int(outcome.code)
        return _report(options, settings, source, exporter)
    except (RecordingError, ServeError) as error:
        raise CommandError(str(error), FAILED) from None
    finally:
        for opened in (source, exporter):
            if opened:
                opened.close()


def _report(
    options: argparse.Namespace, settings: Settings, source: Source | None, exporter: Exporter | None
) -> int:
    """Run without a screen; `source` is None for a recording."""
    from nvltop import headless

    write = headless.as_text
    try:
        if exporter and source:
            onlooker = None
            if settings.snapshot_on_critical:
                from nvltop.unattended import ByItself

                onlooker = ByItself(settings)
            headless.serve(source, settings, exporter.show, onlooker)
            return OK
        if options.check and source:
            return headless.check(source, settings, options.seconds or CHECK_S)
        if options.check:
            return headless.check_recording(options.replay, settings, options.seconds)
        if options.snapshot is not None:
            return oneshot.run(options, settings, source, options.seconds or CHECK_S)
        if options.json:
            write = partial(headless.as_json, estimated=options.estimate)
        elif options.csv:
            from nvltop.report.csv import head

            write = headless.as_csv
            print(head())
        if source is None:
            headless.replay(options.replay, settings, options.max_iterations, write)
        else:
            headless.run(source, settings, options.max_iterations or 1, write)
    except headless.RunError as failed:
        raise CommandError(str(failed), failed.code) from None
    return OK


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


def _settings(options: argparse.Namespace, on_screen: bool) -> Settings:
    """Put together what the command line, the environment and the config file say, in this order."""
    settings = Settings(interval_s=SCREEN_INTERVAL_S if on_screen else REPORT_INTERVAL_S)
    if on_screen:
        settings = _configured(settings, options.config)
    asked = options.delay or options.interval
    if asked:
        interval_s = min(max(asked, MIN_INTERVAL_S), MAX_INTERVAL_S)
        if interval_s != asked:
            print(f"nvltop: interval {asked:g} s is out of range, using {interval_s:g} s", file=sys.stderr)
        settings = replace(settings, interval_s=interval_s)
    theme = options.theme or os.environ.get("NVLTOP_THEME", "")
    if theme in THEMES:
        settings = replace(settings, theme=theme)
    if options.no_color or (os.environ.get("NO_COLOR") and not options.theme):
        settings = replace(settings, theme="monochrome")
    return replace(
        settings,
        unicode=settings.unicode and not options.no_unicode,
        mouse=settings.mouse and not options.no_mouse,
        alert=tuple(options.alert) or settings.alert,
        only=options.id,
        readonly=options.readonly,
        full=options.full,
        snapshot_on_critical=options.snapshot_on_critical or settings.snapshot_on_critical,
        max_refreshes=options.max_iterations,
    )


def _configured(settings: Settings, asked: str | None) -> Settings:
    """Return the settings with those of the config file; one that cannot be used is told and left alone."""
    from nvltop import config

    path = Path(asked) if asked else config.default_path(os.environ)
    if asked and not path.exists():
        raise _usage(f"no config file {path}; without --config, {config.default_path(os.environ)} is read")
    try:
        settings = config.apply(settings, config.load(path))
    except config.ConfigError as error:
        print(f"nvltop: {error}", file=sys.stderr)
    return replace(settings, config=path)


def _usage(message: str) -> CommandError:
    return CommandError(message, USAGE)


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
