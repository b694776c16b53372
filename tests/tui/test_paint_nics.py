"""The rows of NICs and their columns of the matrix."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.model import Missing
from nvltop.tui.paint import matrix, nics
from nvltop.tui.paint.row import text_of
from nvltop.tui.paint.status import status


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
    assert rows[0].endswith("12 of 12")
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
    assert matrix.width(v, width) == 3 + 5 * columns + 1
    head = texts(matrix.rows(v, matrix.width(v, width), 9))[0].split()
    assert head == [str(i) for i in range(8)] + [f"N{i}" for i in range(columns - 8)]


def test_a_matrix_alone_shows_as_many_nics_as_fit_and_counts_the_rest(view):
    rows = texts(matrix.rows(view(), 80, 30))
    assert rows[0].split()[-2:] == ["N5", "+6"]
    assert rows[9].split()[:2] == ["N0", "PXB"]
    assert len(rows) == 21
