"""The matrix against what `nvidia-smi topo -m` printed on real machines, tab for tab.

`tests/data/topo_m` holds such output, without the escape sequences that underline the title:
`dgx_h100_580` (its end is missing) from a report on a Talos cluster, `b300_590` from
sgl-project/sglang#26039, `a100_525`, `dgx1_v100_410` (its legend, of older words, is left out),
`v100_470` and `two_gpus_535` from README files and articles on GitHub.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nvltop.model import Frame, Gpu, GpuFrame, Inventory, Matrix, Missing, Tick
from nvltop.nvml.simulated import Fault
from nvltop.report.nvidia_smi.topo import LEGEND, matrix_table
from nvltop.report.text import to_text

HEAD = "\tGPU0\tGPU1\tGPU2\tGPU3\tGPU4\tGPU5\tGPU6\tGPU7\t"


def printed(bench, node, driver=None, **gpu):
    w = bench(node)
    gpus = tuple(replace(g, **gpu) for g in w.inventory.gpus)
    w.monitor.update(replace(w.inventory, gpus=gpus, driver_version=driver or w.inventory.driver_version))
    return matrix_table(w.poll()).split("\n")


def test_a_dgx_h100(bench):
    lines = printed(bench, "dgx-h100", cpu_affinity="0-55,112-167", numa_affinity="0")
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
    assert lines[21] == ""
    assert "\n".join(lines[22:]).startswith(f"{LEGEND}\n\nNIC Legend:\n\n  NIC0: mlx5_0\n")
    assert lines[-1] == "  NIC11: mlx5_11"


@pytest.mark.parametrize(
    ("driver", "labels", "columns", "tail"),
    [
        ("440.33.01", "mlx5_0\tmlx5_1\tmlx5_2\tmlx5_3", "CPU Affinity", "\t"),
        ("525.105.17", "NIC0\tNIC1\tNIC2\tNIC3", "CPU Affinity\tNUMA Affinity", "\t\t"),
    ],
)
def test_older_drivers_print_fewer_columns(bench, driver, labels, columns, tail):
    lines = printed(bench, "dgx1-v100", driver, cpu_affinity="0-19,40-59", numa_affinity="0")
    assert lines[0] == f"{HEAD}{labels}\t{columns}"
    ends = "0-19,40-59" + ("\t0" if "NUMA" in columns else "")
    assert lines[1] == f"GPU0\t X \tNV1\tNV1\tNV2\tNV2\tSYS\tSYS\tSYS\tPIX\tPHB\tSYS\tSYS\t{ends}"
    assert lines[9].endswith(f"\t X \tPHB\tSYS\tSYS{tail}")
    assert ("NIC Legend:" in lines) == ("NIC0" in labels)


def test_a_node_without_nics_has_no_legend_of_them(bench):
    lines = printed(bench, "rtx3090-nobridge")
    assert "NIC Legend:" not in lines
    assert [line.split("\t")[:3] for line in lines[:3]] == [
        ["", "GPU0", "GPU1"],
        ["GPU0", " X ", "PHB"],
        ["GPU1", "PHB", " X "],
    ]


DATA = Path(__file__).parent.parent / "data/topo_m"
NONE = Missing("no NUMA node reported")


def real(name: str) -> str:
    return (DATA / f"{name}.txt").read_text()


def frame_of(text: str, driver: str) -> Frame:
    """Parse a matrix into the values of a frame, by the positions of its columns."""
    title, *lines = text.split("\n")
    labels = [word for word in title.split("\t")[1:] if " " not in word]
    rows = [line.split("\t") for line in lines[: len(labels)]]
    gpus = []
    for index, row in enumerate(row for row in rows if row[0].startswith("GPU")):
        cpu, *rest = row[1 + len(labels) :]
        known = [cell for cell in rest if cell]
        numa = known[0] if known and known[0] != "N/A" else NONE
        gpus.append(GpuFrame(Gpu(index, f"GPU-{index}", cpu_affinity=cpu, numa_affinity=numa)))
    legend = dict(line.strip().split(": ") for line in lines if line.startswith("  NIC"))
    cells = tuple(tuple(cell.strip() for cell in row[1 : 1 + len(labels)]) for row in rows)
    inventory = Inventory(0.0, 0.0, driver_version=driver)
    return Frame(
        inventory, Tick(0.0, 0.0, 1.0), 0.0, tuple(gpus), Matrix(tuple(labels), cells, legend=legend)
    )


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("b300_590", "590.44.01"),
        ("two_gpus_535", "535.54.03"),
        ("a100_525", "525.105.17"),
        ("v100_470", "470.57.02"),
        ("dgx1_v100_410", "410.48"),
    ],
)
def test_the_matrix_is_that_of_nvidia_smi_line_for_line(name, driver):
    text = real(name)
    lines = matrix_table(frame_of(text, driver)).split("\n")
    expected = text.removesuffix("\n").split("\n")
    assert lines[: len(expected)] == expected


def test_a_simulated_dgx_h100_prints_what_a_real_one_prints(bench):
    text = matrix_table(bench("dgx-h100").run(1.0))
    assert text.startswith(real("dgx_h100_580"))
    assert text.endswith("\nNIC Legend:\n\n" + "\n".join(f"  NIC{i}: mlx5_{i}" for i in range(12)))
    assert text in to_text(bench("dgx-h100").run(1.0))


def test_the_gpu_memory_of_grace_boards_has_its_own_numa_node(bench):
    rows = matrix_table(bench("gb200-tray").run(1.0)).split("\n")[1:5]
    assert [row.split("\t")[-4:] for row in rows] == [
        ["0-71", "0,2-17", "", "2"],
        ["0-71", "0,2-17", "", "10"],
        ["72-143", "1,18-33", "", "18"],
        ["72-143", "1,18-33", "", "26"],
    ]


def test_a_value_that_nvml_does_not_report_is_not_available(bench):
    def refuse(library):
        for name in ("CpuAffinity", "MemoryAffinity", "TopologyCommonAncestor"):
            library.faults[f"nvmlDeviceGet{name}"] = Fault(code=4)

    text = matrix_table(bench("rtx4090-pair", prepare=refuse).run(1.0))
    assert text.split("\n")[1] == "GPU0\t X \tN/A\tN/A\t\tN/A\t\tN/A"


def test_no_cpu_is_near_in_a_cpuset_without_them(bench):
    frame = bench("l40s").run(1.0)
    (g,) = frame.gpus
    alone = replace(frame, gpus=(replace(g, gpu=replace(g.gpu, cpu_affinity="")),))
    assert matrix_table(alone).split("\n")[1] == "GPU0\t X \t\t0\t\tN/A"
