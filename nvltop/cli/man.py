"""The manual page, generated from the flags and the texts of `--help`.

argparse-manpage does the same at build time; here the installed program prints the page itself.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Final

from nvltop import __version__
from nvltop.cli.exit_codes import EXIT_CODES
from nvltop.cli.flags import Flag, groups
from nvltop.cli.help import EXAMPLES
from nvltop.fleet.environment import ENVIRONMENT as FLEET_ENVIRONMENT
from nvltop.tui.keys import KEYS, MOUSE

DESCRIPTION: Final = (
    "Shows the traffic and the errors of the NVLinks of one machine's GPUs, and whether NVLink limits a job. "
    "It needs neither root nor a daemon, and only reads unless a key or flag says otherwise.",
    "F1 lists the keys, `nvltop --demo list` the simulated nodes.",
    "For a job that hangs, `--ras` asks NCCL's RAS service how many operations each rank has launched, and "
    "so which one is behind. Every process of the job answers, on all its nodes, in up to 10 s. Therefore "
    "nvltop asks only after a confirmation, or with --yes. What has not moved between two answers (-n 2) is "
    "stuck. NCCL before 2.28.7 can crash the job when it is asked: nvltop refuses without --ras-force.",
    "Flags override the environment, which overrides the config file.",
)

ENVIRONMENT: Final = {
    "NVLTOP_THEME": "theme, as with --theme",
    "NO_COLOR": "no colours, if set and without --theme",
    "LC_ALL, LC_CTYPE, LANG": "locale: only ASCII characters are used unless it is UTF-8",
    "XDG_CONFIG_HOME": "parent folder of nvltop/config.toml, instead of ~/.config",
    "XDG_STATE_HOME": "parent folder of nvltop/ with crash reports, instead of ~/.local/state",
    "HOST_SYS, HOST_PROC": "mount points of the host's /sys and /proc in a container",
    "HOST_DEV, HOST_LOG": "mount points of the host's /dev (for kmsg) and /var/log in a container",
    **FLEET_ENVIRONMENT,
}
FILES: Final = {
    "~/.config/nvltop/config.toml": "config file; F2 writes it as well",
    "~/.local/state/nvltop": "crash reports",
}


def page(parser: argparse.ArgumentParser) -> str:
    """Return the page as roff source for man(1)."""
    return "\n".join(_lines(parser))


def _lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    name, about = parser.prog, (parser.description or "").rstrip(".")
    yield f'.TH {name.upper()} 1 "" "{name} {__version__}" "User Commands"'
    yield ".SH NAME"
    yield _text(f"{name} - {about[:1].lower()}{about[1:]}")
    yield ".SH SYNOPSIS"
    yield f".B {name}\n[\\fIFLAG\\fR]..."
    yield ".SH DESCRIPTION"
    for paragraph in DESCRIPTION:
        yield f".PP\n{_text(paragraph)}"
    yield ".SH OPTIONS"
    for group in groups(parser):
        yield f'.SS "{_text(group.title[:1].upper() + group.title[1:])}"'
        for flag in group.flags:
            yield f".TP\n{_flag(flag)}\n{_text(flag.help)}"
    yield ".SH KEYS"
    for tab, entries in KEYS.items():
        if tab:
            yield f'.SS "{_text(tab)}"'
        for entry in entries:
            yield f".TP\n\\fB{_text(entry.keys)}\\fR\n{_text(entry.text)}"
    yield f".SS Mouse\n{_text(MOUSE)}"
    for title, terms in (
        ("EXIT STATUS", {str(code): meaning for code, meaning in EXIT_CODES.items()}),
        ("ENVIRONMENT", ENVIRONMENT),
        ("FILES", FILES),
        ("EXAMPLES", EXAMPLES),
    ):
        yield f".SH {title}"
        for term, text in terms.items():
            yield f".TP\n\\fB{_text(term)}\\fR\n{_text(text)}"


def _flag(flag: Flag) -> str:
    names = ", ".join(f"\\fB{_text(name)}\\fR" for name in flag.names)
    value = _text(flag.value or "")
    if not value:
        return names
    return f"{names} [\\fI{value}\\fR]" if flag.optional else f"{names} \\fI{value}\\fR"


def _text(text: str) -> str:
    """Return text escaped for roff, so that no character of it is a command."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq")
    escaped = escaped.replace("`", "\\(ga").replace("~", "\\(ti").replace("^", "\\(ha")
    return re.sub(r"(?m)^\.", r"\\&.", escaped)
