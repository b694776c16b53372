from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.export.address import LOOPBACK, PORT, Address, ServeError, listen, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:9000", Address("0.0.0.0", 9000)),
        ("0.0.0.0", Address("0.0.0.0", PORT)),
        ("9000", Address(LOOPBACK, 9000)),
        (":9000", Address(LOOPBACK, 9000)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:9000", Address("::1", 9000)),
        ("[::1]", Address("::1", PORT)),
        ("::1", Address("::1", PORT)),
        ("fe80::1%eth0", Address("fe80::1%eth0", PORT)),
    ],
)
def test_addresses_as_people_write_them(text, address):
    assert parse(text) == address


@pytest.mark.parametrize(
    "text", ["", "a:b", "1.2.3.4:99999", "[::1", "::1]:80", "[x]:80", "1.2.3.4:80:80", "a b"]
)
def test_invalid_addresses_are_rejected(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse(text)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_address_is_read_as_it_is_written(ip, port):
    address = Address(str(ip), port)
    assert parse(str(address)) == address


def test_a_port_in_use_is_said_in_one_line():
    with socket.create_server((LOOPBACK, 0)) as taken:
        address = Address(LOOPBACK, taken.getsockname()[1])
        with pytest.raises(ServeError, match=f"cannot serve on {address}: Address already in use"):
            listen(address)


def test_a_name_that_is_none():
    # Too long a label is refused before any name server is asked.
    with pytest.raises(ServeError, match="cannot serve on aaaa"):
        listen(Address("a" * 70, 80))
