"""What the parts of the program import, and what a process that imports a part loads."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT_TEXTUAL = re.compile(
    r"nvltop\.tui\.(offscreen|shell\..*|widgets\..*|tabs\.\w+\.widget|dialogs\.\w+_page|fleet\.(app|screen|\w+_tab|\w+_page))"
)
HEAVY = ("textual", "rich", "plotext")


def loaded(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        ("import nvltop.model, nvltop.wire.codec, nvltop.analysis.monitor, nvltop.analysis.rate_history",
         (*HEAVY, "pynvml")),
        ("import nvltop.cli", (*HEAVY, "pynvml", "prometheus_client")),
        ("import nvltop.record.replay, nvltop.record.recording_source", (*HEAVY, "pynvml")),
        ("import nvltop.export.node", (*HEAVY, "pynvml", "prometheus_client")),
        ("import nvltop.export.exporter", (*HEAVY, "pynvml")),
        ("import nvltop.report.json, nvltop.report.text", (*HEAVY, "pynvml")),
        ("import nvltop.sampler.worker, nvltop.sampler.sampler", (*HEAVY, "statistics")),
        (
            "import nvltop.cli.run\nnvltop.cli.run.load_asyncio()\nimport nvltop.tui.shell.run",
            ("plotext", "pynvml", "tomlkit", "markdown_it", "pygments",
             "_ssl", "_hashlib", "email", "importlib.metadata", "statistics", "zipfile",
             "nvltop.tui.tabs.main.widget", "nvltop.tui.tabs.errors.widget", "nvltop.tui.dialogs.link_page",
             "nvltop.tui.widgets.setup", "nvltop.ras.answer", "nvltop.comparison.source",
             "nvltop.report.json", "nvltop.record.writer", "nvltop.record.reader", "nvltop.record.replay",
             "nvltop.record.redact", "nvltop.record.flight_recorder", "nvltop.tui.widgets.menu",
             "nvltop.snapshot.bundle", "nvltop.kernel_log.decode"),
        ),
        ("import nvltop.tui.render.header, nvltop.tui.tabs.main.gpus, nvltop.tui.tabs.main.links", HEAVY),
    ],
)  # fmt: skip
def test_heavy_packages_are_not_imported(statement, never):
    assert loaded(statement) & set(never) == set()


def test_tls_is_available_after_asyncio_was_loaded_without_it():
    found = loaded("from nvltop.tui.asyncio_loader import load_asyncio\nload_asyncio()\nimport ssl")
    assert {"asyncio", "ssl", "_ssl"} <= found
    found = loaded("import ssl\nfrom nvltop.tui.asyncio_loader import load_asyncio\nload_asyncio()")
    assert "asyncio" not in found


@cache
def modules() -> dict[str, ast.Module]:
    files = (ROOT / "nvltop").rglob("*.py")
    dotted = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
    return {name.removesuffix(".__init__"): ast.parse(path.read_text()) for name, path in dotted.items()}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield what is imported at the top of a module and inside its functions, but not for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):  # which cannot import
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node)


def test_no_modules_import_each_other_in_a_circle():
    trees = modules()
    graph: dict[str, set[str]] = {name: set() for name in trees}
    for name, tree in trees.items():
        for imported in imports(tree):
            found = imported if imported in trees else imported.rpartition(".")[0]
            if found in trees and found != name:
                graph[name].add(found)
    assert sum(map(len, graph.values())) > 1000
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_only_widgets_and_the_shell_import_textual():
    users = {
        name
        for name, tree in modules().items()
        for found in imports(tree)
        if found.split(".")[0] == "textual"
    }
    assert users
    assert [name for name in sorted(users) if not MAY_IMPORT_TEXTUAL.fullmatch(name)] == []
