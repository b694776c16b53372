"""A row of the screen: runs of text, each with a role that the palette turns into a style."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from nvltop.text import in_ascii
from nvltop.tui.render.cells import to_cells, to_text
from nvltop.tui.render.glyphs import UNICODE, Glyphs

TextRun: TypeAlias = "tuple[str, str]"
"""Text and role. Text is cells, one a column: it went through `clean()` and `cells()`, and is cut here."""
Row: TypeAlias = "tuple[TextRun, ...]"

SEPARATOR: Final = " · "
"""Between the parts of a line of words, the most telling part first."""


def merge_runs(spans: Iterable[TextRun]) -> list[TextRun]:
    """Make spans of the same role that stand side by side one."""
    out: list[TextRun] = []
    run, role = "", ""
    for text, its in spans:
        if its == role:
            run += text
        elif text:
            if run:
                out.append((run, role))
            run, role = text, its
    if run:
        out.append((run, role))
    return out


def fit(spans: Iterable[TextRun], width: int, role: str | None = None) -> Row:
    """Cut or pad spans to exactly `width` columns; `role` overrides all of theirs."""
    if role is not None:
        text = to_cells("".join([text for text, _ in spans]))
        return ((text[:width].ljust(width), role),) if width > 0 else ()
    out = [(to_cells(text), its) for text, its in merge_runs(spans)]
    left = width - sum([len(text) for text, _ in out])
    if left > 0:
        out = merge_runs([*out, (" " * left, "")])
    while left < 0:
        text, its = out.pop()
        left += len(text)
        if left > 0:
            out.append((text[:left], its))
            break
    return tuple(out)


def end_with(text: str, words: str, width: int) -> str:
    """Return a title of `width` columns that ends in some words; no word is cut to make room for them."""
    at = max(0, width - len(words))
    kept = text[:at]
    if text[at : at + 1].strip() and kept:
        kept = kept.rpartition(" ")[0]
    return (kept.ljust(at) + words)[:width]


def text_of(row: Row) -> str:
    """Return a row's text without its roles."""
    return to_text("".join(text for text, _ in row))


def displayable(text: str, glyphs: Glyphs) -> str:
    """Return text from outside as cells, so that no column is pushed aside; in ASCII if the screen is."""
    return to_cells(text) if glyphs is UNICODE else in_ascii(text)


@lru_cache(maxsize=64)  # most words stay the same from frame to frame
def fit_text(line: str, width: int, glyphs: Glyphs) -> str:
    """Fit words into `width`: parts are left out from the end; what is cut all the same is marked as cut.

    Half a number would be a wrong one.
    """
    parts = to_cells(line).split(SEPARATOR)
    if glyphs is not UNICODE:
        parts = [in_ascii(to_text(part).replace("°", glyphs.degree)) for part in parts]
    while len(parts) > 1 and len(SEPARATOR.join(parts)) > width:
        parts.pop()
    text = SEPARATOR.join(parts)
    if len(text) > width:
        text = text[: max(0, width - 1)] + glyphs.ellipsis[: max(0, width)]
    return text if glyphs is UNICODE else text.replace("·", glyphs.dot)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    key: str
    title: str
    width: int
    drop: int
    """Columns with the highest number go first when there is no room; 0 never goes."""
    left: bool = False

    def padded_title(self) -> str:
        """Return the title in the column's width."""
        return self.pad(self.title)

    def pad(self, text: str) -> str:
        """Return a text in the column's width; words that are cut do not end in a blank or dash."""
        if self.left:
            cut = text[: self.width].rstrip(" -") if len(text) > self.width else text
            return cut.ljust(self.width)
        return text[: self.width].rjust(self.width)


def fit_columns(columns: Sequence[Column], width: int) -> list[Column]:
    """Return the columns that fit into `width` with a blank between them, by dropping, never by cutting."""
    chosen = list(columns)
    while sum(c.width + 1 for c in chosen) - 1 > width and any(c.drop for c in chosen):
        chosen.remove(max(chosen, key=lambda c: c.drop))
    return chosen


def split_columns(
    columns: Sequence[Column], keys: Container[str]
) -> tuple[Sequence[Column], Sequence[Column], Sequence[Column]]:
    """Return the columns before those of some keys, these, which stand side by side, and those behind."""
    places = [i for i, c in enumerate(columns) if c.key in keys]
    first, last = places[0], places[-1] + 1
    return columns[:first], columns[first:last], columns[last:]
