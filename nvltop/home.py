"""The user's own folders: home, and those of the XDG Base Directory Specification.

platformdirs is not used: it would write below the current folder if XDG variables are relative or the user
has no home folder, and importing it takes 10 ms.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str]) -> Path | None:
    """Return the home folder from HOME or the passwd database; None for a user without one.

    A relative HOME is ignored, so that no file of ours is read from or written to the current folder.
    """
    folder = environ.get("HOME", "")
    if not os.path.isabs(folder):
        try:
            folder = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return None
    return Path(folder) if os.path.isabs(folder) else None


def xdg_folder(environ: Mapping[str, str], variable: str, default: str) -> Path | None:
    """Return nvltop's folder below the folder that an XDG variable names, or below `default` in the home.

    As the specification says, a relative variable is ignored. None for a user without a home folder.
    """
    root = environ.get(variable, "")
    if os.path.isabs(root):
        return Path(root, "nvltop")
    at_home = home(environ)
    return at_home / default / "nvltop" if at_home else None
