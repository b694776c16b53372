"""The help screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from nvltop import __version__
from nvltop.tui.widgets.dismiss_once import DismissOnce

COST_INTERVAL_S: Final = 1.0
HELP_TITLE = f"nvltop {__version__}: the NVLinks of this machine's GPUs\n\nWHAT WATCHING COSTS NOW"
HELP_TEXT = """\

KEYS
  Tab 1-9     next tab, a tab by its number      Shift-Tab  the tab before
  Up Down PgUp PgDn Home End   select (mouse: click, double click, wheel)
  Enter       into what is selected: a GPU's links, a link, a pair of GPUs
  Esc         back
  F2 S        setup: theme, refresh, units, meters, columns; kept in a file
  F3 /        search while you type              F4 \\  list only what matches
  F5 t        matrix, links or NICs, where not all fit; Processes: tree
  F6 > .      sort by a column (or click on its title)   I  invert the order
  m           Main: into the matrix, Left and Right from cell to cell
  ] [         Main: the NICs after and before those that are seen
  e           Main: an estimate of what pairs send through NVSwitches, or not
  b           Errors: count from now on; the device's own counters stay
  F9 k        Processes: signal the selected or the tagged ones, after asking
  Space U     Processes: tag, untag all   u  only one user's   F  follow
  + - p l     History: longer, shorter, PCIe or NVLink, the link alone
  Left Right  Links: link to link   History: the cursor   a link's page: the
              neighbour
  Z           pause: the picture stands still, sampling goes on
  Ctrl-L      draw the screen anew         Ctrl-Z  suspend (fg comes back)
  Ctrl-P      all commands by name
  F7 r        record into a new file in this folder (redacted), and stop
  F8 w        write a snapshot for a bug report into this folder (redacted)
  F1 h ?      this help                    F10 q   quit

TABS
  Links       every link: % of its speed, TX over RX; dn down, zz asleep, nt
              no traffic allowed, ? unknown, ! errors since start or a
              finding
  Errors      every error counter of links and NICs that is not 0: lifetime,
              since start, last change
  Health      what is wrong with evidence and next step, what is fine, what
              is unknown
  Processes   who is on which GPU, grouped by job, with the job's NVLink
              traffic
  History     traffic of node, GPU, link or NIC over a minute up to a day

REPLAY (--replay FILE)
  Space       stop and go on      .    one picture on     < >  slower, faster
  g           to a time: 1:30 from the beginning, or 14:02:11 of the day
  Left Right  10 s back and on    n N  to the next mark, to the one before (!
              on the timeline: an event, an error that rose, a link that
              changed)

COLUMNS
  TX, RX      out of and into the GPU of the row, never added up
  GB/s        10^9 bytes a second, of data, without protocol ("RAW" is said
              where the driver counts data with protocol only)
  %SPD        the busier direction, in % of what the up links can carry a
              direction (NVML's own figure: 26.562 GB/s a link on H100)
  LINKS       links up / links present. Fewer up than present is by design on
              bridged PCIe cards (12 of 18 on a pair of H100 NVL)
  ERR         link errors since the driver was loaded; red when they rose
              since nvltop was started
  NICs        MAX is what a port can carry; on RoCE TX and RX are RDMA alone,
              IP TX and IP RX what goes beside it; NEAREST GPU as `nvidia-smi
              topo -m` has it
  ?           could not be read; the reason stands at the end of the last
              line while the GPU or link is selected
  -           does not exist, such as traffic on a link that is down

SPARKLINES
  One column a second, the newest whole second at the right; a blank is a
  second of which nothing is known. The scale is fixed: full is the speed of
  the link or of the GPU's up links (on nodes without NVLink 64 GB/s, which
  is PCIe 5.0 x16).

METERS
  TX and RX are all GPUs together. The mark on the bar is NCCL max: what NCCL
  reaches in practice of the speed (78 % on H100, 76 % on B200).

MATRIX
  As in `nvidia-smi topo -m`: NV# is the number of links between two GPUs,
  else the PCIe way: PIX PXB PHB NODE SYS, from near to far. Red NV#: the
  links are there, but peer-to-peer over them is refused. Behind NVSwitches
  NVML cannot tell which pair of GPUs traffic belongs to.

IS NVLINK WORKING, AND IS IT MY BOTTLENECK?
  The third line of the header answers; Health says what has been checked and
  what could not be. NVLink limits a job while it is at 90 % of NCCL max, and
  only as far as no computation hides the traffic: "may limit" says that this
  is not known. An NVLS all-reduce ends at 80 % of NCCL max on Hopper, 69 % on
  Blackwell. All numbers are of whole steps, of about a minute.
  busbw of nccl-tests for an all-reduce among n GPUs, from the rate R of one
  GPU and direction: R if it is a ring, R x 2 (n - 1) / (n + 1) if NVLS. The
  counters cannot tell which it is.

WHICH GPU IS cuda:3?
  Rows are in NVML's order, usually that of the PCI bus. CUDA puts the
  fastest first unless CUDA_DEVICE_ORDER=PCI_BUS_ID, and CUDA_VISIBLE_DEVICES
  leaves some out and gives the rest new numbers. Compare bus ids: they stand
  in the table of a wide screen; CUDA tells its own by cudaDeviceGetPCIBusId.

WHY DOES nccl-tests SAY ANOTHER NUMBER?
  Its busbw is worked out from the size of the data and the algorithm, not
  from bytes on the wire. With NVLS the switches do part of an all-reduce,
  and fewer bytes cross the links than busbw suggests.

DOES WATCHING DISTURB THE TRAINING?
  One batched driver call a GPU and refresh for the counters, the rest once a
  second or less; if the driver is slow, nvltop asks less often and says so.

Esc, q or F1 closes this help."""


class HelpScreen(DismissOnce[None]):
    """All keys, columns and words."""

    CSS = "HelpScreen > VerticalScroll { width: 100%; height: 100%; background: ansi_default; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f1,h,question_mark,f10,enter", "dismiss", "Close"),
    ]

    def __init__(self, cost: Callable[[], str]) -> None:
        super().__init__()
        self._cost = cost
        self._costs = Static(f"  {cost()}", markup=False)

    def compose(self) -> ComposeResult:
        """Show the text."""
        with VerticalScroll():
            yield Static(HELP_TITLE, markup=False)
            yield self._costs
            yield Static(HELP_TEXT, markup=False)

    def on_mount(self) -> None:
        """Keep the figures current."""
        self.set_interval(COST_INTERVAL_S, lambda: self._costs.update(f"  {self._cost()}"))
