"""The titles of tables state how much time their sparklines cover, at every width."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.tui.render.row import text_of
from nvltop.tui.render.sparklines import spark_title
from nvltop.tui.tabs.links import heatmap
from nvltop.tui.tabs.main import gpus, links, nics


@given(
    st.integers(6, 60), st.sampled_from([0.2, 0.4, 0.5, 1.0, 2.0, 4.0, 20.0, 120.0]),
    st.sampled_from(["", "63 GB/s", "504.1 Gb/s"]),
)  # fmt: skip
def test_the_title_of_a_sparkline_states_the_time_that_it_covers(cells, cell_s, full):
    title = spark_title("TX", cells, cell_s, full)
    assert len(title) == cells
    lasts_s = cells * cell_s
    (number, unit) = re.search(r"([\d.]+) ?(s|min|m|h|hours)$", title.rstrip()).groups()
    size = {"s": 1, "m": 60, "min": 60, "h": 3600, "hours": 3600}[unit]
    # Rounded to two digits at least.
    assert float(number) * size == pytest.approx(lasts_s, rel=0.03, abs=0.06 * size)
    assert title.startswith("TX") or cells < 8


@pytest.mark.parametrize("width", [80, 90, 100, 120, 150, 200])
@pytest.mark.parametrize("node", ["dgx-h100", "rtx4090-pair"])
def test_every_table_with_sparklines_states_their_time(view, node, width):
    v = view(node, seconds=3.0)
    tables = [gpus.table(v, width, 9, 0), nics.table(v, width // 2, 9), nics.table(v, width, 9)]
    if node == "dgx-h100":
        tables += [links.rows(v, width // 2, 9, 0), links.rows(v, width, 9, 0)]
        at = heatmap.layout(v, width, 24, 0, 0, None)
        tables.append(heatmap.rows(v, width, 24, at, 0, 0))
    for rows in tables:
        title, drawn = text_of(rows[0]), "".join(text_of(row) for row in rows[1:])
        if re.search("[\u2801-\u28ff]", drawn):
            assert re.search(r"\d ?(s|m)\b", title), title
