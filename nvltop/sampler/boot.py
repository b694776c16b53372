"""Start of the worker process: which modules it imports only when they are used.

The standard library and nvltop itself import some modules for functions that the worker never or rarely
calls: `inspect` for `dataclasses`, decoders for a kernel log that it may not read. They would take 4 MB, a
sixth of the memory of the worker. This module imports none of them.
"""

from __future__ import annotations

from nvltop.postponed import postpone

POSTPONED = (
    "base64", "copy", "datetime", "glob", "inspect", "ipaddress", "locale", "selectors", "shlex", "shutil",
    "socket", "subprocess", "tempfile", "unicodedata",
    "nvltop.kernel_log.decode", "nvltop.kernel_log.driver", "nvltop.kernel_log.fabric",
)  # fmt: skip
"""Modules for which nothing but their attributes is used where they are imported."""


def main() -> None:
    """Run the worker, in which `POSTPONED` are imported when they are first used."""
    postpone(POSTPONED)
    from nvltop.sampler.worker import main as run

    run()
