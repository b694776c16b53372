"""Who began it: incidents with a known culprit, and those where nobody can know."""

from __future__ import annotations

import pytest

from nvltop.analysis.incidents import NO_ENDS, incidents
from nvltop.analysis.incidents.ends import End, LinkEnds, short
from nvltop.kernel_log.reader import LogReader

GPUS = tuple(f"0000:{bus}:00" for bus in ("1b", "43", "52", "61"))
IDS = tuple(f"00000000:{bus}:00.0" for bus in ("1B", "43", "52", "61"))
ZEROS = "0x00000000 0x00000000 0x00000000 0x00000000"


def link_down(gpu, link, sub):
    word = 0x000005C6 | sub << 20 | link << 13
    words = f"{word:#010x} 0x00000000 {ZEROS}"
    return f"NVRM: Xid (PCI:{GPUS[gpu]}): 149, NETIR_LINK_EVT Fatal XC0 i0 Link {link:02d} ({words})"


def timeout(gpu, link=3):
    return (
        f"NVRM: Xid (PCI:{GPUS[gpu]}): 145, RLW_SRC_TRACK Nonfatal XC1 i0 Link {link:02d}"
        f" (0x040868e2 0x00000008 {ZEROS})"
    )


def cleanup(gpu, cause=None):
    return f"NVRM: Xid (PCI:{GPUS[gpu]}): 45, pid=77, name=python3, Ch 00000001" + (
        f" caused by previous Xid {cause}" if cause else ""
    )


def legacy(gpu, link, word=0x200000):
    return (
        f"NVRM: Xid (PCI:{GPUS[gpu]}): 74, pid='<unknown>', name=<unknown>, NVLink: fatal error detected on"
        f" link {link}({word:#x}, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0)"
    )


def found(*messages, ends=NO_ENDS, step_s=0.01):
    reader = LogReader(2e9)
    lines = [f"[{100 + i * step_s:12.6f}] {message}" for i, message in enumerate(messages)]
    return incidents([e for line in lines for e in reader.feed(line)], ends)


def origin(*messages, **options):
    (incident,) = found(*messages, **options)
    return incident.origin


def test_one_local_link_fault_and_the_echoes_of_all_others():
    (incident,) = found(
        timeout(1), timeout(2), link_down(0, 14, 4), timeout(3), cleanup(0, 149), cleanup(2, 145)
    )
    o = incident.origin
    assert (o.pci_bus_id, o.link, o.sure, o.blames) == (IDS[0], 14, "likely", "local")
    assert "3 others reported Xid 145, 45" in incident.summary
    assert incident.severity == "critical"
    assert "reset" in incident.next_step


def test_a_rack_where_one_gpu_lost_a_link_and_the_line_has_no_words():
    o = origin(
        f"NVRM: Xid (PCI:{GPUS[0]}): 149, NETIR_LINK_DOWN Fatal XC0 i0 Link 14",
        *(timeout(i) for i in (1, 2, 3)),
    )
    assert (o.pci_bus_id, o.link, o.sure) == (IDS[0], 14, "likely")
    assert "other end cannot be excluded" in o.reason


def test_only_the_clean_up_names_the_cause():
    o = origin(cleanup(2, 149), cleanup(0, 145), cleanup(1, 145), cleanup(2, 149), cleanup(3, 145))
    assert (o.pci_bus_id, o.link, o.sure) == (IDS[2], None, "possible")


def test_the_other_end_is_blamed_and_named_if_the_layout_is_known():
    alone = origin(link_down(0, 5, 33), timeout(1))
    assert alone.pci_bus_id is None
    assert alone.other_end_of == (IDS[0], 5)
    assert alone.blames == "remote-end"
    ends = LinkEnds({IDS[3]: "GPU 3"}, {(IDS[0], 5): End(IDS[3], 7)})
    (incident,) = found(link_down(0, 5, 33), timeout(1), ends=ends)
    assert (incident.origin.pci_bus_id, incident.origin.link) == (IDS[3], 7)
    assert "GPU 3 (0000:61:00.0)" in incident.summary


def test_an_nvswitch_at_the_other_end_of_all_links():
    ends = LinkEnds({}, {(IDS[i], 5): End("00000000:87:00.0", i, switch=True) for i in range(4)})
    o = origin(*(link_down(i, 5, 33) for i in range(4)), ends=ends)
    assert (o.switch, o.pci_bus_id, o.link) == ("00000000:87:00.0", None, None)
    unnamed = origin(*(link_down(i, 5, 33) for i in range(4)))
    assert unnamed.sure == "possible"
    assert "NVSwitch" in unnamed.reason


def test_a_gpu_off_the_bus_explains_the_links_of_the_others():
    lost = f"NVRM: Xid (PCI:{GPUS[2]}): 79, GPU has fallen off the bus."
    o = origin(legacy(0, 3), legacy(1, 4), lost, cleanup(3))
    assert (o.pci_bus_id, o.sure) == (IDS[2], "certain")


def test_several_off_the_bus_at_once_have_no_culprit():
    lines = [f"NVRM: Xid (PCI:{gpu}): 79, GPU has fallen off the bus." for gpu in GPUS]
    o = origin(*lines)
    assert (o.sure, o.pci_bus_id) == ("unknown", None)
    assert "cannot be determined" in o.reason
    first = origin(*lines, step_s=5.0)
    assert (first.sure, first.pci_bus_id) == ("possible", IDS[0])


def test_all_ends_report_74():
    (incident,) = found(*(legacy(i, 2) for i in range(4)))
    assert incident.origin.sure == "unknown"
    assert "cannot be determined" in incident.summary
    assert "first Xid 149, 74 or 79" in incident.next_step


def test_registers_separate_the_first_error_from_its_consequence():
    o = origin(legacy(0, 2, 0x100000), legacy(1, 5, 0x200000), legacy(2, 2, 0x2))
    assert (o.pci_bus_id, o.link, o.sure) == (IDS[1], 5, "likely")


def test_two_ends_of_one_link_report_74():
    ends = LinkEnds({}, {(IDS[0], 2): End(IDS[1], 4), (IDS[1], 4): End(IDS[0], 2)})
    o = origin(legacy(0, 2), legacy(1, 4), ends=ends)
    assert (o.pci_bus_id, o.link, o.sure) == (IDS[0], 2, "likely")
    assert "cannot be determined" in o.reason


def test_a_storm_of_145_has_no_culprit():
    (incident,) = found(*(timeout(i % 4, i % 18) for i in range(40)), *(cleanup(i, 145) for i in range(4)))
    assert incident.origin.sure == "unknown"
    assert "cannot be determined" in incident.summary
    assert len(incident.events) == 44


def test_a_fatal_145_is_a_fault_of_its_own_gpu():
    fatal = (
        f"NVRM: Xid (PCI:{GPUS[1]}): 145, RLW_SRC_TRACK Fatal XC0 i0 Link 02 (0x040868e2 0x00000001 {ZEROS})"
    )
    o = origin(timeout(0), fatal, timeout(2))
    assert (o.pci_bus_id, o.blames) == (IDS[1], "local")


def test_bit_errors_blame_nobody_else():
    words = f"0x00086226 0x00000001 {ZEROS}"
    ber = f"NVRM: Xid (PCI:{GPUS[1]}): 149, NETIR_BER_EVENT Nonfatal XC0 i0 Link 03 ({words})"
    (incident,) = found(ber)
    assert incident.severity == "notice"
    # A real link fault beside it is the culprit.
    assert origin(ber, link_down(3, 1, 2), timeout(0)).pci_bus_id == IDS[3]


def test_software_took_the_link_down():
    o = origin(link_down(2, 9, 38), timeout(1))
    assert (o.pci_bus_id, o.link, o.blames) == (IDS[2], 9, "application")


def test_a_forbidden_access_is_a_programs():
    access = f"NVRM: Xid (PCI:{GPUS[1]}): 137, RLW_RXPIPE interrupt hit on link 11 on GPU0: PRIV Error"
    o = origin(timeout(1, 11), access)
    assert (o.pci_bus_id, o.link, o.blames) == (IDS[1], 11, "application")


def test_a_port_of_an_nvswitch():
    port = "nvidia-nvswitch0: SXid (PCI:0000:87:00.0): 20034, Fatal, Link 33 LTSSM Fault Up"
    o = origin(port, legacy(0, 3), legacy(1, 3))
    assert (o.switch, o.link, o.sure) == ("00000000:87:00.0", 33, "likely")
    inside = "nvidia-nvswitch0: SXid (PCI:0000:87:00.0): 22003, Fatal, Link 00 MINION HALT"
    o = origin(legacy(0, 3), legacy(1, 3), inside)
    assert (o.switch, o.sure) == ("00000000:87:00.0", "likely")
    o = origin(port, f"NVRM: Xid (PCI:{GPUS[2]}): 79, GPU has fallen off the bus.")
    assert (o.pci_bus_id, o.switch) == (IDS[2], None)


def test_a_correctable_error_of_an_nvswitch_is_not_a_gpu():
    (incident,) = found(
        "nvidia-nvswitch11: SXid (PCI:0000:c5:00.0): 20012, Non-fatal, Link 07 RX Short Error"
    )
    assert (incident.origin.switch, incident.origin.pci_bus_id) == ("00000000:C5:00.0", None)
    assert incident.summary.startswith("Port 7 of NVSwitch 0000:c5:00.0")
    assert "GPU" not in incident.summary


def test_a_clean_up_names_the_bus_loss_that_the_log_lacks():
    o = origin(cleanup(1, 79))
    assert (o.pci_bus_id, o.sure) == (IDS[1], "likely")


def test_a_message_that_names_no_gpu():
    (incident,) = found("NVRM: Xid (PCI:0000:43:): 74, NVLink: fatal error detected on link 2(0x200000, 0x0)")
    assert "do not name the GPU" in incident.summary


def test_requested_recovery_actions_are_what_remains():
    change = "NVRM: Xid (PCI:{}): 154, GPU recovery action changed from {} to {}"
    reset = ("0x0 (None)", "0x1 (GPU Reset Required)")
    (incident,) = found(link_down(0, 1, 4), change.format(GPUS[0], *reset), change.format(GPUS[1], *reset))
    assert f"GPU Reset Required (GPU {short(IDS[0])}, GPU {short(IDS[1])})" in incident.next_step
    (incident,) = found(
        link_down(0, 1, 4), change.format(GPUS[0], *reset), change.format(GPUS[0], *reset[::-1])
    )
    assert "requests" not in incident.next_step


def test_unrelated_faults_are_incidents_of_their_own():
    page_fault = "NVRM: Xid (PCI:{}): 31, pid=4, name=a, Ch 00000008"
    assert len(found(page_fault.format(GPUS[0]), page_fault.format(GPUS[1]).replace("31", "13"))) == 2
    assert len(found(link_down(0, 1, 4), link_down(0, 1, 4), step_s=100)) == 2
    memory = "NVRM: Xid (PCI:{}): 64, Row Remapper: failed"
    assert len(found(memory.format(GPUS[0]), memory.format(GPUS[1]))) == 2
    (one,) = found(*(page_fault.format(gpu) for gpu in GPUS))
    assert one.origin.blames == "application"


@pytest.mark.parametrize("count", [3000])
def test_a_storm_keeps_the_line_that_shows_the_culprit(count):
    (incident,) = found(*(timeout(i % 4) for i in range(count)), link_down(2, 7, 4))
    assert (incident.origin.pci_bus_id, incident.origin.link) == (IDS[2], 7)
    assert incident.left_out == count + 1 - len(incident.events)
    assert len(incident.events) < 1200
