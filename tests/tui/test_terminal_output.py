"""Output to the terminal: all of it, in order, without waiting for a terminal that accepts none."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
import tty
from types import SimpleNamespace

import pytest

from nvltop.tui.shell import terminal, terminal_output
from nvltop.tui.shell.terminal_guard import TerminalGuard
from nvltop.tui.shell.terminal_output import TerminalOutput

TEXT = "".join(f"{i:07d} " for i in range(40_000))
"""More than a pseudoterminal and `TerminalOutput` keep."""


@pytest.fixture
def ends():
    """Both ends of a pseudoterminal that changes nothing."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    yield master, slave
    for fd in (master, slave):
        os.close(fd)


def received(master: int) -> str:
    text = b""
    try:
        while data := os.read(master, 1 << 16):
            text += data
    except BlockingIOError:
        return text.decode()
    raise AssertionError


@pytest.fixture(params=["own", "shared"])
def output(request, ends, monkeypatch):
    """Output through a file description of its own, or through the one of the shell."""
    monkeypatch.setattr(sys, "__stderr__", SimpleNamespace(fileno=lambda: ends[1]))
    if request.param == "shared":
        monkeypatch.setattr(os, "open", refused)
    guard = TerminalGuard(ends[1])
    output = TerminalOutput(guard, "utf-8")
    monkeypatch.undo()
    assert guard.output_fd()[1] is (request.param == "own")
    yield output
    if request.param == "own":
        os.close(guard.output_fd()[0])


def refused(*_):
    """Refuse to open the terminal, as if it belonged to another user."""
    raise PermissionError


async def test_all_text_arrives_in_order_although_nobody_reads_at_first(output, ends):
    sent = asyncio.Event()
    output.write(TEXT)
    assert output.is_waiting
    assert output.is_full
    output.when_sent(sent.set)
    text = ""
    while not sent.is_set():
        text += received(ends[0])
        await asyncio.sleep(0)
    assert text + received(ends[0]) == TEXT
    assert not output.is_waiting
    output.write("more")
    assert received(ends[0]) == "more"


async def test_the_flags_that_the_shell_shares_stay_as_they_are(output, ends):
    output.write(TEXT)
    assert os.get_blocking(ends[1])
    output.flush(0)


async def test_flush_waits_for_a_terminal_that_reads_but_not_for_one_that_does_not(output, ends):
    output.write(TEXT)
    assert not output.flush(0)
    read = asyncio.create_task(asyncio.to_thread(_read_all, ends[0]))
    assert await asyncio.to_thread(output.flush)
    assert await read == TEXT


@pytest.mark.parametrize("output", ["shared"], indirect=True)
async def test_a_slow_line_does_not_keep_the_event_loop(output, ends, monkeypatch):
    now_s, sizes = 0.0, []

    def write(fd: int, data: bytes) -> int:
        """Accept everything, as a line of 2 kB/s does."""
        nonlocal now_s
        now_s += len(data) / 2000
        sizes.append(len(data))
        return len(data)

    monkeypatch.setattr(terminal_output, "os", SimpleNamespace(write=write, environ=os.environ))
    monkeypatch.setattr(terminal_output, "time", SimpleNamespace(monotonic=lambda: now_s))
    for calls in (1, 2):
        output._send() if sizes else output.write(TEXT)
        assert len(sizes) == calls
    assert output.is_waiting
    monkeypatch.undo()
    output._unsent = b""
    output.flush(0)


def _read_all(master: int) -> str:
    text = ""
    while len(text) < len(TEXT):
        text += received(master)
    return text


async def test_a_terminal_that_was_closed_takes_no_more(output, ends, monkeypatch):
    master, other = pty.openpty()
    os.close(master)
    monkeypatch.setattr(output, "_fd", other)
    output.write("text")
    assert not output.is_waiting
    os.close(other)


async def test_nothing_is_sent_once_the_guard_restores_the_terminal(output, ends):
    output._guard.silent = True
    output.write(TEXT)
    assert received(ends[0]) == ""
    assert not output._guard.taken


def test_a_file_cannot_be_a_terminal(tmp_path):
    with (tmp_path / "file").open("w") as file:
        assert terminal.reopen(file.fileno()) is None
