"""The JSON contract: every value that could not be read is null, with a reason."""

from __future__ import annotations

import json

import pytest

from nvltop.nvml.simulated import Fault
from nvltop.nvml.simulated.nodes import BUILDERS
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
