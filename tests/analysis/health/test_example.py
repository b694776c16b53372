"""The example of how to add a rule, in the docstring of the package, works as it is written."""

from __future__ import annotations

import textwrap

import pytest

from nvltop.analysis import health
from nvltop.analysis.health import engine


@pytest.fixture
def example() -> dict[str, object]:
    """Run the code of the docstring and return its names."""
    _, _, rest = health.__doc__.partition("::\n\n")
    code, _, _ = rest.partition("\n   The second result")
    names: dict[str, object] = {}
    exec("from __future__ import annotations\n" + textwrap.dedent(code), names)
    return names


def test_the_example_finds_a_hot_gpu_after_its_delay(watched, example, monkeypatch):
    group = example["RULE_GROUP"]
    monkeypatch.setattr(engine, "RULE_GROUPS", (*health.RULE_GROUPS, group))
    w = watched("dgx-h100")
    assert [(c.outcome, c.detail) for c in w.run(2).checks if c.name == group.name] == [
        ("fine", "temperature of all GPUs (watched 2 s)")
    ]
    example["MAX_TEMPERATURE_C"] = 0.0
    found, samples = w.until("gpu-hot", 15)
    assert (found.severity, found.headline, samples) == ("warning", "GPU 0 is too hot", 11)
    assert found.evidence["temperature_c"] > 0
