"""`--serve` as people start it: real processes, real connections."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from nvltop.config.settings import Settings
from nvltop.headless import serve
from nvltop.model import Call, Item, Tick
from tests.export.conftest import pick, series

ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
PATIENCE_S = 20.0
Start = Callable[..., "tuple[subprocess.Popen[str], str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts nvltop, and gives the process and where it serves."""
    processes = []

    def run(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "nvltop", "--serve", "127.0.0.1:0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        processes.append(process)
        assert process.stderr
        assert select.select([process.stderr], [], [], PATIENCE_S)[0]
        found_text = re.fullmatch(
            r"nvltop: metrics on (http://127\.0\.0\.1:\d+/metrics)\n", process.stderr.readline()
        )
        assert found_text
        return process, found_text.group(1)

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def scrape(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return answer.read().decode()


def wait_for(url: str, metric: str) -> str:
    end = time.monotonic() + PATIENCE_S
    while f"\n{metric}{{" not in (page := _try(url)):
        assert time.monotonic() < end, f"no {metric}"
        select.select([], [], [], 0.2)
    return page


def _try(url: str) -> str:
    try:
        return scrape(url)
    except urllib.error.HTTPError as early:
        if early.code != 503:
            raise
        return ""


def test_without_a_terminal_it_serves_until_a_signal(start):
    process, url = start("--demo", "rtx3090-pair", "--interval", "0.2")
    page = wait_for(url, "nvltop_link_transmit_bytes_total")
    assert pick(series(page), "nvltop_node_info", simulated="rtx3090-pair, training")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=PATIENCE_S) == ("", "")
    assert process.returncode == 0


class Hung:
    """A source that has sent everything once; since then, no call has come back."""

    def __init__(self, items: list[Item], mono_s: float) -> None:
        self.items, self.mono_s = items, mono_s
        self.readable, self.written = os.pipe()
        os.write(self.written, b"x")

    def fileno(self) -> int:
        return self.readable

    def drain(self) -> list[Item]:
        items, self.items = self.items, []
        if items:
            os.read(self.readable, 1)
        return items

    def tick(self) -> Tick:
        call = Call("links", "nvmlDeviceGetFieldValues", 3, self.mono_s)
        self.mono_s += 10.0
        return Tick(self.mono_s, 1_790_000_000.0, 1.0, "stuck", (call,))

    def set_interval(self, interval_s: float) -> None:
        raise AssertionError("nobody asked")

    def close(self) -> None:
        os.close(self.readable)
        os.close(self.written)


def test_while_the_driver_hangs_what_is_known_is_served_with_its_age(bench, scraped):
    b = bench()
    items: list[Item] = [b.inventory]
    for reader in b.readers:
        items += [
            *reader.read_counters(),
            *reader.read_states(),
            *reader.read_gauges(),
            *reader.read_errors(),
        ]
    source, shown = Hung(items, b.clock.now), []
    serve.serve(source, Settings(interval_s=0.1, max_refreshes=3), lambda frame, only: shown.append(frame))
    source.close()
    found = scraped(shown[-1])
    assert len(pick(found, "nvltop_link_transmit_bytes_total")) == 144
    assert min(pick(found, "nvltop_reading_age_seconds", group="links").values()) >= 10
    assert pick(found, "nvltop_driver_call_seconds", gpu="3", function="nvmlDeviceGetFieldValues")
    assert pick(found, "nvltop_finding", rule="driver-stuck", severity="critical")
    assert list(pick(found, "nvltop_driver_up").values()) == [0.0]


def test_no_driver_at_the_start_ends_with_its_code(start):
    process, _ = start("--demo", "no-driver")
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3
    assert out == ""
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--serve", "nowhere:x", "--demo"), 2, "is not an address"),
        (("--serve", "--demo", "--json"), 2, "--serve cannot be combined with"),
        (("--serve", "--check", "--replay", "x"), 3, "--serve cannot be combined with"),
        (("--serve-hostname",), 2, "--serve-hostname needs --serve"),
    ],
)
def test_wrong_usage(arguments, code, says):
    run = subprocess.run(
        [sys.executable, "-m", "nvltop", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=ENVIRONMENT,
        check=False,
    )
    assert run.returncode == code
    assert says in run.stdout + run.stderr
    assert len((run.stdout + run.stderr).splitlines()) == 1


def test_without_the_library_one_line_says_what_to_install(tmp_path):
    (tmp_path / "prometheus_client.py").write_text("raise ImportError('none', name='prometheus_client')\n")
    run = subprocess.run(
        [sys.executable, "-m", "nvltop", "--demo", "--serve", ":0"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr == "nvltop: --serve needs prometheus-client: install nvltop[prometheus]\n"
