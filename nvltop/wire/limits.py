"""Limits of a stream of items, so that hostile input cannot use unlimited memory."""

from __future__ import annotations

from typing import Final

MAX_GPUS: Final = 1024
"""Highest number of GPUs."""
MAX_LINKS: Final = 1 << 14
"""Highest number of links of all GPUs; 72 GPUs with NVLink 6 have 2592."""
MAX_COUNTERS: Final = 1 << 16
"""Highest number of counters, states and processes in the newest readings. Each becomes an object of half a
kilobyte or more. 72 GPUs with 36 links and 13 kinds of errors have 34 000."""
MAX_STATE: Final = 32 << 20
"""Highest size of the text of the newest readings, in bytes."""
