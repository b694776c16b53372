"""The folders that Python may import from: not the current folder, unless nvltop itself is there.

The current folder may belong to anyone (`/tmp`, another user's job), and nvltop is also run as root
(CWE-427). This module imports only what the interpreter has already loaded, since any other import could
itself come from the current folder.
"""

import os
import sys

import nvltop


def trusted_entries(entries: list[str], package: str = "") -> list[str]:
    """Return the entries of a `sys.path` that may be imported from, as absolute paths.

    The empty string, relative entries and the current folder are removed, except `package` (by default the
    folder or archive from which nvltop was imported). Folders of the interpreter itself are kept.
    """
    try:
        here = os.getcwd()
    except OSError:
        here = ""  # it was deleted, so relative entries do not exist either
    home = package or os.path.dirname(os.path.dirname(os.path.join(here, nvltop.__file__)))
    kept = []
    for entry in entries:
        if not isinstance(entry, str) or not (here or os.path.isabs(entry)):
            continue
        path = os.path.normpath(os.path.join(here, entry))
        local = not os.path.isabs(entry) or (here != "" and _same_file(path, here))
        if not local or _same_file(path, home) or _in_interpreter(path):
            kept.append(path)
    return kept


def drop_current_folder() -> None:
    """Remove the entries of `sys.path` that must not be imported from."""
    sys.path[:] = trusted_entries(sys.path)


def _same_file(a: str, b: str) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)


def _in_interpreter(path: str) -> bool:
    """Return whether a path is in the standard library or a folder of installed packages."""
    user_site = getattr(sys.modules.get("site"), "USER_SITE", None)
    real = os.path.realpath(path) + "/"
    for root in (sys.prefix, sys.exec_prefix, sys.base_prefix, user_site):
        if root and os.path.realpath(root) != "/" and real.startswith(os.path.realpath(root) + "/"):
            return True
    return False
