"""Causes of findings: invariants for any set of findings."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.health.causes import RELATIONS, with_causes
from nvltop.analysis.health.claim import Claim, Escalation
from nvltop.analysis.health.debounce import FindingTracker
from nvltop.model import Finding, Severity

RULES = sorted({r.cause for r in RELATIONS} | {e for r in RELATIONS for e in r.effects})
claims = st.lists(
    st.builds(
        Claim,
        rule=st.sampled_from(RULES),
        gpu=st.sampled_from([None, "GPU-a", "GPU-b"]),
        headline=st.just("headline"),
        summary=st.just("A sentence"),
        escalations=st.sampled_from(Severity).map(lambda s: (Escalation(s),)),
        link=st.sampled_from([None, 3, 7]),
        cause=st.none() | st.tuples(st.sampled_from(RULES), st.sampled_from([None, "GPU-a", "GPU-b"])),
        lost_share=st.sampled_from([0.0, 0.1, 1.0]),
    ),
    max_size=12,
    unique_by=lambda c: c.key,
)


@given(claims)
def test_findings_keep_their_content_and_follow_their_root(given_claims):
    tracker = FindingTracker()
    tracker.update(given_claims, 1.0, 1.0, False)
    before = tracker.findings(1.0)
    after = with_causes(before, given_claims)
    assert sorted((replace(f, caused_by=None) for f in after), key=lambda f: f.key) == sorted(
        before, key=lambda f: f.key
    )
    by_key = {f.key: f for f in after}
    for i, f in enumerate(after):
        if f.caused_by is not None:
            root = by_key[f.caused_by]
            assert root.caused_by is None
            assert root.severity >= f.severity
            assert f.caused_by in (after[i - 1].key, after[i - 1].caused_by)
    roots = [f for f in after if f.caused_by is None]
    assert max((f.severity for f in roots), default=None) == max((f.severity for f in after), default=None)
    assert [f for f in before if f in roots] == roots, "roots keep their order"


def finding(rule, severity="warning", gpu="GPU-a", link=None, **evidence):
    return Finding(rule, Severity(severity), gpu, link, "A sentence", evidence)


def causes(*findings):
    return {f.rule: f.caused_by for f in with_causes(findings, ())}


def test_a_fault_of_another_gpu_explains_only_what_spreads():
    down = finding("link-down", "critical", "GPU-a", 7, links=[7])
    assert causes(down, finding("link-imbalance", "notice", "GPU-b", 2))["link-imbalance"] == down.key
    assert causes(down, finding("straggler", "notice", "GPU-b"))["straggler"] is None
    assert causes(down, finding("straggler", "notice", "GPU-a"))["straggler"] == down.key


def test_errors_of_another_link_are_another_fault():
    down = finding("link-down", "critical", "GPU-a", None, links=[7, 9])
    assert (
        causes(down, finding("link-errors-legacy", "warning", "GPU-a", 9))["link-errors-legacy"] == down.key
    )
    assert causes(down, finding("link-errors-legacy", "warning", "GPU-a", 8))["link-errors-legacy"] is None


def test_a_milder_finding_explains_nothing():
    assert causes(finding("throttled", "warning"), finding("straggler", "critical"))["straggler"] is None


def test_no_gpu_of_a_silent_job_is_called_slow():
    silent = finding("heartbeat-stopped", "notice", None)
    assert causes(silent, finding("straggler", "notice", "GPU-a"))["straggler"] == silent.key
