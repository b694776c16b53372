"""The config file: reading, the messages for an invalid file, and what is kept when it is written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.cli.options import read_settings
from nvltop.cli.parser import parser
from nvltop.config import file
from nvltop.config.settings import (
    ALERTS,
    EXTRA_COLUMNS,
    HIDEABLE_COLUMNS,
    LAYOUTS,
    METERS,
    SPARK_CELLS_S,
    SPARKLINES,
    THEMES,
    UNITS,
    Settings,
)
from nvltop.tui.render import themes


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.toml"


def test_every_setting_can_be_read(path):
    path.write_text(
        'interval = 0.5\ntheme = "light"\nunits = "Gb/s"\nlayout = "links"\nunicode = false\nmouse = false\n'
        'extra_columns = ["clock"]\nalert = ["bell"]\nmeters = ["power", "tx"]\nhidden_columns = ["mem"]\n'
        'snapshot_on_critical = true\nsparklines = "blocks"\nsparkline_cell = "1 s"\n'
    )
    settings = file.apply(Settings(), file.load(path).values)
    assert settings == Settings(
        0.5, "light", False, False, "Gb/s", "links", ("power", "tx"), ("mem",), ("clock",), alert=("bell",),
        snapshot_on_critical=True, sparklines="blocks", sparkline_cell="1 s",
    )  # fmt: skip
    assert set(file.load(path).values) == set(file.CHECKS)


def test_without_a_file_there_are_no_settings(path):
    assert file.load(path) == file.LoadedConfig({})


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ('theme = "light"\ninterval = "fast"\n', 2, "number from 0.1 to 60"),
        ("interval = 0\n", 1, "number"),
        ("interval = true\n", 1, "number"),
        ('\n\ntheme = "pink"\n', 3, "one of default"),
        ("unicode = 1\n", 1, "true or false"),
        ('meters = ["cpu", "fuel"]\n', 1, "list of cpu"),
        ('alert = "bell"\n', 1, "list of bell"),
        ('colour = "red"\n', 1, "colour: not a setting of nvltop"),
        ("theme = \n", 1, "defaults are used"),
        ('theme = "light"\nthis is not TOML\n', 2, "defaults are used"),
        ("[theme]\nname = 1\n", 1, "one of"),
    ],
)
def test_an_invalid_setting_is_one_line_with_file_and_line(path, text, line, word):
    path.write_text(text)
    [message] = file.load(path).problems
    assert message.startswith(f"{path} line {line}: ")
    assert word in message
    assert "\n" not in message


def test_an_invalid_setting_does_not_discard_the_others(path):
    path.write_text('theme = "light"\nfuture = 1\ninterval = "fast"\nunicode = false\n')
    found = file.load(path)
    assert found.values == {"theme": "light", "unicode": False}
    assert [problem.partition(": ")[0] for problem in found.problems] == [f"{path} line 2", f"{path} line 3"]
    assert all(problem.endswith("; ignored") for problem in found.problems)
    # What another version of nvltop wrote stays.
    file.save(path, {"unicode": True})
    assert "future = 1" in path.read_text()


def test_files_that_are_not_text_or_cannot_be_read(path, tmp_path):
    path.write_bytes(b"theme = \xff\n")
    assert "not UTF-8" in file.load(path).problems[0]
    path.write_bytes(b"#" * (file.MAX_FILE_BYTES + 1))
    assert "larger" in file.load(path).problems[0]
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    os.mkfifo(tmp_path / "fifo")
    for other in (tmp_path, tmp_path / "circle", tmp_path / "fifo", tmp_path / ("x" * 300)):
        found = file.load(other)
        assert found.values == {}
        assert found.problems[0].endswith("the defaults are used")
    assert file.load(Path("/dev/null")) == file.LoadedConfig({})


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file_gives_settings_or_lines(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_bytes(raw)
    found = file.load(path)
    file.apply(Settings(), found.values)
    for problem in found.problems:
        assert problem.startswith(str(path))
        assert "\n" not in problem


def test_comments_and_order_are_kept(path):
    path.write_text('# mine\nunits = "GB/s"  # as nvidia-smi\n\n# dark room\ntheme = "light"\n')
    file.save(path, {"theme": "default", "interval": 0.5, "meters": ("cpu", "tx")})
    assert path.read_text() == (
        '# mine\nunits = "GB/s"  # as nvidia-smi\n\n# dark room\ntheme = "default"\n'
        'interval = 0.5\nmeters = ["cpu", "tx"]\n'
    )
    assert file.load(path).values["meters"] == ("cpu", "tx")


def test_a_file_that_is_not_toml_is_not_changed(path):
    path.write_text("this is mine\n")
    with pytest.raises(file.ConfigError, match="not valid TOML"):
        file.save(path, {"theme": "light"})
    assert path.read_text() == "this is mine\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(file.ConfigError, match="was not written"):
        file.save(tmp_path / "file" / "config.toml", {"theme": "light"})


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o664])
def test_owner_and_mode_of_a_file_stay_and_a_link_is_followed(path, tmp_path, mode):
    path.write_text('theme = "light"\n')
    path.chmod(mode)
    (tmp_path / "link").symlink_to(path)
    file.save(tmp_path / "link", {"theme": "default"})
    assert (tmp_path / "link").is_symlink()
    assert file.load(path).values == {"theme": "default"}
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_only_its_owner_can_read_a_new_file(path):
    file.save(path, {"theme": "light"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_a_regular_file_that_is_ours_and_writable_is_written(path, tmp_path, monkeypatch):
    path.write_text("")
    path.chmod(0o444)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    before = os.stat("/dev/null")
    for name in ("config.toml", "fifo", "null", "circle", "."):
        with pytest.raises(file.ConfigError, match="was not written"):
            file.save(tmp_path / name, {"theme": "light"})
    assert os.path.samestat(before, os.stat("/dev/null"))
    assert path.read_text() == ""
    path.chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(file.ConfigError, match="belongs to another user"):
        file.save(path, {"theme": "light"})


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder of another user")
def test_root_leaves_no_file_in_the_home_of_another_user(tmp_path):
    os.chown(tmp_path, 7001, 7001)
    with pytest.raises(file.ConfigError, match="belongs to another user"):
        file.save(tmp_path / ".config" / "nvltop" / "config.toml", {"theme": "light"})
    assert list(tmp_path.iterdir()) == []


values = st.fixed_dictionaries(
    {},
    optional={
        "interval_s": st.floats(0.1, 60.0),
        "theme": st.sampled_from(THEMES),
        "units": st.sampled_from(UNITS),
        "layout": st.sampled_from(LAYOUTS),
        "unicode": st.booleans(),
        "mouse": st.booleans(),
        "alert": st.lists(st.sampled_from(ALERTS), unique=True).map(tuple),
        "meters": st.lists(st.sampled_from(METERS), max_size=4).map(tuple),
        "hidden_columns": st.lists(st.sampled_from(HIDEABLE_COLUMNS), unique=True).map(tuple),
        "extra_columns": st.lists(st.sampled_from(EXTRA_COLUMNS), unique=True).map(tuple),
        "sparklines": st.sampled_from(SPARKLINES),
        "sparkline_cell": st.sampled_from(tuple(SPARK_CELLS_S)),
    },
)


@given(values)
def test_what_is_written_is_what_is_read(tmp_path_factory, fields):
    path = tmp_path_factory.mktemp("config") / "config.toml"
    before, after = Settings(), Settings(**fields)
    file.save(path, file.changed(before, after))
    assert file.apply(before, file.load(path).values) == after


def test_the_command_line_overrides_the_environment_which_overrides_the_file(path, monkeypatch):
    path.write_text('theme = "light"\ninterval = 2\n')

    def settings(*arguments):
        return read_settings(parser().parse_args(["--config", str(path), *arguments]), True)

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("NVLTOP_THEME", raising=False)
    assert (settings().theme, settings().interval_s) == ("light", 2.0)
    monkeypatch.setenv("NVLTOP_THEME", "high-contrast")
    assert settings().theme == "high-contrast"
    assert settings("--theme", "colour-blind").theme == "colour-blind"
    assert settings("--interval", "1").interval_s == 1.0
    monkeypatch.setenv("NO_COLOR", "1")
    assert settings().theme == "monochrome"
    assert settings("--theme", "light").theme == "light"
    assert settings("-C").theme == "monochrome"


def test_reports_that_show_steps_read_as_often_as_the_screen():
    def interval_s(*arguments):
        return read_settings(parser().parse_args([*arguments]), False).interval_s

    assert interval_s("--check") == interval_s("--once", "--for", "60") == 0.25
    assert interval_s("--snapshot") == interval_s("--picture", "x.svg") == 0.25
    assert interval_s("--once") == interval_s("--json") == 1.0
    assert interval_s("--check", "--interval", "1") == 1.0


def test_reports_do_not_read_the_file(path):
    path.write_text("broken")
    assert read_settings(parser().parse_args(["--config", str(path), "--json"]), False).theme == "default"


def test_the_default_path():
    assert str(file.default_path({"HOME": "/home/u"})) == "/home/u/.config/nvltop/config.toml"
    assert str(file.default_path({"XDG_CONFIG_HOME": "/c", "HOME": "/h"})) == "/c/nvltop/config.toml"
    assert str(file.default_path({"XDG_CONFIG_HOME": "rel", "HOME": "/h"})) == "/h/.config/nvltop/config.toml"


def test_a_user_without_a_home_has_no_config_file(monkeypatch):
    def unknown(user):
        raise KeyError(user)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for environ in ({}, {"HOME": ""}, {"HOME": "relative"}):
        assert file.default_path(environ) is None
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("HOME")
    assert read_settings(parser().parse_args([]), True).config is None


def test_themes_have_the_same_roles_in_colours_that_each_terminal_has():
    assert tuple(themes.THEMES) == THEMES
    for theme in themes.THEMES.values():
        for styles in (theme.indexed, theme.basic):
            assert styles.keys() == themes.DEFAULT.indexed.keys()
        for style in theme.basic.values():
            assert all(
                c is None or (c.number is not None and c.number < 16) for c in (style.color, style.bgcolor)
            )
        for style in theme.indexed.values():
            assert all(c is None or (c.number or 0) >= 16 for c in (style.color, style.bgcolor))


def test_monochrome_has_no_colour_and_colour_blind_no_red_or_green():
    for style in (*themes.MONOCHROME.indexed.values(), *themes.MONOCHROME.basic.values()):
        assert style.color is None
        assert style.bgcolor is None
    for definition in themes.COLOUR_BLIND_ROLES.values():
        assert not {"red", "green", "title"} & set(definition.split()), definition


def test_toml_is_imported_only_if_there_is_a_file():
    code = (
        "import sys; from nvltop.cli.options import read_settings; from nvltop.cli.parser import parser;"
        "read_settings(parser().parse_args([]), True); print('tomlkit' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"HOME": "/nonexistent"}
    )
    assert run.stdout.strip() == "False"
