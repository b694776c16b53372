"""Removes secrets from the arguments of a process.

Known forms: `--flag=value`, the argument after a flag such as `--api-key`, `KEY=value`, headers and JSON
(`"token": "…"`), `user:password` in a URL or after `-u`, tokens with a known shape, and long random text. In
doubt the rest of an argument is removed: a missing word does no harm.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Final

REMOVED: Final = "***"

_SECRET_NAME: Final = re.compile(
    r"passw|passphrase|passcode|secret|credential|mnemonic|session_?id|webhook|authoriz|cookie|bearer|api_?key|private_?key|access_?key"
)
_SECRET_NAME_END: Final = re.compile(
    r"(?:token|key|pwd|pass|pw|auth|signature|sig|dsn|salt|otp|pin|jwt|creds?|sas|session|(?<!.)code)$"
)
"""End of the name of a flag or variable whose value is secret; `max-tokens` and `tokenizer` do not match."""
_NAME: Final = re.compile(r"[\"']?-*[A-Za-z][\w.-]*[\"']?[=:]?")
_NAMED: Final = re.compile(r"([A-Za-z][\w.-]*)[\"']?\s*[=:]\s*")
_PASSWORD_FLAG: Final = re.compile(r"-[pa]")
"""Flags whose argument may be a password: `sshpass -p`, `mysql -p`, `redis-cli -a`."""
_ATTACHED_PASSWORD: Final = re.compile(r"(-p)(?!\d+$).{3,}", re.DOTALL)
_USER_FLAGS: Final = frozenset({"-u", "--user", "--proxy-user", "-U"})
_ATTACHED_USER: Final = re.compile(r"(--(?:proxy-)?user=|-[uU])[^\s:/]+:.+", re.DOTALL)
_URL_PASSWORD: Final = re.compile(r"://\S*@|://[^\s/@]*:(?![0-9]*$)[^\s/@]*$")
"""User and password of a URL: up to the last `@`, or up to the end if the URL is cut off."""
_TOKEN_SHAPES: Final = re.compile(
    r"""\b(?:
        (?:sk|pk|rk)[-_][\w-]{6,} | (?:gh[opusr]|github_pat|hf|npm|dckr_pat|glpat|nvapi|pypi)[-_][\w-]{6,}
        | xox[a-z]-[\w-]{6,} | AIza[\w-]{6,} | (?:AKIA|ASIA)[A-Z0-9]{6,} | ya29\.[\w.-]{6,}
        | (?<=hooks\.slack\.com/services/)[\w/-]+ | (?<=/api/webhooks/)[\w/-]+
        | eyJ[\w-]{6,}(?:\.[\w-]*)* | [0-9a-fA-F]{32,}
        | (?=[\w+-]*[0-9])(?=[\w+-]*[A-Z])(?=[\w+-]*[a-z])[\w+=-]{32,}
    )""",
    re.VERBOSE,
)


def without_secrets(arguments: str) -> str:
    """Return shell-quoted arguments, with `***` in place of possible secrets."""
    return " ".join(_redact_words(_split(arguments)))


def _split(arguments: str) -> list[str]:
    # The arguments may be cut off inside quotes.
    for end in ("", "'", '"', "\"'"):
        try:
            return shlex.split(arguments + end)
        except ValueError:
            continue
    return arguments.split()


def _redact_words(words: Iterable[str]) -> list[str]:
    """Return the words, quoted where necessary, with secrets replaced."""
    kept = []
    before = ""
    for word in words:
        announced = (
            _precedes_secret(before) or (_PASSWORD_FLAG.fullmatch(before) and not word.isdigit())
        ) and not _is_flag(word)
        if announced or (before in _USER_FLAGS and ":" in word):
            kept.append(REMOVED)
            before = ""
            continue
        new = _redact_word(word)
        kept.append(shlex.quote(word) if new == word else new)
        before = word
    return kept


def _is_flag(word: str) -> bool:
    return word.startswith("--") or bool(re.fullmatch("-[A-Za-z]", word))


def _precedes_secret(word: str) -> bool:
    """Return whether the next argument is a secret: after `--api-key`, `Authorization:`, `--password=`."""
    return bool(_NAME.fullmatch(word)) and _is_secret_name(word.rstrip("=:\"'"))


def _is_secret_name(name: str) -> bool:
    words = re.sub(r"[^a-z0-9]", "_", name.lower())
    return bool(_SECRET_NAME.search(words) or _SECRET_NAME_END.search(words))


def _redact_word(word: str) -> str:
    """Return one argument with its secrets replaced."""
    if with_user := _ATTACHED_USER.fullmatch(word):
        return with_user[1] + REMOVED
    if short := _ATTACHED_PASSWORD.fullmatch(word):
        return short[1] + REMOVED
    for named in _NAMED.finditer(word):
        if _is_secret_name(named[1]) and named.end() < len(word):
            return _redact_word(word[: named.start()]) + named[0] + REMOVED
    if len(inner := word.split()) > 1:
        # The argument is a command line, as after `sh -c`.
        redacted = " ".join(_redact_words(inner))
        return redacted if REMOVED in redacted else word
    return _TOKEN_SHAPES.sub(REMOVED, _URL_PASSWORD.sub(f"://{REMOVED}@", word))
