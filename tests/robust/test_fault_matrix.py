"""Every NVML function that nvltop calls, with every failure, at the start and while running, and recovery.

`python -m pytest -n 0 tests/robust/test_fault_matrix.py` prints how many cases there were.
"""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nvltop.model import Frame, Inventory, Problem, known
from nvltop.nvml.simulated import Fault
from nvltop.report.json import to_json
from nvltop.report.phrases import nvlink_line
from nvltop.report.text import to_text
from tests.conftest import THOROUGH

NODES = ("h100-two", "rtx3090-pair", "gb200-two")
CODES = {
    "NOT_SUPPORTED": 3,
    "NO_PERMISSION": 4,
    "TIMEOUT": 10,
    "FUNCTION_NOT_FOUND": 13,
    "GPU_IS_LOST": 15,
    "RESET_REQUIRED": 16,
    "UNKNOWN": 999,
    "a code of tomorrow": 4242,
}
BRANCHES = {name: CODES[name] for name in ("NOT_SUPPORTED", "GPU_IS_LOST", "a code of tomorrow")}
"""Codes for all nodes but the first: one that is remembered, one that ends a GPU, one that is neither."""
MOMENTS = ("at the start", "while running")
BROKEN = 1
"""Index of the failing GPU; the others must not be affected."""
NO_DRIVER = Problem("no-driver", "the driver is not loaded", "load it")
ZERO_AT_FIRST = (".since_start", ".per_min", ".last_hour")
"""Values that count from the start and begin at 0."""
NEVER_YET = ".last_change_s"
"""Values that are null if nothing has changed."""
REMEMBERED_S = 601.0
"""Time after which an unsupported call is repeated, seconds."""


def look(bench, samples: int = 2) -> Frame:
    for _ in range(samples):
        bench.clock.now += 1.0
        frame = bench.poll()
    return frame


PER_COUNTER = (".over_s", ".per_day")
"""Unknown for every counter that is not 0 on a GPU of unknown uptime."""


def heals(bench, right: Frame, unread_before: set[str]) -> bool:
    """Read until every value is known that was known before the failure."""
    up, calm = right.gpus[BROKEN].nvlink.links_up, others(right)
    # If each state needs a call, a sixth of the links is read each time.
    for _ in range(7):
        frame = look(bench, 1)
        row = next(g for g in frame.gpus if g.gpu.index == BROKEN)
        if (row.state, row.nvlink.links_up, others(frame)) == ("ok", up, calm) and all(
            name.endswith(PER_COUNTER) for name in unread(frame) - unread_before
        ):
            return True
    return False


def functions(bench) -> list[str]:
    """Return the names of the functions that reading a node calls."""
    bench.session.reread_inventory()
    look(bench)
    return sorted(name for name in bench.library.calls if name.startswith("nvmlDevice"))


def every_null_has_its_reason(value: Any, path: str = "") -> None:
    if isinstance(value, dict):
        missing = value.get("missing", {})
        for key, inner in value.items():
            if inner is None and key in missing:
                assert missing[key], f"{path}.{key}"
            every_null_has_its_reason(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            every_null_has_its_reason(inner, f"{path}[{i}]")
    elif isinstance(value, float):
        assert math.isfinite(value), path


def sound(frame: Frame) -> dict[str, Any]:
    """Check that a frame can be shown and written."""
    data = to_json(frame)
    every_null_has_its_reason(json.loads(json.dumps(data, allow_nan=False)))
    assert to_text(frame)
    return data


def places(gpu: dict[str, Any], wanted: Callable[[Any], bool]) -> set[str]:
    """Return the paths of a GPU's values of some kind."""
    found = set()

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{path}.{key}")
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                walk(inner, f"{path}[{i}]")
        elif wanted(value):
            found.add(path)

    walk(gpu, "")
    return found


def zeros(gpu: dict[str, Any]) -> set[str]:
    """Return the paths of a GPU's values that are 0."""
    return places(gpu, lambda value: value == 0 and not isinstance(value, bool))


def unread(frame: Frame) -> set[str]:
    """Return the paths of unknown values of the failing GPU."""
    nulls = places(to_json(frame)["gpus"][BROKEN], lambda value: value is None)
    return {null for null in nulls if not null.endswith(NEVER_YET)}


def others(frame: Frame) -> list[Any]:
    """Return the values of the other GPUs."""
    return [
        (g.state, g.nvlink.links_up, known(g.nvlink.tx_bytes_per_s), known(g.gauges.power_w))
        for g in frame.gpus
        if g.gpu.index != BROKEN
    ]


def counted(lib) -> None:
    """Make every error counter larger than 0, so that a 0 is wrong."""
    lib.machine.errors = lambda gpu, link, kind, t: 7


def failures(node: str, when: str, names: list[str]) -> list[tuple[str, int]]:
    """Return the functions and codes that fail on a node at one moment.

    On the first node each function fails at both moments with each kind of code. Otherwise it fails with each
    code at one of them, by turns: when a call fails does not depend on the function, the node and the code.
    """
    codes = CODES if node == NODES[0] else BRANCHES
    turn = MOMENTS.index(when)
    return [
        (name, code)
        for i, name in enumerate(names)
        for j, (label, code) in enumerate(codes.items())
        if THOROUGH or (node == NODES[0] and label in BRANCHES) or (i + j) % 2 == turn
    ]


@pytest.mark.parametrize("node", NODES)
def test_no_failure_is_left_out(node):
    names = [f"function {i}" for i in range(7)]
    codes = CODES if node == NODES[0] else BRANCHES
    at_both = [set(failures(node, when, names)) for when in MOMENTS]
    assert at_both[0] | at_both[1] == {(name, code) for name in names for code in codes.values()}
    for some in at_both:
        assert {name for name, _ in some} == set(names)
        assert {code for _, code in some} == set(codes.values())


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("when", MOMENTS)
def test_each_call_each_code(bench, node, when, capsys):
    b = bench(node, prepare=counted)
    names = functions(b)
    right = look(b)
    whole, calm = others(right), zeros(to_json(right)["gpus"][BROKEN])
    unread_before = unread(right)
    cases = failures(node, when, names)
    for name, code in cases:
        fault = Fault(code, gpu=BROKEN)

        def break_it(lib, name=name, fault=fault):
            counted(lib)
            lib.faults[name] = fault

        if when == "at the start":
            b = bench(node, prepare=break_it)
        else:
            # One run tests all failures one after another.
            break_it(b.library)
            answer = b.session.reread_inventory()
            if answer is not None and known(answer):
                b.monitor.update(answer)
        frame = look(b)
        assert not b.library.crashes, (name, code)
        data = sound(frame)
        assert others(frame) == whole, (name, code, when)
        rows = [g for g in data["gpus"] if g["index"] == BROKEN]
        assert len(rows) == 1, (name, code, when)
        # A pause in the traffic may be shown as 0, a failure may not.
        new = {z for z in zeros(rows[0]) - calm if not z.endswith(ZERO_AT_FIRST) and "age_s" not in z}
        assert not new, (name, code, when, new)
        b.library.faults.clear()
        b.clock.now += REMEMBERED_S
        answer = b.session.reread_inventory()
        if answer is not None and known(answer):
            b.monitor.update(answer)
        assert heals(b, right, unread_before), (name, code, when)
    with capsys.disabled():
        print(f" {node}, {when}: {len(cases)} failures survived", end="")


@pytest.mark.parametrize(
    "text", [b"\xff\xfe\x80", b"\x1b[2J\x1b]0;x\x07", b"", b"[@click=app.quit]x[/]", "\u202eevil".encode()]
)
@pytest.mark.parametrize("name", ["nvmlDeviceGetName", "nvmlDeviceGetUUID"])
def test_malformed_text(bench, name, text):
    def garble(lib):
        types, _ = lib._functions[name]

        def answer(gpu, out, size):
            ctypes.memmove(out, (text if gpu == BROKEN else b"GPU-%d" % gpu) + b"\0", len(text) + 1 or 6)
            if gpu != BROKEN:
                ctypes.memmove(out, b"GPU-%d\0" % gpu, 6)
            return 0

        lib._functions[name] = types, answer

    frame = look(bench("hgx-h100-4", prepare=garble))
    assert len(frame.gpus) == 4
    printed = to_text(frame) + json.dumps(sound(frame), ensure_ascii=False)
    assert all(c.isprintable() or c in "\n\t" for c in printed)


_healthy: list[Any] = []
"""The values of the other GPUs on a node without a fault, which the next cases compare with."""


@pytest.mark.parametrize("value", [2**64 - 1, 2**63, 2**32 - 1, 10**18])
@pytest.mark.parametrize("field_id", [91, 138, 139, 161, 164, 165, 230])
def test_implausible_numbers(bench, field_id, value):
    def absurd(lib):
        table = dict(lib.fields.tables[BROKEN])
        table[field_id] = lambda g, scope, t: (0, 3, value)
        lib.fields.tables[BROKEN] = table

    b = bench("hgx-h100-4", prepare=absurd)
    start_s = b.clock.now
    frame = look(b, 6)
    assert not b.library.crashes
    sound(frame)
    if not _healthy:
        b.clock.now = start_s
        _healthy[:] = others(look(bench("hgx-h100-4"), 6))
    assert others(frame) == _healthy
    broken = frame.gpus[BROKEN]
    for link in broken.links:
        for rate in (link.tx_bytes_per_s, link.rx_bytes_per_s):
            assert not known(rate) or rate <= 1.1 * 26562e6


def test_a_driver_that_is_unloaded_and_loaded_again(bench):
    b = bench("dgx-h100")
    look(b)
    gone = {name: Fault(1) for name in functions(b)} | {"nvmlDeviceGetCount_v2": Fault(1)}
    b.library.faults.update(gone)
    frame = look(b, 3)
    assert {g.state for g in frame.gpus} == {"unreadable"}
    assert not [c for c in frame.checks if c.outcome == "fine"], "without readings no check is fine"
    assert {f.rule for f in frame.findings} == {"no-read"}
    assert {cell for row in frame.matrix.cells[:8] for cell in row[:8]} == {"X", "?"}
    assert "?/144 links up" in nvlink_line(frame)
    sound(frame)
    # The first inventory of the new worker keeps the rows.
    b.monitor.update(Inventory(b.clock.now, b.clock.now, problem=NO_DRIVER))
    frame = look(b)
    assert [g.state_reason for g in frame.gpus] == ["the driver is not loaded"] * 8
    b.library.faults.clear()
    b.monitor.update(replace(b.inventory, mono_s=b.clock.now))
    frame = look(b, 3)
    assert frame.findings == ()
    assert [g.nvlink.links_up for g in frame.gpus] == [18] * 8


def put_number(library, name: str, change):
    """Change the first number that a function returns for a GPU."""
    types, answer = library._functions[name]

    def changed(*arguments):
        code = answer(*arguments)
        out = ctypes.cast(arguments[len(arguments) > 1], ctypes.POINTER(ctypes.c_uint))
        out[0] = change(arguments[0], out[0])
        return code

    library._functions[name] = types, changed


def test_mig_enabled_while_running(bench):
    on = False
    name = "nvmlDeviceGetMigMode"
    b = bench("dgx-h100", prepare=lambda lib: put_number(lib, name, lambda gpu, _: on and gpu == BROKEN))
    before = to_json(look(b))["gpus"][BROKEN]
    on = True
    b.monitor.update(b.session.reread_inventory())
    data = sound(look(b, 3))
    assert (before["mig"], data["gpus"][BROKEN]["mig"]) == (False, True)
    assert {(f["rule"], f["severity"]) for f in data["findings"]} == {("mig-on", "info")}


def test_a_gpu_that_comes_later_gets_a_row(bench):
    hidden = 1
    name = "nvmlDeviceGetCount_v2"
    b = bench("hgx-h100-4", prepare=lambda lib: put_number(lib, name, lambda _, gpus: gpus - hidden))
    assert len(look(b).gpus) == 3
    hidden = 0
    b.monitor.update(b.session.reread_inventory())
    frame = look(b, 5)
    assert [g.state for g in frame.gpus] == ["ok"] * 4
    assert frame.gpus[3].nvlink.links_up == 18
