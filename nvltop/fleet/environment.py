"""Environment variables with the credentials for a Prometheus server, for the manual page as well."""

from __future__ import annotations

from typing import Final

TOKEN: Final = "NVLTOP_PROMETHEUS_TOKEN"
TOKEN_FILE: Final = "NVLTOP_PROMETHEUS_TOKEN_FILE"
USER: Final = "NVLTOP_PROMETHEUS_USER"
PASSWORD: Final = "NVLTOP_PROMETHEUS_PASSWORD"
PASSWORD_FILE: Final = "NVLTOP_PROMETHEUS_PASSWORD_FILE"
ENVIRONMENT: Final = {
    TOKEN_FILE: "file with the bearer token for --prometheus",
    TOKEN: "the bearer token itself, if there is no file",
    f"{USER}, {PASSWORD_FILE}": "user and file with the password for --prometheus (basic authentication)",
    PASSWORD: "the password itself, if there is no file",
    "HTTP_PROXY, HTTPS_PROXY, NO_PROXY": "proxies for --prometheus, as for curl",
    "SSL_CERT_FILE": "certificate authorities for --prometheus, instead of the system's",
}
