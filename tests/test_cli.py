"""The command line as scripts and people use it: real processes, real exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from nvltop import __version__
from nvltop.cli import main
from nvltop.fleet.demo_fleets import FLEETS
from nvltop.fleet.demo_fleets import SCENARIOS as FLEET_SCENARIOS
from nvltop.nvml.demo_nodes import NODES, SCENARIOS

ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}


def nvltop(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nvltop", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        check=False,
        **options,
    )


def test_version_and_help():
    assert nvltop("-V").stdout == f"nvltop {__version__}\n"
    text = nvltop("--help").stdout
    for flag in ("--once", "--json", "--demo", "--scenario", "--interval", "--delay", "--id", "exit codes"):
        assert flag in text


def test_lists_name_every_node_and_scenario():
    assert [line.split()[0] for line in nvltop("--demo", "list").stdout.splitlines()] == [*NODES, *FLEETS]
    listed = [line.split()[0] for line in nvltop("--scenario", "list").stdout.splitlines()]
    assert listed == list(SCENARIOS | FLEET_SCENARIOS)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nonsense",),
        ("--demo", "dgx-x"),
        ("--demo", "--scenario", "nothing"),
        ("--scenario", "idle"),
        ("--interval", "fast"),
        ("--interval", "-1"),
        ("-d", "0"),
        ("-n", "0"),
        ("-i", ",,"),
        ("-d", "5", "--interval", "1"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, capsys):
    assert main([*arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("nvltop: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [("--demo", "dgx-x"), ("--once", "--demo", "-i", "99")])
def test_wrong_usage_of_the_program_is_one_line_and_exit_code_2(arguments):
    run = nvltop(*arguments)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith("nvltop: ")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(("node", "words"), [("no-driver", "not loaded"), ("no-gpu", "shows no GPU")])
@pytest.mark.parametrize("output", ["--once", "--json"])
def test_no_driver_or_gpu_is_exit_code_3_with_the_reason_and_a_hint(node, words, output):
    run = nvltop("--demo", node, output)
    assert run.returncode == 3
    assert run.stdout == ""
    assert words in run.stderr
    assert "--demo" in run.stderr
    assert run.stderr.count("\n") == 1


def test_without_a_driver_on_this_machine_the_exit_code_is_3_or_it_is_a_gpu_machine():
    run = nvltop("--once")
    assert run.returncode in (0, 3)
    assert "Traceback" not in run.stderr


def test_json_lines_an_interval_apart():
    run = nvltop("--json", "-n", "3", "--interval", "200ms", "--demo")
    frames = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(frames) == 3
    for frame in frames:
        assert frame["schema"] == "nvltop/1"
        assert frame["interval_s"] == 0.2
        assert len(frame["gpus"]) == 8
        for gpu in frame["gpus"]:
            assert gpu["nvlink"]["tx_bytes_per_s"] is not None
            assert len(gpu["links"]) == 18


def test_an_interval_out_of_range_is_clamped_and_reported():
    run = nvltop("--json", "--interval", "1ms", "--demo")
    assert "using 0.1 s" in run.stderr
    assert json.loads(run.stdout)["interval_s"] == 0.1


def test_ids_select_the_gpus_shown():
    run = nvltop("--json", "--interval", "0.2", "--demo", "-i", "1,0000:52:00.0")
    shown = json.loads(run.stdout)
    assert [gpu["index"] for gpu in shown["gpus"]] == [1, 2]
    assert len(shown["matrix"]["p2p_nvlink"]) == 8, "a view; the node stays whole"


def test_text_when_stdout_is_not_a_terminal():
    run = nvltop("--demo", "dgx1-v100", "--interval", "0.2")
    assert run.returncode == 0
    assert "link errors: 0 on all 48 links" in run.stdout
    assert "--verbose adds the matrix" in run.stdout
    run = nvltop("--demo", "dgx1-v100", "--interval", "0.2", "--verbose")
    assert "NV2" in run.stdout
    assert "SIMULATED" in run.stdout
    assert "\x1b" not in run.stdout


@pytest.mark.parametrize(
    ("flags", "encoding"), [(("--ascii",), "utf-8"), ((), "ascii"), ((), "iso-8859-1"), ((), "utf-8")]
)
def test_a_report_in_any_encoding(flags, encoding):
    run = subprocess.run(
        [sys.executable, "-m", "nvltop", "--demo", "hgx-a100-4", "--once", "--interval", "0.2", *flags],
        capture_output=True, timeout=60, check=True, env=ENVIRONMENT | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    text = run.stdout.decode("ascii" if flags else encoding)
    assert ("4 x NVIDIA" if flags or encoding == "ascii" else "4 × NVIDIA") in text
    assert run.stderr == b""


@pytest.mark.parametrize("arguments", [("--print-man",), ("--demo", "--json", "--interval", "0.2")])
def test_a_full_disk_is_one_line_and_exit_code_1(arguments):
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "nvltop", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=ENVIRONMENT, check=False,
        )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr == "nvltop: cannot write: No space left on device\n"


def test_a_terminal_that_closes_at_the_end_is_not_a_crash():
    code = (
        "import os, pty, sys; from nvltop.cli import main\n"
        "master, slave = pty.openpty()\n"
        "os.dup2(slave, 1)\n"
        "os.close(slave)\n"
        "os.close(master)\n"
        "sys.exit(main(['--demo', 'list']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (run.returncode, run.stderr) == (1, "nvltop: cannot write: Input/output error\n")


def test_a_reader_that_closes_the_pipe_is_not_an_error():
    command = f"{sys.executable} -m nvltop --json -n 50 --interval 0.1 --demo | head -c 10"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert run.stderr == ""


def test_a_recording_replays_the_same(tmp_path):
    file = tmp_path / "run.gz"
    live = nvltop("--json", "-n", "4", "--interval", "0.2", "--demo", "--record", str(file))
    assert live.returncode == 0
    last = json.loads(live.stdout.splitlines()[-1])
    replayed = json.loads(nvltop("--replay", str(file), "--json").stdout)
    assert replayed["node"]["hostname"] == "node-1"
    assert replayed["time"] == last["time"]
    for then, now in zip(last["gpus"], replayed["gpus"], strict=True):
        assert now["uuid"] != then["uuid"]
        assert now["nvlink"] == then["nvlink"]
        assert now["links"] == then["links"]
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    again = nvltop("--demo", "--once", "--record", str(file))
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists already" in again.stderr


def test_a_file_that_is_not_a_recording_is_one_line_and_exit_code_1(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("hello\n")
    run = nvltop("--replay", str(file), "--once")
    assert run.returncode == 1
    assert f"{file}:1: " in run.stderr
    assert run.stderr.count("\n") == 1


def test_csv_has_units_in_its_titles_and_a_row_per_link():
    lines = nvltop("--csv", "--demo", "hgx-a100-4", "--interval", "0.2").stdout.splitlines()
    assert "tx_bytes_per_s" in lines[0]
    assert len(lines) == 1 + 4 * (1 + 12)
    assert {line.count(",") for line in lines} == {lines[0].count(",")}


def test_estimate_needs_json():
    refused = nvltop("--demo", "--estimate", "--once")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--estimate needs --json" in refused.stderr
    values = json.loads(nvltop("--demo", "--estimate", "--json").stdout)
    assert values["matrix"]["estimated_pair_tx_bytes_per_s"][0][1] > 0
    assert values["matrix"]["pair_tx_bytes_per_s"][0][1] is None


@pytest.mark.parametrize(
    ("scenario", "answer", "headline"),
    [("saturated", "saturated", "NVLink limits the job"), ("idle", "idle", "Idle")],
)
def test_json_observes_for_the_requested_time(scenario, answer, headline):
    """End to end: worker, pipe, analysis, output."""
    run = nvltop("--json", "--for", "8", "--demo", "hgx-h100-4", "--scenario", scenario)
    verdict = json.loads(run.stdout)["verdict"]
    assert verdict["id"] == answer
    assert verdict["headline"].startswith(headline)
    assert verdict["watched_s"] == pytest.approx(8.0, abs=1.5)
