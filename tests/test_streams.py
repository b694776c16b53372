"""The real program with closed or full streams, deleted folders and hostile names."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest

NVLTOP = f"{shlex.quote(sys.executable)} -m nvltop"
NODE = "--demo rtx3090-pair --interval 0.2"


def run(command: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", f"exec {NVLTOP} {command}"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, env=os.environ | environ,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        (
            f"{NODE} --once >&-",
            1,
            b"",
            b"nvltop: stdout is closed, so the report cannot be written\n",
        ),
        (f"{NODE} --json 2>&-", 0, b"{", b""),
        ("--bogus 2>&-", 2, b"", b""),
        ("--version <&- 2>&-", 0, b"nvltop ", b""),
        (f"{NODE} --serve 127.0.0.1:0 -n 1 >&-", 0, b"", b"nvltop: metrics on http"),
        ("--version >/dev/full", 1, b"", b"nvltop: cannot write: No space left on device\n"),
        ("--help >/dev/full", 1, b"", b"nvltop: cannot write: No space left on device\n"),
        ("--replay /dev/null --check >/dev/full", 3, b"", b"nvltop: cannot write: No space left on device\n"),
        ("--record '' --once", 2, b"", b"nvltop: --record needs a name"),
        ("--replay '' --once", 2, b"", b"nvltop: --replay needs a name"),
        ("--snapshot ''", 2, b"", b"nvltop: --snapshot needs a name"),
        ("--config ''", 2, b"", b"nvltop: --config needs a name"),
        (f"--replay {'x' * 300} --once", 1, b"", b"nvltop: xxx"),
    ],
)
def test_one_clear_line_and_the_right_code(command, code, out, err):
    ended = run(command)
    assert (ended.returncode, ended.stderr.count(b"\n")) == (code, bool(err))
    assert ended.stdout.startswith(out)
    assert bool(ended.stdout) == bool(out)
    assert ended.stderr.startswith(err)


def test_a_verdict_is_valid_even_if_its_line_is_lost(monkeypatch):
    from nvltop.headless.check import print_verdict

    def broken(*words, **options):
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", broken)
    assert print_verdict("NVLINK CRITICAL - a link is down", 2) == 2


def test_a_snapshot_in_a_deleted_folder_is_one_line(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from nvltop.cli import main;"
    code += "sys.exit(main(['--demo', 'rtx3090-pair', '--snapshot', '--for', '0.5']))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=gone, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr.endswith(b"no snapshot was written\n")
    assert ended.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "flags", ["--replay NAME --once", "--config NAME --once", "--replay NAME --check", "NAME"]
)
def test_no_control_character_of_a_name_reaches_the_terminal(flags):
    ended = run(flags.replace("NAME", "\"$(printf 'x\\033]0;PWNED\\007\\233')\""))
    said = ended.stdout + ended.stderr
    assert b"PWNED" in said or "--config" in flags
    assert not {b"\x1b", b"\x07", b"\x9b"} & {bytes([byte]) for byte in said}


def test_text_follows_the_locale_and_data_do_not(tmp_path):
    assert run("--demo list", LC_ALL="C.UTF-8").stdout.decode()
    once = run(f"{NODE} --once", LC_ALL="C").stdout
    assert once.isascii()
    assert b"2 x " in once
    for locale in ("C", "C.UTF-8"):
        csv = run(f"{NODE} --csv", LC_ALL=locale).stdout.decode("utf-8")
        assert csv.startswith("time")
    assert json.loads(run(f"{NODE} --json -U", LC_ALL="C").stdout)
