"""Firmware, board and place of a GPU: read where the board has them, unknown with the reason elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.model import NOT_SUPPORTED, Missing, known
from nvltop.model.missing import FUNCTION_NOT_FOUND
from nvltop.nvml.driver import UNDECODABLE
from nvltop.nvml.firmware import NO_SLOWDOWN
from nvltop.nvml.simulated import Fault, boards, firmware
from nvltop.record.redact import Redactor
from nvltop.report.json import to_json
from nvltop.report.tables import firmware as table
from nvltop.tui.dialogs import gpu_rows
from nvltop.tui.render.view_state import ViewState


def test_a_tray_reports_its_versions_and_its_place(bench):
    b = bench("gb200-tray")
    for gpu in b.inventory.gpus:
        assert gpu.vbios == "96.00.74.00.01"
        assert gpu.nvlink_firmware == "MSE 14.4.0, NETIR 36.2014.1862, UPHY 7.0.0, CLN 0.9.0, DLN 0.9.0"
        assert gpu.nvlink_encryption is False
        assert (gpu.chassis_serial, gpu.slot, gpu.tray, gpu.host_id) == ("1820125000042", 14, 6, 1)
    values = to_json(b.poll())["gpus"][0]
    assert values["vbios"] == "96.00.74.00.01"
    assert values["nvlink_firmware"].startswith("MSE 14.4.0")
    assert values["platform"] == {"chassis_serial": "1820125000042", "slot": 14, "tray": 6, "host_id": 1}
    assert values["board_part_number"] is None
    assert values["missing"]["board_part_number"] == FUNCTION_NOT_FOUND.reason


def test_an_old_driver_and_an_old_board_have_less(bench):
    (gpu, *_) = bench("dgx-h100").inventory.gpus
    assert gpu.vbios == "95.00.74.00.01"
    assert gpu.nvlink_firmware == gpu.tray == FUNCTION_NOT_FOUND
    (gpu, *_) = bench("hgx-b200").inventory.gpus
    assert known(gpu.nvlink_firmware)
    assert gpu.chassis_serial == gpu.slot == NOT_SUPPORTED


def test_what_the_driver_lists_wrongly_is_not_shown(bench, monkeypatch):
    monkeypatch.setattr(firmware, "NVLINK_FIRMWARE", ())
    monkeypatch.setattr(firmware, "CHASSIS_SERIAL", b"\xff\xfe")
    b = bench("gb200-tray", prepare=lambda lib: lib.machine.firmware.update({1: "96\x1b[31m.00"}))
    gpu = b.inventory.gpus[1]
    assert isinstance(gpu.nvlink_firmware, Missing)
    assert isinstance(gpu.chassis_serial, Missing)
    assert "\x1b" not in gpu.vbios


def test_more_entries_than_the_array_has_are_not_read(bench, monkeypatch):
    monkeypatch.setattr(firmware, "NVLINK_FIRMWARE", ((9, 1, 2, 3),) * 200)
    (gpu, *_) = bench("gb200-tray").inventory.gpus
    assert gpu.nvlink_firmware == "type 9 1.2.3"


def test_a_failure_has_its_reason(bench):
    b = bench("gb200-tray", prepare=lambda lib: lib.faults.update({"nvmlDeviceGetVbiosVersion": Fault(4)}))
    assert {gpu.vbios for gpu in b.inventory.gpus} == {Missing("no permission")}
    assert UNDECODABLE not in {gpu.nvlink_firmware for gpu in b.inventory.gpus}


def test_they_are_read_once_unless_the_failure_may_be_temporary(bench):
    b = bench(
        "gb200-tray", prepare=lambda lib: lib.faults.update({"nvmlDeviceGetVbiosVersion": Fault(999, 1)})
    )
    calls = b.library.calls["nvmlDeviceGetVbiosVersion"]
    b.library.faults.clear()
    assert b.session.reread_inventory().gpus[1].vbios == "96.00.74.00.01"
    assert b.session.reread_inventory() is None
    assert b.library.calls["nvmlDeviceGetVbiosVersion"] == calls + 1


def test_the_serial_number_is_redacted_and_the_versions_stay(bench):
    inventory = bench("gb200-tray").inventory
    (gpu, *_) = inventory.gpus
    other = replace(inventory, gpus=(replace(gpu, chassis_serial="ABC-17"),))
    (redacted, *_) = Redactor()(other).gpus
    assert redacted.chassis_serial == "serial-1"
    assert (redacted.vbios, redacted.nvlink_firmware) == (gpu.vbios, gpu.nvlink_firmware)


def test_the_report_has_a_row_for_each_kind_of_board(bench):
    b = bench("gb200-tray", prepare=lambda lib: lib.machine.firmware.update({2: "96.00.70.00.01"}))
    lines = table(b.poll().gpus).splitlines()
    assert lines[0].split() == ["GPUS", "VBIOS", "TRAY", "SLOT", "CHASSIS", "NVLE", "NVLINK", "FIRMWARE"]
    assert [line.split()[:2] for line in lines[1:]] == [["0-1,3", "96.00.74.00.01"], ["2", "96.00.70.00.01"]]
    assert table(bench("no-gpu").poll().gpus) == ""


@pytest.mark.parametrize(("node", "limit"), [("dgx2", 87), ("dgx-a100", 89), ("rtx3090-pair", 95)])
def test_the_temperature_limit_of_a_gpu_is_that_of_its_driver(bench, node, limit):
    b = bench(node)
    assert {gpu.slowdown_c for gpu in b.inventory.gpus} == {limit}
    frame = b.run(2)
    assert to_json(frame)["gpus"][0]["slowdown_temperature_c"] == limit
    view = ViewState(frame=frame, gpus=frame.gpus, now_s=frame.tick.mono_s)
    (text,) = [text for caption, text in gpu_rows._facts(view, frame.gpus[0]) if caption == "Temperature"]
    assert text.endswith(f"the hardware slows it down from {limit} °C (NVML's threshold)")


@pytest.mark.parametrize("node", ["dgx-h100", "rtx4090-pair", "hgx-b200"])
def test_without_a_threshold_the_limit_is_said_to_be_assumed(bench, node):
    b = bench(node)
    frame = b.run(2)
    assert {gpu.slowdown_c for gpu in b.inventory.gpus} == {NO_SLOWDOWN}
    assert to_json(frame)["gpus"][0]["slowdown_temperature_c"] is None
    view = ViewState(frame=frame, gpus=frame.gpus, now_s=frame.tick.mono_s)
    (text,) = [text for caption, text in gpu_rows._facts(view, frame.gpus[0]) if caption == "Temperature"]
    assert text.endswith(f"limit 85 °C assumed, its own is unknown ({NO_SLOWDOWN.reason})")


@pytest.mark.parametrize(("answer", "shown"), [(0xFFFFFFFE, None), (0, None), (92, 92)])
def test_a_margin_in_the_place_of_the_threshold_is_not_a_limit(bench, monkeypatch, answer, shown):
    monkeypatch.setattr(boards, "RTX3090", replace(boards.RTX3090, slowdown_c=answer))
    (gpu, *_) = bench("rtx3090-pair").inventory.gpus
    assert (gpu.slowdown_c if known(gpu.slowdown_c) else None) == shown
    assert known(gpu.slowdown_c) or gpu.slowdown_c.reason.startswith("implausible")


def test_a_temperature_limit_that_was_read_is_not_read_again(bench):
    b = bench("dgx-a100")
    asked = b.library.calls["nvmlDeviceGetTemperatureThreshold"]
    assert asked == len(b.inventory.gpus)
    for _ in range(3):
        b.session.open()
    b.run(5)
    assert b.library.calls["nvmlDeviceGetTemperatureThreshold"] == asked
