"""Links and errors compared with the output of `nvidia-smi nvlink` on real machines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.model import (
    ErrorCount,
    Frame,
    Gpu,
    GpuFrame,
    Inventory,
    Link,
    LinkState,
    Maybe,
    Missing,
    NvLink,
    Tick,
)
from nvltop.model.job import Job
from nvltop.report import tables
from nvltop.report.nvidia_smi import nvlink
from nvltop.report.text import to_text

H100 = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-00000000-0000-0000-0000-000000000000)"
"""First line of `nvidia-smi nvlink -s`."""


def gpu(*links: Link, **more) -> GpuFrame:
    name = Gpu(0, "GPU-00000000-0000-0000-0000-000000000000", name="NVIDIA H100 80GB HBM3", **more)
    return GpuFrame(name, links=links, nvlink=NvLink(links_present=len(links)))


def test_a_gpu_has_the_name_that_nvidia_smi_prints():
    assert nvlink.gpu_line(gpu()) == H100


@pytest.mark.parametrize(
    ("mb_per_s", "text"),
    [
        (26562, "26.562 GB/s"),
        (25000, "25 GB/s"),
        (25781, "25.781 GB/s"),
        (14062, "14.062 GB/s"),
        (53125, "53.125 GB/s"),
    ],
)
def test_speed_is_printed_as_by_nvlink_s(mb_per_s, text):
    assert nvlink.status(Link(3, LinkState.UP, speed_bytes_per_s=mb_per_s * 1e6)) == f"\t Link 3: {text}"


def test_links_that_are_down_or_unread():
    assert nvlink.status(Link(4, LinkState.DOWN)) == "\t Link 4: <inactive>"
    assert nvlink.status(Link(4, LinkState.UP)) == "\t Link 4: N/A"
    assert nvlink.status(Link(4, LinkState.UNKNOWN, speed_bytes_per_s=26562e6)) == "\t Link 4: N/A"
    assert nvlink.status(Link(4, LinkState.SLEEP, speed_bytes_per_s=26562e6)) == "\t Link 4: 26.562 GB/s"


def test_a_gpu_without_links_has_a_sentence_instead():
    up, down = Link(0, LinkState.UP), Link(1, LinkState.DOWN)
    assert nvlink.instead_of_links(gpu(up, down)) == ""
    assert nvlink.instead_of_links(gpu(down, down)) == nvlink.ALL_INACTIVE
    assert nvlink.instead_of_links(gpu()) == nvlink.NO_NVLINK
    assert nvlink.instead_of_links(gpu(mig=True)) == nvlink.MIG
    lost = replace(gpu(), nvlink=NvLink(links_present=Missing("GPU is lost")))
    assert nvlink.instead_of_links(lost) == "N/A (GPU is lost)"


@pytest.mark.parametrize("node", ["h100-nvl-pair", "mixed", "gh200", "dgx-a100"])
def test_the_report_lists_links_as_nvidia_smi_does(bench, node):
    frame = bench(node).run(2.0)
    lines = to_text(frame).split("\n")
    for g in frame.gpus:
        at = lines.index(nvlink.gpu_line(g)) + 1
        if instead := nvlink.instead_of_links(g):
            assert lines[at] == instead
            continue
        for link, line in zip(g.links, lines[at:], strict=False):
            assert line.startswith(nvlink.status(link))


def count(total: Maybe[int], **more) -> ErrorCount:
    return ErrorCount(total, 0, 0.0, None, **more)


def test_errors_are_printed_as_by_nvlink_e():
    """Errors as printed for 8 × V100 SXM2 with a broken trace."""
    zeros = {kind: count(0) for kind in ("replay", "recovery", "crc")}
    links = [Link(i, LinkState.UP, errors=zeros) for i in range(6)]
    links[3] = replace(links[3], errors=zeros | {"replay": count(2353)})
    assert nvlink.errors(gpu(*links)) == [
        "\t Link 3: Replay Errors: 2353",
        "\t Link 3: Recovery Errors: 0",
        "\t Link 3: CRC Errors: 0",
        "",
        "\t Links 0-2, 4-5: Replay/Recovery/CRC Errors: 0",
    ]


def test_an_unread_counter_is_neither_zero_nor_omitted():
    unread = count(Missing("timed out"))
    one = Link(0, LinkState.UP, errors={"replay": count(0), "crc": unread})
    none = Link(1, LinkState.UP, errors={"replay": unread, "crc": unread})
    assert nvlink.errors(gpu(one, none)) == [
        "\t Link 0: Replay Errors: 0",
        "\t Link 0: CRC Errors: N/A",
        "",
        "\t Link 1: Replay/CRC Errors: N/A",
    ]


@pytest.mark.parametrize("node", ["dgx-h100", "hgx-b200", "dgx-a100", "dgx1-p100"])
def test_every_counter_of_the_board_has_its_line(bench, node):
    frame = bench(node, "errors").run(12.0)
    hurt = [(g, link) for g in frame.gpus for link in g.links if any(e.total for e in link.errors.values())]
    assert hurt
    for g, link in hurt:
        lines = [line for line in nvlink.errors(g) if line.startswith(f"\t Link {link.index}: ")]
        values = [line.split(": ")[2].split(" ")[0] for line in lines]
        assert len(lines) == len(link.errors)
        assert sum(map(int, values)) == sum(e.total for e in link.errors.values())


@pytest.mark.parametrize(
    ("why", "cells", "reason"),
    [("no link is up", ["-", "-"], ""), ("MIG is on", ["?", "?"], "MIG is on (job")],
)
def test_the_traffic_of_a_job_is_unknown_with_a_reason_or_does_not_exist(why, cells, reason):
    job = Job("t:1", "torchrun 1", "t", "ada", (1,), ("a",), (True,), Missing(why), Missing(why), True, ())
    frame = Frame(Inventory(0.0, 0.0), Tick(0.0, 0.0, 0.25, "running"), 0.0, jobs=(job,))
    assert tables.jobs(frame).splitlines()[1].split()[-2:] == cells
    assert tables.unknowns(frame, ()).strip().startswith(f"TX, RX: {reason}") == bool(reason)
