"""The server against people who mean no good, and people who are slow."""

from __future__ import annotations

import gzip
import os
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.export import server
from nvltop.export.address import Address, listen
from nvltop.export.exposition import PAGE_LIFETIME_S, MetricsPage

PAGE = b"a_metric 1\n" * 20000
PATIENCE_S = 20.0


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[server.Server]:
    monkeypatch.setattr(server, "REQUEST_S", 0.3)
    monkeypatch.setattr(server, "TAKE_S", 0.5)
    running = server.Server(
        listen(Address(port=0)), lambda packed: gzip.compress(PAGE) if packed else PAGE, "text/x"
    )
    yield running
    running.close()


def connect(served: server.Server) -> socket.socket:
    host, port = served.url.split("/")[2].rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), PATIENCE_S)


def talk(served: server.Server, request: bytes) -> bytes:
    """Say something, and return all that comes back."""
    with connect(served) as sock:
        sock.sendall(request)
        answer = b""
        try:
            while part := sock.recv(1 << 16):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def get(served: server.Server) -> bytes:
    with urllib.request.urlopen(served.url, timeout=PATIENCE_S) as answer:
        return answer.read()


def test_a_page_is_given_as_it_is(served):
    assert get(served) == PAGE


def test_a_page_is_compressed_for_those_who_take_that(served):
    answer = talk(served, b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: deflate, gzip\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert b"Content-Type: text/x" in head
    assert gzip.decompress(body) == PAGE


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        (b"gzip;q=1.0", True), (b"GZIP; q=0.5", True), (b"deflate, gzip;q=0.001, *;q=0", True), (b"*", True),
        (b"gzip;q=0", False), (b"gzip;q=0.000", False), (b"*;q=1, gzip;q=0", False), (b"br", False),
        (b"", False), (b"gzip;q=x", False), (b"gzip;q=", False), (b"gzipped", False), (b";;,,", False),
    ],
)  # fmt: skip
def test_weights_of_codings_are_obeyed(served, accepted, packed):
    answer = talk(served, b"GET /metrics HTTP/1.1\r\nAccept-Encoding: " + accepted + b"\r\n\r\n")
    assert (b"Content-Encoding: gzip" in answer.partition(b"\r\n\r\n")[0]) is packed


@pytest.mark.parametrize("path", [b"/metrics", b"/", b"/other"])
def test_head_is_get_without_its_content(served, path):
    got = talk(served, b"GET " + path + b" HTTP/1.1\r\n\r\n")
    head = talk(served, b"HEAD " + path + b" HTTP/1.1\r\n\r\n")
    assert head == got.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def test_the_root_leads_to_the_metrics(served):
    answer = talk(served, b"GET / HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'href="/metrics"' in answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", b"405"),
        (b"HEAD /metrics/ HTTP/1.1\r\n\r\n", b"404"),
        (b"GET //metrics HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_nothing_but_get_metrics(served, request_, status):
    answer = talk(served, request_)
    # What is left unread when the answer is sent may reset the connection before it arrives.
    assert answer.startswith(b"HTTP/1.1 " + status) or (status == b"431" and answer == b"")
    assert PAGE not in answer
    assert get(served) == PAGE


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"GET ", b"GET /metrics", b"GET /metrics HTTP/1.1\r\n"])
)
def test_whatever_is_asked_there_is_an_answer_and_the_page_only_for_get_metrics(quiet, noise, begun):
    request = begun + noise
    answer = quiet._answer(request)
    asked = re.match(rb"GET /metrics(\?[^ ]*)? HTTP/1\.[^ ]*$", request.partition(b"\r\n")[0], re.DOTALL)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n" if asked else b"HTTP/1.1 40")
    assert (b"the page" in answer) == bool(asked)


@pytest.fixture(scope="module")
def quiet() -> Iterator[server.Server]:
    running = server.Server(listen(Address(port=0)), lambda packed: b"the page", "text/x")
    yield running
    running.close()


def test_leaving_closes_what_is_open():
    running = server.Server(listen(Address(port=0)), lambda packed: PAGE, "text/x")
    with connect(running) as waiting:
        until(lambda: bool(running._open))
        running.close()
        assert waiting.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(running)


def test_a_request_that_never_ends_is_cut_off(served):
    # Were it not, nothing would come in PATIENCE_S.
    assert talk(served, b"GET /metrics HTTP/1.1\r\nX: ") == b""


def test_an_answer_that_nobody_takes_is_dropped(served, monkeypatch):
    monkeypatch.setattr(served, "_give", lambda packed: b"x" * (64 << 20))
    with connect(served) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        until(lambda: not served._open, begun=lambda: bool(served._open))


def until(done, begun=lambda: True) -> None:
    """Wait for something of the server's thread."""
    end = time.monotonic() + PATIENCE_S
    seen = False
    while not (seen and done()):
        seen = seen or begun()
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def test_who_holds_all_connections_keeps_nobody_out(served, monkeypatch):
    monkeypatch.setattr(server, "REQUEST_S", 60.0)
    before = len(os.listdir("/proc/self/fd"))
    held = [connect(served) for _ in range(5 * server.CONNECTIONS)]
    # Our ends, and those of the server that are still open.
    most = before + len(held) + server.CONNECTIONS + 2
    try:
        assert get(served) == PAGE
        assert len(served._open) <= server.CONNECTIONS
        until(lambda: len(os.listdir("/proc/self/fd")) <= most)
    finally:
        for sock in held:
            sock.close()


def test_many_at_once_all_get_the_page(served):
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(get(served))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert answers == [PAGE] * 10


def test_a_failure_of_ours_is_an_answer(served, monkeypatch):
    def fail(packed: bool) -> bytes:
        raise RuntimeError("secret")

    monkeypatch.setattr(served, "_give", fail)
    assert talk(served, b"GET /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 500")
    assert b"secret" not in talk(served, b"GET /metrics HTTP/1.1\r\n\r\n")


def test_before_the_first_frame_there_is_no_page(served, monkeypatch):
    monkeypatch.setattr(served, "_give", MetricsPage().get)
    assert talk(served, b"GET /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 503")


def test_ipv6(monkeypatch):
    running = server.Server(listen(Address("::1", 0)), lambda packed: PAGE, "text/x")
    try:
        assert running.url.startswith("http://[::1]:")
        assert get(running) == PAGE
    finally:
        running.close()


def test_a_page_is_made_once_a_second_at_most(bench):
    b = bench("rtx4090-pair")
    now = [b.clock.now]
    page = MetricsPage(clock=lambda: now[0])
    page.show(b.run(1))
    first = page.get()
    page.show(b.run(1))
    assert page.get() is first
    packed = page.get(packed=True)
    assert packed
    assert gzip.decompress(packed) == first
    now[0] += PAGE_LIFETIME_S
    assert page.get() != first
