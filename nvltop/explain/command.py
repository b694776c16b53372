"""The command `--explain`: reads a log, prints what it holds, and returns the exit code."""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
from typing import Final

from nvltop.explain.explain import explain
from nvltop.explain.json import as_object
from nvltop.explain.source import ExplainError, Source
from nvltop.explain.text import lines
from nvltop.text import print_message

NOTHING: Final = 0
FOUND: Final = 1
FAILED: Final = 3
WIDEST: Final = 120


def run(name: str, as_json: bool, ascii_only: bool) -> int:
    """Explain a log, or stdin for `-`; return `NOTHING`, `FOUND` or `FAILED`."""
    try:
        source = Source(name)
        # Nothing that is made here refers to itself, and there is much of it.
        gc.disable()
        try:
            found = explain(source)
        finally:
            gc.enable()
            source.close()
    except ExplainError as error:
        print_message(str(error))
        return FAILED
    # A reader that has seen enough (`| head`) changes nothing about what was found.
    with contextlib.suppress(BrokenPipeError):
        if as_json:
            print(json.dumps(as_object(found), ensure_ascii=ascii_only))
        else:
            width = min(max(shutil.get_terminal_size().columns, 60), WIDEST)
            for line in lines(name, found, width):
                print(line)
    if found.problem is not None:
        print_message(f"{found.problem}; what came before it is explained above")
        return FAILED
    return FOUND if found.incidents else NOTHING
