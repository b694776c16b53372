"""The client against servers that refuse, redirect, stall, lie and flood."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator

import pytest

from nvltop.fleet import address, http
from nvltop.fleet.prometheus import MAX_LABEL_CHARS, PrometheusSource
from nvltop.fleet.select import parse as parse_select
from nvltop.fleet.source import FleetError, Query
from tests.fleet.server import Answer, WebServer, reply, success, vector

ONE = vector(({"instance": "a:1"}, "1"))


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], WebServer]]:
    """Return a function that starts a server."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    servers = []

    def start(answer: Answer) -> WebServer:
        servers.append(WebServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def asked(url: str, select: str = "", environ: dict[str, str] | None = None):
    source = PrometheusSource(address.parse(url), parse_select(select) if select else (), environ or {})
    try:
        return source.instant(Query("events"))
    finally:
        source.close()


def test_queries_are_posted_below_the_prefix_on_one_connection(serve):
    server = serve(lambda request, to: reply(to, ONE))
    source = PrometheusSource(address.parse(f"{server.url}/prometheus/"), parse_select('job="x"'), {})
    for _ in range(3):
        answer = source.instant(Query("events"))
    source.close()
    assert answer.time_s == 1700000000.5
    assert answer.samples[0].labels == {"instance": "a:1"}
    assert server.connections == 1
    assert {(r.method, r.path) for r in server.requests} == {("POST", "/prometheus/api/v1/query")}
    assert 'nvltop_finding{job="x"}' in server.requests[0].form["query"]
    assert "Authorization" not in server.requests[0].headers


def test_get_is_used_where_post_is_refused(serve):
    def answer(request, to):
        reply(to, ONE if request.method == "GET" else b"{}", 200 if request.method == "GET" else 405)

    server = serve(answer)
    source = PrometheusSource(address.parse(server.url), (), {})
    for _ in range(2):
        assert source.instant(Query("events")).samples
    source.close()
    assert [r.method for r in server.requests] == ["POST", "GET", "GET"]


HTML = b"<html>Sign in</html>"


@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        (401, b"", {}, "requires credentials (401)"),
        (403, b'{"message": "no tenant"}', {}, "access is refused (403): no tenant"),
        (404, HTML, {"Content_Type": "text/html"}, "path prefix"),
        (400, b'{"status":"error","errorType":"bad_data","error":"parse error"}', {}, "parse error"),
        (422, b'{"status":"error","error":"too many samples"}', {}, "too many samples"),
        (503, b"upstream \x1b[31mgone", {}, "cannot answer now (503)"),
        (200, HTML, {"Content_Type": "text/html"}, "web page"),
        (200, b'{"status":"success","data":{"resu', {}, "not complete JSON"),
        (200, b"[" * 100_000, {}, "not complete JSON"),
        (200, b"[1]", {}, "not complete JSON"),
        (200, success([]), {}, "not that of Prometheus"),
        (200, success({"resultType": "vector", "result": [{"metric": {}, "value": "x"}]}), {}, "not that of"),
        (200, success({"resultType": "scalar", "result": [1, "1"]}), {}, "not that of Prometheus"),
        (200, b"\x1f\x8bxx", {"Content_Encoding": "gzip"}, "damaged"),
        (200, lambda: gzip.compress(bytes(40 << 20)), {"Content_Encoding": "gzip"}, "larger than 32 MiB"),
    ],
)
def test_a_failed_answer_is_one_line_with_its_reason(serve, status, body, headers, said):
    content = body() if callable(body) else body
    server = serve(lambda request, to: reply(to, content, status, **headers))
    with pytest.raises(FleetError) as failed:
        asked(server.url)
    text = str(failed.value)
    assert said in text
    assert text.isprintable()
    assert len(text) < 400


def test_hostile_labels_are_cleaned_and_values_without_a_number_left_out(serve):
    hostile = {"instance": "a\x1b]0;x\x07[b]", "huge": "x" * 10_000, "rtl": "\u202eabc"}
    body = vector((hostile, "1"), ({"instance": "b"}, "NaN"), ({"instance": "c"}, "+Inf"), ({}, "2"))
    server = serve(lambda request, to: reply(to, body))
    samples = asked(server.url).samples
    assert [sample.value for sample in samples] == [1.0, 2.0]
    for text in samples[0].labels.values():
        assert text.isprintable()
        assert len(text) <= MAX_LABEL_CHARS


def test_warnings_are_reported(serve):
    body = success({"resultType": "vector", "result": []}, warnings=["partial\nresponse", 7])
    server = serve(lambda request, to: reply(to, body))
    answer = asked(server.url)
    assert answer.warnings == ("partial\\x0aresponse",)
    assert answer.time_s is None


SECRET = {"NVLTOP_PROMETHEUS_TOKEN": "s3cret"}


def test_credentials_come_from_files_and_the_environment(serve, tmp_path):
    server = serve(lambda request, to: reply(to, ONE))
    (file := tmp_path / "token").write_text("abc\n")
    for environ, sent in (
        (SECRET, "Bearer s3cret"),
        ({"NVLTOP_PROMETHEUS_TOKEN_FILE": str(file)}, "Bearer abc"),
        ({"NVLTOP_PROMETHEUS_USER": "u", "NVLTOP_PROMETHEUS_PASSWORD_FILE": str(file)}, "Basic dTphYmM="),
    ):
        asked(server.url, environ=environ)
        assert server.requests[-1].headers["Authorization"] == sent
    for environ, said in (
        ({"NVLTOP_PROMETHEUS_TOKEN_FILE": str(tmp_path / "none")}, "No such file"),
        ({"NVLTOP_PROMETHEUS_TOKEN": "a\nb"}, "control characters"),
        (SECRET | {"NVLTOP_PROMETHEUS_USER": "u"}, "only one kind"),
    ):
        with pytest.raises(FleetError, match=said):
            asked(server.url, environ=environ)


def test_redirects_keep_the_query_and_never_send_credentials_to_another_server(serve):
    other = serve(lambda request, to: reply(to, ONE))

    def answer(request, to):
        if request.path.startswith("/old"):
            reply(to, b"", 301, Location="/new/api/v1/query")
        else:
            reply(to, b"", 307, Location=f"{other.url}/api/v1/query")

    server = serve(answer)
    assert asked(f"{server.url}/old", environ=SECRET).samples
    assert [r.method for r in server.requests] == ["POST", "POST"]
    assert all(r.headers["Authorization"] == "Bearer s3cret" for r in server.requests)
    (last,) = other.requests
    assert last.form == server.requests[0].form
    assert "Authorization" not in last.headers


def test_endless_redirects_end(serve):
    server = serve(lambda request, to: reply(to, b"", 302, Location=request.path))
    with pytest.raises(FleetError, match="redirects more than 5 times"):
        asked(server.url)
    for location in ("", "ftp://x/", "http://h:99999/"):
        bad = serve(lambda request, to, location=location: reply(to, b"", 302, Location=location))
        with pytest.raises(FleetError, match="cannot be used"):
            asked(bad.url)


def test_a_server_that_stalls_is_left_in_time(serve, monkeypatch):
    monkeypatch.setattr(http, "ANSWER_S", 0.3)
    never = threading.Event()

    def drip(request, to):
        to.send_response(200)
        to.send_header("Content-Length", "1000")
        to.end_headers()
        while not never.wait(0.02):
            try:
                to.wfile.write(b" ")
            except OSError:
                return

    for answer in (lambda request, to: never.wait(5), drip):
        server = serve(answer)
        with pytest.raises(FleetError, match="no answer within"):
            asked(server.url)
    never.set()


def test_a_cut_answer_and_a_kept_connection_that_was_closed(serve):
    def cut(request, to):
        to.send_response(200)
        to.send_header("Content-Length", "1000")
        to.end_headers()
        to.wfile.write(b"{")
        to.close_connection = True

    with pytest.raises(FleetError, match="cut off"):
        asked(serve(cut).url)

    def answer_and_hang_up(request, to):
        reply(to, ONE)
        to.close_connection = True  # without notice

    server = serve(answer_and_hang_up)
    source = PrometheusSource(address.parse(server.url), (), {})
    for _ in range(2):
        assert source.instant(Query("events")).samples
    source.close()
    assert server.connections == 2


def test_a_proxy_of_the_environment_is_used(serve, monkeypatch):
    proxy = serve(lambda request, to: reply(to, ONE))
    monkeypatch.setenv("http_proxy", proxy.url.replace("://", "://me:pw@"))
    assert asked("http://prometheus.invalid:9090/x").samples
    (request,) = proxy.requests
    assert request.path == "http://prometheus.invalid:9090/x/api/v1/query"
    assert request.headers["Proxy-Authorization"] == "Basic bWU6cHc="
    monkeypatch.setenv("no_proxy", ".invalid")
    with pytest.raises(FleetError, match=r"prometheus\.invalid"):
        asked("http://prometheus.invalid:9090")


def test_addresses():
    for text, shown in (
        ("prom:9090", "http://prom:9090"),
        ("https://prom/thanos/", "https://prom/thanos"),
        ("http://[::1]:9090", "http://[::1]:9090"),
    ):
        assert str(address.parse(text)) == shown
    for text, said in (
        ("http://u:p@prom", "NVLTOP_PROMETHEUS_PASSWORD_FILE"),
        ("u:p@prom:9090", "NVLTOP_PROMETHEUS_PASSWORD_FILE"),
        ("ftp://prom", "http://"),
        ("http://", "http://"),
        ("http://prom:x", "parsed"),
        ("http://prom/?a=b", r"no \?"),
        ("http://pr\x1bom", "control"),
    ):
        with pytest.raises(address.AddressError, match=said) as failed:
            address.parse(text)
        assert ":p@" not in str(failed.value)
    with pytest.raises(FleetError, match="refused"):
        asked("http://127.0.0.1:9")
