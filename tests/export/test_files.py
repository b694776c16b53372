"""The alerting rules and the dashboard: no rule forgotten, nothing in them that is not exported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nvltop import cli, export
from nvltop.analysis.health import RULE_GROUPS
from nvltop.export.flags import EXPORTED_LABELS
from nvltop.model import Cost
from tests.export.conftest import ALERTS, dashboard_exprs, dashboard_panels, ours, working

FOLDER = Path(export.__file__).parent
RULES = {rule for group in RULE_GROUPS for rule in group.rules}
INFORMATION = {
    "counter-reset",
    "gpu-total-only",
    "in-vm",
    "link-sleep",
    "mig-on",
    "nic-far",
    "no-nvlink",
    "saturated",
}
"""Rules that never say more than `info`."""


def test_every_rule_has_an_alert_or_is_information_alone():
    alerted = [rule for _, rule, _ in ALERTS]
    assert sorted(alerted + list(INFORMATION)) == sorted(RULES)


def test_names_of_alerts_are_those_of_the_rules():
    for name, rule, _ in ALERTS:
        assert name == "Nvltop" + "".join(part.capitalize() for part in rule.split("-"))


def test_inhibition_rules_name_alerts_and_labels_that_exist():
    text = (FOLDER / "alerts.yml").read_text()
    rules = text[text.index("inhibit_rules:") : text.index("groups:")]
    named = set(re.findall(r"Nvltop\w+", rules))
    assert len(named) == 3
    assert named <= set(re.findall(r"- alert: (\w+)", text))
    labels = {label for names in re.findall(r"equal: \[(.*)\]", rules) for label in names.split(", ")}
    assert labels - {"instance"} <= EXPORTED_LABELS


@pytest.fixture
def exported(bench, scraped) -> set[str]:
    """Return the names of all metrics that any kind of node has."""
    names = set()
    for node in ("dgx-h100", "hgx-b200", "rtx4090-pair"):
        frame = replace(working(bench(node, "link-down").run(1)), cost=Cost(105.0, 0.02, 0.25, 0.004, 0.01))
        names |= {name for name, _ in ours(scraped(frame))}
    return names | {"nvltop_finding", "process_cpu_seconds_total"}


def test_the_dashboard_shows_only_what_is_exported(exported):
    used = set()
    for expr in dashboard_exprs():
        used |= set(re.findall(r"\b(?:nvltop|process)_\w+", expr))
    # Where a driver counts only a GPU's sum; none of the nodes above does.
    totals = {"nvltop_nvlink_transmit_bytes_total", "nvltop_nvlink_receive_bytes_total"}
    assert used - totals <= exported
    assert len(used) > 10


def test_panels_do_not_overlap():
    panels = dashboard_panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    rows = [panel["panels"] for panel in panels if "panels" in panel]
    inside = [panel for row in rows for panel in row]
    # Grafana moves what is below a collapsed row when it is opened.
    for shown in ([panel for panel in panels if panel not in inside], *rows):
        cells = set()
        for panel in shown:
            at = panel["gridPos"]
            for x in range(at["x"], at["x"] + at["w"]):
                for y in range(at["y"], at["y"] + at["h"]):
                    assert x < 24
                    assert (x, y) not in cells
                    cells.add((x, y))


@pytest.mark.parametrize(
    ("flag", "file"), [("--print-alerts", "alerts.yml"), ("--print-dashboard", "dashboard.json")]
)
def test_files_are_printed_as_they_are(capsys, flag, file):
    assert cli.main([flag]) == 0
    assert capsys.readouterr().out == (FOLDER / file).read_text()


@pytest.mark.parametrize("flag", ["--print-alerts", "--print-dashboard", "--demo=list"])
def test_a_reader_that_closes_the_pipe_is_not_a_failure(flag):
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-m", "nvltop", flag],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=20,
        check=False,
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")
