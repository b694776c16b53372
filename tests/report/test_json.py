"""The JSON contract: every value that could not be read is null, with a reason."""

from __future__ import annotations

import csv
import io
import json

import pytest

from nvltop.nvml.simulated import Fault
from nvltop.nvml.simulated.nodes import BUILDERS
from nvltop.report.csv import TITLES, to_csv
from nvltop.report.json import to_json
from nvltop.report.text import to_text

NODES = [name for name, build in BUILDERS.items() if build().gpus]
STRUCTURAL = {"demo", "problem", "gpu", "source", "link", "nic", "last_change_s", "caused_by"}
"""Keys for which null means that there is no value, not that it could not be read."""


def unexplained(value, path=""):
    """Return the nulls without a reason."""
    found = []
    if isinstance(value, dict):
        missing = value.get("missing", {})
        for key, inner in value.items():
            if inner is None and key not in missing and key not in STRUCTURAL:
                found.append(f"{path}.{key}")
            if key not in ("incidents", "events"):
                found += unexplained(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            found += unexplained(inner, f"{path}[{i}]")
    return found


@pytest.mark.parametrize("node", NODES)
def test_each_null_and_each_question_mark_has_its_reason(bench, node):
    b = bench(node)
    for seconds in (0.0, 3.0):
        frame = b.run(seconds)
        values = to_json(frame)
        json.dumps(values, allow_nan=False)
        assert unexplained(values) == []
    text = to_text(frame)
    assert "nvltop" in text
    assert "?" not in text or "unknown" in text


@pytest.mark.parametrize("code", [3, 4, 15, 999])
def test_each_null_has_its_reason_when_nothing_can_be_read(bench, code):
    b = bench()
    b.run(1.0)
    for name in list(b.library.calls):
        b.library.faults[name] = Fault(code)
    b.clock.now += 1
    frame = to_json(b.poll())
    assert unexplained(frame) == []
    assert all(gpu["nvlink"]["tx_bytes_per_s"] is None for gpu in frame["gpus"])
    assert all(gpu["util_percent"] is None for gpu in frame["gpus"])


def test_the_keys_of_the_contract(bench):
    frame = to_json(bench().run(2.0))
    assert set(frame) >= {
        "schema", "version", "time", "interval_s", "node", "gpus", "matrix", "nics", "jobs", "processes",
        "events", "verdict", "findings",
    }  # fmt: skip
    gpu = frame["gpus"][0]
    assert set(gpu) >= {
        "index", "name", "uuid", "pci_bus_id", "numa_node", "state", "age_s", "util_percent",
        "memory_used_bytes", "memory_total_bytes", "power_w", "power_limit_w", "temperature_c",
        "sm_clock_mhz", "mig", "pcie", "c2c", "fabric", "nvlink", "links",
    }  # fmt: skip
    assert set(gpu["links"][0]) >= {
        "index", "state", "speed_bytes_per_s", "remote", "tx_bytes_per_s", "rx_bytes_per_s",
        "tx_bytes_total", "rx_bytes_total", "errors",
    }  # fmt: skip
    assert gpu["nvlink"]["speed_bytes_per_s"] == 18 * 26562000000
    assert gpu["links"][0]["errors"]["replay"] == {
        "total": 0, "since_start": 0, "per_min": 0.0, "last_change_s": None,
    }  # fmt: skip


TIMED: dict[str, dict[str, tuple[str, ...]]] = {
    "pcie": {"rates_over_s": ("tx_bytes_per_s", "rx_bytes_per_s")},
    "throttling": {
        "over_s": ("power_cap_share", "sw_thermal_share", "hw_thermal_share", "power_brake_share")
    },
    "compute": {"over_s": ("sm_share", "tensor_share", "dram_share", "power_w")},
    "nvlink": {"recent_over_s": ("recent_share",), "mean_over_s": ("mean_tx_bytes_per_s",)},
}
"""Times of a GPU in JSON, and the values to which each belongs."""


@pytest.mark.parametrize(("node", "over_s"), [("hgx-a100-4", 0.02), ("hgx-h100-4", 1.0)])
def test_pcie_rates_have_the_time_over_which_they_were_measured(bench, node, over_s):
    """The driver measures for 20 ms while it is asked; GPM returns means between two samples."""
    for gpu in to_json(bench(node).run(20))["gpus"]:
        assert gpu["pcie"]["rates_over_s"] == pytest.approx(over_s, rel=0.1)


@pytest.mark.parametrize("node", ["dgx1-v100", "h100-mig"])
def test_no_time_stands_beside_values_that_are_unknown(bench, node):
    frame = bench(node, "training" if node == "h100-mig" else "gpu-lost").run(20)
    values = to_json(frame)
    for gpu in values["gpus"]:
        for group, times in TIMED.items():
            for time, names in times.items():
                unknown = all(gpu[group][name] is None for name in names)
                assert gpu[group][time] is None or not unknown, (gpu["index"], group, time)
        link_rates = [link["tx_bytes_per_s"] for link in gpu["links"]]
        if not any(rate is not None for rate in (gpu["nvlink"]["tx_bytes_per_s"], *link_rates)):
            assert (gpu["nvlink"]["rates_over_s"], gpu["nvlink"]["rates_age_s"]) == (None, None)
        for error in [error for link in gpu["links"] for error in link["errors"].values()]:
            assert error["total"] is not None or error.get("over_s") is None
    assert unexplained(values) == []
    for row in csv.DictReader(io.StringIO(f"{','.join(TITLES)}\n{to_csv(frame)}")):
        assert bool(row["rates_over_s"]) == bool(row["tx_bytes_per_s"]), row
