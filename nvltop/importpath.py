"""Which folders Python may load code from: never the current one, unless nvltop itself comes from there.

The current folder can belong to anybody (`/tmp`, another user's job), and nvltop is run as root too
(CWE-427). Imports only what the interpreter has loaded by itself: any other import could already come
from there.
"""

import os
import sys

import nvltop


def trusted_entries(entries: list[str], package: str = "") -> list[str]:
    """Return the entries of a `sys.path` that code may be loaded from, made absolute.

    Left out are the empty string, relative entries and the current folder, unless `package` (by default the
    folder or archive from which nvltop was imported) is that entry. Folders of the interpreter itself stay.
    """
    try:
        here = os.getcwd()
    except OSError:
        here = ""  # it was deleted: relative entries lead nowhere
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
    """Make `sys.path` one that code may be loaded from."""
    sys.path[:] = trusted_entries(sys.path)


def _same_file(a: str, b: str) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)


def _in_interpreter(path: str) -> bool:
    """Whether a path is in the standard library, or where the interpreter's packages are installed."""
    user_site = getattr(sys.modules.get("site"), "USER_SITE", None)
    real = os.path.realpath(path) + "/"
    for root in (sys.prefix, sys.exec_prefix, sys.base_prefix, user_site):
        if root and os.path.realpath(root) != "/" and real.startswith(os.path.realpath(root) + "/"):
            return True
    return False
