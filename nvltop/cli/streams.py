"""stdin, stdout and stderr: closed ones, encodings that lack characters, and output that nobody takes."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from collections.abc import Mapping
from typing import Final

from nvltop.text import ascii_error_handler, c_locale, print_message

WRITE_FAILURES: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""No room is left, or the disk or terminal has failed or gone: no fault of ours."""
STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def prepare() -> None:
    """Make the three streams usable: a closed one leads nowhere."""
    # Pipes and files of ours must not get the numbers of the standard streams.
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
    """Whether there was no stdout to write to."""
    return getattr(sys.stdout, "name", "") == os.devnull


def use_text_encoding(ascii_only: bool, environ: Mapping[str, str]) -> None:
    """Write for people: in the locale's encoding, which Python takes for UTF-8 where it is none."""
    if ascii_only or (c_locale(environ) and "PYTHONIOENCODING" not in environ):
        _configure(sys.stdout, "ascii")


def use_utf8() -> None:
    """Write for programs: JSON is UTF-8 in any locale (RFC 8259)."""
    _configure(sys.stdout, "utf-8")


def _configure(stream: object, encoding: str | None = None) -> None:
    """Have a stream write what its encoding lacks in ASCII."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding=encoding, errors="ascii-substitutes")


def flush(code: int, failed: int, failure: OSError | None = None) -> int:
    """Write what is left for stdout; return `code`, or `failed` if it was 0 and the output is incomplete.

    `failure` is the one that ended the run, if one did.
    """
    try:
        print(end="", flush=True)
    except BrokenPipeError:
        # The reader has seen enough (`nvltop --once | head`); nothing is left to say to it.
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
    """Send what stdout still holds nowhere, or the interpreter complains of it as it ends."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
