"""nvltop never runs a shell, evaluates text, unpickles data or listens on all interfaces."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import nvltop

FILES = sorted(Path(nvltop.__file__).parent.rglob("*.py"))
FORBIDDEN_CALLS = {"eval", "exec", "compile", "system", "popen"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "telnetlib"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_no_shell_no_eval_no_pickle(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            on_re = isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "re"
            assert name not in FORBIDDEN_CALLS or on_re, f"{path}:{node.lineno}"
            for keyword in node.keywords:
                assert keyword.arg != "shell", f"{path}:{node.lineno}"
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN_MODULES


def test_the_environment_of_other_processes_is_never_read():
    assert not [path for path in FILES if "/environ" in path.read_text()]
