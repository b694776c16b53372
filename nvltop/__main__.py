"""The entry point of `nvltop` and `python -m nvltop`."""

import gc
import sys

from nvltop.importpath import drop_current_folder

POSTPONED = ("ipaddress", "mimetypes", "ntpath", "shutil", "unicodedata")
"""Modules that Python and Textual import and that a screen does not use: 0.9 MB with what they import, such
as `bz2` and `lzma`."""


def main() -> int:
    """Run nvltop without importing from the current folder; return the exit code."""
    drop_current_folder()
    # Imported after that, because it imports much of the standard library. What imports make stays, so a
    # search for garbage finds none.
    gc.disable()
    from nvltop.postponed import postpone

    postpone(POSTPONED)
    from nvltop.cli import main as run

    gc.enable()
    return run()


if __name__ == "__main__":
    sys.exit(main())
