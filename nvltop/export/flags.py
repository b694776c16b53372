"""The flags of the metrics, and what they start; light, as every run reads it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nvltop.export.address import Address, ServeError, listen, parse

if TYPE_CHECKING:
    from nvltop.export.exporter import Exporter

FILES: Final = {"alerts": "alerts.yml", "dashboard": "dashboard.json"}
"""What can be printed, and its file in this package."""


def add_flags(p: argparse.ArgumentParser) -> None:
    """Add the flags to a parser."""
    group = p.add_argument_group("Prometheus (needs the extra `prometheus`)")
    group.add_argument(
        "--serve",
        nargs="?",
        const=Address(),
        type=_address,
        metavar="ADDR:PORT",
        help=f"serve metrics, on {Address()} unless told",
    )
    group.add_argument(
        "--serve-hostname", action="store_true", help="give every sample dcgm-exporter's label Hostname"
    )
    files = group.add_mutually_exclusive_group()
    files.add_argument("--print-alerts", action="store_true", help="print alerting rules and end")
    files.add_argument("--print-dashboard", action="store_true", help="print a Grafana dashboard and end")


def to_print(options: argparse.Namespace) -> str | None:
    """Return the file that was asked for, None if none was."""
    for name, file in FILES.items():
        if getattr(options, f"print_{name}"):
            return Path(__file__).with_name(file).read_text(encoding="utf-8").rstrip("\n")
    return None


def start(options: argparse.Namespace) -> Exporter | None:
    """Begin to serve if that was asked for; raises `ServeError` if it cannot be done."""
    if options.serve is None:
        return None
    listening = listen(options.serve)
    try:
        from nvltop.export.exporter import Exporter
    except ImportError as error:
        listening.close()
        if not (error.name or "").startswith("prometheus_client"):
            raise
        raise ServeError("--serve needs prometheus-client: install nvltop[prometheus]") from None
    return Exporter(listening, options.serve_hostname)


def _address(text: str) -> Address:
    try:
        return parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address such as 127.0.0.1:{Address().port}"
        ) from None
