"""The decoder of kernel messages, by lines in the form in which drivers of all generations write them."""

from __future__ import annotations

import pytest

from nvltop.kernel_log.catalog import XIDS, lookup, resolution
from nvltop.kernel_log.decode import bus_id, decode, without_process

ZEROS = "0x00000000 0x00000000 0x00000000 0x00000000"


def xid(code, text, bus="0000:3b:00"):
    return decode(f"NVRM: Xid (PCI:{bus}): {code}, {text}")


@pytest.mark.parametrize(
    ("sub", "word", "blames"),
    [
        (0, "0x000065c6", "unknown"),
        (4, "0x004465c6", "local"),
        (10, "0x00a465c6", "local"),
        (21, "0x015465c6", "remote-end"),
        (33, "0x021465c6", "remote-end"),
        (37, "0x025465c6", "remote-end"),
        (38, "0x026465c6", "application"),
        (17, "0x011465c6", "application"),
        (42, "0x02a465c6", "local"),
        (63, "0x03f465c6", "unknown"),
    ],
)
def test_a_failed_link_blames_by_its_sub_code(sub, word, blames):
    fault = xid(149, f"NETIR_LINK_EVT Fatal XC0 i0 Link 07 ({word} 0x00000000 {ZEROS})")
    assert (fault.subcode, fault.blames, fault.link, fault.fatal) == (sub, blames, 7, True)
    assert (fault.unit, fault.kind, fault.code) == ("NETIR_LINK_EVT", "xid", 149)


@pytest.mark.parametrize(
    ("code", "unit", "status", "blames", "severity"),
    [
        (145, "RLW_SRC_TRACK", 0x8, "unknown", "warning"),
        (145, "RLW_SRC_TRACK", 0x10, "local", "critical"),
        (145, "RLW_SRC_TRACK", 0x18, "local", "critical"),
        (145, "RLW_RXPIPE", 0x8, "unknown", "notice"),
        (145, "RLW_REMAP", 0x40, "local", "critical"),
        (144, "SAW_MVB", 0x2, "local", "critical"),
        (144, "SAW_MVB", 0x4, "unknown", "notice"),
        (146, "TLW_RX/TLW_RX_PIPE0", 0x4, "local", "critical"),
        (147, "TREX", 0x1, "unknown", "notice"),
        (150, "MSE_WATCHDOG", 0x0, "local", "critical"),
        (149, "NETIR_BER_EVENT", 0x1, "local", "notice"),
        (149, "NETIR_MFDE_EVENT", 0x3, "unknown", "notice"),
        (149, "NETIR_MFDE_EVENT", 0x4, "local", "critical"),
    ],
)
def test_other_nvlink_5_units_blame_by_their_status(code, unit, status, blames, severity):
    word = "Fatal" if severity == "critical" else "Nonfatal"
    fault = xid(code, f"{unit} {word} XC0 i0 Link 03 (0x00080001 {status:#010x} {ZEROS})")
    assert (fault.blames, fault.severity, fault.status) == (blames, severity, status)


@pytest.mark.parametrize(
    ("text", "link", "subcode"),
    [
        ("NETIR Fatal XC0 i0 Link -1 (0x000fe406 0x00000000)", None, 0),
        ("NETIR_LINK_EVT  Fatal   XC0 i0 Link 14 (0x0044", 14, None),
        ("NETIR_LINK_EVT Fatal XC0 i0 Link 1", None, None),
        ("NETIR_LINK_DOWN Fatal XC0 i0 Link 14", 14, None),
        ("NETIR_LINK_EVT Fatal XC0 i0 Li", None, None),
        ("pid=7, name=Link 3 (0x1), NETIR_LINK_EVT Fatal XC0 i0 Link 05 (0x004025c6 0x0)", 5, 4),
    ],
)
def test_lines_that_are_cut_off_give_only_what_is_whole(text, link, subcode):
    fault = xid(149, text)
    assert (fault.link, fault.subcode) == (link, subcode)


@pytest.mark.parametrize(
    "name", ["python3", "ray::Worker", "nvc:[driver]", "a b, c", "<unknown>", "x): 79, GPU", "Fatal XC0"]
)
def test_process_names_may_hold_anything(name):
    fault = xid(45, f"pid='<unknown>', name={name}, Ch 00000007 caused by previous Xid 149")
    assert (fault.code, fault.caused_by, fault.echo) == (45, 149, True)
    assert "pid" not in fault.text


@pytest.mark.parametrize(
    ("message", "code", "bus"),
    [
        ("NVRM: Xid (0000:03:00): 14, Channel 00000001", 14, "00000000:03:00.0"),
        ("NVRM: Xid (PCI:0000:D8:00): 79, GPU has fallen off the bus.", 79, "00000000:D8:00.0"),
        ("NVRM: Xid (PCI:10018:01:00): 79, gone", 79, "00010018:01:00.0"),
        ("NVRM:  Xid  (PCI:0019:01:00 GPU-I:05 GPU-CI:00): 94, pid=7, Contained", 94, "00000019:01:00.0"),
        ("NVRM: Xid (PCI:...): 145, RLW_RXPIPE Nonfatal XC0 i0 Link 11 (...)", 145, None),
        ("NVRM: Xid (PCI:0000:3b:00): 63", 63, "00000000:3B:00.0"),
    ],
)
def test_addresses(message, code, bus):
    fault = decode(message)
    assert (fault.code, fault.pci_bus_id) == (code, bus)


def test_nvlink_4_registers_say_what_failed():
    fatal = "NVLink: fatal error detected on link 11"
    signal = xid(74, f"pid='<unknown>', name=<unknown>, {fatal}(0x200000, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0)")
    assert (signal.link, signal.blames, signal.echo) == (11, "unknown", True)
    assert "signal" in signal.meaning
    secondary = xid(74, f"{fatal}(0x100000, 0x0, 0x0,")
    assert "consequence" in secondary.meaning
    parity = xid(74, f"{fatal}(0x10, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0)")
    assert parity.blames == "local"
    assert "consequence" not in xid(74, f"{fatal}(0x100000").meaning, "the register may be cut off"


def test_other_lines_about_links():
    training = xid(74, "NVLink: failed to train link 3 to remote PCI:0000:86:00")
    assert (training.link, training.remote) == (3, "00000000:86:00.0")
    assert xid(136, "NVLink: Link training failed for link 5(0x1, 0x2)").link == 5
    access = xid(137, "RLW_RXPIPE interrupt hit on link 11 on GPU0: PRIV Error")
    assert (access.link, access.unit, access.blames) == (11, "RLW_RXPIPE", "application")


def test_a_recovery_action():
    fault = xid(154, "GPU recovery action changed from 0x0 (None) to 0x4 (Drain and Reset)")
    assert (fault.recovery_action, fault.severity) == ("Drain and Reset", "warning")
    ended = xid(154, "GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)")
    assert (ended.recovery_action, ended.severity) == ("None", "info")


@pytest.mark.parametrize(
    ("rest", "fatal", "link", "severity"),
    [
        ("20034, Fatal, Link 46 LTSSM Fault Up", True, 46, "critical"),
        ("12028, Non-fatal, Link 32 egress non-posted PRIV error (First)", False, 32, "notice"),
        ("11012, Correctable, Link 03 ingress header ECC", False, 3, "info"),
        ("10001, Fatal, PRIV error, instance=0, chiplet=1", True, None, "critical"),
        ("20034, Severity 1 Engine instance 46 Sub-engine instance 00", True, 46, "critical"),
        ("20034, Data {0x50610002, 0x10100030}", None, None, "warning"),
    ],
)
def test_sxids(rest, fatal, link, severity):
    fault = decode(f"nvidia-nvswitch2: SXid (PCI:0000:87:00.0): {rest}")
    assert (fault.kind, fault.code, fault.unit) == ("sxid", int(rest[:5]), "nvswitch2")
    assert (fault.fatal, fault.link, fault.severity) == (fatal, link, severity)
    assert fault.pci_bus_id == "00000000:87:00.0"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("NVRM: GPU 0000:29:00.0: GPU has fallen off the bus.", "bus-loss"),
        (
            "NVRM: Rate limiting GSP RPC error prints for GPU at PCI:0000:29:00 (printing 1 of every 30).",
            "driver",
        ),
        ("NVRM: GPU 0000:29:00.0: RmInitAdapter failed! (0x26:0xffff:1290)", "driver"),
        ("NVRM: knvlinkUpdatePostRxDetectLinkMask_IMPL: Failed to update Rx Detect Link mask!", "driver"),
    ],
)
def test_driver_messages_without_a_code(message, kind):
    assert decode(message).kind == kind


@pytest.mark.parametrize(
    "message",
    [
        "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  595.45.04",
        "NVRM: GPU at PCI:0000:3b:00: GPU-01234567-89ab-cdef-0123-456789abcdef",
        "NVRM: GPU Board Serial Number: 1650423013443",
        "mlx5_core 0000:03:00.0: Port module event: module 0, Cable unplugged",
        "nvidia-nvlink: Nvlink Core is being initialized, major device number 235",
        "NVRM: Xid error: xyz, invalid data",
        "nvidia-nvswitch0: SXid (invalid): some error",
        "",
    ],
)
def test_what_is_not_a_fault(message):
    assert decode(message) is None


def test_bus_ids_have_the_form_of_nvml():
    assert bus_id("3b:00") == "00000000:3B:00.0"
    assert bus_id("0001:3b:00.1") == "00000001:3B:00.1"
    assert bus_id("nonsense") is None


def test_the_catalog_names_what_is_public_and_nothing_else():
    assert all(lookup(code).short != "not in nvltop's list" for code in (*range(159, 177), 185))
    assert lookup(180).action.startswith("See NVIDIA")
    without = {code for code, known in XIDS.items() if known.action.startswith("NVIDIA publishes no action")}
    assert without == {*range(162, 177), 185}
    assert all(not resolution(code).immediate for code in without)
    assert resolution(79) == ("RESTART_BM", "CONTACT_SUPPORT")
    assert all(len(known.short) <= 20 for known in XIDS.values())


def test_a_quoted_process_name_may_contain_a_comma():
    line = "NVRM: Xid (PCI:0000:41:00 GPU-I:03): 43, pid=77, name='my \"job\", v2', Ch 00000012"
    fault = decode(line)
    assert (fault.process, fault.text) == ('my "job", v2', "Xid 43: Ch 00000012")
    assert "v2" not in without_process(line)
