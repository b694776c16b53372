"""The list of error kinds, and the tables that must agree with it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.health import errors as rules
from nvltop.analysis.health.outliers import OUTLIER_KINDS
from nvltop.analysis.rate_history import RateHistory
from nvltop.model import LinkErrors, Reading
from nvltop.model.error_kinds import INFORMATIVE, LINK_ERROR_KINDS, PORT_ERROR_KINDS, error_kind, in_order
from nvltop.nvml.errors import BY_CALL, NVLINK5, PER_LANE, PER_LINK
from nvltop.nvml.simulated import fields, functions
from nvltop.report.json import to_json
from nvltop.report.nvidia_smi.nvlink import errors
from nvltop.tui.dialogs import link_rows
from nvltop.tui.render.row import text_of
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.main.links import rows
from nvltop.wire.codec import decode, encode

LISTED = [kind.id for kind in (*LINK_ERROR_KINDS, *PORT_ERROR_KINDS)]
LINK_IDS = {kind.id for kind in LINK_ERROR_KINDS}
WITHOUT_RULE = {"ecc_data", "effective"}
"""Errors that no rule evaluates: neither has a published threshold."""


def test_ids_are_unique_and_every_field_that_is_shown_is_set():
    assert len(set(LISTED)) == len(LISTED)
    assert all(kind.noun and kind.plural for kind in (*LINK_ERROR_KINDS, *PORT_ERROR_KINDS))
    assert all(0 < len(kind.title) <= 5 and kind.smi_name for kind in LINK_ERROR_KINDS)
    assert sorted(kind.priority for kind in LINK_ERROR_KINDS) == list(range(len(LINK_ERROR_KINDS)))


def test_one_error_is_singular_and_others_are_plural():
    for kind in (*LINK_ERROR_KINDS, *PORT_ERROR_KINDS):
        assert (kind.name(1), kind.name(2), kind.name(0)) == (kind.noun, kind.plural, kind.plural)
        assert kind.short_name(2) == (kind.short or kind.plural)
        assert kind.short_name(1) != kind.short_name(2) or not kind.short_name(2).endswith("s")
    assert error_kind("recovery").short_name(1) == "recovery"
    assert error_kind("rcv").short_name(1) == "rx error"


def test_every_counter_of_nvml_is_listed():
    assert {*NVLINK5, *PER_LINK, *PER_LANE, *BY_CALL} == LINK_IDS
    assert {*fields.LANE_ERROR_FIELDS, *functions.ERROR_KINDS} <= LINK_IDS


def test_every_kind_has_a_rule_or_is_informative():
    with_rule = {
        *rules.LEGACY_KINDS,
        *rules.CRC_KINDS,
        *rules.NVLINK5_KINDS,
        *rules.CHRONIC_KINDS,
        "link_recovery_failed",
    }
    assert with_rule | WITHOUT_RULE | (INFORMATIVE & LINK_IDS) == LINK_IDS
    assert not with_rule & WITHOUT_RULE
    assert set(OUTLIER_KINDS) <= LINK_IDS


@given(st.text())
def test_any_id_has_a_kind(id):
    kind = error_kind(id)
    assert kind.id == id
    assert len(kind.title) <= 5
    assert kind.plural or not id


@given(st.lists(st.sampled_from([*LISTED, "brand_new"]), unique=True))
def test_kinds_are_ordered_as_listed_and_unknown_ones_come_last(ids):
    assert [kind.id for kind in in_order(ids)] == [id for id in [*LISTED, "brand_new"] if id in ids]


def test_an_unknown_kind_of_a_later_version_is_shown_and_counted(bench):
    b = bench("dgx-h100")
    gpu = b.run(2).gpus[0]
    for total in (0, 3, 65535, 65535):
        b.clock.now += 1.0
        now = b.clock.now
        counts = LinkErrors({"brand_new_kind": (total,) * len(gpu.links)})
        b.monitor.update(decode(encode(Reading(gpu.gpu.uuid, now, now, now, counts))))
        frame = b.frame()
    found = [f for f in frame.findings if f.rule == "counter-saturated" and "brand new kind" in f.summary]
    assert found
    assert any("brand new kind" in line for line in errors(frame.gpus[0]))
    assert to_json(frame)["gpus"][0]["links"][0]["errors"]["brand_new_kind"]["total"] == 65535
    view = ViewState(frame, gpus=frame.gpus, history=RateHistory())
    assert "BRAND" in text_of(rows(view, 250, 12, 0)[0])
    page = link_rows.rows(view, gpu.gpu.uuid, 0, 120, 40, 0)
    assert any(text_of(row).startswith("brand new kind") for row in page)
