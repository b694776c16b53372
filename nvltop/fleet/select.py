"""Label matchers as in PromQL: parses and checks `--select`, and writes them again."""

from __future__ import annotations

import re
from typing import Final

from nvltop.frozen import frozen

MAX_SELECT_CHARS: Final = 2000
_MATCHER: Final = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\\n]|\\.)*)"\s*')
_ESCAPES: Final = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


class SelectError(ValueError):
    """A text that is not a list of label matchers; the message is one line for the user."""


@frozen
class Matcher:
    """One label matcher."""

    label: str
    operator: str
    """`=`, `!=`, `=~` or `!~`."""
    value: str

    def __str__(self) -> str:
        return f"{self.label}{self.operator}{quoted(self.value)}"


def quoted(text: str) -> str:
    """Return a text as a string literal of PromQL."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def parse(text: str) -> tuple[Matcher, ...]:
    """Return the matchers of a text such as `job="nvltop", instance=~"tray.*"`, in braces or not.

    Raises `SelectError` for anything else, so that the text cannot change the rest of a query.
    """
    body = text.strip()
    if body.startswith("{") and body.endswith("}"):
        body = body[1:-1].strip()
    if not body or len(body) > MAX_SELECT_CHARS:
        raise SelectError("--select needs label matchers such as 'job=\"nvltop\"'")
    matchers = []
    at = 0
    while at < len(body):
        match = _MATCHER.match(body, at)
        if match is None:
            raise SelectError(
                f'--select: {body[at:][:40]!r} is not a label matcher such as job="x" or instance=~"tray.*"'
            )
        label, operator, value = match.groups()
        if label == "__name__":
            raise SelectError("--select cannot choose metrics (__name__), only labels")
        matchers.append(Matcher(label, operator, _unescaped(value)))
        at = match.end()
        if at < len(body):
            if body[at] != ",":
                raise SelectError(f"--select: expected a comma before {body[at:][:40]!r}")
            at += 1
    return tuple(matchers)


def _unescaped(value: str) -> str:
    def one(match: re.Match[str]) -> str:
        escaped = _ESCAPES.get(match[1])
        if escaped is None:
            raise SelectError(f"--select: unknown escape \\{match[1]} (write \\\\{match[1]})")
        return escaped

    return re.sub(r"\\(.)", one, value)
