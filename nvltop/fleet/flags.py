"""The command line flags for many nodes. Every run imports this module, so it must stay light."""

from __future__ import annotations

import argparse


def add_flags(p: argparse.ArgumentParser) -> None:
    """Add the flags to a parser."""
    group = p.add_argument_group("many nodes (reads a Prometheus server that scrapes them)")
    group.add_argument(
        "--prometheus",
        metavar="URL",
        help="show the nodes that this Prometheus, Thanos or Mimir has metrics of (3 if it does not answer)",
    )
    group.add_argument(
        "--select",
        metavar="MATCHERS",
        help='only series with these labels, such as \'job="nvltop",rack="a1"\'',
    )
    group.add_argument("--print-rules", action="store_true", help="print recording rules and exit")
