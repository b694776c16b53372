"""Text without control characters."""

import codecs

from hypothesis import given
from hypothesis import strategies as st

from nvltop.text import ASCII_SUBSTITUTES, ascii_error_handler, clean, ranges, shortened


@given(st.text(st.characters()))
def test_only_printable_characters_remain(text):
    assert clean(text).isprintable()


def test_plain_text_stays_as_it_is():
    assert clean("NVIDIA H100 80GB HBM3 · ü") == "NVIDIA H100 80GB HBM3 · ü"


def test_escape_c1_bidi_and_surrogates_become_visible():
    assert clean("\x1b[2J\x9b\u202e\udcff") == r"\x1b[2J\x9b\u202e\udcff"


def test_long_text_is_cut():
    assert len(clean("x" * 10000)) == 4096


@given(st.text(st.characters()), st.sampled_from(["ascii", "iso-8859-1", "utf-8"]))
def test_every_encoding_can_write_every_text(text, encoding):
    codecs.register_error("ascii-substitutes", ascii_error_handler)
    written = text.encode(encoding, "ascii-substitutes").decode(encoding)
    assert all(c in written for c in text if c.isascii())
    for c in set(text) & set(ASCII_SUBSTITUTES):
        assert c in written or ASCII_SUBSTITUTES[c] in written


def test_our_own_characters_keep_their_width():
    codecs.register_error("ascii-substitutes", ascii_error_handler)
    ours = "8 × H100 · 60° · ≈ 1 GB/s · 5 µs …"
    assert ours.encode("ascii", "ascii-substitutes") == b"8 x H100 - 60  - ~ 1 GB/s - 5 us ~"


@given(st.sets(st.integers(0, 300)))
def test_ranges_contain_every_number(numbers):
    text = ranges(sorted(numbers))
    ends = [part.split("-") for part in text.split(",") if part]
    assert {n for end in ends for n in range(int(end[0]), int(end[-1]) + 1)} == numbers
    assert len(ends) == len([n for n in numbers if n - 1 not in numbers])


@given(st.sets(st.integers(0, 40)), st.integers(1, 4))
def test_short_runs_are_listed(numbers, shortest):
    parts = ranges(sorted(numbers), ", ", shortest).split(", ")
    lengths = [int(b) - int(a) + 1 for a, dash, b in (part.partition("-") for part in parts) if dash]
    assert all(length >= shortest for length in lengths)
    assert sum(lengths) + sum(part.isdigit() for part in parts) == len(numbers)


@given(st.text(max_size=30), st.integers(1, 20))
def test_a_shortened_text_is_marked(text, limit):
    found = shortened(text, limit)
    assert len(found) <= limit
    assert found == text if len(text) <= limit else found.endswith("…")
    assert text.startswith(found.removesuffix("…")) or found == text
