"""Equal boards with different firmware are a notice; different boards, or unknown versions, are not."""

from __future__ import annotations

from dataclasses import replace

from nvltop.model import Missing

RULE = "mixed-firmware"


def found(w):
    return [f for f in w.run(2).findings if f.rule == RULE]


def test_one_gpu_with_another_vbios(watched):
    w = watched("dgx-h100", prepare=lambda lib: lib.machine.firmware.update({5: "95.00.70.00.01"}))
    (finding,) = found(w)
    assert finding.severity == "notice"
    assert finding.headline == "2 different versions of the VBIOS"
    assert finding.summary.endswith(": GPUs 0-4, 6, 7 95.00.74.00; GPU 5 95.00.70.00")
    assert finding.evidence["vbios"]["95.00.70.00"] == [5]


def test_builds_of_one_vbios_release_may_differ(watched):
    builds = {index: f"95.00.74.00.{index:02X}" for index in range(8)}
    assert not found(watched("dgx-h100", prepare=lambda lib: lib.machine.firmware.update(builds)))


def test_another_nvlink_firmware_is_a_finding_of_its_own(watched):
    w = watched("hgx-b200", prepare=lambda lib: lib.machine.firmware.update({5: "96.00.70.00.01"}))
    w.gpu(0, nvlink_firmware="MSE 14.5.0")
    assert {f.headline for f in found(w)} == {
        "2 different versions of the VBIOS",
        "2 different versions of the NVLink firmware",
    }


def test_equal_versions_are_fine(watched):
    w = watched("hgx-b200")
    frame = w.run(2)
    assert RULE not in {f.rule for f in frame.findings}
    (check,) = [c for c in frame.checks if c.name == "firmware"]
    assert (check.outcome, check.detail) == ("fine", "the same releases on 8 GPUs with equal boards")


def test_other_models_and_boards_may_differ(watched):
    assert not found(watched("mixed", prepare=lambda lib: lib.machine.firmware.update({2: "95.02"})))
    w = watched("dgx-h100", prepare=lambda lib: lib.machine.firmware.update({5: "95.00.70.00.01"}))
    gpus = w.bench.inventory.gpus
    w.begin(gpus=tuple(replace(g, board_part_number=f"part {g.index == 5}") for g in gpus))
    assert not found(w)


def test_an_unknown_version_does_not_differ(watched):
    w = watched("dgx-h100")
    w.gpu(3, vbios=Missing("no permission"))
    assert not found(w)
