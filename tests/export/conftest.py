"""The page of a simulated node, read back as Prometheus reads it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nvltop import export
from nvltop.export.exposition import MetricsPage
from nvltop.model import Activity, Frame, Missing, Rank, StepPeriod, Straggler
from tests.prometheus_server import ENVIRONMENT

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="promtool and prometheus are not installed (Debian: prometheus)",
)


def promtool(*arguments: str, said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = ["promtool", *arguments]
    return subprocess.run(command, input=said, capture_output=True, timeout=60, check=False, env=ENVIRONMENT)


Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(text: str) -> Series:
    """Return all samples; a series that stands there twice is a mistake."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def ours(found: Series) -> Series:
    """Return what is not of the process itself."""
    return {key: value for key, value in found.items() if key[0].startswith("nvltop_")}


def pick(found: Series, name: str, **labels: str) -> dict[frozenset[tuple[str, str]], float]:
    """Return the samples of a metric that have these labels."""
    wanted = set(labels.items())
    return {k: value for (n, k), value in found.items() if n == name and wanted <= k}


@pytest.fixture
def scraped() -> Callable[..., Series]:
    """Return a function that gives the series of a frame that is `late_s` old."""

    def scrape(frame: Frame, late_s: float = 0.0, only=None, **how) -> Series:
        page = MetricsPage(clock=lambda: frame.tick.mono_s + late_s, **how)
        page.show(frame, only)
        return series(page.get().decode())

    return scrape


ALERTS = [
    (name, rule, severities.split("|"))
    for name, rule, severities in re.findall(
        r'- alert: (\w+)\n +expr: (?:>-\n +)?nvltop_finding\{rule="([\w-]+)",severity=~?"([\w|]+)"\}',
        (Path(export.__file__).parent / "alerts.yml").read_text(),
    )
]
"""Name, rule and severities of each alert on a finding."""


def dashboard_panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard, with those of collapsed rows."""
    panels = json.loads((Path(export.__file__).parent / "dashboard.json").read_text())["panels"]
    return [p for panel in panels for p in (panel, *panel.get("panels", ()))]


def dashboard_exprs() -> list[str]:
    """Return the expressions of all panels, with `All` for each variable."""
    exprs = [target["expr"] for panel in dashboard_panels() for target in panel.get("targets", ())]
    return [re.sub(r"\$__\w+", "1m", expr).replace("$instance", ".*").replace("$gpu", ".*") for expr in exprs]


def working(frame: Frame) -> Frame:
    """Let one job run on all GPUs."""
    gpus = tuple(g.gpu.uuid for g in frame.gpus)
    job = Activity(
        "torchrun:812",
        gpus,
        step=StepPeriod(1.25, "likely", drift=Missing("needs a second minute")),
        limit="nvlink",
        ranks=tuple(Rank(gpu, communication=0.4, late_s=0.02) for gpu in gpus),
        straggler=Straggler(gpus[-1], ("draws less power",)),
    )
    return replace(frame, activity=(job,))
