"""The matrix against what `nvidia-smi topo -m` printed on real machines of that kind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.analysis import matrix
from nvltop.model import Gpu, GpuFrame, Link, LinkState, Maybe, Missing, Pair, Remote, RemoteKind, known
from nvltop.model.nic import Nic, PciLocation

HYBRID_CUBE_MESH = """
X NV1 NV1 NV2 NV2 SYS SYS SYS
NV1 X NV2 NV1 SYS NV2 SYS SYS
NV1 NV2 X NV2 SYS SYS NV1 SYS
NV2 NV1 NV2 X SYS SYS SYS NV1
NV2 SYS SYS SYS X NV1 NV1 NV2
SYS NV2 SYS SYS NV1 X NV2 NV1
SYS SYS NV1 SYS NV1 NV2 X NV2
SYS SYS SYS NV1 NV2 NV1 NV2 X
"""
"""8 × V100 SXM2, as `nvidia-smi topo -m` prints it."""


def rows(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(line.split()) for line in text.strip().splitlines())


def alike(n: int, cell: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple("X" if i == j else cell for j in range(n)) for i in range(n))


@pytest.mark.parametrize(
    ("node", "cells"),
    [
        ("dgx1-v100", rows(HYBRID_CUBE_MESH)),
        ("dgx-h100", alike(8, "NV18")),
        ("dgx-a100", alike(8, "NV12")),
        ("hgx-a100-4", alike(4, "NV4")),
        ("dgx2", alike(16, "NV6")),
        ("dgx-h200", alike(8, "NV18")),
        ("a800", alike(8, "NV8")),
        ("h800", alike(8, "NV8")),
        ("hgx-h100-4", alike(4, "NV6")),
        ("hgx-h100-vm", alike(8, "NV18")),
        ("hgx-b200", alike(8, "NV18")),
        ("gb200-tray", alike(4, "NV18")),
        ("rubin", alike(8, "NV36")),
        ("h100-nvl-pair", alike(2, "NV12")),
        ("a100-pcie-pairs", rows("X NV12 SYS SYS\nNV12 X SYS SYS\nSYS SYS X NV12\nSYS SYS NV12 X")),
        ("a6000-3", rows("X NV4 NODE\nNV4 X NODE\nNODE NODE X")),
        ("mixed", rows("X NV12 SYS\nNV12 X SYS\nSYS SYS X")),
        ("a100-pcie", alike(2, "SYS")),
        ("rtx3090-pair", alike(2, "NV4")),
        ("rtx3090-nobridge", alike(2, "PHB")),
        ("rtx4090-pair", alike(2, "PHB")),
        ("h100-vm", (("X",),)),
        ("gh200", (("X",),)),
        ("gb10", (("X",),)),
    ],
)
def test_matrix_of_the_node(bench, node, cells):
    found = bench(node).run(1.0).matrix.cells
    assert tuple(row[: len(cells)] for row in found[: len(cells)]) == cells, "GPUs come before NICs"


def test_a_fallen_link_leaves_the_pair_with_one_less(bench):
    cells = bench("dgx-h100", "link-down").run(12.0).matrix.cells
    assert cells[3][0] == cells[0][3] == "NV17"
    assert cells[0][1] == "NV18"


def test_pair_traffic_is_exact_where_links_are_direct(bench):
    frame = bench("hgx-a100-4").run(2.0)
    a, b = frame.gpus[:2]
    expected = sum(k.mean_tx_bytes_per_s for k in a.links if k.remote.gpu == b.gpu.uuid)
    assert frame.matrix.pair_tx_bytes_per_s[0][1] == pytest.approx(expected)


def test_pair_traffic_is_unknown_behind_switches(bench):
    frame = bench("dgx-h100").run(2.0)
    assert frame.matrix.pair_tx_bytes_per_s[0][1] == matrix.VIA_NVSWITCH


def gpu(index: int, *remotes: Remote, state: LinkState = LinkState.UP) -> GpuFrame:
    links = tuple(Link(i, state, remote=remote) for i, remote in enumerate(remotes))
    return GpuFrame(Gpu(index, f"GPU-{index}"), links=links)


def pairs(p2p: Maybe[str], pcie: Maybe[str] = "SYS") -> dict[tuple[str, str], Pair]:
    return {(a, b): Pair(a, b, pcie, p2p) for a, b in (("GPU-0", "GPU-1"), ("GPU-1", "GPU-0"))}


def test_hidden_remotes_count_where_p2p_says_nvlink_joins_the_pair():
    hidden = [Remote()] * 18
    two = [gpu(0, *hidden), gpu(1, *hidden[:17])]
    assert matrix.build(two, pairs("OK")).cells[0][1] == "NV17"
    assert matrix.build(two, pairs("NS")).cells[0][1] == "SYS"


def test_sleeping_links_are_links():
    ends = [gpu(i, Remote(RemoteKind.SWITCH), state=LinkState.SLEEP) for i in range(2)]
    assert matrix.build(ends, pairs("OK")).cells[0][1] == "NV1"


def test_unread_level_is_a_question_mark_with_its_reason():
    m = matrix.build([gpu(0), gpu(1)], pairs("NS", Missing("no permission")))
    assert m.cells[0][1] == "?"
    assert m.missing["GPU0,GPU1"] == "no permission"
    assert not known(m.pair_tx_bytes_per_s[0][1])


@pytest.mark.parametrize("problem", ["GPU is lost", "no longer listed by the driver"])
def test_what_connects_a_lost_gpu_is_unknown_in_both_directions_and_says_why(problem):
    """The other end of its links may still be up, and its pairs and its place on PCI are no longer listed."""
    ends = [Remote(RemoteKind.GPU, gpu=f"GPU-{i}") for i in range(2)]
    lost = gpu(0, ends[1], state=LinkState.UNKNOWN)
    lost = replace(lost, gpu=replace(lost.gpu, problem=problem))
    place = PciLocation("0000:1c:00.0", ("pci0000:15",))
    layout = matrix.PciLayout(nics=((Nic("mlx5_0", rdma=True, location=place), place),))
    m = matrix.topology([lost, gpu(1, ends[0]), gpu(2)], {}, layout).matrix
    for pair in ("GPU0,GPU1", "GPU1,GPU0", "GPU0,GPU2", "GPU2,GPU0", "GPU0,NIC0", "NIC0,GPU0"):
        assert m.missing[pair] == problem, pair
    assert {m.cells[0][1], m.cells[1][0], m.cells[0][2], m.cells[0][3]} == {"?"}
    assert m.p2p_nvlink[0][2] == m.pair_tx_bytes_per_s[1][0] == Missing(problem)
