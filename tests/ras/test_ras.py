"""Which rank hangs, as a server reports it that speaks NCCL's RAS protocol, rightly or wrongly."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.cli import main
from nvltop.ras import client, inquiry
from nvltop.ras.answer import parse
from nvltop.ras.client import RasError, Reply, query
from nvltop.ras.diagnosis import answered_for, diagnose
from nvltop.ras.listeners import find_services
from nvltop.ras.nccl_version import nccl_version
from tests.ras.server import (
    TEXT_INCOMPLETE,
    TEXT_MISMATCH,
    healthy,
    missing,
    rank,
    serving,
    status,
)

ONE_BEHIND = status(([rank(n, 6650 - (n == 5)) for n in range(8)], []), ([rank(n, 9) for n in range(2)], []))
LATER = status(([rank(n, 6700 - (n == 5)) for n in range(8)], []), ([rank(n, 12) for n in range(2)], []))


def ask(server, *flags: str) -> int:
    return main(["--ras", f"127.0.0.1:{server.port}", "--yes", "--ras-force", *flags])


def test_a_healthy_job(capsys):
    with serving(healthy()) as server:
        assert ask(server) == 0
    out = capsys.readouterr().out
    assert "NCCL 2.29.1 answered" in out
    assert "No rank is behind or missing." in out
    assert server.received == [["CLIENT PROTOCOL 2", "SET FORMAT json", "VERBOSE STATUS"]]


def test_a_rank_that_is_behind_is_named_with_its_place(capsys):
    with serving(ONE_BEHIND) as server:
        assert ask(server) == 1
    out = capsys.readouterr().out
    assert "rank 5 (GPU 5, process 483005, 172.16.64.210) is 1 behind: launched AllReduce 6649" in out
    assert "One query cannot show a hang" in out
    assert "1 communicator without a rank behind" in out


@pytest.mark.parametrize(
    ("second", "stuck", "words"), [(ONE_BEHIND, True, "Stuck: nothing moved"), (LATER, False, "Not stuck")]
)
def test_a_second_query_shows_whether_the_job_is_stuck(capsys, second, stuck, words):
    with serving(ONE_BEHIND, second) as server:
        assert ask(server, "-n", "2", "--interval", "0.01", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "nvltop-ras/1"
    assert found["stuck"] is stuck
    assert words in found["conclusion"]
    assert found["communicators"][0]["behind"][0]["nvml_index"] == 5


def test_dead_and_silent_ranks_over_four_nodes(capsys):
    ranks = [rank(n, 50, host=f"172.16.64.{210 + n // 8}") for n in range(30)]
    with serving(status((ranks, [missing(30), missing(31, dead=True)]), timeouts=2)) as server:
        assert ask(server) == 1
    out = capsys.readouterr().out
    assert "rank 30 (GPU 6, process 483030, 172.16.64.210): did not answer" in out
    assert "rank 31 (GPU 7, process 483031, 172.16.64.210): considered dead by NCCL" in out
    assert "2 timeouts" in out


def test_a_rank_with_an_error(capsys):
    with serving(status(([rank(0, 5), rank(1, 5, async_error=6)], []))) as server:
        assert ask(server) == 1
    assert "rank 1 (GPU 1, process 483001, 172.16.64.210): ERROR 6" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT_MISMATCH, "rank 5 (GPU 5, process 483077, 172.16.64.210) is 1 behind: launched AllReduce 6649"),
        (TEXT_INCOMPLETE, "rank 21: did not answer"),
    ],
)
def test_the_text_of_older_versions(capsys, text, words):
    with serving(text, json=False) as server:
        assert ask(server) == 1
    assert words in capsys.readouterr().out


def test_the_size_of_a_communicator_in_a_text():
    report = parse(Reply(TEXT_MISMATCH, False))
    assert {c.hash: c.size for c in report.communicators} == {"27a079b828ff1a75": 32, "group 0": 4}


@pytest.mark.parametrize(
    ("answers", "how", "words"),
    [
        (["{}"], {}, "not the JSON"),
        (["[1]"], {}, "not the JSON"),
        (['{"communicators": [{"hash": 1}]}'], {}, "not the JSON"),
        (["[" * 100_000], {}, "not the JSON"),
        (["hello"], {"json": False}, "not that of an NCCL RAS service: 'hello'"),
        ([b"\x1b[2J\xff"], {"json": False}, r"\x1b[2J"),
        ([""], {"greeting": b"HTTP/1.1 400 Bad Request\r\n"}, "not an NCCL RAS service"),
        ([""], {"greeting": b"x" * 5000}, "not an NCCL RAS service"),
    ],
)
def test_a_wrong_server_gives_one_line(capsys, answers, how, words):
    with serving(*answers, **how) as server:
        assert ask(server) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert words in captured.err


def test_strings_of_the_server_are_cleaned(capsys):
    evil = ONE_BEHIND.replace("172.16.64.210", "\\u001b]0;x\\u0007").replace("2.29.1", "2.29\\u001b[31m")
    with serving(evil) as server:
        assert ask(server) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_a_slow_server_is_given_up(capsys):
    with serving(healthy(), delay_s=1.0) as server, pytest.raises(RasError, match=r"within 0\.1 s"):
        query("127.0.0.1", server.port, 0.1)


def test_a_server_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(client, "MAX_BYTES", 1 << 20)
    with serving("{", endless=True) as server, pytest.raises(RasError, match="larger than 1 MiB"):
        query("127.0.0.1", server.port)


def test_nobody_listens(capsys):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert main(["--ras", f"127.0.0.1:{port}", "--yes", "--ras-force"]) == 3
    assert "Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["192.0.2.1:28028", "--yes", "--ras-force"], "not an address of this host"),
        (["localhost", "--yes"], "is not an address"),
        (["127.0.0.1:99999", "--yes"], "is not an address"),
        (["127.0.0.1:1", "--ras-force"], "confirm with --yes"),
        (["127.0.0.1:1", "--yes"], "--ras-force asks all the same"),
        (["127.0.0.1:1", "--yes", "--check"], "can be combined only with"),
    ],
)
def test_wrong_usage(capsys, arguments, words):
    assert main(["--ras", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_young_process_and_an_unknown_version_are_refused(capsys, monkeypatch):
    with serving(healthy()) as server:
        listener = """
import socket, sys
s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()
"""
        with subprocess.Popen(
            [sys.executable, "-c", listener], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            port = int(process.stdout.readline())
            monkeypatch.setattr("nvltop.ras.listeners.DEFAULT_PORT", port)
            [service] = [s for s in find_services([process.pid]) if s.port == port]
            assert (service.host, service.pid, service.same_network) == ("127.0.0.1", process.pid, True)
            assert main(["--ras", f"127.0.0.1:{port}", "--yes", "--ras-force"]) == 2
            assert "started" in capsys.readouterr().err
            monkeypatch.setattr(inquiry, "MIN_AGE_S", 0.0)
            assert main(["--ras", f"127.0.0.1:{port}", "--yes"]) == 2
            assert "no libnccl.so mapped" in capsys.readouterr().err
            process.stdin.close()
    assert server.received == []


def test_the_version_is_read_from_the_mapped_library(tmp_path):
    library = tmp_path / "1" / "root" / "opt" / "libnccl.so.2"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"\0" * 100_000 + b"NCCL version 2.29.1+cuda13.0\0" + b"\0" * 1000)
    (tmp_path / "1" / "maps").write_text("7f00-7f01 r-xp 00000000 08:01 42   /opt/libnccl.so.2\n")
    assert nccl_version(1, tmp_path) == (2, 29, 1)
    (tmp_path / "1" / "maps").write_text("7f00-7f01 r-xp 0 08:01 42 /usr/lib/libnccl.so.2.27.3\n")
    assert nccl_version(1, tmp_path) == (2, 27, 3)
    library.write_bytes(b"")
    (tmp_path / "1" / "maps").write_text("7f00-7f01 r-xp 00000000 08:01 42   /opt/libnccl.so.2\n")
    assert "cannot be read" in nccl_version(1, tmp_path).reason
    assert "cannot be read" in nccl_version(2, tmp_path).reason


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=1, max_size=3))
def test_a_rank_is_behind_exactly_if_another_has_launched_more(counts):
    report = parse(
        Reply(status(*(([rank(n, c) for n, c in enumerate(ranks)], []) for ranks in counts)), True)
    )
    for d in diagnose(report):
        launched = [r.counts["AllReduce"] for r in d.communicator.ranks]
        assert {lag.rank.rank for lag in d.behind} == {n for n, c in enumerate(launched) if c < max(launched)}
        assert d.moved is None


@settings(max_examples=60)
@given(st.text(max_size=300), st.booleans())
def test_any_text_is_parsed_or_refused(text, is_json):
    try:
        report = parse(Reply(text, is_json))
    except RasError:
        return
    diagnose(report)


def test_an_answer_of_another_job_is_recognized():
    report = parse(Reply(healthy(), True))
    assert answered_for(report, [1, 483003])
    assert not answered_for(report, [1, 2])
    assert answered_for(parse(Reply(TEXT_MISMATCH, False)), [1]), "a text does not list every process"
