"""Code is imported from the installation directories, never from the current directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipapp
from pathlib import Path

import pytest

import nvltop
from nvltop.importpath import trusted_entries
from nvltop.sampler.launch import worker_environment

PACKAGE = Path(nvltop.__file__).parent
NAMES = (
    "__future__", "argparse", "asyncio", "codecs", "collections", "contextlib", "ctypes", "dataclasses",
    "enum", "io", "json", "math", "nvltop", "pynvml", "queue", "random", "re", "select",
    "selectors", "signal", "site", "sitecustomize", "socket", "struct", "subprocess", "textual",
    "threading", "token", "traceback", "types", "typing", "usercustomize",
)  # fmt: skip
"""Modules that the program or Python itself imports, placed in a hostile directory."""


@pytest.fixture
def hostile(tmp_path) -> Path:
    """Return a directory in which every module leaves a mark when imported and breaks the program."""
    folder = tmp_path / "somebody's"
    for name in NAMES:
        path = (
            folder / name / "__init__.py"
            if name in ("nvltop", "asyncio", "textual")
            else folder / f"{name}.py"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name + ' '!r})\n")
    (folder / "libnvidia-ml.so.1").write_bytes(b"\x7fELF not a library")
    return folder


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


ENTRY = "from nvltop.__main__ import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("environment", "arguments"),
    [
        ({}, ("--check", "--for", "2")),
        # An empty entry, as in `PYTHONPATH=$PYTHONPATH:/opt/lib`, means the current directory.
        ({"LD_LIBRARY_PATH": ":/nowhere", "PYTHONSTARTUP": "json.py"}, ("--once",)),
    ],
)
def test_no_code_in_a_hostile_directory_is_run(hostile, tmp_path, environment, arguments):
    # An installed script: Python puts the script's directory first, not the current one.
    script = tmp_path / "bin" / "nvltop"
    script.parent.mkdir()
    script.write_text(f"import sys\n{ENTRY}\n")
    given = {"PYTHONPATH": str(PACKAGE.parent), **environment}
    done = run(sys.executable, str(script), "--demo", "hgx-h100-4", *arguments, cwd=hostile, **given)
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "72 of 72 links up" in done.stdout or "72/72 links up" in done.stdout


def test_the_worker_imports_only_what_the_main_process_imports(hostile, tmp_path):
    # `python -m nvltop` searches the current directory for runpy and nvltop before our code runs.
    for name in ("nvltop", "__future__", "site", "sitecustomize", "usercustomize"):
        path = hostile / f"{name}.py"
        path.unlink() if path.exists() else (hostile / name / "__init__.py").unlink()
    (hostile / "nvltop").rmdir()
    run(
        sys.executable, "-m", "nvltop", "--demo", "hgx-h100-4", "--check", "--for", "2", cwd=hostile,
        PYTHONPATH=str(PACKAGE.parent),
    )  # fmt: skip
    ran = (tmp_path / "ran").read_text().split() if (tmp_path / "ran").exists() else []
    # Only what runpy imports (3.14 also reports an error), and each module once: the worker imports none.
    assert set(ran) <= {"types", "io", "re", "enum", "collections", "contextlib", "typing", "traceback"}
    assert len(ran) == len(set(ran))


def test_a_zipapp_runs_and_so_does_its_worker(tmp_path):
    tree = tmp_path / "tree"
    (tree / "nvltop").mkdir(parents=True)
    for path in PACKAGE.rglob("*.py"):
        target = tree / "nvltop" / path.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (tree / "nvltop" / "__init__.py").write_text('__version__ = "0.0.zip"\n')
    # Like wrappers (nixpkgs, shiv), which add the dependencies to the path of this process only.
    libraries = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (tree / "__main__.py").write_text(f"import sys\nsys.path += {libraries!r}\n{ENTRY}\n")
    zipapp.create_archive(tree, tmp_path / "nv.pyz", compressed=True)
    # Without `site`, the installed nvltop cannot be found.
    done = run(sys.executable, "-S", "nv.pyz", "--demo", "hgx-h100-4", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["version"] == "0.0.zip"
    assert len(report["gpus"]) == 4


def test_directories_removed_from_the_import_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stdlib = str(Path(os.__file__).parent)
    given = ["", ".", str(tmp_path), "lib", "/opt/lib", str(PACKAGE.parent), stdlib, "x.zip"]
    assert trusted_entries(given) == ["/opt/lib", str(PACKAGE.parent), stdlib]
    # A checkout, an archive in the current folder.
    assert trusted_entries(["", "/opt/lib"], str(tmp_path)) == [str(tmp_path), "/opt/lib"]
    assert trusted_entries(["x.zip", "y.zip"], str(tmp_path / "x.zip")) == [str(tmp_path / "x.zip")]
    # A current directory inside the standard library is harmless.
    monkeypatch.chdir(stdlib)
    assert trusted_entries(["", stdlib]) == [stdlib, stdlib]


def test_a_deleted_current_directory(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert trusted_entries(["", "lib", "/opt/lib"]) == ["/opt/lib"]


@pytest.mark.parametrize(
    ("given", "left"),
    [(":/opt/lib", "/opt/lib"), (".", None), ("/a:lib:/b:", "/a:/b"), ("", None), (None, None)],
)
def test_the_path_in_the_environment_of_the_worker(tmp_path, monkeypatch, given, left):
    monkeypatch.chdir(tmp_path)
    environ = {"A": "b", **({} if given is None else {"PYTHONPATH": given})}
    assert worker_environment(environ) == {"A": "b", **({"PYTHONPATH": left} if left else {})}
