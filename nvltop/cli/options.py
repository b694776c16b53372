"""What was asked for as a whole: which flags exclude or need each other, and the settings they make."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from nvltop.cli.exit_codes import usage_error
from nvltop.config.settings import (
    MAX_INTERVAL_S,
    MIN_INTERVAL_S,
    REPORT_INTERVAL_S,
    SCREEN_INTERVAL_S,
    THEMES,
    Settings,
)
from nvltop.nvml.demo_nodes import NODES, SCENARIOS
from nvltop.text import print_message


def wants_report(options: argparse.Namespace) -> bool:
    """Say whether a report was asked for, which wants no screen."""
    wanted = (options.once, options.json, options.csv, options.check, options.snapshot is not None)
    return any(wanted)


def validate(options: argparse.Namespace) -> None:
    """Raise `CommandError` for flags that mean nothing together."""
    if options.demo and options.demo not in NODES:
        raise usage_error(f"no simulated node {options.demo!r}; `nvltop --demo list` names them")
    if options.scenario and options.scenario not in SCENARIOS:
        raise usage_error(f"no scenario {options.scenario!r}; `nvltop --scenario list` names them")
    for name in ("config", "record", "replay", "snapshot"):
        if getattr(options, name) == "":  # from a script whose variable is not set
            raise usage_error(f"--{name} needs a name, not an empty one")
    if options.scenario and not options.demo:
        raise usage_error("--scenario needs --demo: it says what happens on a simulated node")
    alone = options.check + (options.snapshot is not None)
    if options.json + options.csv + alone > 1 or (options.once and alone):
        raise usage_error("--json, --csv, --check and --snapshot exclude each other")
    if options.estimate and not options.json:
        raise usage_error("--estimate needs --json; on the screen, press e")
    if options.seconds and (options.csv or not wants_report(options)):
        raise usage_error("--for goes with --once, --json, --check and --snapshot: it says how long to watch")
    if options.serve and (wants_report(options) or options.replay):
        raise usage_error("--serve goes with none of --once, --json, --csv, --check, --snapshot and --replay")
    if options.serve_hostname and not options.serve:
        raise usage_error("--serve-hostname needs --serve")
    if options.snapshot_on_critical and (wants_report(options) or options.replay):
        raise usage_error("--snapshot-on-critical goes with the live screen and with --serve")
    if options.replay and (options.demo or options.record):
        raise usage_error("--replay goes with neither --demo nor --record")
    if options.record_max and not options.record:
        raise usage_error("--record-max needs --record")


def requested_interval(options: argparse.Namespace) -> float | None:
    """Return the interval that was asked for, in seconds; None if none was."""
    asked: float | None = options.delay or options.interval
    return asked


def read_settings(options: argparse.Namespace, on_screen: bool) -> Settings:
    """Put together what the command line, the environment and the config file say, in this order."""
    # Who asks to watch for longer wants to see steps, which take dense readings.
    watches = on_screen or (options.seconds and (options.once or options.json))
    settings = Settings(interval_s=SCREEN_INTERVAL_S if watches else REPORT_INTERVAL_S)
    if on_screen:
        settings = _configured(settings, options.config)
    asked = requested_interval(options)
    if asked:
        interval_s = min(max(asked, MIN_INTERVAL_S), MAX_INTERVAL_S)
        if interval_s != asked:
            print_message(f"interval {asked:g} s is out of range, using {interval_s:g} s")
        settings = replace(settings, interval_s=interval_s)
    theme = options.theme or os.environ.get("NVLTOP_THEME", "")
    if theme in THEMES:
        settings = replace(settings, theme=theme)
    if options.no_color or (os.environ.get("NO_COLOR") and not options.theme):
        settings = replace(settings, theme="monochrome")
    return replace(
        settings,
        unicode=settings.unicode and not options.ascii,
        mouse=settings.mouse and not options.no_mouse,
        alert=tuple(options.alert) or settings.alert,
        only=options.id,
        readonly=options.readonly,
        full=options.full,
        snapshot_on_critical=options.snapshot_on_critical or settings.snapshot_on_critical,
        max_refreshes=options.max_iterations,
    )


def _configured(settings: Settings, asked: str | None) -> Settings:
    """Return the settings with those of the config file; what cannot be used of it is reported."""
    from nvltop.config import file

    usual = file.default_path(os.environ)
    if asked is not None and not os.path.exists(asked):
        raise usage_error(f"no config file {asked}; without --config, {usual or 'none'} is read")
    path = Path(asked) if asked is not None else usual
    if path is None:
        return settings
    found = file.load(path)
    for problem in found.problems:
        print_message(problem)
    return replace(file.apply(settings, found.values), config=path, config_problems=found.problems)
