"""The pages of a link, GPU, NIC and pair: what they say of unknown values."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from nvltop.model import LinkState, Missing
from nvltop.tui.dialogs import gpu_rows, link_rows, nic_rows, pair_rows
from nvltop.tui.render.row import text_of
from nvltop.tui.tabs.links import heatmap
from nvltop.tui.tabs.main import links

WITHOUT_REASON = re.compile(r"\?(?! \([^)]+\))")
WIDTH, HEIGHT = 400, 200


@pytest.mark.parametrize(
    ("node", "scenario", "seconds"),
    [
        ("rtx3090-pair", "link-down", 13.0),
        ("dgx-a100", "link-down", 13.0),
        ("gb200-two", "gpu-lost", 13.0),
        ("h800", "training", 0.25),
        ("h100-nvl-pair", "training", 0.25),
        ("a100-pcie", "training", 0.25),
        ("h100-mig", "training", 0.25),
    ],
)
def test_the_reason_stands_behind_each_unknown_value_of_a_page(view, node, scenario, seconds):
    v = view(node, scenario, seconds)
    lines = []
    for at, g in enumerate(v.gpus):
        lines += gpu_rows.rows(v, g.gpu.uuid, WIDTH, HEIGHT, 0)
        # One of each state is enough; the lines after its charts are a table.
        for k in {k.state: k for k in g.links}.values():
            page = link_rows.rows(v, g.gpu.uuid, k.index, WIDTH, HEIGHT, 0)
            lines += page[: 2 + link_rows.FACT_LINES] + [r for r in page if text_of(r).startswith("RX")]
            v.gpu, v.link = at, g.links.index(k)
            lines += links.rows(v, WIDTH, HEIGHT, 0)[-1:]
            lines.append(((heatmap.caption(v, at, k.index), ""),))
        lines += [
            row
            for j in range(len(v.gpus))
            if j != at
            for row in pair_rows.rows(v, at, j, WIDTH, HEIGHT, 0)[:3]
        ]
    unread = Missing("no permission")
    for f in v.frame.nics[:2]:
        port = replace(f.port, state=unread, rate_bytes_per_s=unread)
        f = replace(f, port=port, ip_tx_bytes_per_s=unread, ip_rx_bytes_per_s=unread)
        lines += nic_rows.rows(
            replace(v, frame=replace(v.frame, nics=(f,))), f.nic.device, f.port.port, WIDTH, HEIGHT, 0
        )
    texts = [text_of(line) for line in lines]
    assert [text.strip() for text in texts if WITHOUT_REASON.search(text)] == []


def test_a_reason_that_both_directions_have_stands_there_once(view):
    v = view("rtx3090-pair", "link-down", 13.0)
    g, k = next((g, k) for g in v.gpus for k in g.links if k.state is LinkState.DOWN)
    page = [text_of(row) for row in link_rows.rows(v, g.gpu.uuid, k.index, 120, 30, 0)]
    assert "since the driver loaded TX and RX ? (link is down)" in page[2]


def test_what_a_pair_was_allowed_to_do_is_not_shown_of_a_lost_gpu(view):
    v = view("gb200-two", "gpu-lost", 13.0)
    lost = next(i for i, g in enumerate(v.gpus) if g.state == "lost")
    first = text_of(pair_rows.rows(v, lost, 1 - lost, 120, 10, 0)[1])
    assert "how they are joined is unknown" in first
    assert "P2P over NVLink: unknown (GPU is lost)" in first


def test_each_link_of_a_pair_without_a_rate_says_why(view):
    v = view("rtx3090-pair", "link-down", seconds=16.0)
    (a, links) = next(
        (g.gpu.index, g.links) for g in v.frame.gpus if any(k.state is LinkState.DOWN for k in g.links)
    )
    shown = [text_of(row).split() for row in pair_rows.rows(v, a, 1 - a, 120, 12, 0)[4:]]
    down = {link.index for link in links if link.state is LinkState.DOWN}
    assert down
    assert {int(row[0].rstrip("!")) for row in shown if row and row[2:4] == ["-", "-"]} == down
    refused = Missing("no permission")
    unread = [replace(k, mean_tx_bytes_per_s=refused, mean_rx_bytes_per_s=refused) for k in links]
    gpus = [replace(g, links=unread) if g.gpu.index == a else g for g in v.frame.gpus]
    v.frame = replace(v.frame, gpus=tuple(gpus))
    for row in pair_rows.rows(v, a, 1 - a, 120, 12, 0)[4:]:
        text = text_of(row)
        assert (" ? (no permission)" in text) == (" up " in text), text
