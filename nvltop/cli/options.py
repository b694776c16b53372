"""The command line as a whole: flags that exclude or need each other, and the resulting settings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from nvltop.cli import fleet
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
from nvltop.report.formats import FORMATS, Format
from nvltop.text import print_message


def chosen_format(options: argparse.Namespace) -> Format | None:
    """Return the requested format of reports, None if none was requested; `--once` yields to the others."""
    requested = [f for f in FORMATS if getattr(options, f.name)]
    return next((f for f in requested if f.data), requested[0] if requested else None)


def wants_report(options: argparse.Namespace) -> bool:
    """Return whether a report is requested instead of the screen."""
    return chosen_format(options) is not None or bool(_other_outputs(options))


def _other_outputs(options: argparse.Namespace) -> list[str]:
    """Return the requested outputs that are not formats of reports."""
    outputs = (
        ("check", options.check),
        ("snapshot", options.snapshot is not None),
        ("picture", options.picture),
    )
    return [name for name, on in outputs if on]


def _listed(names: Iterable[str], last: str = "and") -> str:
    """Return `--json, --csv and --check`."""
    *first, end = (f"--{name}" for name in names)
    return f"{', '.join(first)} {last} {end}" if first else end


def _allowing(flag: str) -> list[str]:
    """Return the names of the formats that allow a flag."""
    return [f.name for f in FORMATS if flag in f.allows]


def validate(options: argparse.Namespace) -> None:
    """Raise `CommandError` for flags that exclude or need each other."""
    if fleet.requested(options):
        fleet.validate(options)
        return
    if options.select is not None:
        raise usage_error("--select needs --prometheus")
    if options.demo and options.demo not in NODES:
        raise usage_error(f"unknown simulated node {options.demo!r}; `nvltop --demo list` lists them")
    if options.scenario and options.scenario not in SCENARIOS:
        raise usage_error(f"unknown scenario {options.scenario!r}; `nvltop --scenario list` lists them")
    for name in ("config", "record", "replay", "snapshot", "picture"):
        if getattr(options, name) == "":  # from a script whose variable is not set
            raise usage_error(f"--{name} needs a name that is not empty")
    if options.scenario and not options.demo:
        raise usage_error("--scenario needs --demo")
    _validate_output(options)
    if options.serve_hostname and not options.serve:
        raise usage_error("--serve-hostname needs --serve")
    if options.snapshot_on_critical and (wants_report(options) or options.replay):
        raise usage_error("--snapshot-on-critical works only with the live screen and with --serve")
    if options.replay and (options.demo or options.record):
        raise usage_error("--replay cannot be combined with --demo or --record")
    if (options.begin or options.end) and (not options.replay or options.replay == "-" or options.check):
        raise usage_error("--from and --to need --replay FILE and a report, --snapshot or --picture")
    if (options.begin or options.end) and not wants_report(options):
        raise usage_error("--from and --to need a report, --snapshot or --picture; on the screen, press g")
    if options.record == "-" and (wants_report(options) or options.serve or options.record_max):
        raise usage_error("--record - cannot be combined with reports, --serve or --record-max")
    if options.no_redact and not (options.record or options.picture):
        raise usage_error("--no-redact needs --record or --picture")
    if options.size and not options.picture:
        raise usage_error("--size needs --picture")
    if options.record_max and not options.record:
        raise usage_error("--record-max needs --record")


def _validate_output(options: argparse.Namespace) -> None:
    chosen, others = chosen_format(options), _other_outputs(options)
    data = [f.name for f in FORMATS if f.data]
    if sum(getattr(options, name) for name in data) + len(others) > 1 or (chosen and others):
        raise usage_error(f"{_listed([*data, 'check', 'snapshot', 'picture'])} are mutually exclusive")
    if options.verbose and chosen and "verbose" not in chosen.allows:
        raise usage_error(f"--verbose needs {_listed(_allowing('verbose'), 'or')}")
    if options.estimate and not (chosen and "estimate" in chosen.allows):
        raise usage_error(f"--estimate needs {_listed(_allowing('estimate'), 'or')}; on the screen, press e")
    if options.seconds and not (others or (chosen and "for" in chosen.allows)):
        raise usage_error(f"--for needs {_listed([*_allowing('for'), 'check', 'snapshot', 'picture'], 'or')}")
    if options.serve and (wants_report(options) or options.replay):
        every = _listed([*(f.name for f in FORMATS), "check", "snapshot", "picture", "replay"], "or")
        raise usage_error(f"--serve cannot be combined with {every}")


def requested_interval(options: argparse.Namespace) -> float | None:
    """Return the requested interval in seconds; None if there is none."""
    seconds: float | None = options.delay or options.interval
    return seconds


def read_settings(options: argparse.Namespace, on_screen: bool) -> Settings:
    """Return the settings: the command line overrides the environment, which overrides the config file."""
    # The steps of a job, and whether computation hides its traffic, are only seen at short intervals.
    pictured = options.picture or options.snapshot is not None
    short = on_screen or options.check or pictured or (options.seconds and chosen_format(options))
    settings = Settings(interval_s=SCREEN_INTERVAL_S if short else REPORT_INTERVAL_S)
    if on_screen:
        settings = _configured(settings, options.config)
    requested_s = requested_interval(options)
    if requested_s:
        interval_s = min(max(requested_s, MIN_INTERVAL_S), MAX_INTERVAL_S)
        if interval_s != requested_s:
            print_message(f"interval {requested_s:g} s is out of range, using {interval_s:g} s")
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


def _configured(settings: Settings, named: str | None) -> Settings:
    """Return the settings with those of the config file; report those that are invalid."""
    from nvltop.config import file

    default = file.default_path(os.environ)
    if named is not None and not os.path.exists(named):
        raise usage_error(f"config file {named} does not exist; the default is {default or 'none'}")
    path = Path(named) if named is not None else default
    if path is None:
        return settings
    loaded = file.load(path)
    for problem in loaded.problems:
        print_message(problem)
    return replace(file.apply(settings, loaded.values), config=path, config_problems=loaded.problems)
