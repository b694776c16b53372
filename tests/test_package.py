"""The built packages: reproducible, and without other files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("nvltop", "pyproject.toml", "README.md", "LICENSE", ".gitignore")


def copy(to: Path, mode: int, seconds: int) -> Path:
    """Return a checkout at `to` as another umask and another time would have made it."""
    to.mkdir(parents=True)
    for part in map(ROOT.joinpath, PARTS):
        if part.is_dir():
            shutil.copytree(part, to / part.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(part, to)
    for path in to.rglob("*"):
        path.chmod(mode | 0o100 if path.is_dir() else mode)
        os.utime(path, (seconds, seconds))
    return to


def build(tree: Path, **environment: str) -> dict[str, bytes]:
    """Return the name and the content of a package built from a checkout."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", "out"],
        cwd=tree, env={**os.environ, **environment}, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    return {path.name: path.read_bytes() for path in (tree / "out").iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A checkout with leftovers of work, and the packages built in it."""
    tree = copy(tmp_path_factory.mktemp("here") / "nvltop", 0o644, 1_600_000_000)
    (tree / "nvltop" / "__pycache__").mkdir()
    (tree / "nvltop" / "__pycache__" / "text.cpython-311.pyc").write_bytes(b"old")
    build(tree)
    return tree


def test_two_checkouts_give_the_same_bytes(built, tmp_path):
    other = copy(tmp_path / "another" / "place", 0o600, 1_700_000_000)
    here = {path.name: path.read_bytes() for path in (built / "out").iterdir()}
    assert build(other, TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7") == here


def test_the_wheel_holds_the_package_and_nothing_else(built):
    [wheel] = (built / "out").glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        [about] = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(about).decode())
    ours = (p for p in (ROOT / "nvltop").rglob("*") if p.is_file() and p.suffix not in (".md", ".pyc"))
    assert names == {path.relative_to(ROOT).as_posix() for path in ours}
    assert names >= {"nvltop/py.typed", "nvltop/export/alerts.yml", "nvltop/export/dashboard.json"}
    assert {Path(name).suffix for name in names} == {".py", ".typed", ".yml", ".json"}
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


def test_the_sdist_builds_the_same_wheel(built, tmp_path):
    [sdist] = (built / "out").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        for member in archive:
            if member.isfile():
                target = tmp_path / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                assert content is not None
                target.write_bytes(content.read())
    [tree] = tmp_path.iterdir()
    made = build(tree)
    [wheel] = (built / "out").glob("*.whl")
    assert made[wheel.name] == wheel.read_bytes()
