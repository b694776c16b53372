"""Runs that show many nodes: `--prometheus URL`, and `--demo` with a simulated group of nodes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from nvltop.cli.exit_codes import NO_ANSWER, OK, CommandError, usage_error
from nvltop.fleet import demo_fleets
from nvltop.text import print_message
from nvltop.tui.asyncio_loader import load_asyncio

if TYPE_CHECKING:
    from nvltop.config.settings import Settings
    from nvltop.fleet.source import Source

INTERVAL_S: Final = 5.0
"""Default interval of refreshes and reports; nodes are usually scraped every 15 to 60 s."""
MIN_INTERVAL_S: Final = 1.0
"""Shortest interval, so that nvltop is a small part of the server's load."""
COMBINES: Final = frozenset(
    {"prometheus", "select", "demo", "scenario", "once", "json", "max_iterations", "delay", "interval"}
    | {"no_color", "ascii", "no_mouse", "theme", "config", "readonly"}
)
"""Destinations of the flags that these runs can be combined with."""


def requested(options: argparse.Namespace) -> bool:
    """Return whether a run shows many nodes."""
    return options.prometheus is not None or options.demo in demo_fleets.FLEETS


def validate(options: argparse.Namespace) -> None:
    """Raise `CommandError` for flags that exclude or need each other, and for an invalid URL or selection."""
    from nvltop.cli.parser import parser
    from nvltop.fleet.address import AddressError, parse
    from nvltop.fleet.select import SelectError
    from nvltop.fleet.select import parse as parse_select

    flag = "--prometheus" if options.prometheus is not None else f"--demo {options.demo}"
    if options.prometheus is not None and options.demo:
        raise usage_error("--prometheus cannot be combined with --demo")
    if options.scenario and options.scenario not in demo_fleets.SCENARIOS:
        names = ", ".join(demo_fleets.SCENARIOS)
        raise usage_error(f"{flag} has the scenarios {names}")
    if options.scenario and not options.demo:
        raise usage_error("--scenario needs --demo")
    if options.select is not None and options.demo:
        raise usage_error("--select needs --prometheus")
    defaults = vars(parser().parse_args([]))
    others = {name for name, value in vars(options).items() if value != defaults[name]} - COMBINES
    if others:
        raise usage_error(f"{flag} cannot be combined with --{min(others).replace('_', '-')}")
    try:
        if options.prometheus is not None:
            parse(options.prometheus)
        if options.select is not None:
            parse_select(options.select)
    except (AddressError, SelectError) as error:
        raise usage_error(str(error)) from None


def run(options: argparse.Namespace, screen: Settings | None) -> int:
    """Run as the options say and return the exit code; raise `CommandError`.

    `screen` holds the settings of the screen; None for a report.
    """
    from nvltop.fleet.command import ReportOptions, print_reports
    from nvltop.fleet.source import FleetError

    interval_s = max(MIN_INTERVAL_S, options.delay or options.interval or INTERVAL_S)
    source = _source(options)
    if screen:
        load_asyncio()
        from nvltop.tui.fleet.app import run as show_screen

        outcome = show_screen(source, screen, interval_s)
        for line in outcome.message.splitlines():
            print_message(line)
        return outcome.code
    try:
        reports = options.max_iterations or 1
        print_reports(source, ReportOptions(options.json, reports, interval_s, options.ascii))
    except FleetError as error:
        raise CommandError(str(error), NO_ANSWER) from None
    finally:
        source.close()
    return OK


def _source(options: argparse.Namespace) -> Source:
    if options.demo:
        from nvltop.fleet.simulated import SimulatedSource

        return SimulatedSource(options.scenario or demo_fleets.DEFAULT_SCENARIO)
    from nvltop.fleet.address import parse
    from nvltop.fleet.prometheus import PrometheusSource
    from nvltop.fleet.select import parse as parse_select

    select = parse_select(options.select) if options.select else ()
    return PrometheusSource(parse(options.prometheus), select)
