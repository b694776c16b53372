"""The text of the help for many nodes."""

from __future__ import annotations

from typing import Final

HELP_TEXT: Final = """\

KEYS
  Tab 1-3     next tab, a tab by its number      Shift-Tab  previous tab
  Up Down PgUp PgDn Home End   select (mouse: click, double click, wheel)
  Enter       open the selection: a node's GPUs, a GPU's links
  Esc         back
  F2 S        setup: theme, units, Unicode
  F3 /        search while you type              F4 \\  filter the list
  F5 t        nodes by NVLink domain, or one list
  F6 > .      sort by a column (or click on its title)   I  reverse order
  D           remove a node that is silent, until it answers again
  Z           pause: the screen is frozen, Prometheus is still asked
  Ctrl-L      redraw the screen            Ctrl-Z  suspend (fg to resume)
  F1 h ?      this help                    F10 q   quit

TABS
  Nodes       a row for each node that was scraped in the last 24 hours, by
              NVLink domain (cluster UUID and clique); below it the worst
              links and the events of the selected node's domain
  Links       links with errors or findings, the worst first
  Events      findings and Xids of the last hour in order of time

COLUMNS
  TX, RX      out of and into the GPUs of the node, never added; GB/s is 10^9
              bytes a second
  %MAX        the busier direction, in % of what NCCL reaches on the links
              that are up
  ERR         link errors in the window that the tab row states
  STEP        step period of the job on the node
  AGE         time since nvltop on the node read the values
  +?          a GPU of the node is not in this sum; in words: + 1 unknown
  ?           unknown: the node is silent, or does not export the value
  silent      no scrape for three scrape intervals; all values are unknown
  job without traffic, carries traffic ...   verdict of nvltop on the node

WHO BEGAN
  An Xid that only a faulty GPU logs is marked "began". What its peers in the
  NVLink domain log in the next two minutes "follows" and shares a row. Times
  of Xids are those of the nodes' kernel logs, so their clocks matter; ~ marks
  the time of a scrape.

WHERE THE VALUES COME FROM
  From nvltop --serve on each node, by way of Prometheus. All rates have one
  window and all error counts another; the tab row states both. Without
  metrics of nvltop, those of dcgm-exporter are shown: per GPU only.

Esc, q or F1 closes this help."""
