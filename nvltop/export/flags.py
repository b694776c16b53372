"""The command line flags of the exporter. Every run imports this module, so it must stay light."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nvltop.export.address import Address, ServeError, listen, parse

if TYPE_CHECKING:
    from nvltop.export.exporter import Exporter

FILES: Final = {"alerts": "alerts.yml", "dashboard": "dashboard.json"}
"""Files of this package that a flag prints, by the name of the flag."""

HOSTNAME_LABEL: Final = "Hostname"
"""Default label of `--serve-hostname`. dcgm-exporter has this one, and `hostname` since 4.8.3."""
_LABELS: Final = """
UUID architecture chassis_serial check clique_id cluster_uuid counter cuda_version device
driver_version function gpu group health host_id interface kind label limit link link_layer metric
mig model module_id numa_node nvlink_generation nvml_version outcome pci_bus_id port reason remote
remote_gpu remote_link remote_pci_bus_id role rule severity simulated slot state status tray verdict
version virtual
"""
EXPORTED_LABELS: Final = frozenset(_LABELS.split())
"""Labels of the metrics themselves, which the name of the node must not replace."""
_LABEL_NAME: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
"""Matches a label name that Prometheus accepts from an exporter."""


def add_flags(p: argparse.ArgumentParser) -> None:
    """Add the flags to a parser."""
    group = p.add_argument_group("Prometheus (needs the extra `prometheus`)")
    group.add_argument(
        "--serve",
        nargs="?",
        const=Address(),
        type=_address,
        metavar="ADDR:PORT",
        help=f"serve metrics (default address {Address()})",
    )
    group.add_argument(
        "--serve-hostname",
        nargs="?",
        const=HOSTNAME_LABEL,
        type=_label,
        metavar="LABEL",
        help=f"label with the node's name (default {HOSTNAME_LABEL})",
    )
    files = group.add_mutually_exclusive_group()
    files.add_argument("--print-alerts", action="store_true", help="print alerting rules and exit")
    files.add_argument("--print-dashboard", action="store_true", help="print a Grafana dashboard and exit")


def to_print(options: argparse.Namespace) -> str | None:
    """Return the contents of the file that a flag requests; None without such a flag."""
    for name, file in FILES.items():
        if getattr(options, f"print_{name}"):
            return Path(__file__).with_name(file).read_text(encoding="utf-8").rstrip("\n")
    return None


def start(options: argparse.Namespace) -> Exporter | None:
    """Start the exporter if `--serve` is given. Raises `ServeError` if it cannot be started."""
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


def _label(text: str) -> str:
    if not _LABEL_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a label name such as hostname")
    if text in EXPORTED_LABELS:
        raise argparse.ArgumentTypeError(f"the metrics have a label {text!r} of their own")
    return text


def _address(text: str) -> Address:
    try:
        return parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an address such as 127.0.0.1:{Address().port}"
        ) from None
