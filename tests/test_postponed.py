"""Modules that are imported when they are first used."""

from __future__ import annotations

import subprocess
import sys

SCREEN = """
import sys
from nvltop.__main__ import POSTPONED
from nvltop.postponed import postpone

postpone(POSTPONED)
import nvltop.cli.run
nvltop.cli.run.load_asyncio()
import nvltop.tui.shell.run
import nvltop.tui.tabs.main.widget
print(*(name for name in POSTPONED if sys.modules[name].__spec__))
import shutil
assert shutil.get_terminal_size() and sys.modules["shutil"].__spec__
"""
LATE = """
import sys
from nvltop.postponed import postpone

import json
postpone(["json", "no_module_of_this_name", "colorsys"])
assert sys.modules["json"] is json
import colorsys
assert not sys.modules["colorsys"].__spec__
from colorsys import rgb_to_hls
assert rgb_to_hls is colorsys.rgb_to_hls and sys.modules["colorsys"].__spec__
import no_module_of_this_name
try:
    no_module_of_this_name.anything
except ModuleNotFoundError as error:
    assert error.name == "no_module_of_this_name"
else:
    raise AssertionError
"""


def output(program: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_what_the_screen_does_not_use_is_not_imported():
    # From Python 3.12 on, `pathlib` uses `ntpath` for a class.
    assert set(output(SCREEN)) <= ({"ntpath"} if sys.version_info >= (3, 12) else set())


def test_a_postponed_module_is_imported_when_it_is_used():
    output(LATE)
