"""The source that asks a Prometheus server, or Thanos or Mimir, over its HTTP API.

Only `/api/v1/query` and `/api/v1/query_range` are used.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from nvltop.fleet import queries
from nvltop.fleet.address import Address, authorization
from nvltop.fleet.http import HttpClient, Response
from nvltop.fleet.select import Matcher
from nvltop.fleet.source import Answer, FleetError, Query, Sample, Series
from nvltop.text import clean

MAX_LABEL_CHARS: Final = 120
MAX_LABELS: Final = 64
MAX_TIME_S: Final = 1e11
"""Unix time after which a time is not one (the year 5138)."""
MAX_SERIES: Final = 100_000
QUERY_TIMEOUT: Final = "15s"
"""Time after which the server gives up a query; less than this client waits."""
GET_INSTEAD: Final = (403, 405, 501)
"""Answers to POST after which GET is tried: proxies that allow only reading."""


class PrometheusSource:
    """Answers named queries with those of a server."""

    def __init__(
        self, address: Address, select: tuple[Matcher, ...] = (), environ: Mapping[str, str] | None = None
    ) -> None:
        self.address = address
        self.select = select
        self._environ = os.environ if environ is None else environ
        self.client = HttpClient(address)
        self._method = "POST"

    @property
    def simulated(self) -> str:
        """Return that the nodes are real."""
        return ""

    @property
    def name(self) -> str:
        """Return the address."""
        return str(self.address)

    @property
    def traffic(self) -> tuple[int, int]:
        """Return the number of requests and the bytes of their answers, compressed."""
        return self.client.requests, self.client.received_bytes

    def instant(self, query: Query) -> Answer:
        """Return the values of a query at its `at_s`."""
        form = {"query": self._text(query)}
        if query.at_s is not None:
            form["time"] = f"{query.at_s:.3f}"
        data, warnings = self._get("/api/v1/query", form)
        samples: list[Sample] = []
        time_s: float | None = None
        for labels, entry in _results(data, "vector"):
            moment, value = _point(entry.get("value"))
            time_s = moment if time_s is None else time_s
            if math.isfinite(value):
                samples.append(Sample(labels, value))
        return Answer(tuple(samples), time_s, warnings)

    def range(self, query: Query, start_s: float, end_s: float, step_s: float) -> tuple[Series, ...]:
        """Return the values of a query at steps between two Unix times of the server's clock."""
        form = {
            "query": self._text(query),
            "start": f"{start_s:.3f}",
            "end": f"{end_s:.3f}",
            "step": f"{step_s:.3f}",
        }
        return _series(self._get("/api/v1/query_range", form)[0])

    def raw(self, query: Query) -> tuple[Series, ...]:
        """Return the stored samples of a query for a range of time."""
        return _series(self._get("/api/v1/query", {"query": self._text(query)})[0])

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def _text(self, query: Query) -> str:
        if query.name == "metrics":
            return queries.metrics(self.select)
        return queries.promql(query, self.select)

    def _get(self, path: str, form: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return `data` and the warnings of an answer. Raises `FleetError`."""
        text = urlencode({**form, "timeout": QUERY_TIMEOUT})
        secret = authorization(self._environ)
        response = self.client.request(self._method, path, text, secret)
        if self._method == "POST" and response.status in GET_INSTEAD:
            again = self.client.request("GET", path, text, secret)
            if again.status < 300:
                self._method, response = "GET", again
        return self._parsed(response, bool(secret))

    def _parsed(self, response: Response, authorized: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
        try:
            answer = json.loads(response.body)
        except (ValueError, RecursionError):
            answer = None
        if response.status != 200 or not isinstance(answer, dict) or answer.get("status") != "success":
            raise FleetError(f"{self.address}: {_failure(response, answer, authorized)}")
        data = answer.get("data")
        if not isinstance(data, dict):
            raise FleetError(f"{self.address}: the answer is not that of Prometheus")
        listed = answer.get("warnings")
        warnings = [w for w in listed if isinstance(w, str)] if isinstance(listed, list) else []
        return data, tuple(clean(warning, 200) for warning in warnings[:5])


def _failure(response: Response, answer: object, authorized: bool) -> str:
    """Return what a failed answer means, in one line."""
    said = ""
    if isinstance(answer, dict):
        said = clean(f"{answer.get('error') or answer.get('message') or ''}", 200)

    def words(text: str) -> str:
        return f"{text}: {said}" if said else text

    if response.status == 401:
        what = "the credentials are not accepted" if authorized else "it requires credentials"
        return f"{what} (401); see NVLTOP_PROMETHEUS_TOKEN_FILE in the manual page"
    if response.status == 403:
        return words("access is refused (403)")
    if response.status == 404:
        return "there is no /api/v1/query (404): is the path prefix missing, or is this not Prometheus?"
    if response.status in (400, 422):
        return words(f"the query was refused ({response.status})")
    if response.status in (429, 500, 502, 503, 504):
        return words(f"it cannot answer now ({response.status})")
    if response.status != 200:
        return words(f"HTTP status {response.status}")
    if isinstance(answer, dict) and "status" in answer:
        return words("the query failed")
    if response.content_type == "text/html":
        return "it answers with a web page, not with JSON: is this a login page, or another program?"
    return "the answer is not complete JSON"


def _results(data: Mapping[str, Any], kind: str) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Yield labels and entry of each series of a result."""
    result = data.get("result")
    if data.get("resultType") != kind or not isinstance(result, list):
        raise FleetError("the answer is not that of Prometheus")
    if len(result) > MAX_SERIES:
        raise FleetError(f"the answer has more than {MAX_SERIES} series")
    for entry in result:
        if isinstance(entry, dict) and isinstance(metric := entry.get("metric"), dict):
            labels = list(metric.items())[:MAX_LABELS]
            yield {_cleaned(key): _cleaned(value) for key, value in labels}, entry


def _cleaned(text: object) -> str:
    return clean(text, MAX_LABEL_CHARS) if isinstance(text, str) else ""


def _point(pair: object) -> tuple[float, float]:
    """Return time and value of a sample; the value is NaN if it is not a number."""
    if isinstance(pair, list) and len(pair) == 2:
        try:
            moment, value = float(pair[0]), float(pair[1])
            if 0.0 <= moment <= MAX_TIME_S:
                return moment, value
        except (TypeError, ValueError, OverflowError):
            pass
    raise FleetError("the answer is not that of Prometheus")


def _series(data: Mapping[str, Any]) -> tuple[Series, ...]:
    found = []
    for labels, entry in _results(data, "matrix"):
        values = entry.get("values")
        points = [_point(pair) for pair in values] if isinstance(values, list) else []
        found.append(Series(labels, tuple(p for p in points if math.isfinite(p[1]))))
    return tuple(found)
