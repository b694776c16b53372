"""An implausible value affects that value only, from the driver through the pipe to the frame."""

from __future__ import annotations

import ctypes
import json
import threading
from types import SimpleNamespace

import pynvml
import pytest

from nvltop.model import Event, Gauges, Missing, Reading, known
from nvltop.report.json import to_json
from nvltop.report.text import to_text
from nvltop.sampler.poll_threads import PollThreads
from nvltop.wire.pipe_codec import Packer, Receiver
from tests.conftest import ALL

BROKEN = 1
SIGNED = 5
"""nvmlValueType_t of a signed number."""


def passed(b) -> None:
    """Send one reading through the pipe; each item of it must arrive."""
    b.clock.now += 1.0
    receiver = Receiver()
    items = [item for reader in b.readers for read in ALL for item in read(reader)]
    came = receiver.feed(Packer().pack([b.inventory, *items]))
    assert len(came) == len(items) + 1, receiver.rejection


def numbers(value: object) -> list[float]:
    """Return all numbers of JSON values."""
    if isinstance(value, (dict, list)):
        return [n for inner in (value.values() if isinstance(value, dict) else value) for n in numbers(inner)]
    return [value] if isinstance(value, (int, float)) else []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e300])
def test_implausible_gpm_metrics(bench, value):
    name = "nvmlGpmMetricsGet"

    def spoil(lib):
        types, answer = lib._functions[name]

        def spoilt(out):
            code = answer(out)
            request = pynvml.c_nvmlGpmMetricsGet_t.from_address(out)
            for metric in request.metrics[: request.numMetrics]:
                if metric.metricId == 100:
                    metric.value = value
            return code

        lib._functions[name] = types, spoilt

    b = bench("gb200-two", prepare=spoil)
    b.run(2.0)
    passed(b)
    b.clock.now += 1.0
    frame = b.poll()
    assert not b.library.crashes
    for g in frame.gpus:
        assert isinstance(g.c2c.tx_bytes_per_s, Missing)
        assert "implausible value" in g.c2c.tx_bytes_per_s.reason
        assert known(g.c2c.rx_bytes_per_s)
        assert known(g.pcie.tx_bytes_per_s)
    json.dumps(to_json(frame), allow_nan=False)
    assert to_text(frame)


@pytest.mark.parametrize("field_id", [146, 147, 161, 162, 164, 166, 170, 171, 230])
def test_negative_field_values(bench, field_id):
    def spoil(lib):
        table = dict(lib.fields.tables[BROKEN])
        table[field_id] = lambda g, scope, t: (0, SIGNED, -1 & 0xFFFFFFFF)
        lib.fields.tables[BROKEN] = table

    before = bench("h100-two").run(6.0)
    b = bench("h100-two", prepare=spoil)
    frame = b.run(6.0)
    passed(b)
    assert not b.library.crashes
    broken, sound = to_json(frame)["gpus"][BROKEN], to_json(before)["gpus"][BROKEN]
    assert min(numbers(broken)) >= 0
    # All other values of both GPUs are unchanged.
    for key in ("util_percent", "memory_used_bytes", "power_w", "pcie", "name", "state"):
        assert type(broken[key]) is type(sound[key]), key
    assert known(frame.gpus[0].nvlink.links_up)
    assert frame.gpus[0].nvlink.links_up == before.gpus[0].nvlink.links_up


def test_an_item_that_cannot_be_encoded_does_not_affect_others():
    reading = Reading("GPU-1", 1.0, 1.5, 1.79e9, Gauges(power_w=float("nan")))
    event = Event(1.0, 2.0, None, "xid", 74)
    receiver = Receiver()
    assert receiver.feed(Packer().pack([event, reading, event])) == [event, event]
    assert receiver.rejected == 1
    assert receiver.rejection == "Gauges.power_w: not a number in range"


def test_a_uuid_that_changes_with_each_reading_does_not_grow(bench):
    name, count = "nvmlDeviceGetUUID", iter(range(10_000))

    def spoil(lib):
        types, answer = lib._functions[name]

        def changing(gpu, out, size):
            code = answer(gpu, out, size)
            if gpu == BROKEN:
                ctypes.memmove(out, b"GPU-%d\0" % next(count), 10)
            return code

        lib._functions[name] = types, changing

    b = bench("h100-two", prepare=spoil)
    seen = set()
    for _ in range(20):
        answer = b.session.reread_inventory()
        seen |= {reader.device.uuid for reader in b.session.readers}
        if answer is not None and known(answer):
            b.monitor.update(answer)
    # The other GPU's, and twice another one.
    assert len(seen) == 3
    rows = b.poll().gpus
    assert len(rows) <= 4
    assert sum(g.state == "ok" for g in rows) == 2


def reader(uuid):
    return SimpleNamespace(device=SimpleNamespace(uuid=uuid))


def test_poll_threads_of_gpus_that_are_gone_end():
    stop, running = threading.Event(), set()

    def work(thread):
        running.add(thread)
        while not (stop.is_set() or thread.ended):
            stop.wait(0.005)
        running.discard(thread)

    poll_threads = PollThreads("links", work)
    for turn in range(30):
        poll_threads.cover([reader(uuid) for uuid in ("GPU-a", f"GPU-{turn}")])
    for thread in threading.enumerate():
        if thread.name.startswith("links") and len(running) > 2:
            thread.join(0.05)
    # GPU-a shares the first thread with GPU-0.
    assert {thread.uuids for thread in running} == {("GPU-a", "GPU-0"), ("GPU-29",)}
    stop.set()
