"""The manual page, made from the flags and the words of the help."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Final

from nvltop import __version__
from nvltop.cli.exit_codes import EXIT_CODES
from nvltop.cli.flags import Flag, groups
from nvltop.cli.help import EXAMPLES

ABOUT: Final = (
    "Shows what the NVLinks of one machine's GPUs carry, which of them have errors, and whether a job "
    "waits for them. Nothing is changed on the machine, no root and no daemon is needed.",
    "Keys are listed by F1, simulated nodes by `nvltop --demo list`.",
    "A flag beats the environment, and that the file of settings.",
)

ENVIRONMENT: Final = {
    "NVLTOP_THEME": "as --theme",
    "NO_COLOR": "no colours if it is set and no theme is asked for",
    "LC_ALL, LC_CTYPE, LANG": "ASCII characters only, unless they say UTF-8",
    "XDG_CONFIG_HOME": "where the folder of the settings is, instead of ~/.config",
    "XDG_STATE_HOME": "where the folder of crash reports is, instead of ~/.local/state",
    "HOST_SYS, HOST_PROC": "the host's /sys and /proc, where a container has them elsewhere",
}
FILES: Final = {
    "~/.config/nvltop/config.toml": "the settings, written by F2",
    "~/.local/state/nvltop": "reports of crashes",
}


def page(parser: argparse.ArgumentParser) -> str:
    """Return the page as roff source, for man(1)."""
    return "\n".join(_lines(parser))


def _lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    name, about = parser.prog, (parser.description or "").rstrip(".")
    yield f'.TH {name.upper()} 1 "" "{name} {__version__}" "User Commands"'
    yield ".SH NAME"
    yield _text(f"{name} - {about[:1].lower()}{about[1:]}")
    yield ".SH SYNOPSIS"
    yield f".B {name}\n[\\fIFLAG\\fR]..."
    yield ".SH DESCRIPTION"
    for paragraph in ABOUT:
        yield f".PP\n{_text(paragraph)}"
    yield ".SH OPTIONS"
    for group in groups(parser):
        yield f'.SS "{_text(group.title[:1].upper() + group.title[1:])}"'
        for flag in group.flags:
            yield f".TP\n{_flag(flag)}\n{_text(flag.help)}"
    for title, terms in (
        ("EXIT STATUS", {str(code): what for code, what in EXIT_CODES.items()}),
        ("ENVIRONMENT", ENVIRONMENT),
        ("FILES", FILES),
        ("EXAMPLES", EXAMPLES),
    ):
        yield f".SH {title}"
        for term, what in terms.items():
            yield f".TP\n\\fB{_text(term)}\\fR\n{_text(what)}"


def _flag(flag: Flag) -> str:
    names = ", ".join(f"\\fB{_text(name)}\\fR" for name in flag.names)
    value = _text(flag.value or "")
    if not value:
        return names
    return f"{names} [\\fI{value}\\fR]" if flag.optional else f"{names} \\fI{value}\\fR"


def _text(text: str) -> str:
    """Return text as roff that prints it: no character of it is a command."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq")
    escaped = escaped.replace("`", "\\(ga").replace("~", "\\(ti").replace("^", "\\(ha")
    return re.sub(r"(?m)^\.", r"\\&.", escaped)
