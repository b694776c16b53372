"""Whatever a log holds, decoding it neither fails nor gives impossible values."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.kernel_log.decode import decode
from nvltop.kernel_log.reader import LogReader
from nvltop.model import BLAMES, LOG_KINDS

PIECES = st.sampled_from(
    [
        "NVRM: ", "Xid ", "(PCI:0000:3b:00)", "(PCI:10018:01:00 GPU-I:01)", ": ", "149", "145", "74",
        "45", ", ",
        "pid='<unknown>', name=", "NETIR_LINK_EVT ", "RLW_SRC_TRACK", "Fatal XC0 i0 Link ",
        "Nonfatal  XC1 i0 Link",
        "-1", "14", " (0x004525c6 0x00000008", ")", " caused by previous Xid 149", "[  12.5] ", "3,1,5,-;",
        "{\"MESSAGE\":\"", "\"}", "nvidia-nvswitch0: SXid (PCI:0000:05:00.0): 20034, Fatal, Link 62",
        "[Jul 23 2024 07:53:55] [ERROR] [tid 1] ", "May 18 10:11:12 host kernel: ", "2026-13-45T99:99:99 ",
        "NVLink: fatal error detected on link 3(0x1", "\n", "\x1b[2J", "\u202e", "é",
    ]
)  # fmt: skip
LINES = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=12).map("".join))


@given(LINES)
@settings(max_examples=300)
def test_a_message_never_fails(text):
    fault = decode(text)
    if fault is not None:
        assert fault.kind in LOG_KINDS
        assert fault.blames in BLAMES
        assert fault.link is None or fault.link >= 0


@given(st.lists(LINES, max_size=8))
@settings(max_examples=200)
def test_a_log_never_fails(lines):
    reader = LogReader(1.7e9)
    found = [event for line in lines for event in reader.feed(line)] + list(reader.close())
    for event in found:
        assert event.uptime_s is None or event.uptime_s >= 0
        assert event.source in ("kernel", "fabric-manager", "imex")
