from __future__ import annotations

import pytest

from tenants.addresses import numbered, parse


def test_it_reads_every_form():
    unix = parse("unix://:secret@/run/valkey.sock?db=17")
    assert (unix.path, unix.database, unix.password) == ("/run/valkey.sock", 17, "secret")
    plain = parse("redis://me:p%40ss@store:7000/3")
    assert (plain.host, plain.port, plain.database) == ("store", 7000, 3)
    assert (plain.username, plain.password, plain.tls) == ("me", "p@ss", False)
    assert parse("rediss://store").tls and parse("valkeys://store").tls
    assert parse("redis://[::1]").host == "::1"


def test_it_shows_no_password():
    assert "secret" not in str(parse("redis://me:secret@store/3"))


@pytest.mark.parametrize("url", ["", "http://store", "redis://", "unix://", "redis://store/x", "redis://store:port/0"])
def test_it_refuses_anything_else(url):
    with pytest.raises(ValueError):
        parse(url)


def test_it_changes_the_number_only():
    assert numbered("unix:///s?db=1&password=a", 16) == "unix:///s?password=a&db=16"
    assert numbered("redis://:a@store:7000/1", 16) == "redis://:a@store:7000/16"
    assert parse(numbered("redis://store", 16)).database == 16
