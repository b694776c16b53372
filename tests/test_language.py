"""The language of nvltop: words and patterns that a reader has to learn first must not come back."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAY_INSTEAD = {
    r"\b(un)?told\b|\btell(s|ing)?\b": "report, show, log, emit, return or print",
    r"\banew\b": "again",
    r"\bseldom\b": "rarely",
    r"\bfor ever\b": "indefinitely",
    r"\bof late\b": "recently",
    r"\bhence\b": "so",
    r"\blikewise\b": "what is meant",
    r"\bas ever\b": "as usual",
    r"\bbut for\b": "except",
    r"\bthe same of\b": "what is meant",
    r"(?<!\bthere )\b(is|are|was|were) no (?!longer\b|more\b)": "is not a …, or there is no …",
    r"\bso (long|many|much)\b(?! (as|that)\b)": "the amount, or a noun phrase for the constant",
    r"\b(comes?|came) to (?!rest\b)": "amounts to",
    r"\bof (which|whom)\b": "whose, or a sentence of its own",
    r"\bto be called\b": "an imperative sentence",
    r"\b(un)?lit\b": "active",
    r"\bledger\b": "tracker",
    r"\bfrom so (long|many|much)\b": "a noun phrase for the constant",
}
"""Patterns, and what nvltop says instead."""
ANY = "|".join(f"(?:{pattern})" for pattern in SAY_INSTEAD)
FORBIDDEN = re.compile(rf"\b(?=\w)(?:{ANY})", re.IGNORECASE)
"""Each pattern begins a word, so nothing else is tried inside of words: that takes a third of the time."""
PYTHON = sorted([*ROOT.joinpath("nvltop").rglob("*.py"), *ROOT.joinpath("tests").rglob("*.py")])
OTHER = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.joinpath("nvltop").rglob("*.md"),
        *ROOT.joinpath("nvltop").rglob("*.yml"),
        *ROOT.joinpath(".github").rglob("*.md"),
        ROOT / "pyproject.toml",
    ]
)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and text of comments, strings and names of a Python file."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) or token.type == FSTRING_MIDDLE:
            yield token.start[0], token.string
        elif token.type == tokenize.NAME:
            yield token.start[0], token.string.replace("_", " ")


FSTRING_MIDDLE = getattr(tokenize, "FSTRING_MIDDLE", -1)


def found_in(text: str) -> list[str]:
    return [match.group(0) for match in FORBIDDEN.finditer(re.sub(r"\s+", " ", text))]


def suspicious(path: Path) -> bool:
    """Return whether a Python file has one of the patterns anywhere, in code as well; most have none."""
    return bool(found_in(path.read_text(encoding="utf-8").replace("_", " ")))


@pytest.mark.parametrize("folder", ["nvltop", "tests"])
def test_python_files_use_plain_words(folder):
    bad = [
        f"{path.relative_to(ROOT)}:{line}: {word!r}"
        for path in PYTHON
        if path.is_relative_to(ROOT / folder) and path != Path(__file__) and suspicious(path)
        for line, text in texts(path)
        for word in found_in(text)
    ]
    assert not bad, "\n".join(bad)


def test_documents_use_plain_words():
    bad = [
        f"{path.relative_to(ROOT)}: {word!r}" for path in OTHER for word in found_in(path.read_text("utf-8"))
    ]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What is told of work", ["told"]),
        ("the same of the states; anew", ["the same of", "anew"]),
        ("A link that is no longer up", []),
        ("That is no link, there is no GPU", ["is no "]),
        ("A call that lasts so long", ["so long"]),
        ("so long as it answers", []),
    ],
)
def test_the_patterns_find_what_they_are_for(text, words):
    assert found_in(text) == words
