"""The address of a Prometheus server and the credentials for it, from the environment or from files."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from nvltop.fleet.environment import PASSWORD, PASSWORD_FILE, TOKEN, TOKEN_FILE, USER
from nvltop.fleet.source import FleetError
from nvltop.frozen import frozen
from nvltop.text import clean

MAX_SECRET_BYTES: Final = 65536
PORTS: Final = {"http": 80, "https": 443}


class AddressError(ValueError):
    """An address that cannot be used; the message is one line for the user."""


@frozen
class Address:
    """Scheme, host, port and path prefix of a server."""

    scheme: str
    host: str
    port: int
    path: str = ""
    """Path in front of `/api/v1`, without a slash at its end; may be empty."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def parse(text: str) -> Address:
    """Return the address in a URL; `host:port` without a scheme is taken as http.

    Raises `AddressError`; the message never repeats a password.
    """
    if text != clean(text) or any(c.isspace() for c in text):
        raise AddressError("the URL of --prometheus contains blanks or control characters")
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressError("the URL of --prometheus cannot be parsed (expected http://HOST:PORT)") from None
    if parts.username is not None or parts.password is not None:
        raise AddressError(
            f"user and password in the URL would be visible in the list of processes: set {USER} and"
            f" {PASSWORD_FILE} (a file) instead"
        )
    if parts.scheme not in PORTS or not parts.hostname:
        raise AddressError("the URL of --prometheus must begin with http:// or https:// and name a host")
    if parts.query or parts.fragment:
        raise AddressError("the URL of --prometheus must end with the path prefix: no ? and no #")
    return Address(parts.scheme, parts.hostname, port or PORTS[parts.scheme], parts.path.rstrip("/"))


def authorization(environ: Mapping[str, str]) -> str:
    """Return the value of the header `Authorization`; empty without credentials. Raises `FleetError`.

    Files are read each time, because tokens of Kubernetes change every hour.
    """
    token = _secret(environ, TOKEN, TOKEN_FILE)
    user = environ.get(USER, "")
    if token and user:
        raise FleetError(f"both a token and {USER} are set: only one kind of authentication can be used")
    if token:
        return f"Bearer {token}"
    if user:
        password = _secret(environ, PASSWORD, PASSWORD_FILE)
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return ""


def _secret(environ: Mapping[str, str], variable: str, file_variable: str) -> str:
    path = environ.get(file_variable, "")
    if not path:
        secret = environ.get(variable, "")
    else:
        try:
            with Path(path).open("rb") as file:
                secret = file.read(MAX_SECRET_BYTES).decode("utf-8").strip()
        except OSError as error:
            raise FleetError(f"{file_variable}: {path}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise FleetError(f"{file_variable}: {path} is not text") from None
        if not secret:
            raise FleetError(f"{file_variable}: {path} is empty")
    if not secret.isprintable():
        raise FleetError(f"{file_variable if path else variable} contains control characters")
    return secret
