"""nvltop never runs a shell, evaluates text, unpickles data or listens on all interfaces."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import nvltop

FILES = sorted(Path(nvltop.__file__).parent.rglob("*.py"))
FORBIDDEN_CALLS = {"eval", "exec", "compile", "system", "popen"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "telnetlib"}
NAMES = re.compile("|".join((*FORBIDDEN_CALLS, *FORBIDDEN_MODULES, "shell")))
"""What the text of a file with something forbidden contains; most files need not be parsed."""
COMPILING = "frozen.py"
"""Module with one `exec`: like `dataclasses`, it makes methods of the names of the fields of our classes."""


def forbidden(node: ast.AST) -> bool:
    """Return whether code runs a shell, evaluates text or can load objects."""
    if isinstance(node, ast.Call):
        function = node.func
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        on_re = isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "re"
        return (name in FORBIDDEN_CALLS and not on_re) or any(k.arg == "shell" for k in node.keywords)
    if isinstance(node, ast.Import):
        return bool({alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_MODULES)
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES


@pytest.mark.parametrize(
    "code",
    ["eval(x)", "os.system(x)", "run(x, shell=y)", "import os, pickle.x", "from marshal import loads"],
)
def test_what_is_forbidden_is_found(code):
    assert NAMES.search(code)
    assert any(map(forbidden, ast.walk(ast.parse(code))))


def test_no_shell_no_eval_no_pickle():
    assert len(FILES) > 400
    found = [
        f"{path}:{getattr(node, 'lineno', 0)}"
        for path in FILES
        if NAMES.search(text := path.read_text())
        for node in ast.walk(ast.parse(text))
        if forbidden(node)
    ]
    in_frozen = [place for place in found if f"/nvltop/{COMPILING}:" in place]
    assert len(in_frozen) <= 1
    assert [place for place in found if place not in in_frozen] == []


def test_the_environment_of_other_processes_is_never_read():
    assert not [path for path in FILES if "/environ" in path.read_text()]
