"""Every output says that a sum of error counters lacks a part, and why."""

from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import Any

import pytest

from nvltop.nvml.errors import PER_LINK
from nvltop.report import check, tables
from nvltop.report.csv import TITLES, to_csv
from nvltop.snapshot.sections import links as snapshot_links
from nvltop.tui.dialogs import gpu_rows
from nvltop.tui.render import header
from nvltop.tui.render.row import text_of
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.links import heatmap
from nvltop.tui.tabs.main import gpus, matrix, status

UNKNOWN_ERROR, NOT_SUPPORTED, INACTIVE = 999, 3, 2
"""Return codes of NVML; the last one is that of a link that is not active."""
WHY = "unknown driver error"


@pytest.fixture
def drawn(bench):
    """Return a function that lets the replays of a link of GPU 0 fail with a return code of NVML."""

    def make(code: int, *, down: bool = False, errors: int = 3) -> ViewState:
        b = bench("hgx-h100-4", "idle")
        table, machine = b.library.fields.tables[0], b.library.machine
        read, is_up = table[PER_LINK["replay"]], machine.up
        counts = dict.fromkeys((0, 1), errors)
        table[PER_LINK["replay"]] = lambda gpu, link, t: (
            (code, 0, 0) if (gpu, link) == (0, 5) else (0, 3, counts.get(link, 0)) if gpu == 0
            else read(gpu, link, t)
        )  # fmt: skip
        if down:
            machine.up = lambda gpu, link, t: (gpu, link) != (0, 5) and is_up(gpu, link, t)
        frame = b.run(4)
        return ViewState(frame=frame, gpus=frame.gpus, now_s=frame.tick.mono_s)

    return make


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_tables_mark_a_sum_of_a_part(drawn, width):
    view = drawn(UNKNOWN_ERROR)
    first, second = [text_of(row).split() for row in gpus.table(view, width, 9, 0)[1:3]]
    assert "6+?" in first
    assert not any("+?" in word for word in second)
    at = heatmap.layout(view, width, 24, 0, 0, None)
    shown = [text_of(row) for row in heatmap.rows(view, width, 24, at, 0, 0)]
    assert [row.split()[0] for row in shown if "6+?" in row] == ["0"]


def test_the_reason_is_where_reasons_are(drawn):
    view = drawn(UNKNOWN_ERROR)
    assert status.status(view) == f"GPU 0 ? errors: {WHY}"
    assert f"errors: {WHY} (GPU 0)" in tables.unknowns(view.frame, view.frame.gpus)
    assert "6+?" in tables.gpu_table(view.frame.gpus).splitlines()[1].split()
    assert f"errors since the start 0+? ({WHY})" in gpu_rows._links(view, view.frame.gpus[0])
    assert header._errors(view.frame)[0] == "no link error counted since start; only in part: GPU 0"
    taken: Any = SimpleNamespace(frame=view.frame)
    assert f"0+? errors since the start (in part unknown: {WHY})" in snapshot_links._of_gpu(
        taken, view.frame.gpus[0]
    )
    (found,) = [c for c in view.frame.checks if c.name == "link errors"]
    assert (found.outcome, found.detail) == ("unknown", f"some counters of GPU 0: {WHY}")


def test_programs_get_no_sum_of_a_part(drawn):
    frame = drawn(UNKNOWN_ERROR).frame
    rows = list(csv.DictReader(to_csv(frame).splitlines(), TITLES))
    sums = [row for row in rows if row["link"] == ""]
    assert [row["errors_total"] for row in sums] == ["", "0", "0", "0"]
    assert f"errors_total: {WHY}" in sums[0]["missing"]
    assert "link_errors=" not in check._performance(frame)


def test_a_pair_is_not_called_free_of_errors_if_a_part_is_unknown(drawn):
    view = drawn(UNKNOWN_ERROR, errors=0)
    assert matrix.MatrixValues(view)._errors(0, 0) == ("?", "warn")
    assert matrix.MatrixValues(view)._errors(1, 1)[0].strip() == "0"


def test_check_says_of_how_many_gpus_it_speaks(drawn):
    frame = drawn(UNKNOWN_ERROR).frame
    assert check._errors(frame, 10.0).endswith(" (GPU 0 unknown)")
    assert check._errors(drawn(NOT_SUPPORTED).frame, 10.0).startswith("no errors in ")


@pytest.mark.parametrize(("code", "down"), [(NOT_SUPPORTED, False), (INACTIVE, True), (UNKNOWN_ERROR, True)])
def test_a_counter_that_a_link_does_not_have_leaves_the_sum_complete(drawn, code, down):
    view = drawn(code, down=down)
    assert "6" in text_of(gpus.table(view, 120, 9, 0)[1]).split()
    assert "errors" not in status.status(view)
    assert "errors:" not in tables.unknowns(view.frame, view.frame.gpus)
    assert "link_errors=0" in check._performance(view.frame)
