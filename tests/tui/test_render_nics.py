"""The rows of NICs and their columns of the matrix."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvltop.model import LPF, Finding, Missing, Severity
from nvltop.tui.render.row import text_of
from nvltop.tui.tabs.main import matrix, nics
from nvltop.tui.tabs.main.status import status


def texts(rows) -> list[str]:
    return [text_of(row) for row in rows]


def changed(v, device, **says):
    """Let one port say something else."""
    ports = [replace(f, port=replace(f.port, **says)) if f.nic.device == device else f for f in v.frame.nics]
    v.frame = replace(v.frame, nics=tuple(ports))
    return v


def test_a_row_for_each_port(view):
    rows = texts(nics.table(view(), 80, 14))
    assert rows[0].split()[:6] == ["NIC", "NAME", "TYPE", "STATE", "MAX", "GB/s"]
    assert [row.split()[:4] for row in rows[1:3]] == [
        ["N0", "mlx5_0", "IB", "active"],
        ["N1", "mlx5_1", "RoCE", "active"],
    ]
    assert "PXB 0" in rows[1]
    assert "NODE 0-3" in rows[2]
    assert len(rows) == 13


def test_if_not_all_fit_those_near_the_selected_gpu_are_shown(view):
    v = view()
    v.gpu = 7
    rows = texts(nics.table(v, 80, 5))
    assert rows[0].endswith(" NEAREST GPU   9-12"), "each column keeps its title"
    assert texts(nics.table(v, 120, 5))[0].endswith(" 9-12 of 12")
    assert rows[-1].split()[1] == "mlx5_11"
    v.gpu = 0
    assert texts(nics.table(v, 80, 5))[1].split()[1] == "mlx5_0"


def test_the_nearest_nic_of_the_selected_gpu_is_marked(view):
    v = view()
    v.gpu = 3
    marked = [row for row in nics.table(v, 120, 20) if any(role == "bold" for _, role in row)]
    assert [text_of(row).split()[1] for row in marked] == ["mlx5_5"]


def test_a_port_that_is_down_stands_out(view):
    v = changed(view(), "mlx5_3", state="down")
    (row,) = [row for row in nics.table(v, 80, 20) if " mlx5_3 " in text_of(row)]
    assert ("down   ", "warn") in row


def test_what_is_unknown_is_a_question_mark_with_its_reason_on_the_last_line(view):
    v = changed(view(), "mlx5_0", rate_bytes_per_s=Missing("no permission"))
    row = next(text for text in texts(nics.table(v, 80, 20)) if " mlx5_0 " in text)
    assert row.split()[4] == "?"
    assert "mlx5_0 ? speed: no permission" in status(v)


@pytest.mark.parametrize(("width", "columns"), [(60, 8), (104, 20)], ids=["GPUs alone", "all"])
def test_the_matrix_takes_all_nics_or_none_beside_the_links(view, width, columns):
    v = view()
    more = ["+12"] if columns == 8 else []
    assert matrix.width(v, width) == 3 + 5 * columns + (len(" +20") if more else 1)
    head = texts(matrix.rows(v, matrix.width(v, width), 9))[0].split()
    assert head == ["↓12", *(str(i) for i in range(8)), *(f"N{i}" for i in range(columns - 8)), *more]


def test_a_matrix_alone_shows_as_many_nics_as_fit_and_counts_the_rest(view):
    rows = texts(matrix.rows(view(), 80, 30))
    assert rows[0].split()[-2:] == ["N5", "+6"]
    assert "↓" not in rows[0]
    assert rows[9].split()[:2] == ["N0", "PXB"]
    assert len(rows) == 21


def many(v, count, **says):
    """Give a node `count` NICs, each like the last of those that it has."""
    last = v.frame.nics[-1]
    ports = [
        replace(
            last,
            nic=replace(last.nic, device=f"mlx5_{i}", **says),
            port=replace(last.port, device=f"mlx5_{i}"),
            label=f"NIC{i}",
        )
        for i in range(len(v.frame.nics), count)
    ]
    v.frame = replace(v.frame, nics=(*v.frame.nics, *ports))
    return v


@given(st.integers(0, 7), st.integers(1, 90), st.integers(2, 40))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_nic_is_reached_by_turning_pages(view_once, gpu, count, height):
    v = many(view_once(), max(12, count))
    v.gpu, v.nic_page = gpu, 0
    seen = set()
    pages = len(v.frame.nics) // (height - 1) + 1
    for page in (-90, *range(-pages, pages + 1), 90):
        v.nic_page = page
        rows = texts(nics.table(v, 120, height))
        seen |= {row.split()[1] for row in rows[1:]}
        if len(v.frame.nics) >= height:
            first, last, all_nics = (int(n) for n in re.findall(r"\d+", rows[0])[-3:])
            assert last - first + 1 == len(rows) - 1
            assert all_nics == len(v.frame.nics)
    assert seen == {f.nic.device for f in v.frame.nics}


@pytest.fixture
def view_once(view):
    """Return a function that gives the same node again."""
    made = view()
    return lambda: replace(made)


def test_virtual_functions_and_what_carries_no_data_come_last(view):
    v = view()
    roles: dict[str, dict[str, Any]] = {"mlx5_0": {"role": LPF}, "mlx5_1": {"virtual": True}}
    ports = tuple(replace(f, nic=replace(f.nic, **roles.get(f.nic.device, {}))) for f in v.frame.nics)
    v.frame = replace(v.frame, nics=ports)
    rows = texts(nics.table(v, 120, 20))
    assert [row.split()[1] for row in rows[1:]] == [f"mlx5_{i}" for i in (*range(2, 12), 1, 0)]
    assert rows[-1].split()[2] == "LPF"
    assert v.frame.nics[nics.nearest_port(v)].nic.device == "mlx5_2", (
        "a NIC, though the LPF is nearer to GPU 0"
    )


@pytest.mark.parametrize("width", [47, 60, 80, 104, 120])
def test_every_column_of_the_matrix_is_reached(view, width):
    v = view()
    seen = set()
    for column in range(20):
        v.column = column
        head = texts(matrix.rows(v, width, 30))[0].split()
        columns = [name for name in head if name[0] not in "+↓"]
        assert (str(column) if column < 8 else f"N{column - 8}") in columns
        counted = [int(name[1:]) for name in head if name[0] == "+"]
        assert sum(counted) == 20 - len(columns)
        first = matrix.VisibleColumns.of(v, width).first
        assert matrix.cell_at(v, 3 + 5 * (column - first), 1, 0, first) == (0, column)
        seen |= set(columns)
    assert len(seen) == 20


@pytest.mark.parametrize("port", [None, 2])
@pytest.mark.parametrize(("severity", "mark"), [("critical", "!"), ("unknown", "?"), ("info", "")])
def test_the_row_of_a_nic_with_a_finding_is_marked(view, severity, mark, port):
    v = view()
    number = port or 1
    v.frame = replace(
        v.frame,
        nics=tuple(
            replace(f, port=replace(f.port, port=number)) if f.nic.device == "mlx5_5" else f
            for f in v.frame.nics
        ),
        findings=(Finding("nic-down", Severity(severity), None, port, "A sentence", nic="mlx5_5"),),
    )
    marked = {row.split()[0] for row in texts(nics.table(v, 120, 20))[1:] if row.split()[0][-1] in "!?"}
    assert marked == ({f"N5{mark}"} if mark else set())
