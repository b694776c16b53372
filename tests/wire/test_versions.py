"""Recordings of other versions: what this version does not know is skipped, what is absent is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.model import Fabric, Gauges, Gpu, Inventory, Item, LinkState, LinkStates, Missing, Reading, Tick
from nvltop.record.format import header
from nvltop.record.reader import open_recording
from nvltop.wire.line_codec import LineEncoder
from nvltop.wire.names import CLASSES, CURRENT, CURRENT_GROUPS, SCHEMA_1, SCHEMA_1_GROUPS, SCHEMA_1_MINIMUM
from nvltop.wire.schema import NOT_RECORDED, CodecError, Schema

NAMES = Path(__file__).parents[1] / "data" / "recordings" / "names-2.json"
ITEMS: list[Item] = [
    Inventory(1.0, 2.0, "570.1", gpus=(Gpu(0, "GPU-a", "H100"),)),
    Reading("GPU-a", 1.0, 1.1, 2.0, Gauges(99.0, power_w=600.5)),
    Reading("GPU-a", 1.0, 1.1, 2.0, Fabric("completed")),
    Reading("GPU-a", 1.0, 1.1, 2.0, LinkStates((LinkState.UP,) * 3, (1e9,) * 3)),
    Tick(1.5, 2.5, 1.0),
    Reading("GPU-a", 2.0, 2.1, 3.0, Gauges(98.0, power_w=601.5)),
    Tick(2.5, 3.5, 1.0, note="x"),
]


def lines_of(items=ITEMS) -> list:
    encoder = LineEncoder()
    return [line for item in items for line in encoder.lines(item)]


def read(path: Path, head: dict, lines: list):
    path.write_text("".join(json.dumps(line) + "\n" for line in [head, *lines]))
    with open_recording(path) as recording:
        return list(recording), recording.warning


def test_names_that_were_released_are_never_lost():
    """If this fails, a field was renamed or removed: add its old name to `RENAMED`, or keep the field."""
    released = json.loads(NAMES.read_text())
    for name, fields in released.items():
        assert set(fields) <= set(CURRENT[name]), name


def test_every_class_has_a_name_of_its_own():
    assert len(set(CLASSES.values())) == len(CLASSES)


def widened(head: dict, lines: list, extra: dict[str, list[str]]) -> tuple[dict, list]:
    """Return a recording of a version whose classes have further fields, at the end."""
    head = json.loads(json.dumps(head))
    for name, more in extra.items():
        head["fields"][name] += more
    group_of = dict(enumerate(head["groups"]))
    result = []
    for line in json.loads(json.dumps(lines)):
        if isinstance(line[0], int) and len(line) == 6 and isinstance(line[5], list):
            more = extra.get(group_of[line[1]], [])
            line[5] = [[*line[5][0], *[{"new": [1, None]}] * len(more)]]
        if line[0] == "i":
            line += [7] * len(extra.get("inventory", []))
            for gpu in line[7]:
                gpu += ["x"] * len(extra.get("gpu", []))
        if line[0] == "t" and len(line) == 4 and isinstance(line[3], list):
            line[3] = [[*line[3][0], *[0] * len(extra.get("tick", []))]]
        result.append(line)
    return head, result


CHANGED = ("gauges", "fabric", "states", "inventory", "tick", "gpu")
names = st.lists(st.from_regex(r"new_[a-z]{1,8}", fullmatch=True), max_size=3, unique=True)


@settings(max_examples=40)
@given(
    extra=st.fixed_dictionaries(
        dict.fromkeys(("gauges", "fabric", "states", "inventory", "tick", "gpu"), names)
    )
)
def test_random_fields_of_a_newer_version_are_skipped(tmp_path_factory, extra):
    path = tmp_path_factory.mktemp("v") / "x"
    head, lines = widened(header("9.9", (), 0), lines_of(), extra)
    items, warning = read(path, head, lines)
    assert items == ITEMS
    new = [f"{name}.{field}" for name, fields in extra.items() for field in fields]
    assert (warning is None) == (not new)
    if new:
        assert "written by nvltop 9.9" in warning
        assert any(name in warning for name in new)


def test_groups_and_kinds_of_a_newer_version_are_skipped(tmp_path):
    head = json.loads(json.dumps(header("9.9", (), 0)))
    head["groups"].append("fans")
    head["fields"]["fans"] = ["rpm"]
    lines = lines_of()
    lines[2:2] = [[-1, len(head["groups"]) - 1, 0, 0, 0, [[None, 5]]], ["z", 0, 0, {"a": 1}, "b"]]
    items, warning = read(tmp_path / "x", head, lines)
    assert items == ITEMS
    assert "group fans" in warning
    assert "unknown kind of item 'z'" in warning
    assert warning.count("\n") == 0


def test_values_of_a_newer_version_are_missing(tmp_path):
    text = json.dumps(lines_of()).replace('"up"', '"hibernating"')
    items, warning = read(tmp_path / "x", header("9.9", (), 0), json.loads(text))
    states = next(i.data for i in items if isinstance(i, Reading) and i.group == "states")
    assert states.states == (LinkState.UNKNOWN,) * 3
    assert "LinkState hibernating" in warning


def test_fields_that_an_older_version_did_not_have_are_missing(tmp_path):
    head = json.loads(json.dumps(header("0.2", (), 0)))
    index = head["fields"]["gauges"].index("temperature_c")
    del head["fields"]["gauges"][index]
    lines = lines_of([ITEMS[1]])
    del lines[1][5][0][index + 1]
    (reading,), warning = read(tmp_path / "x", head, lines)
    assert reading.data.temperature_c == NOT_RECORDED == Missing("not recorded by this version")
    assert reading.data.power_w == 600.5
    assert warning is None


def test_the_order_of_the_fields_may_change(tmp_path):
    head = json.loads(json.dumps(header("0.2", (), 0)))
    head["fields"]["gauges"].reverse()
    lines = lines_of([ITEMS[1]])
    problem, *values = lines[1][5][0]
    lines[1][5] = [[problem, *reversed(values)]]
    assert read(tmp_path / "x", head, lines)[0] == [ITEMS[1]]


def test_schema_1_may_have_the_fields_of_its_first_version_only():
    schema = Schema(SCHEMA_1, SCHEMA_1_GROUPS, SCHEMA_1_MINIMUM)
    gauges = schema.decode_data("gauges", [1.0] + [{"?": "x"}] * 9)
    assert gauges.power_cap_s == NOT_RECORDED
    for count in (9, 15):
        with pytest.raises(CodecError):
            schema.decode_data("gauges", [1.0] * count)


@pytest.mark.parametrize(
    "broken", [{"fields": []}, {"groups": [1]}, {"fields": {"gauges": "x"}}, {"items": None}]
)
def test_a_header_without_valid_names_is_refused(tmp_path, broken):
    with pytest.raises(Exception, match="a header without valid names"):
        read(tmp_path / "x", header("9.9", (), 0) | broken, lines_of())


def test_this_version_skips_nothing_of_its_own():
    assert not Schema(CURRENT, CURRENT_GROUPS, tolerant=True).skipped
