"""Limits of what a stream of items may contain, so that hostile input stays bounded in memory."""

from __future__ import annotations

from typing import Final

MAX_GPUS: Final = 1024
"""Number of GPUs."""
MAX_LINKS: Final = 1 << 14
"""Number of links of all GPUs; 72 GPUs with NVLink 6 have 2592."""
MAX_COUNTERS: Final = 1 << 16
"""Number of counters and states of all links and ports, and processes. Each becomes an object of half a
kilobyte or more. 72 GPUs with 36 links and 13 kinds of errors have 34 000."""
MAX_STATE: Final = 32 << 20
"""Size of the text of all the newest readings, in bytes."""
