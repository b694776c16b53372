"""The program: `nvltop` and `python -m nvltop`."""

import sys

from nvltop.importpath import drop_current_folder


def main() -> int:
    """Run nvltop with nothing loaded from the current folder; returns the exit code."""
    drop_current_folder()
    # Only now: these import much of the standard library.
    from nvltop.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
