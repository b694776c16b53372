"""Limits of what a stream of items may contain, so that hostile input stays bounded in memory."""

from __future__ import annotations

from typing import Final

from nvltop.model import GROUPS

GROUP_NAMES: Final = tuple(GROUPS.values())
LINKS: Final = GROUP_NAMES.index("links")
HOST: Final = -1

MAX_GPUS: Final = 1024
MAX_LINKS: Final = 1 << 14
"""Links of all GPUs together; 72 GPUs with NVLink 6 have 2592."""
MAX_COUNTERS: Final = 1 << 16
"""Counters and states of all links and ports, and processes, together: each becomes an object of half a
kilobyte or more, from a few bytes of text. 72 GPUs with 36 links and 13 kinds of errors have 34 000."""
MAX_STATE: Final = 32 << 20
"""Bytes that all the newest readings together may take as text."""
