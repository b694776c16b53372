"""The private names of Textual that nvltop uses: that they exist, and what happens if they do not."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import pkgutil
import textwrap
from pathlib import Path
from typing import get_origin

import pytest
from textual._compositor import Compositor
from textual.events import Key
from textual.message_pump import MessagePump

import nvltop.tui
from nvltop.tui.shell import textual_private
from nvltop.tui.shell.textual_private import (
    PRIVATE_NAMES,
    OpenDriver,
    SafeCommandPalette,
    SafeParser,
    has_synchronized_output,
    missing_names,
    visible_widgets,
    why_not_used,
    write_to_terminal,
)
from nvltop.tui.shell.tty_driver import TtyDriver
from nvltop.tui.widgets.rows_widget import RowsWidget

ROOT = Path(nvltop.tui.__file__).parent
CLASS_NAMES = [(owner, name) for owner, names in PRIVATE_NAMES for name in names if hasattr(owner, name)]


class Bytes:
    """The output of a driver that is not started."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_this_release_of_textual_has_all_names():
    assert missing_names() == []
    assert why_not_used({}) == ""
    assert why_not_used({"NVLTOP_DIRECT": "1"}) == ""
    assert why_not_used({"NVLTOP_DIRECT": "0"}) == "NVLTOP_DIRECT=0"


@pytest.mark.parametrize(("owner", "name"), CLASS_NAMES, ids=lambda x: getattr(x, "__name__", x))
def test_a_name_that_is_gone_is_found(monkeypatch, owner, name):
    for base in owner.__mro__:
        if name in vars(base):
            monkeypatch.delattr(base, name)
    assert missing_names() == [f"{owner.__name__}.{name}"]
    assert why_not_used({}).endswith(f" lacks {owner.__name__}.{name}")


def test_a_class_that_is_gone_lacks_all_its_names(monkeypatch):
    gone = textual_private._class("textual._no_such_module", "XTermParser")
    assert textual_private._class("textual._xterm_parser", "NoSuchParser").__name__ == "NoSuchParser"
    monkeypatch.setattr(textual_private, "PRIVATE_NAMES", ((gone, ("feed", "tick")),))
    assert missing_names() == ["XTermParser.feed", "XTermParser.tick"]


async def test_what_is_used_of_app_and_screen(app):
    app = app()
    async with app.run_test() as pilot:
        await pilot.pause()
        written = Bytes()
        assert not app.is_exiting
        assert has_synchronized_output(app) is False
        seen = visible_widgets(app.main)
        assert app.main.tab in seen
        assert visible_widgets(app.main) is seen
        app.main.refresh(layout=True)
        assert not visible_widgets(app.main)
        await pilot.pause()
        assert visible_widgets(app.main) is not seen
        app.terminal_driver.write = written.write
        write_to_terminal(app, "\a")
        assert written.text == "\a"
        app.exit()
        assert app.is_exiting


async def test_a_failure_is_handed_to_the_application(app):
    app = app()
    seen = []

    def handle_failure(error) -> bool:
        seen.append(error)
        return True

    app.handle_failure = handle_failure
    async with app.run_test() as pilot:
        await pilot.pause()
        app.fail(ValueError("one"))
        app._handle_exception(ValueError("two"))
    assert [str(error) for error in seen] == ["one", "two"]


async def test_what_is_used_of_the_driver(app):
    class Driver(OpenDriver):
        def terminal_size(self) -> tuple[int, int]:
            return 7, 5

        def write(self, data: str) -> None: ...

        def start_application_mode(self) -> None: ...

        def disable_input(self) -> None: ...

        def stop_application_mode(self) -> None: ...

    app = app()
    driver = Driver(app, mouse=True)
    assert driver.application is app
    assert driver.loop is asyncio.get_running_loop()
    assert driver.has_mouse
    assert driver._size == (7, 5)
    assert driver.restarts
    with driver.no_automatic_restart():
        assert not driver.restarts


def test_what_is_used_of_the_parser():
    parser = SafeParser({"\x1bOT": "f5"})
    keys = [event.key for event in parser.feed("a\x1bOT\x1b[1114112u\x1b[A") if isinstance(event, Key)]
    assert keys[:2] == ["a", "f5"]
    assert keys[-1] == "up"


async def test_the_palette_ignores_keys_after_it_was_closed(app):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        palette = SafeCommandPalette()
        app.push_screen(palette)
        await pilot.pause()
        palette._action_escape()
        palette._action_escape()
        palette._select_or_command()
        palette._action_command_list("select")
        await pilot.pause()
        assert app.screen is app.main


# ---- without them


@pytest.mark.parametrize("cause", ["missing", "switch"])
async def test_textual_draws_by_itself_and_nvltop_says_so_once(script, monkeypatch, cause):
    from nvltop.config.settings import Settings
    from nvltop.tui.shell.app import Nvltop

    if cause == "switch":
        monkeypatch.setenv("NVLTOP_DIRECT", "0")
    else:
        monkeypatch.delattr(Compositor, "visible_widgets")
    app = Nvltop(script(), Settings())
    monkeypatch.undo()
    async with app.run_test(size=(120, 40)) as pilot:
        app.step()
        await pilot.pause()
        app.step()
        await pilot.pause()
        assert app.driver_class is not TtyDriver
        assert not app.main.writes_directly
        [notice] = app._notifications
        reason = "NVLTOP_DIRECT=0" if cause == "switch" else "lacks Compositor.visible_widgets"
        assert notice.message.startswith("Textual draws and reads keys by itself: ")
        assert notice.message.endswith(reason)
        assert "NV18" in app.main.query_one("#topology", RowsWidget).text()
        await pilot.press("2")
        assert app.main.tab.TITLE == "Links"
        await pilot.press("q")
    assert not app.is_running
    assert app.exit_status.code == 0


# ---- nowhere else


def sources() -> list[Path]:
    return [path for path in ROOT.rglob("*.py") if path.name != "textual_private.py"]


def test_no_other_module_uses_a_private_name_of_textual():
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("textual"):
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                found += [(path.name, name) for name in names if name.startswith("_")]
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and node.attr[1:2] != "_":
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                if owner not in ("self", "cls", "os"):
                    found.append((path.name, node.attr))
    assert found == []


def test_no_private_name_of_ours_is_one_of_textuals():
    """A method or attribute of a subclass would replace Textual's without a word."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(nvltop.tui.__path__, "nvltop.tui.")
        if not found.name.endswith("textual_private")
    ]
    classes = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and get_origin(value) is None  # on Python 3.10 an alias such as `Sequence[int]` is a type
        and issubclass(value, (MessagePump, OpenDriver))
        and value.__module__ == module.__name__
    }
    assert len(classes) > 15
    for ours in classes:
        bases = [base for base in ours.__mro__ if base.__module__.startswith("textual.")]
        theirs = {name for base in bases for name in vars(base)}
        theirs |= {
            name
            for base in bases
            if (code := getattr(vars(base).get("__init__"), "__code__", None))
            for name in code.co_names
        }
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(ours))).body
        assert isinstance(tree, ast.ClassDef)
        own = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        own |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        }
        private = {name for name in own if name.startswith("_") and not name.startswith("__")}
        assert private & theirs == set(), ours.__name__
