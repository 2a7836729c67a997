"""Two hundred ways to write an address that may not be called, at every entrance: nobody is ever connected to."""

from __future__ import annotations

import psycopg
import pytest

from engine.addresses import AddressRefused
from tests.outbound.entrances import ENTRANCES
from tests.outbound.forms import FORMS, NAMES
from tests.outbound.network import forbidden, listening, resolver, watched

# Drivers that take long to fail get some of the forms; the rest of them are read by the same function as the others'.
SLOW = {"redis": 11, "mysql": 7}


@pytest.fixture(autouse=True)
def network(settings, monkeypatch):
    settings.WEBHOOK_PRIVATE = settings.QUEUE_PRIVATE = settings.DATABASE_PRIVATE = False
    settings.STORE_PRIVATE = settings.OIDC_PRIVATE = False
    monkeypatch.setattr("socket.getaddrinfo", resolver(lambda name, port: NAMES.get(name, [])))


@pytest.fixture
def libpq(monkeypatch):
    """What is handed to PostgreSQL's own library, whose sockets nobody sees from here."""
    handed = []

    def connect(**options):
        handed.append((options["hostaddr"], options["port"]))
        raise psycopg.OperationalError("nobody there")

    monkeypatch.setattr(psycopg, "connect", connect)
    return handed


def test_there_are_enough_of_them():
    assert len({form.authority for form in FORMS}) >= 200


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_no_form_of_an_address_leads_into_our_network(entrance, libpq):
    entered = []
    with listening() as trap, watched() as places:
        for form in FORMS[:: SLOW.get(entrance, 1)]:
            port = "" if form.authority.endswith(("#@example.com", "?@example.com")) else f":{trap.port}"
            try:
                ENTRANCES[entrance](f"{form.authority}{port}")
            except Exception:  # noqa: BLE001  # whatever it says to that, it must not connect
                pass
            else:
                entered.append(form)
            if bad := forbidden([*places, *libpq]):
                pytest.fail(f"{form} led {entrance} to {bad}")
    assert (entered, trap.heard) == ([], [])


@pytest.mark.parametrize("entrance", [each for each in ENTRANCES if each not in ("postgresql", "store")])
@pytest.mark.parametrize("port", ["0", "65536", "-1", "99999999999999999999", "８０", "0x50", "80/../", ""])
def test_no_port_does_either(entrance, port):
    with watched() as places, pytest.raises(Exception):  # noqa: B017, PT011  # whatever it says to that
        ENTRANCES[entrance](f"127.0.0.1:{port}")
    assert places == []


def test_the_watch_sees_what_the_clients_do(settings):
    """Or the tests above would prove nothing: with leave, every one of them connects."""
    settings.WEBHOOK_PRIVATE = settings.QUEUE_PRIVATE = settings.STORE_PRIVATE = settings.OIDC_PRIVATE = True
    for entrance in ("webhook", "identity provider", "amqp", "redis", "stream", "store"):
        with listening() as trap, watched() as places:
            with pytest.raises(Exception):  # noqa: B017, PT011  # it speaks no protocol
                ENTRANCES[entrance](f"127.0.0.1:{trap.port}")
            assert ("127.0.0.1", trap.port) in places, entrance


@pytest.mark.parametrize("entrance", ["webhook", "identity provider", "amqp", "redis", "stream", "store"])
@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fe80::1]", "0.0.0.0", "[fd00:ec2::254]", "metadata.google.internal"]
)
def test_leave_for_private_networks_is_none_for_metadata(settings, entrance, host):
    settings.WEBHOOK_PRIVATE = settings.QUEUE_PRIVATE = settings.STORE_PRIVATE = settings.OIDC_PRIVATE = True
    with watched() as places, pytest.raises(Exception):  # noqa: B017, PT011  # each in its own words
        ENTRANCES[entrance](f"{host}:80")
    assert places == []


def test_a_refusal_is_told_as_one(settings):
    with pytest.raises(AddressRefused, match="private"):
        ENTRANCES["webhook"]("localtest.me")
