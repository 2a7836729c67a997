from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time

import pytest

from engine import addresses
from engine.addresses import NEVER, PRIVATE, PUBLIC, AddressRefused

VERDICTS = {
    PUBLIC: (
        "1.1.1.1 8.8.8.8 172.15.255.255 172.32.0.0 100.63.255.255 100.128.0.0 169.253.255.255 192.167.255.255 "
        "2606:4700::1111 2001:4860:4860::8888 ::ffff:1.1.1.1 64:ff9b::808:808 2002:808:808::1 ::8.8.8.8"
    ),
    PRIVATE: (
        "10.0.0.1 10.255.255.255 127.0.0.1 127.255.255.254 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 "
        "100.127.255.255 198.18.0.1 ::1 fc00::1 fd00::1 fec0::1 ::ffff:10.0.0.1 ::ffff:7f00:1 ::127.0.0.1 "
        "::ffff:0:10.0.0.1 64:ff9b::a00:1 64:ff9b:1::808:808 2002:7f00:1:: 2002:a00:1:: 2606:4700::5efe:7f00:1 "
        "2606:4700::200:5efe:a00:1"
    ),
    NEVER: (
        "0.0.0.0 0.1.2.3 169.254.0.1 169.254.169.254 100.100.100.200 168.63.129.16 192.0.0.192 192.0.2.1 "
        "198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: fe80::1 fe80::1%eth0 "
        "fd00:ec2::254 fd20:ce::254 ff02::1 2001:db8::1 3fff::1 2001:0:a00:1:: 100::1 4000::1 ::ffff:169.254.169.254 "
        "::ffff:a9fe:a9fe 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 ::169.254.169.254 ::ffff:0:0.0.0.0 "
        "64:ff9b:1::a9fe:a9fe 2606:4700::5efe:a9fe:a9fe"
    ),
}


@pytest.mark.parametrize(
    ("text", "expected"), [(text, expected) for expected, texts in VERDICTS.items() for text in texts.split()]
)
def test_it_knows_what_an_address_is(text, expected):
    assert addresses.verdict(ipaddress.ip_address(text)) == expected


def test_every_range_is_judged_as_the_table_says_at_both_of_its_ends():
    """But for what lies in an earlier row: the narrower ones stand first."""
    for text, expected, _ in addresses.RANGES:
        network = ipaddress.ip_network(text)
        for end in (network[0], network[-1]):
            assert addresses.verdict(end) >= expected, (text, end)


@pytest.mark.parametrize("text", ["1.1.1.1", "2606:4700::1111"])
def test_it_lets_public_addresses_be_called_by_all(text):
    addresses.permit(text, private=False)
    addresses.check_host(text, private=False)


@pytest.mark.parametrize("text", ["10.0.0.1", "127.0.0.1", "::1", "fd00::1"])
def test_it_lets_private_ones_be_called_where_that_is_allowed(text):
    addresses.permit(text, private=True)
    with pytest.raises(AddressRefused, match="private"):
        addresses.permit(text, private=False)


@pytest.mark.parametrize("text", ["169.254.169.254", "fe80::1", "0.0.0.0", "::", "fd00:ec2::254", "224.0.0.1"])
def test_it_lets_some_be_called_by_nobody(text):
    with pytest.raises(AddressRefused):
        addresses.permit(text, private=True)


def answers(monkeypatch, *hosts, wait=0.0):
    """The system's resolver says these."""
    asked = []

    def found(name, port, *_, **__):
        asked.append(name)
        time.sleep(wait)
        return [
            (socket.AF_INET6, 1, 6, "", (host, port, 0, 0)) if ":" in host else (socket.AF_INET, 1, 6, "", (host, port))
            for host in hosts
        ]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return asked


async def both(host, port=443, *, private=False):
    """What the two ways of looking up say, which is the same."""
    said = []
    for ask in (
        lambda: addresses.resolve(host, port, private=private),
        lambda: asyncio.to_thread(addresses.resolve_blocking, host, port, private=private, timeout=5),
    ):
        try:
            said.append(await ask())
        except (AddressRefused, OSError) as error:
            said.append(type(error))
    assert said[0] == said[1]
    return said[0]


async def test_it_looks_a_name_up_once(monkeypatch):
    asked = answers(monkeypatch, "1.1.1.1", "2606:4700::1111")
    found = await addresses.resolve("example.com", 443, private=False)
    assert [(each.host, each.port) for each in found] == [("1.1.1.1", 443), ("2606:4700::1111", 443)]
    assert asked == ["example.com"]


@pytest.mark.parametrize(
    "hosts",
    [
        ["1.1.1.1", "127.0.0.1"], ["127.0.0.1", "1.1.1.1"], ["2606:4700::1111", "fd00::1"], ["::ffff:10.0.0.1"],
        ["fe80::1%eth0"], ["169.254.169.254"], ["1.1.1.1"] * 30 + ["10.0.0.1"],
    ],
)  # fmt: skip
async def test_one_address_that_may_not_be_called_spoils_the_name(monkeypatch, hosts):
    answers(monkeypatch, *hosts)
    assert await both("mixed.example") is AddressRefused


async def test_a_name_without_an_address_is_nobody(monkeypatch):
    answers(monkeypatch)
    assert await both("nobody.example") is OSError


@pytest.mark.parametrize("host", ["", "a b", "a\0b", "user@host", "a/b", "a\\b", "x" * 254, "fe80::1%1", "\u2488"])
async def test_it_asks_nobody_for_what_is_no_name(monkeypatch, host):
    asked = answers(monkeypatch, "1.1.1.1")
    assert await both(host) is AddressRefused
    assert asked == []


@pytest.mark.parametrize("port", [0, -1, 65_536])
async def test_it_refuses_ports_there_are_none(port):
    assert await both("1.1.1.1", port) is AddressRefused


async def test_a_slow_resolver_counts_in_the_time_to_connect(monkeypatch):
    answers(monkeypatch, "1.1.1.1", wait=3)
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(addresses.connect_blocking, "slow.example", 9, private=False, timeout=0.1)
    assert [each.daemon for each in threading.enumerate() if each.name == "look-up"] == [True]


async def test_names_that_nobody_answers_for_keep_no_other_waiting(monkeypatch):
    over, asked = threading.Event(), []

    def found(name, port, *_, **__):
        asked.append(name)
        if name != "quick.example":
            over.wait(20)
        return [(socket.AF_INET, 1, 6, "", ("1.1.1.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setattr(addresses, "_asking", {})
    monkeypatch.setattr(addresses, "MOST_LOOK_UPS", 51)
    names = [f"slow{number % 50}.example" for number in range(100)]
    slow = [asyncio.ensure_future(addresses.resolve(name, 443, private=False)) for name in names]
    try:
        async with asyncio.timeout(30):
            for _ in range(2):
                assert (await addresses.resolve("quick.example", 443, private=False))[0].host == "1.1.1.1"
            assert await asyncio.to_thread(lambda: True)
            last = asyncio.ensure_future(addresses.resolve("slow50.example", 443, private=False))
            await asyncio.sleep(0)
            with pytest.raises(OSError, match="too many"):
                await addresses.resolve("quick.example", 443, private=False)
            slow[0].cancel()
            over.set()
            told = await asyncio.gather(*slow[1:], last)
    finally:
        over.set()
    assert {each[0].host for each in told} == {"1.1.1.1"}
    assert sorted(asked) == sorted([*names[:50], "slow50.example", "quick.example", "quick.example"])
    assert addresses._asking == {}


async def test_a_name_nobody_has_is_told_to_all_who_asked(monkeypatch):
    def found(*_, **__):
        time.sleep(0.1)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setattr(addresses, "_asking", {})
    both = [addresses.resolve("nobody.example", 443, private=False) for _ in range(2)]
    said = await asyncio.gather(*both, return_exceptions=True)
    assert [type(each) for each in said] == [socket.gaierror] * 2 and addresses._asking == {}


def test_a_look_up_that_outlives_its_loop_is_forgotten(monkeypatch):
    over = threading.Event()

    def found(*_, **__):
        over.wait(20)
        return [(socket.AF_INET, 1, 6, "", ("1.1.1.1", 443))]

    async def impatient():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await addresses.resolve("slow.example", 443, private=False)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setattr(addresses, "_asking", {})
    try:
        asyncio.run(impatient())
        assert len(addresses._asking) == 1
    finally:
        over.set()
    until = time.monotonic() + 5
    while addresses._asking and time.monotonic() < until:
        time.sleep(0.01)
    assert addresses._asking == {}


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_it_connects_to_what_it_found_and_asks_whom_it_reached(monkeypatch, listener):
    answers(monkeypatch, "127.0.0.2", "127.0.0.1")  # nobody listens at the first
    link = await addresses.connect("here.example", listener, private=True)
    assert link.getpeername() == ("127.0.0.1", listener)
    link.close()
    with addresses.connect_blocking("here.example", listener, private=True, timeout=5) as link:
        assert (link.getpeername(), link.gettimeout()) == (("127.0.0.1", listener), 5)
        with pytest.raises(AddressRefused):
            addresses.check_peer(link, private=False)
        with pytest.raises(AddressRefused):
            addresses.check_peer_of(link.fileno(), private=False)
        addresses.check_peer_of(link.fileno(), private=True)
        assert link.fileno() >= 0


async def test_a_socket_that_reached_somebody_else_is_closed(monkeypatch, listener):
    """As where a rule of the system's own sends a public address to this machine."""
    monkeypatch.setattr(addresses, "_permitted", lambda *_: [addresses.Address(socket.AF_INET, "127.0.0.1", listener)])
    with pytest.raises(AddressRefused):
        await addresses.connect("1.1.1.1", listener, private=False)
    with pytest.raises(AddressRefused):
        addresses.connect_blocking("1.1.1.1", listener, private=False, timeout=5)


async def test_an_address_that_is_silent_does_not_take_all_the_time(monkeypatch, listener):
    """As IPv6 that a firewall swallows beside IPv4 that works."""
    answers(monkeypatch, "127.0.0.2", "127.0.0.1")
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def swallowed(link, place):
        await (asyncio.sleep(60) if place[0] == "127.0.0.2" else connect(link, place))

    class Swallowed(socket.socket):
        def connect(self, place):
            if place[0] == "127.0.0.2" and self.gettimeout():
                time.sleep(self.gettimeout())
                raise TimeoutError
            super().connect(place)

    monkeypatch.setattr(loop, "sock_connect", swallowed)
    monkeypatch.setattr(addresses, "_socket", lambda address: Swallowed(address.family, socket.SOCK_STREAM))
    link = await addresses.connect("here.example", listener, private=True)
    assert link.getpeername() == ("127.0.0.1", listener)
    link.close()
    with addresses.connect_blocking("here.example", listener, private=True, timeout=5) as link:
        assert link.getpeername() == ("127.0.0.1", listener)
