"""The printed matrix against lines that `nvidia-smi topo -m` printed on real machines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.report.topology import matrix_table

HEAD = "\tGPU0\tGPU1\tGPU2\tGPU3\tGPU4\tGPU5\tGPU6\tGPU7\t"


def printed(bench, node, driver=None, **gpu):
    w = bench(node)
    gpus = tuple(replace(g, **gpu) for g in w.inventory.gpus)
    w.monitor.update(replace(w.inventory, gpus=gpus, driver_version=driver or w.inventory.driver_version))
    return matrix_table(w.poll()).split("\n")


def test_a_dgx_h100(bench):
    lines = printed(bench, "dgx-h100", cpu_affinity="0-55,112-167", numa_node=0)
    nics = "\t".join(f"NIC{i}" for i in range(12))
    assert lines[0] == f"{HEAD}{nics}\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID"
    assert lines[1] == (
        "GPU0\t X \tNV18\tNV18\tNV18\tNV18\tNV18\tNV18\tNV18"
        "\tPXB\tNODE\tNODE\tNODE\tNODE\tNODE\tSYS\tSYS\tSYS\tSYS\tSYS\tSYS\t0-55,112-167\t0\t\tN/A"
    )
    assert lines[20] == (
        "NIC11\tSYS\tSYS\tSYS\tSYS\tNODE\tNODE\tNODE\tPXB"
        "\tSYS\tSYS\tSYS\tSYS\tSYS\tSYS\tNODE\tNODE\tNODE\tNODE\tNODE\t X \t\t\t\t"
    )
    assert lines[21:25] == ["", "NIC Legend:", "", "  NIC0: mlx5_0"]
    assert lines[-1] == "  NIC11: mlx5_11"


@pytest.mark.parametrize(
    ("driver", "labels", "columns", "tail"),
    [
        ("440.33.01", "mlx5_0\tmlx5_1\tmlx5_2\tmlx5_3", "CPU Affinity", "\t"),
        ("525.105.17", "NIC0\tNIC1\tNIC2\tNIC3", "CPU Affinity\tNUMA Affinity", "\t\t"),
    ],
)
def test_older_drivers_print_fewer_columns(bench, driver, labels, columns, tail):
    lines = printed(bench, "dgx1-v100", driver, cpu_affinity="0-19,40-59", numa_node=0)
    assert lines[0] == f"{HEAD}{labels}\t{columns}"
    ends = "0-19,40-59" + ("\t0" if "NUMA" in columns else "")
    assert lines[1] == f"GPU0\t X \tNV1\tNV1\tNV2\tNV2\tSYS\tSYS\tSYS\tPIX\tPHB\tSYS\tSYS\t{ends}"
    assert lines[9].endswith(f"\t X \tPHB\tSYS\tSYS{tail}")
    assert len(lines) == (13 if "mlx5" in labels else 20)


def test_a_node_without_nics_has_no_legend_of_them(bench):
    lines = printed(bench, "rtx3090-nobridge")
    assert [line.split("\t")[:3] for line in lines] == [
        ["", "GPU0", "GPU1"],
        ["GPU0", " X ", "PHB"],
        ["GPU1", "PHB", " X "],
    ]
