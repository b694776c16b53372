"""The help screen."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from nvltop import __version__
from nvltop.tui.keys import KEYS, MOUSE, KeyEntry
from nvltop.tui.widgets.dismiss_once import DismissOnce

COST_INTERVAL_S: Final = 1.0
HELP_WIDTH: Final = 78
KEY_WIDTH: Final = 14
"""Columns of the names of keys; longer names move the text to the right."""
HELP_TITLE = f"nvltop {__version__}: the NVLinks of this machine's GPUs\n\nWHAT WATCHING COSTS NOW"
ABOUT_TABS: Final = """\
TABS
  Links       every link: % of its speed, TX above RX, in a colour for its
              share of what NCCL reaches; DOWN fault, dn not connected, zz
              asleep, nt traffic disabled, ? unknown, ! errors since start,
              or a finding
  Errors      every error counter of links and NICs that is not 0: lifetime,
              since start, last change
  Health      findings with evidence and next step, checks that passed, and
              checks that could not be made
  Events      what happened, with its end and cause; in the logs before the
              start as well. Events! and the header's last line: something new
  Processes   processes and their GPUs, grouped by job, with the NVLink
              traffic of each job
              COMM%: share of the time with NVLink traffic; LATE: by how much
              its traffic begins after (+) that of other GPUs or before (-)
  History     traffic of node, GPU, link or NIC over a minute to a day
"""
ABOUT: Final = """\
COLUMNS
  TX, RX      out of and into the GPU of the row, never added
  GB/s        10^9 bytes a second of data, without protocol overhead ("RAW"
              where the driver counts data and protocol together)
  PCIe, C2C TX, RX, SM MHz, PWR MAX, THROTTLED
              off at first, see Setup; THROTTLED is the reason and its share
              of the last 10 s
  %SPD        the busier direction, in % of the speed of the links that are
              up (as reported by NVML: 26.562 GB/s a link on H100)
  LINKS       links up / links present. Fewer up than present is by design on
              bridged PCIe cards (12 of 18 on a pair of H100 NVL)
  ERR         link errors since the driver was loaded; red if they rose
              since nvltop was started
  NICs        MAX is the speed of the port; on RoCE, TX and RX are RDMA only,
              IP TX and IP RX the other traffic; NEAREST GPU as in
              `nvidia-smi topo -m`
  ?           could not be read; the last line shows the reason while the
              GPU or link is selected
  -           not applicable, such as traffic on a link that is down

SPARKLINES
  The newest readings, two in a column, or means of 1 or 2 s (see Setup); the
  title states the time that they cover. Blank is unknown. Full height is what
  NCCL reaches on the links that are up (on nodes without NVLink, the fastest
  PCIe link).

METERS
  TX and RX are the sums over all GPUs. The mark on the bar is NCCL max, the
  share of the speed that NCCL reaches (78 % on H100, 76 % on B200). `+?`: one
  GPU could not be read; in ERR, one counter. What is dim is the last value
  that was read; the tab row says how old it is.

MATRIX
  One line ("topology") where all pairs are alike; else, and with m, as in
  `nvidia-smi topo -m`: NV# is the number of links between two GPUs, else the
  PCIe path: PIX PXB PHB NODE SYS, from near to far. *NV#: fewer links than
  between the other pairs. Red NV#: the links exist, but peer-to-peer access
  over them is refused. Behind NVSwitches NVML does not report the traffic of
  pairs of GPUs: ≈ is an estimate.

IS NVLINK WORKING, AND IS IT MY BOTTLENECK?
  See the third line of the header; Health lists what was checked and what
  could not be. NVLink limits a job while it is at 90 % of NCCL max, unless
  computation hides the traffic: "may limit" means that this is not known. An
  NVLS all-reduce reaches 80 % of NCCL max on Hopper, 69 % on Blackwell. All
  numbers are means over complete steps, about a minute, and rates are means
  while there is traffic. Without NVSwitches the links between two GPUs are a
  limit of their own: the numbers are then those of the busiest pair.
  busbw of nccl-tests for an all-reduce among n GPUs, from the rate R of one
  GPU and direction: R for a ring, R x 2 (n - 1) / (n + 1) for NVLS. The
  counters do not show which of them it is.

WHICH GPU IS cuda:3?
  Rows are in NVML's order, usually that of the PCI bus. CUDA puts the
  fastest first unless CUDA_DEVICE_ORDER=PCI_BUS_ID, and CUDA_VISIBLE_DEVICES
  hides some and renumbers the others. Compare bus ids: a wide screen shows
  them in the table; in CUDA use cudaDeviceGetPCIBusId.

WHY DOES nccl-tests REPORT ANOTHER NUMBER?
  Its busbw is computed from the size of the data and the algorithm, not from
  bytes on the wire. With NVLS the switches do part of an all-reduce, so that
  fewer bytes cross the links than busbw suggests.

DOES WATCHING DISTURB THE TRAINING?
  nvltop reads the counters with one driver call per GPU and interval, and
  other values at most once a second. If the driver is slow, it reads less
  often, and shows this. The screen is drawn once a second, or once in an
  interval if that is longer, and at once after a key.

Esc, q or F1 closes this help."""


def help_text() -> str:
    """Return the text of the help: the keys, made from the table of keys, then tabs, columns and answers."""
    parts = []
    for tab, entries in KEYS.items():
        parts.append(f"{'KEYS' if not tab else tab.upper()}\n" + "\n".join(map(_key_lines, entries)))
    mouse = textwrap.fill(MOUSE, HELP_WIDTH, initial_indent="  ", subsequent_indent="  ")
    parts.insert(1, f"MOUSE\n{mouse}")
    return "\n" + "\n\n".join([*parts, ABOUT_TABS.rstrip(), ABOUT])


def _key_lines(entry: KeyEntry) -> str:
    """Return the lines of one entry; the text begins at the same column in all of them."""
    begin = f"  {entry.keys:{KEY_WIDTH}} "
    return textwrap.fill(entry.text, HELP_WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin))


class HelpScreen(DismissOnce[None]):
    """The list of all keys, tabs and columns, and answers to common questions."""

    CSS = "HelpScreen > VerticalScroll { width: 100%; height: 100%; background: ansi_default; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f1,h,question_mark,f10,enter", "dismiss", "Close"),
    ]

    def __init__(self, cost: Callable[[], str], title: str = HELP_TITLE, text: str = "") -> None:
        """Show a text, by default that about the main screen."""
        super().__init__()
        self._title, self._text = title, text or help_text()
        self._cost = cost
        self._costs = Static(f"  {cost()}", markup=False)

    def compose(self) -> ComposeResult:
        """Show title, cost and text."""
        with VerticalScroll():
            yield Static(self._title, markup=False)
            yield self._costs
            yield Static(self._text, markup=False)

    def on_mount(self) -> None:
        """Update the cost regularly."""
        self.set_interval(COST_INTERVAL_S, lambda: self._costs.update(f"  {self._cost()}"))
