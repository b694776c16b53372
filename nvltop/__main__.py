"""The entry point of `nvltop` and `python -m nvltop`."""

import sys

from nvltop.importpath import drop_current_folder


def main() -> int:
    """Run nvltop without importing from the current folder; return the exit code."""
    drop_current_folder()
    # Imported after that, because it imports much of the standard library.
    from nvltop.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
