"""Text from outside: control characters, ASCII substitutes, the width of characters, and addresses.

A terminal obeys escape sequences wherever they come from (the name of a process or a GPU, a recording from
a stranger), so every such string passes `clean()`, which keeps only printable characters.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

MAX_TEXT_CHARS: Final = 4096
ASCII_SUBSTITUTES: Final = {"×": "x", "·": "-", "°": " ", "≈": "~", "…": "~", "µ": "u", "→": ">"}
"""Substitutes, of the same width, for the characters beyond ASCII that nvltop uses."""

_VARIANTS: Final = re.compile("[\ufe00-\ufe0f]")
"""Variation selectors, which are removed because terminals disagree on the resulting width."""
C_LOCALES: Final = ("C", "POSIX")
COERCED_LOCALE: Final = "C.UTF-8"


def clean(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    r"""Return `text` cut at `limit`, with characters that are not printable (control, bidi) as `\xNN`."""
    if text.isascii() and text.isprintable():
        return text[:limit]
    return "".join(c if c.isprintable() else _escaped(c) for c in text[:limit])[:limit]


def _escaped(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def normalize(text: str) -> str:
    """Return text in Unicode's normal form C, without variation selectors."""
    return _VARIANTS.sub("", unicodedata.normalize("NFC", text))


def char_width(character: str) -> int:
    """Return the width of a character in terminal columns: 0 for marks, 2 for wide characters, else 1."""
    if character.isascii():
        return 1
    category = unicodedata.category(character)
    if category in ("Mn", "Me") or "\u1160" <= character <= "\u11ff":
        return 0
    # Python reports an arbitrary width for unassigned characters.
    return 2 if category[0] != "C" and unicodedata.east_asian_width(character) in "WF" else 1


def width(text: str) -> int:
    """Return the width of a text in terminal columns."""
    return len(text) if text.isascii() else sum(map(char_width, text))


def shortened(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters: the end of a longer one is replaced by `…`."""
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def in_ascii(text: str) -> str:
    r"""Return text in ASCII, with other letters as `\xNN`, as in `clean()`."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() else ASCII_SUBSTITUTES.get(c) or _escaped(c) for c in text)


def print_message(text: str) -> None:
    """Print the line `nvltop: text` on stderr, without control characters."""
    print(f"nvltop: {clean(text)}", file=sys.stderr, flush=True)


def ascii_error_handler(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks by ASCII ones; an error handler for `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return in_ascii(error.object[error.start : error.end]), error.end


def c_locale(environ: Mapping[str, str]) -> bool:
    """Return whether the locale is C or not set: Python then uses UTF-8, but tmux and terminals do not.

    In the C locale Python itself sets LC_CTYPE to C.UTF-8 (PEP 538), so that value alone is not conclusive.
    """
    if lc_all := environ.get("LC_ALL"):
        return lc_all in C_LOCALES
    lc_ctype = environ.get("LC_CTYPE", "")
    if lc_ctype and lc_ctype != COERCED_LOCALE:
        return lc_ctype in C_LOCALES
    return environ.get("LANG", "") in ("", *C_LOCALES)


def bus_number(text: str) -> tuple[int, ...] | None:
    """Return a PCI bus id as numbers, which are equal for `00000000:1B:00.0` and `0000:1b:00.0`.

    None if the text is not a PCI bus id.
    """
    try:
        numbers = tuple(int(part, 16) for part in text.replace(".", ":").split(":"))
    except ValueError:
        return None
    return (0, *numbers) if len(numbers) == 3 else numbers if len(numbers) == 4 else None


def noun_for(number: float, noun: str, plural: str = "") -> str:
    """Return a noun in the form that fits a number; its plural is `noun` with an s unless it is given."""
    return noun if number == 1 else plural or f"{noun}s"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 link`, `12 links`."""
    return f"{number} {noun_for(number, noun, plural)}"


def ranges(numbers: Iterable[int], separator: str = ",", shortest: int = 2) -> str:
    """Return ascending numbers as `0-55,112-167`; runs of fewer than `shortest` numbers are listed."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return separator.join(
        f"{run[0]}-{run[-1]}" if len(run) >= shortest else separator.join(map(str, run)) for run in runs
    )
