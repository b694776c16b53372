"""Broken recordings give items or one error of one line, never anything else.

The suite tries a few hundred; `python tests/record/test_mutations.py 10000` tries that many.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import tempfile
import time
from collections import Counter as Tally
from pathlib import Path
from typing import Any

import pytest

from nvltop.analysis.monitor import Monitor
from nvltop.model import (
    Call,
    Cost,
    Counter,
    Event,
    Fabric,
    Gauges,
    Gpu,
    Host,
    Inventory,
    LinkCounters,
    LinkErrors,
    LinkState,
    LinkStates,
    Missing,
    Pair,
    PcieTraffic,
    Reading,
    Remote,
    RemoteKind,
    Scope,
    Tick,
)
from nvltop.record.format import RecordingError
from nvltop.record.reader import open_recording
from nvltop.record.writer import RecordingWriter
from nvltop.report.json import to_json
from nvltop.wire.codec import encode
from tests.conftest import examples

SECONDS = 12
LINKS = 4
UUIDS = ("GPU-11111111-2222-3333-4444-555555555555", "GPU-66666666-7777-8888-9999-000000000000")
NASTY: list[Any] = [
    None, True, -1, 0, 1, 2**63, 2**80, 10**5000, 0.5, -0.5, 1e300, "", "\x1b]52;c;x\x07",
    "[@click=app.quit]x[/]", "\u202e\u200b\udcff", "x" * 5000, [], {}, [[]], [0] * 5000,
    {"?": 1}, {"?": "gone"}, {"0": {"0": {}}}, {"9": 1}, [[None] * 12],
]  # fmt: skip
RAW = [b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"[" * 100_000, b'"\\ud800"', b"\x00\xff", b"\n", b"\n\n"]


def sample() -> list:
    """A little of everything."""
    gpus = tuple(
        Gpu(i, u, "NVIDIA H100", remotes=(Remote(RemoteKind.SWITCH, "0:86:00.0", None, 3),) * LINKS)
        for i, u in enumerate(UUIDS)
    )
    pairs = (Pair(*UUIDS, "NODE", "OK"),)
    items: list = [Inventory(100.0, 1.79e9, "570.1", "12.570.1", "12.8", "host-of-a-stranger", gpus, pairs)]
    noise = random.Random(3)
    for second in range(SECONDS):
        for i, uuid in enumerate(UUIDS):
            at = 100.0 + second + i / 8
            bytes_ = tuple(1024 * (second * 10**6 + noise.randrange(10**4)) for _ in range(LINKS))
            groups = (
                LinkCounters(
                    Counter.DATA, Scope.LINK, bytes_, (*bytes_[1:], Missing("no link")), (int(at * 1e6),)
                ),
                LinkStates((LinkState.UP,) * LINKS, (26562e6,) * LINKS),
                LinkErrors({"replay": (second, 0, 0, 0), "crc": (0,) * LINKS}),
                Gauges(99.0, 10, 20, power_w=600 + noise.random(), temperature_c=-3.0),
                PcieTraffic(1e9, Missing("timed out"), "gpm"),
                Fabric("completed", "success", health_mask=0),
            )
            items += [Reading(uuid, at, at + 1e-3, 1.79e9 + second, data) for data in groups]
        items.append(Reading(None, at, at, 1.79e9 + second, Host(1.5, 2, 3)))
        items.append(Reading(None, at, at, 1.79e9 + second, Cost(100.0, 0.1, 1.0)))
        calls = (Call("slow", "nvmlDeviceGetFieldValues", 0, at),) if second > 5 else ()
        items.append(Tick(at + 0.5, 1.79e9 + second, 1.0, "running", calls))
        items.append(Event(at + 0.5, 1.79e9 + second, uuid, "xid", 74))
    return items


def recorded(folder: Path) -> bytes:
    recorder = RecordingWriter(folder / "sample")
    for item in sample():
        recorder.write(item)
    recorder.close()
    return (folder / "sample").read_bytes()


def mutate(plain: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Return one broken version of a recording, and what kind it is."""
    kind = rng.choice(("value", "value", "raw", "bytes", "lines", "gzip", "cut"))
    if kind == "gzip":
        # Parts as the writer makes them.
        lines = plain.splitlines(keepends=True)
        whole = b"".join(gzip.compress(b"".join(lines[i : i + 40])) for i in range(0, len(lines), 40))
        return kind, _break_bytes(whole, rng)
    if kind == "bytes":
        return kind, _break_bytes(plain, rng)
    if kind == "cut":
        return kind, plain[: rng.randrange(len(plain))]
    lines = plain.split(b"\n")
    if kind == "lines":
        i, j = sorted(rng.sample(range(len(lines)), 2))
        how = rng.randrange(4)
        if how == 0:
            lines[i], lines[j] = lines[j], lines[i]
        elif how == 1:
            del lines[i:j]
        elif how == 2:
            lines[i:i] = lines[j : j + rng.randrange(1, 20)]
        else:
            lines[i] += lines[j]
        return kind, b"\n".join(lines)
    i = rng.randrange(len(lines) - 1)
    if kind == "raw":
        at = rng.randrange(len(lines[i]) + 1)
        lines[i] = lines[i][:at] + rng.choice(RAW) + lines[i][at + rng.randrange(4) :]
    else:
        value = json.loads(lines[i])
        _break_value(value, rng)
        try:
            lines[i] = json.dumps(value).encode()
        except ValueError:
            lines[i] = b"[0,0,1" + b"0" * 5000 + b",0,0]"
    return kind, b"\n".join(lines)


def _break_bytes(data: bytes, rng: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 10))):
        at = rng.randrange(len(broken))
        how = rng.randrange(4)
        if how == 0:
            broken[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            del broken[at : at + rng.randrange(1, 50)]
        elif how == 2:
            broken[at:at] = rng.randbytes(rng.randrange(1, 20))
        else:
            broken[at:at] = broken[at : at + rng.randrange(1, 500)]
    return bytes(broken)


def _break_value(value, rng: random.Random) -> None:
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key: Any = rng.choice(keys) if keys else None
        inner = value[key] if keys else None
        if isinstance(inner, (list, dict)) and inner and rng.random() < 0.8:
            value = inner
            continue
        how = rng.randrange(5)
        if how == 0 and isinstance(value, list) and keys:
            del value[key]
        elif how == 1 and isinstance(value, list):
            value.append(rng.choice(NASTY))
        elif how == 2 and type(inner) is int:
            value[key] = inner + rng.choice((-(10**9), -1, 1, 10**12, 2**64))
        elif keys:
            value[key] = rng.choice(NASTY)
        return


def outcome(path: Path) -> str:
    """Read and fold a file; return how it ended. Everything but a `RecordingError` is a failure."""
    monitor = Monitor()
    try:
        with open_recording(path) as recording:
            for item in recording:
                assert clean_throughout(encode(item)), item
                monitor.update(item)
                if isinstance(item, Tick):
                    json.dumps(to_json(monitor.frame(), None), allow_nan=False)
            return "cut" if recording.warning else "read"
    except RecordingError as error:
        message = str(error)
        assert message.startswith(f"{path}:"), message
        assert message.isprintable(), message
        assert len(message) < len(str(path)) + 200, message
        return "refused"


def clean_throughout(value) -> bool:
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, dict):
        return all(clean_throughout(v) for pair in value.items() for v in pair)
    return not isinstance(value, list) or all(map(clean_throughout, value))


def run(folder: Path, count: int, seed: int) -> tuple[Tally, float]:
    plain = recorded(folder)
    rng = random.Random(seed)
    tally: Tally = Tally()
    slowest = 0.0
    for number in range(count):
        kind, data = mutate(plain, rng)
        path = folder / "broken"
        path.write_bytes(data)
        start = time.process_time()
        try:
            tally[kind, outcome(path)] += 1
        except Exception as error:
            kept = Path(tempfile.gettempdir()) / f"mutation-{seed}-{number}"
            kept.write_bytes(data)
            raise AssertionError(f"{kind} mutation {number}, seed {seed}, kept as {kept}") from error
        slowest = max(slowest, time.process_time() - start)
    return tally, slowest


@pytest.mark.parametrize("seed", range(4))
def test_broken_recordings(tmp_path, seed):
    count = examples(50)
    tally, slowest = run(tmp_path, count, seed)
    assert sum(tally.values()) == count
    assert slowest < 5.0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        found, worst = run(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, seed=2026)
    for (what, how), times in sorted(found.items()):
        print(f"{what:8} {how:8} {times:6}")
    print(f"{sum(found.values())} files, the slowest took {worst * 1000:.0f} ms")
