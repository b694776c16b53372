"""`--compare`: every kind of input, exit codes, and errors of one line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from nvltop.cli import main
from nvltop.record.writer import RecordingWriter
from nvltop.report.json import to_json

_reports: dict[str, str] = {}
"""The outputs, which every test of this file gets."""


@pytest.fixture
def files(bench, tmp_path):
    """Return two `--json` outputs of one node: healthy, and with a link down."""
    if not _reports:
        b = bench("hgx-a100-4", "link-down")
        for name, seconds in (("good.json", 3), ("bad.json", 20)):
            _reports[name] = json.dumps(to_json(b.run(seconds))) + "\n"
    found = []
    for name, report in _reports.items():
        path = tmp_path / name
        path.write_text(report)
        found.append(str(path))
    return found


def test_what_differs_is_printed_and_decides_the_exit_code(files, capsys):
    good, bad = files
    assert main(["--compare", good, bad]) == 1
    printed = capsys.readouterr().out
    assert "The same node" in printed
    assert re.search(r"critical .* finding +new: GPU 1 link 11 ", printed)
    assert main(["--compare", good, good]) == 0
    assert "Nothing that matters differs." in capsys.readouterr().out


def test_json_holds_each_difference(files, capsys):
    assert main(["--compare", *files, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "nvltop-compare/1"
    assert found["same_node"] is True
    worst = found["differences"][0]
    assert worst["severity"] == "critical"
    assert {"where", "what", "before", "after", "over_s"} <= set(worst)


def test_only_the_newest_complete_report_of_several_counts(files, tmp_path, capsys):
    good, bad = (Path(name).read_text() for name in files)
    several = tmp_path / "several.json"
    several.write_text(good + bad + good[: len(good) // 2])
    assert main(["--compare", files[1], str(several)]) == 0


def test_a_file_whose_name_contains_an_at_wins(files, tmp_path):
    odd = tmp_path / "a@12:00"
    shutil.copy(files[0], odd)
    assert main(["--compare", files[0], str(odd)]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["GOOD"], 2, "expected 2 arguments"),
        (["GOOD", "GOOD", "--check"], 2, "--compare can be combined only with"),
        (["GOOD", ""], 2, "not empty"),
        (["GOOD", "GOOD@yesterday"], 2, "invalid time 'yesterday'"),
        (["GOOD", "GOOD@12:00"], 2, "one time only"),
        (["GOOD", "absent.json"], 3, "No such file"),
        (["GOOD", "EMPTY"], 3, "EMPTY:1"),
        (["GOOD", "FOLDER"], 3, "snapshot.json"),
    ],
)
def test_bad_input_gets_one_line(files, tmp_path, capsys, arguments, code, words):
    (tmp_path / "EMPTY").write_text("{}")
    (tmp_path / "FOLDER").mkdir()
    places = {"GOOD": files[0], "EMPTY": str(tmp_path / "EMPTY"), "FOLDER": str(tmp_path / "FOLDER")}
    for name, path in places.items():
        arguments = [argument.replace(name, path, 1) for argument in arguments]
    assert main(["--compare", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1


def test_a_recording_says_when_a_counter_rose_first(bench, tmp_path, capsys):
    b = bench("h100-two", "errors")
    path = tmp_path / "run.gz"
    writer = RecordingWriter(path)
    writer.write(b.inventory)
    inner = b.monitor.update

    def update(item) -> None:
        inner(item)
        writer.write(item)

    b.monitor.update = update
    b.interval_s = 1.0
    b.run(30)
    writer.close()
    assert main(["--compare", f"{path}@+2s", f"{path}@+25s", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    rose = [d for d in found["differences"] if d["increase"]]
    assert rose
    for d in rose:
        assert found["before"]["time"] < d["began"] <= found["after"]["time"]
    assert main(["--compare", f"{path}@+2s", f"{path}@+1h"]) == 3
    assert "the recording ends at" in capsys.readouterr().err
