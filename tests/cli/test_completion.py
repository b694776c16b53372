"""Completions, as the shells themselves return them."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest

from nvltop.cli.completion import script
from nvltop.cli.flags import Flag, flags
from nvltop.cli.parser import SHELLS, parser
from nvltop.nvml.demo_nodes import NODES, SCENARIOS

ALL = flags(parser())
NAMES = [name for flag in ALL for name in flag.names]


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(shell), reason=f"{shell} is not installed")


def ask(shell: str, commands: str, known: list[Flag] | None = None) -> list[str]:
    # What completion systems define where somebody types.
    stub = "compdef() { }" if shell == "zsh" else ""
    run = subprocess.run(
        [shell, "-c", f"{stub}\n{script(shell, 'nvltop', known or ALL)}\n{commands}"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert run.stderr == ""
    return run.stdout.splitlines()


def bash(*words: str) -> list[str]:
    """Return the completions of bash for the last word; `<default>` for its own completion of files."""
    line = " ".join(shlex.quote(word) for word in ("nvltop", *words))
    return ask(
        "bash",
        'compopt() { if [[ "$*" == "-o default" ]]; then COMPREPLY=("<default>"); fi; }\n'
        f"COMP_WORDS=({line}) COMP_CWORD={len(words)}\n"
        '_nvltop\nfor word in "${COMPREPLY[@]}"; do printf "%s\\n" "$word"; done',
    )


@needs("bash")
@pytest.mark.parametrize("begun", ["", "-", "--", "--s", "--print-", "--record", "--nothing"])
def test_bash_completes_flags_by_prefix(begun):
    assert sorted(bash("--once", begun)) == sorted(name for name in NAMES if name.startswith(begun))


@needs("bash")
def test_bash_completes_values():
    for flag in ALL:
        if flag.choices:
            assert bash(flag.names[-1], "") == list(flag.choices)
    assert bash("--demo", "dgx-h") == [name for name in NODES if name.startswith("dgx-h")]
    assert bash("--theme", "=", "hi") == ["high-contrast"], "bash splits at ="
    assert bash("--alert", "=") == ["bell", "desktop"]


@needs("bash")
def test_bash_completes_files_and_no_free_text():
    for flag in ALL:
        if flag.file:
            assert bash(flag.names[-1], "") == ["<default>"]
        elif flag.value and not flag.choices and not flag.optional:
            assert bash(flag.names[0], "") == []


@needs("bash")
def test_bash_completes_flags_after_an_optional_value():
    assert bash("--demo", "--sc") == ["--scenario"]
    assert bash("--snapshot", "--fu") == ["--full"]
    assert bash("--serve", "") == NAMES


def fish(line: str) -> dict[str, str]:
    """Return the completions of fish at the end of a line, with their descriptions."""
    offered = ask("fish", f"complete -C {shlex.quote('nvltop ' + line)}")
    return dict(word.partition("\t")[::2] for word in offered)


@needs("fish")
def test_fish_completes_flags_and_values_with_descriptions(tmp_path, monkeypatch):
    (tmp_path / "run.gz").touch()
    monkeypatch.chdir(tmp_path)
    assert set(fish("--record")) == {"--record", "--record-max"}
    assert fish("--scenario ") == {**SCENARIOS, "list": "name them all"}
    assert fish("--demo dgx-h1") == {"dgx-h100": NODES["dgx-h100"]}
    assert set(fish("--demo=dgx-h")) == {"--demo=dgx-h100", "--demo=dgx-h200"}
    assert set(fish("--demo --sc")) == {"--scenario"}
    assert set(fish("--theme h")) == {"high-contrast"}
    assert set(fish("--replay ")) == {"run.gz"}
    assert fish("-n ") == {}


@needs("zsh")
def test_zsh_has_every_flag_with_its_conflicts():
    specs = ask("zsh", "_arguments() { print -rl -- $@ }\n_nvltop")
    assert len(specs) == 2 + len(NAMES), "and -s -S"
    assert (
        "(-d --delay --interval)-d+"
        "[interval of readings and reports in tenths of a second (or 250ms)]:TENTHS:" in specs
    )
    assert "(--replay)--replay=[show a recording or snapshot, not this machine]:FILE:_files" in specs
    assert any(spec.startswith("*--alert=") for spec in specs)


HOSTILE = [
    Flag(("-x", "--exotic"), 'it\'s `x` [y]: $(z) \\ "q"', "WORD", False, False, {"a": "it's $(b): c\\"}, ())
]


@pytest.mark.parametrize("shell", [pytest.param(shell, marks=needs(shell)) for shell in SHELLS])
def test_no_text_breaks_out_of_its_quotes(shell):
    shown = {
        "bash": "COMP_WORDS=(nvltop -x '') COMP_CWORD=2; _nvltop; echo ${COMPREPLY[@]}",
        "zsh": "_arguments() { print -r -- ok }; _nvltop",
        "fish": "complete -C 'nvltop -x '",
    }
    expected = {"bash": ["a"], "zsh": ["ok"], "fish": ["a\tit's $(b): c\\"]}
    assert ask(shell, shown[shell], HOSTILE) == expected[shell]
