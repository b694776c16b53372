"""All keys of the screen: the table that the help, the function bar and the manual page are made from."""

from __future__ import annotations

from typing import Final, NamedTuple


class FunctionKey(NamedTuple):
    """One key of the function bar."""

    name: str
    label: str
    action: str


class KeyEntry(NamedTuple):
    """One action that has a key."""

    keys: str
    """Names of the keys, separated by blanks; the function bar shows the first one."""
    text: str
    label: str = ""
    """Label in the function bar; empty if the action is not shown there."""
    action: str = ""

    def on_bar(self, label: str = "") -> FunctionKey:
        """Return the entry for the function bar, with another label if one is given."""
        return FunctionKey(self.keys.split()[0], label or self.label, self.action)


HELP: Final = KeyEntry("F1 h ?", "this help", "Help", "app.help")
SETUP: Final = KeyEntry("F2 S", "setup: theme, interval, units, meters, columns; saved", "Setup", "app.setup")
SEARCH: Final = KeyEntry("F3 /", "search while you type; F3 again: the next match", "Search", "search")
FILTER: Final = KeyEntry("F4 \\", "list only what matches; Esc lists everything again", "Filter", "filter")
SORT: Final = KeyEntry("F6 > .", "sort by a column (or click on its title)", "SortBy", "sort_by")
RECORD: Final = KeyEntry(
    "F7 r", "record into a new file in this folder (redacted), or stop", "Record", "app.record"
)
SNAPSHOT: Final = KeyEntry(
    "F8 w", "write a snapshot for a bug report into this folder (redacted)", "Snap", "app.snapshot"
)
PICTURE: Final = KeyEntry("P", "write a picture of this tab (SVG) into this folder (redacted)")
QUIT: Final = KeyEntry("F10 q", "quit", "Quit", "app.quit")
OPEN: Final = KeyEntry("Enter", "open the selected GPU, link, NIC or pair of GPUs", "Open", "enter")
BACK: Final = KeyEntry("Esc", "go back; at a list: clear the filter, end a comparison", "Back", "close")
COMPARE: Final = KeyEntry(
    "b",
    "compare Errors and the page of a link with now, the start or a file; end it",
    "Compare",
    "app.compare",
)
ACKNOWLEDGE: Final = KeyEntry(
    "a", "acknowledge the events: the header counts new ones only", "Seen", "app.acknowledge"
)
SWAP: Final = KeyEntry("F5 t", "matrix, chart, links or NICs, where not all fit", "Links", "swap")
TREE: Final = KeyEntry("F5 t", "tree of jobs, or a list", "Tree", "tree")
KILL: Final = KeyEntry(
    "F9 k", "signal the selected process or the tagged ones, after asking (as in htop)", "Kill", "kill"
)
DETAILS: Final = KeyEntry("] [", "more lines of the text below the list, lines before")
SPAN_UP: Final = KeyEntry("]", "longer time", "Longer", "span(1)")
SPAN_DOWN: Final = KeyEntry("[", "shorter time", "Shorter", "span(-1)")
SUBJECT: Final = KeyEntry("Down Up", "what is shown: the node, a GPU, the NICs", "Next", "move(1)")
CURSOR: Final = KeyEntry("Left Right", "move the cursor; Esc removes it", "Cursor", "cursor(-1)")
LINES: Final = KeyEntry("v", "lines, or filled areas with minimum and maximum", "Lines", "lines")
PCIE: Final = KeyEntry("p", "PCIe, or NVLink", "PCIe", "pcie")

REPLAY_KEYS: Final = (
    KeyEntry("Space", "stop, continue", "Stop", "app.replay('pause')"),
    KeyEntry(".", "one frame forward", "Step", "app.replay('step')"),
    KeyEntry("<", "slower", "Slower", "app.replay('slower')"),
    KeyEntry(">", "faster", "Faster", "app.replay('faster')"),
    KeyEntry("g", "go to a time: 1:30 after the start, or 14:02:11 of the day", "GoTo", "app.go_to"),
    KeyEntry("n", "next mark (! on the timeline: an event, errors, a link that changed)", "Next",
             "app.replay('next')"),
    KeyEntry("N", "previous mark", "Prev", "app.replay('previous')"),
    KeyEntry("Left Right", "10 s back, 10 s forward"),
)  # fmt: skip
"""Keys of a replay, which come before those of the tabs."""

KEYS: Final[dict[str, tuple[KeyEntry, ...]]] = {
    "": (
        KeyEntry("Tab Shift-Tab", "next tab, previous tab"),
        KeyEntry("1-9", "a tab by its number"),
        KeyEntry("Up k", "up (k: not on Processes)"),
        KeyEntry("Down j", "down"),
        KeyEntry("PgUp PgDn Home End", "a page up or down, the first row, the last row"),
        OPEN,
        BACK,
        HELP,
        SETUP,
        SEARCH,
        KeyEntry("n N", "next match, previous match of the search"),
        FILTER,
        SORT,
        KeyEntry("I", "reverse the order"),
        COMPARE,
        ACKNOWLEDGE,
        RECORD,
        SNAPSHOT,
        PICTURE,
        KeyEntry("+ -", "longer or shorter interval of the readings (or click on + and - above)"),
        KeyEntry("Z", "pause: the screen is frozen, sampling goes on"),
        KeyEntry("Ctrl-L Ctrl-Z", "redraw the screen, suspend (fg to resume)"),
        KeyEntry("Ctrl-P", "all actions by name"),
        QUIT,
    ),
    "Main": (
        SWAP,
        KeyEntry("m Left Right", "select a cell of the matrix, move in its row"),
        KeyEntry("] [", "next and previous page of NICs"),
        KeyEntry("i", "select a NIC"),
        KeyEntry("x", "matrix of links, TX, % of NCCL max, P2P or errors"),
        KeyEntry("e", "matrix of links, or of the traffic of pairs"),
    ),
    "Links": (KeyEntry("Left Right", "select a link"),),
    "Health": (DETAILS, KeyEntry("R", "a job that hangs: ask NCCL which rank is behind")),
    "Events": (DETAILS,),
    "Processes": (
        TREE,
        KILL,
        KeyEntry("Space U", "tag, untag all"),
        KeyEntry("u", "one user only"),
        KeyEntry("R", "ask NCCL which rank of the job is behind"),
        KeyEntry("F", "follow the process, or stay at the row"),
    ),
    "History": (
        SUBJECT,
        CURSOR,
        SPAN_UP,
        SPAN_DOWN,
        PCIE,
        LINES,
        KeyEntry("l", "the link that is selected on Main or Links, or its GPU"),
    ),
    "Page of a GPU": (KeyEntry("Left Right", "previous GPU, next GPU"),),
    "Page of a link": (KeyEntry("Left Right", "previous link, next link"),),
    "Replay": REPLAY_KEYS,
}
"""Entries by the tab on which they work; those of the first group work everywhere."""
MOUSE: Final = (
    "A click selects a row or cell, a double click opens it. A click on a title sorts, the wheel scrolls; "
    "tabs, function keys and the header can be clicked. Hold Shift to select text."
)
