"""The registry of report formats: flag, help, exclusion and output follow from one line."""

from __future__ import annotations

import csv
import io
import json
import sys
from types import SimpleNamespace

import pytest

from nvltop.cli import main
from nvltop.cli.options import wants_report
from nvltop.cli.parser import parser
from nvltop.headless.print import ReportPrinter
from nvltop.report import formats
from nvltop.report.formats import FORMATS, Format, RenderOptions


@pytest.fixture
def gpus_format(monkeypatch):
    """A format of a module and a line of its own: the indices of the GPUs."""

    def render(frame, options):
        return " ".join(
            str(g.gpu.index) for g in frame.gpus if options.only is None or g.gpu.uuid in options.only
        )

    monkeypatch.setitem(sys.modules, "gpus_format", SimpleNamespace(render=render))
    monkeypatch.setattr(formats, "FORMATS", FORMATS)
    FORMATS.append(Format("gpus", "print the indices of the GPUs", "gpus_format", allows=()))
    yield
    FORMATS.pop()


DATA = ", ".join(f"--{form.name}" for form in FORMATS if form.data)
WITH_FOR = ", ".join(f"--{form.name}" for form in FORMATS if "for" in form.allows)
EXCLUSIVE = f"{DATA}, --gpus, --check, --snapshot and --picture are mutually exclusive"


def test_a_format_is_one_module_and_one_line(gpus_format, capsys):
    assert main(["--demo", "hgx-a100-4", "--gpus", "-n", "2", "--interval", "0.2", "-i", "0,2"]) == 0
    assert capsys.readouterr().out == "0 2\n0 2\n"
    assert main(["--help"]) == 0
    assert "--gpus" in capsys.readouterr().out
    assert main(["--print-man"]) == 0
    assert "print the indices of the GPUs" in capsys.readouterr().out
    assert main(["--print-completion", "bash"]) == 0
    assert "--gpus" in capsys.readouterr().out


def test_a_format_excludes_the_others_and_the_options_that_it_does_not_allow(gpus_format, capsys):
    for flags, message in (
        (
            ("--gpus", "--json"),
            EXCLUSIVE,
        ),
        (
            ("--gpus", "--snapshot"),
            EXCLUSIVE,
        ),
        (("--gpus", "--estimate"), "--estimate needs --json; on the screen, press e"),
        (("--gpus", "--for", "3"), f"--for needs {WITH_FOR}, --check, --snapshot or --picture"),
        (("--gpus", "--serve"), f"--serve cannot be combined with --once, {DATA}, --gpus, --check,"),
    ):
        assert main(["--demo", *flags]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_format_renders_and_is_a_report(form, bench, capsys):
    b = bench("hgx-a100-4")
    b.run(3.0)
    assert wants_report(parser().parse_args([form.flags[0]]))
    assert form.render(b.monitor.frame(), RenderOptions())
    printer = ReportPrinter(form, 2)
    printer.print(b.monitor, None)
    printer.print(b.monitor, [])
    first, rest = capsys.readouterr().out.split("\n", 1)
    assert first
    assert rest


def test_several_reports_of_json_are_one_line_each_and_csv_has_its_titles_once(bench, capsys):
    b = bench("hgx-a100-4")
    b.run(3.0)
    as_json, as_csv = (next(form for form in FORMATS if form.name == name) for name in ("json", "csv"))
    for form in (as_json, as_csv):
        printer = ReportPrinter(form, 2)
        printer.print(b.monitor, None)
        printer.print(b.monitor, None)
        lines = capsys.readouterr().out.splitlines()
        if form is as_json:
            assert [len(json.loads(line)["gpus"]) for line in lines] == [4, 4]
        else:
            rows = list(csv.reader(io.StringIO("\n".join(lines))))
            assert [row[0] for row in rows].count("time") == 1
            assert len({len(row) for row in rows}) == 1
