"""How the lines and columns of the tab Main are shared out."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from nvltop.tui.render.scroll import first_shown
from nvltop.tui.tabs.main.layout import PANES, Content, layout

DGX = Content(
    gpus=8, links=18, nics=12, matrix=8, matrix_columns=44, summary=True, uniform=True, notes=3
)  # fmt: skip
MESH = Content(gpus=8, links=6, nics=4, matrix=8, matrix_columns=64, notes=1)
CONTENTS = st.builds(
    Content,
    gpus=st.integers(1, 64),
    links=st.integers(0, 36),
    nics=st.integers(0, 44),
    matrix=st.just(0) | st.integers(2, 32),
    matrix_columns=st.integers(10, 200),
    summary=st.booleans(),
    uniform=st.booleans(),
    notes=st.integers(0, 30),
)


def names(width: int, height: int, has: Content, chosen: str = "") -> dict[str, int]:
    """Return the height of each panel by its name."""
    return {panel.name: panel.height for panel in layout(width, height, has, chosen).panels}


@given(st.integers(1, 400), st.integers(1, 200), CONTENTS, st.sampled_from(("", *PANES)))
def test_panels_cover_the_screen_and_never_overlap(width, height, has, chosen):
    shown = layout(width, height, has, chosen)
    cells = 0
    for p in shown.panels:
        assert p.width > 0
        assert p.height > 0
        assert min(p.x, p.y) >= 0
        assert p.x + p.width <= width
        assert p.y + p.height <= height
        cells += p.width * p.height
    for a, b in combinations(shown.panels, 2):
        beside = a.x + a.width <= b.x or b.x + b.width <= a.x
        assert beside or a.y + a.height <= b.y or b.y + b.height <= a.y, (a, b)
    assert cells == width * height, "a part that no panel covers would keep what was there before"
    assert len({p.name for p in shown.panels}) == len(shown.panels)


@given(st.integers(20, 400), st.integers(6, 200), CONTENTS, st.sampled_from(("", *PANES)))
def test_nothing_is_left_out_without_a_key_that_shows_it(width, height, has, chosen):
    sizes = {"matrix": has.matrix, "chart": 1, "links": has.links, "nics": has.nics}
    shown = layout(width, height, has, chosen)
    for name, size in sizes.items():
        assert not size or (shown.panel(name) is None) == (name in shown.hidden)
    gpus = shown.panel("gpus")
    assert gpus
    assert gpus.height >= min(has.gpus + 1, height - 9 if chosen else height, height // 2)
    if chosen and sizes[chosen] and height >= 12:
        assert shown.panel(chosen), "what the user chose is shown"


def test_a_table_of_a_single_nic_has_room_beside_other_panels():
    one = Content(gpus=1, nics=1)
    for width in (80, 100):
        assert names(width, 12, one, "nics") == {"gpus": 2, "nics": 2, "chart": 8}


def test_gpus_come_first_on_a_small_screen():
    assert names(80, 6, DGX) == {"gpus": 6}
    assert names(60, 14, DGX)["gpus"] == 9
    assert names(80, 18, Content(gpus=16, links=6, matrix=16, summary=True, uniform=True)) == {
        "gpus": 17, "topology": 1,
    }  # fmt: skip


def test_24_lines_hold_eight_gpus_their_job_and_a_chart():
    assert names(80, 18, DGX) == {"gpus": 9, "topology": 1, "notes": 3, "chart": 5}
    assert layout(80, 18, DGX).hidden == ("matrix", "links", "nics")
    assert names(80, 18, DGX, "links") == {"gpus": 9, "topology": 1, "notes": 3, "links": 5}


def test_a_matrix_that_no_line_replaces_is_shown_whole():
    assert names(80, 18, MESH) == {"gpus": 9, "matrix": 9}
    assert names(120, 34, MESH)["matrix"] == 9


def test_wide_screens_show_nics_beside_links_and_the_chart_below():
    wide = layout(120, 34, DGX)
    nics, links = wide.panel("nics"), wide.panel("links")
    assert nics
    assert links
    assert (nics.x, links.x, nics.y) == (0, 60, links.y)
    assert wide.hidden == ("matrix", "chart")
    assert names(200, 54, DGX)["chart"] >= 10


def test_one_odd_gpu_brings_the_matrix_back_where_there_is_room():
    odd = Content(gpus=8, links=18, nics=12, matrix=8, matrix_columns=51, summary=True, notes=4)
    assert "matrix" not in names(80, 18, odd)
    assert names(120, 34, odd)["matrix"] == 9


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50), st.integers(1, 20))
def test_the_selected_row_is_always_seen(before, selected, count, height):
    selected = min(selected, count - 1)
    top = first_shown(before, selected, count, height)
    assert top <= selected < top + height
    assert 0 <= top <= max(0, count - height)
