"""The standard streams: closed streams, encodings that lack characters, and output that cannot be written."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from collections.abc import Mapping
from typing import Final

from nvltop.cli.exit_codes import usage_error
from nvltop.text import ascii_error_handler, c_locale, print_message

WRITE_FAILURES: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""Errors of the device written to: it is full, has failed, or is gone."""
STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def prepare() -> None:
    """Make the three streams usable; a closed stream is replaced by /dev/null."""
    # Files and pipes opened later must not get the numbers of the standard streams.
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    for name, mode in STREAMS:
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
    codecs.register_error("ascii-substitutes", ascii_error_handler)
    for stream in (sys.stdout, sys.stderr):
        _configure(stream)


def stdout_was_closed() -> bool:
    """Return whether stdout was closed at the start."""
    return getattr(sys.stdout, "name", "") == os.devnull


def use_text_encoding(ascii_only: bool, environ: Mapping[str, str]) -> None:
    """Write text for people in the locale's encoding; Python uses UTF-8 in the C locale, we use ASCII."""
    if ascii_only or (c_locale(environ) and "PYTHONIOENCODING" not in environ):
        _configure(sys.stdout, "ascii")


def use_utf8() -> None:
    """Write data for programs in UTF-8, which JSON is in any locale (RFC 8259)."""
    _configure(sys.stdout, "utf-8")


def _configure(stream: object, encoding: str | None = None) -> None:
    """Replace characters that the encoding of a stream lacks by ASCII ones."""
    if isinstance(stream, io.TextIOWrapper):
        # Output is buffered even with PYTHONUNBUFFERED: `flush` then meets every error of a short text.
        stream.reconfigure(encoding=encoding, errors="ascii-substitutes", write_through=False)


def flush(code: int, failed: int, failure: OSError | None = None) -> int:
    """Flush stdout; return `code`, or `failed` if it is 0 and the output is incomplete.

    `failure` is the error that ended the run, if any.
    """
    try:
        print(end="", flush=True)
    except BrokenPipeError:
        # The reader has closed the pipe (`nvltop --once | head`).
        _discard_stdout()
    except OSError as error:
        _discard_stdout()
        failure = failure or error
    if failure is None:
        return code
    with contextlib.suppress(OSError):
        print_message(f"cannot write: {failure.strerror}")
    return code or failed


def _discard_stdout() -> None:
    """Discard what stdout still buffers, so that the interpreter does not report it at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def stdin_for_data() -> int:
    """Return a descriptor of standard input, and let the keys come from the terminal instead.

    Raises `CommandError` if standard input is a terminal itself or there is no terminal.
    """
    if os.isatty(0):
        raise usage_error("--replay - reads a recording from a pipe")
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        raise usage_error("--replay - needs a terminal for its keys, or a report such as --json") from None
    data = os.dup(0)
    os.dup2(terminal, 0)
    os.close(terminal)
    return data
