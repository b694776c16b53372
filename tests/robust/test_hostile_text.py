"""Hostile names of GPUs, NICs and the host must not reach the terminal as control sequences."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from tests.sysfs import Tree

EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e[@click=app.quit]x[/]\x00\x7f\ud83d"
HOSTILE = """
import os
system, _, *rest = os.uname()
os.uname = lambda: os.uname_result((system, {evil!r}, *rest))

def hostile(address, size, text):
    if "H100" in text or text.startswith("GPU-"):
        text = text[:12] + {evil!r}
    import ctypes
    raw = text.encode("utf-8", "surrogatepass")[: size - 1] + b"\\0"
    ctypes.memmove(address, raw, len(raw))
    return 0
from nvltop.nvml.simulated import functions
functions.put_text = hostile
from pathlib import Path
from nvltop.host.nics import NicTable
from nvltop.nvml.simulated import nics
nics.SimulatedNics = lambda library: NicTable(Path({tree!r}))
"""
NIC = "\x1b]0;pwned\x07\x9b31m\u202e"
"""A hostile but valid name of a file or an interface."""
SEQUENCES = re.compile(
    rb"\x1b(?:\[[0-9;?>=<$ ]*[a-zA-Z@`~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[=>78cM]|P[^\x1b]*\x1b\\)"
)


def hostile_nics(root: Path) -> None:
    tree = Tree(root)
    port = tree.rdma(NIC, tree.pci("0000:18:00.0", ("pci0000:15",)))
    for name in ("state", "phys_state", "rate", "link_layer", "counters/port_xmit_data"):
        (port / name).write_bytes(EVIL.encode("utf-8", "surrogatepass"))
    tree.net(f"eth{NIC}", tree.pci("0000:19:00.0", ("pci0000:15",)))


def test_no_hostile_sequence_reaches_the_terminal_from_any_tab(tmp_path):
    hostile_nics(tmp_path / "sys")
    code = HOSTILE.replace("{evil!r}", ascii(EVIL)).replace("{tree!r}", ascii(str(tmp_path / "sys")))
    (tmp_path / "sitecustomize.py").write_text(code)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    path = os.pathsep.join(filter(None, (str(tmp_path), os.getcwd(), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", "nvltop", "--demo", "--scenario", "errors"],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env=os.environ | {"PYTHONPATH": path, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        | {"COLUMNS": "160", "LINES": "40"},
    )  # fmt: skip
    os.close(slave)
    received = b""

    def read_until(word: bytes, seconds: float = 20.0) -> None:
        nonlocal received
        begin, end = len(received), time.monotonic() + seconds
        while word not in received[begin:]:
            assert time.monotonic() < end, f"{word!r} never came"
            if select.select([master], [], [], 0.2)[0]:
                received += os.read(master, 1 << 16)

    read_until(b"144/144")
    for keys, word in (
        (b"2", b"link 0"), (b"3", rb"NIC eth\x1b]0;pwned"), (b"4", b"fine"), (b"5", b"EVENT"),
        (b"6", b"COMMAND"), (b"7", b"last 5 min"), (b"1", b"UTIL"),
        (b"\r\r", b"since the driver loaded"), (b"\x1b", b"UTIL"),
    ):  # fmt: skip
        os.write(master, keys)
        read_until(word)
    os.write(master, b"q")
    end = time.monotonic() + 10.0
    while process.poll() is None and time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                received += os.read(master, 1 << 16)
            except OSError:
                break
    assert process.wait(20.0) == 0
    assert rb"\x1b" in received, "the names are shown, made harmless"
    assert b"pwned\x07" not in received
    rest = SEQUENCES.sub(b"", received)
    assert b"\x1b" not in rest, rest[max(0, rest.index(b"\x1b") - 40) : rest.index(b"\x1b") + 40]
    text = rest.decode("utf-8")
    assert not {c for c in text if not c.isprintable()} - set("\r\n\x0f\x0e")
    for osc in re.findall(rb"\x1b\]([^\x07\x1b]*)", received):
        assert b"pwned" not in osc
