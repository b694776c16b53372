"""A module `pynvml` that is not NVIDIA's, or too old, is reported with its file and the solution."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nvltop
from nvltop.nvml import binding

OLD = "nvmlInit = NVMLError = None\n"


def install(folder: Path, file: str, code: str, package: str, version: str) -> None:
    """Install a package with one module, as pip does."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(code)
    if package:
        about = folder / f"{package.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (about / "RECORD").write_text(f"{file},,\n{about.name}/METADATA,,\n")


@pytest.mark.parametrize(
    ("file", "code", "package", "version", "says", "command"),
    [
        ("pynvml/__init__.py", OLD, "pynvml", "11.5.0", "package pynvml 11.5.0", "uninstall pynvml`"),
        ("pynvml.py", OLD, "nvidia-ml-py3", "7.352.0", "package nvidia-ml-py3 7", "uninstall nvidia"),
        ("pynvml.py", OLD, "nvidia-ml-py", "12.535.161", "nvidia-ml-py 12.535.161 (", "nvidia-ml-py>="),
        ("pynvml.py", OLD, "", "", "is not that of nvidia-ml-py", "out of PYTHONPATH"),
        ("pynvml.py", "import no_such\n", "", "", "No module named 'no_such'", "install"),
        ("pynvml.py", "1 / 0\n", "", "", "ZeroDivisionError", "install"),
    ],
)  # fmt: skip
def test_a_foreign_package_is_named(tmp_path, file, code, package, version, says, command):
    install(tmp_path, file, code, package, version)
    path = os.pathsep.join((str(tmp_path), str(Path(nvltop.__file__).parents[1])))
    done = subprocess.run(
        [sys.executable, "-m", "nvltop", "--demo", "--check"],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("NVLINK UNKNOWN - ")
    for words in (says, command, str(tmp_path / file)):
        assert words in done.stdout
    assert "driver" not in done.stdout


def test_the_package_of_nvidia_is_accepted():
    assert binding.check_binding() is None
    needed = Path(__file__).parents[2] / "pyproject.toml"
    assert re.search(rf'"{binding.PACKAGE}>={re.escape(binding.MIN_VERSION)},', needed.read_text())


def test_without_pynvml_the_package_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    problem = binding.check_binding()
    assert problem.id == "wrong-pynvml"
    assert "nvidia-ml-py is not installed" in problem.summary
