"""Where the user's own files are."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str]) -> Path | None:
    """Return the user's home folder, from HOME or the passwd database; None if there is none.

    A relative HOME is ignored: files of ours are neither read from nor written to the current folder.
    """
    named = environ.get("HOME", "")
    if not os.path.isabs(named):
        try:
            named = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return None
    return Path(named) if os.path.isabs(named) else None
