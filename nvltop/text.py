"""One `clean()` for every string that comes from outside.

A terminal obeys escape sequences wherever they come from (a process name, a GPU's name, a recording
from a stranger), so nothing but printable characters passes.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

MAX_TEXT_CHARS: Final = 4096
ASCII_SUBSTITUTES: Final = {"×": "x", "·": "-", "°": " ", "≈": "~", "…": "~", "µ": "u", "→": ">"}
"""What stands for characters of ours where there is only ASCII; as wide, so that columns stay."""

_VARIANTS: Final = re.compile("[\ufe00-\ufe0f]")
"""Variation selectors: terminals disagree on the width of what they choose."""
C_LOCALES: Final = ("C", "POSIX")
COERCED_LOCALE: Final = "C.UTF-8"


def clean(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    r"""Return `text`, cut at `limit`, with what is not printable (controls, bidi, zero-width) as `\xNN`."""
    if text.isascii() and text.isprintable():
        return text[:limit]
    return "".join(c if c.isprintable() else _escaped(c) for c in text[:limit])[:limit]


def _escaped(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def normalize(text: str) -> str:
    """Return text with letters and marks as single characters where there are such, without variants."""
    return _VARIANTS.sub("", unicodedata.normalize("NFC", text))


def char_width(character: str) -> int:
    """Return how many columns of a terminal a character takes: 0 for marks, 2 for wide ones, else 1."""
    if character.isascii():
        return 1
    category = unicodedata.category(character)
    if category in ("Mn", "Me") or "\u1160" <= character <= "\u11ff":
        return 0
    # Python gives characters that do not exist any width.
    return 2 if category[0] != "C" and unicodedata.east_asian_width(character) in "WF" else 1


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(char_width, text))


def in_ascii(text: str) -> str:
    r"""Return text in ASCII: letters beyond it as `\xNN`, as `clean` writes what is not printable."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() else ASCII_SUBSTITUTES.get(c) or _escaped(c) for c in text)


def print_message(text: str) -> None:
    """Print one line on stderr, which may be a terminal: `nvltop: text`, without control characters."""
    print(f"nvltop: {clean(text)}", file=sys.stderr, flush=True)


def ascii_error_handler(error: UnicodeError) -> tuple[str, int]:
    """Write what an output's encoding lacks in ASCII; an error handler of codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return in_ascii(error.object[error.start : error.end]), error.end


def c_locale(environ: Mapping[str, str]) -> bool:
    """Whether the user's locale is C, or none at all: Python then takes UTF-8, tmux and terminals do not.

    Python itself sets LC_CTYPE to C.UTF-8 in that case (PEP 538), so this value alone says nothing.
    """
    if everything := environ.get("LC_ALL"):
        return everything in C_LOCALES
    kind = environ.get("LC_CTYPE", "")
    if kind and kind != COERCED_LOCALE:
        return kind in C_LOCALES
    return environ.get("LANG", "") in ("", *C_LOCALES)


def bus_number(text: str) -> tuple[int, ...] | None:
    """Return a bus id as numbers, as `00000000:1B:00.0` and `0000:1b:00.0` are one; None if it is none."""
    try:
        numbers = tuple(int(part, 16) for part in text.replace(".", ":").split(":"))
    except ValueError:
        return None
    return (0, *numbers) if len(numbers) == 3 else numbers if len(numbers) == 4 else None


def ranges(numbers: Iterable[int], between: str = ",") -> str:
    """Write ascending numbers as `0-55,112-167`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return between.join("-".join(map(str, run)) for run in runs)
