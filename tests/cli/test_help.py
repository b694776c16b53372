"""Help and manual page, both generated from the parser."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nvltop.cli import main
from nvltop.cli.flags import flags
from nvltop.cli.man import page
from nvltop.cli.parser import parser

HEAVY = {"textual", "rich", "plotext", "pynvml", "tomlkit", "prometheus_client", "asyncio"}
OURS = {
    "nvltop.tui.shell",
    "nvltop.tui.render",
    "nvltop.sampler",
    "nvltop.analysis",
    "nvltop.model",
    "nvltop.cli.run",
}


@pytest.mark.parametrize("flag", ["--help", "--version", "--print-man", "--print-completion=bash"])
def test_information_flags_do_not_import_the_program(flag):
    code = (
        "import atexit, sys; from nvltop.cli import main;"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main(sys.argv[1:])"
    )
    run = subprocess.run([sys.executable, "-c", code, flag], capture_output=True, text=True, check=True)
    assert "nvltop" in run.stdout
    assert set(run.stderr.split()) & (HEAVY | OURS) == set()


@pytest.mark.parametrize(("columns", "width"), [(20, 70), (77, 77), (80, 80), (200, 100)])
def test_the_help_fits_the_terminal(columns, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["--help"]) == 0
    longest = max(map(len, capsys.readouterr().out.splitlines()))
    assert width - 10 < longest <= width


def test_the_help_is_short(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = parser().format_help().splitlines()
    begun = [line for line in shown if line.startswith("  -")]
    assert len(begun) == len(flags(parser()))
    for flag in begun:
        below = shown[shown.index(flag) + 1 : shown.index(flag) + 3]
        assert not all(line.startswith("   ") for line in below), "two lines at most"


def test_help_and_manual_page_do_not_refer_to_the_manual():
    for text in (parser().format_help(), page(parser())):
        assert "see the manual" not in text
    assert "can crash the job" in page(parser())


def test_the_help_shows_where_the_command_of_a_run_begins():
    assert "\n  --run -- COMMAND " in parser().format_help()


def test_the_documents_name_every_flag():
    text = (Path(__file__).parents[2] / "nvltop" / "docs" / "scripts.md").read_text()
    for flag in flags(parser()):
        assert any(f"`{name}" in text for name in flag.names), flag.names


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_the_manual_page_has_every_flag_and_groff_has_no_warning():
    run = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-c", "-P-b", "-P-u", "-ww", "-rLL=100n"],
        input=page(parser()), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stderr == ""
    shown = " ".join(run.stdout.split())
    for flag in flags(parser()):
        assert ", ".join(flag.names) + flag.argument in shown
    for section in ("SYNOPSIS", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES"):
        assert re.search(rf"^{section}$", run.stdout, re.MULTILINE)
