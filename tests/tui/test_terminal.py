"""What a terminal can show, by its locale and size."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios

import pytest

from nvltop.text import c_locale
from nvltop.tui.shell import terminal


@pytest.mark.parametrize(
    ("environ", "c"),
    [
        ({}, True),
        ({"LANG": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LC_CTYPE": "C.UTF-8"}, True),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "C.UTF-8"}, False),
        ({"LC_ALL": "C.UTF-8"}, False),
        ({"LC_CTYPE": "de_DE.UTF-8"}, False),
    ],
)
def test_the_c_locale_has_no_unicode(environ, c):
    assert c_locale(environ) is c


@pytest.mark.parametrize(("size", "after"), [((0, 0), (24, 80)), ((24, 0), (24, 80)), ((10, 40), (10, 40))])
def test_a_terminal_without_a_size_is_given_one(size, after):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    terminal.ensure_size(slave)
    window = struct.unpack("HHHH", fcntl.ioctl(slave, termios.TIOCGWINSZ, bytes(8)))
    assert window[:2] == after
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    ("term", "usable"),
    [("dumb", False), ("Dumb", False), ("unknown", False), ("emacs", False), ("xterm", True), ("", True)],
)
def test_terminals_without_a_live_screen(monkeypatch, term, usable):
    monkeypatch.setenv("TERM", term)
    assert (terminal.why_unusable() == "") is usable
