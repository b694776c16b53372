"""The rolling share is the mean over the spans of the last seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.rolling_share import WINDOW_S, RollingShare

spans = st.lists(st.tuples(st.floats(0.01, 4), st.none() | st.floats(0, 1)), max_size=40)


@given(spans)
def test_the_mean_is_over_the_known_spans_of_the_last_seconds(each):
    recent, now, kept = RollingShare(), 1000.0, []
    for seconds, share in each:
        recent.add(now, now + seconds, share)
        kept.append((now, now + seconds, share))
        now += seconds
    known = [
        (end - start, share) for start, end, share in kept if share is not None and now - end <= WINDOW_S
    ]
    share, seconds = recent.mean
    assert seconds == pytest.approx(sum(s for s, _ in known))
    if known:
        mean = sum(s * share for s, share in known) / sum(s for s, _ in known)
        assert share == pytest.approx(mean, abs=1e-9)
    else:
        assert share is None


def test_an_empty_span_is_ignored():
    recent = RollingShare()
    recent.add(5.0, 5.0, 0.5)
    assert recent.mean == (None, 0)
