import time

import pytest

from tenants.networks import parse_address
from tenants.proxies import TrustedProxies, UntrustedChain

PROXY = "10.0.0.1"
CALLER = "203.0.113.7"
TRUSTED = TrustedProxies(["10.0.0.0/8", "2001:db8:ffff::/48"])


def xff(*values):
    return [(b"x-forwarded-for", value.encode()) for value in values]


def forwarded(*values):
    return [(b"forwarded", value.encode()) for value in values]


def caller(headers=(), peer=PROXY, proxies=TRUSTED):
    address = proxies.caller(peer, list(headers))
    return None if address is None else str(address)


def test_it_takes_the_peer_for_the_caller_when_it_is_no_trusted_proxy():
    assert caller(xff("9.9.9.9") + forwarded("for=9.9.9.9"), peer=CALLER) == CALLER
    assert caller(xff("10.0.0.9"), peer=CALLER, proxies=TrustedProxies([])) == CALLER


def test_it_takes_a_trusted_proxy_for_the_caller_when_it_passes_nothing_on():
    assert caller() == PROXY


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (xff(CALLER), CALLER),
        (xff(f"9.9.9.9, {CALLER}"), CALLER),
        (xff(f"9.9.9.9, {CALLER}, 10.1.1.1, 10.2.2.2"), CALLER),
        (xff("10.9.9.9, 10.1.1.1"), "10.9.9.9"),
        (xff(f"9.9.9.9, {CALLER}", "10.1.1.1"), CALLER),
        (xff("9.9.9.9", CALLER), CALLER),
        (xff(f"garbage, {CALLER}"), CALLER),
        (xff(f"{CALLER}:4711"), CALLER),
        (xff("[2001:db8::7]:443"), "2001:db8::7"),
        (xff("2001:db8::7"), "2001:db8::7"),
        (xff(f"::ffff:{CALLER}, ::ffff:10.3.3.3"), CALLER),
        (xff(f"{CALLER}, 2001:db8:ffff::1"), CALLER),
        (forwarded(f"for={CALLER}"), CALLER),
        (forwarded(f"For={CALLER};proto=https;by=10.0.0.1"), CALLER),
        (forwarded(f'for=9.9.9.9, for="{CALLER}:4711";host=a'), CALLER),
        (forwarded('for="[2001:db8::7]:4711"'), "2001:db8::7"),
        (forwarded(f'proto=http; for={CALLER} ; host="x;for=9.9.9.9,for=8.8.8.8"'), CALLER),
        (forwarded("for=9.9.9.9", f"for={CALLER}", "for=10.1.1.1"), CALLER),
        (forwarded(f"for=_hidden, for={CALLER}"), CALLER),
        (xff(CALLER) + forwarded(f"for={CALLER}"), CALLER),
    ],
)
def test_it_walks_the_chain_from_the_right_to_the_first_that_is_no_proxy(headers, expected):
    assert caller(headers) == expected


@pytest.mark.parametrize(
    "headers",
    [
        xff(""),
        xff("unknown"),
        xff(f"{CALLER},"),
        xff(f"{CALLER}, garbage, 10.1.1.1"),
        xff("1.2.3"),
        xff("0x7f000001"),
        xff("2130706433"),
        xff("fe80::1%eth0"),
        xff("[10.0.0.1]"),
        xff("٣.3.3.3"),
        xff(f"{CALLER}:port"),
        xff(f"{CALLER}\x00"),
        forwarded(""),
        forwarded("for=unknown"),
        forwarded("for=_hidden"),
        forwarded("proto=https"),
        forwarded(f"for={CALLER};for=9.9.9.9"),
        forwarded(f'for="{CALLER}'),
        forwarded(f'for="9.9.9.9, for={CALLER}'),
        forwarded(f"for = {CALLER}"),
        forwarded("for=2001:db8::7, ,"),
        xff(CALLER) + forwarded("for=9.9.9.9"),
        xff("9.9.9.9") + forwarded(f"for={CALLER}"),
    ],
)
def test_it_refuses_garbage_in_the_part_of_the_chain_that_counts(headers):
    if not headers[0][1]:
        headers = [(headers[0][0], b" ")]
    with pytest.raises(UntrustedChain):
        caller(headers)


def test_it_never_counts_headers_with_underscores():
    assert caller([(b"x_forwarded_for", CALLER.encode()), (b"x-forwarded_for", CALLER.encode())]) == PROXY


def test_it_trusts_a_unix_socket_only_when_told_so():
    assert caller(xff(CALLER), peer=None) is None
    assert caller(xff(CALLER), peer=None, proxies=TrustedProxies(["unix", "10.0.0.0/8"])) == CALLER
    assert caller(xff(f"{CALLER}, 10.1.1.1"), peer="", proxies=TrustedProxies(["unix", "10.0.0.0/8"])) == CALLER
    assert caller([], peer=None, proxies=TrustedProxies(["unix"])) is None


def test_it_normalises_the_peer():
    assert caller(xff("9.9.9.9"), peer=f"::ffff:{CALLER}") == CALLER
    assert caller(xff(CALLER), peer="::ffff:10.0.0.1") == CALLER
    assert parse_address("::ffff:192.0.2.1") == parse_address("192.0.2.1")


@pytest.mark.parametrize("word", ["proxy.example.com", "10.0.0.1/8", "fe80::1%eth0", ""])
def test_it_refuses_a_setting_that_is_no_network(word):
    with pytest.raises(ValueError, match=r"."):
        TrustedProxies([word])


@pytest.mark.parametrize(
    "hostile", ['for="' + "\\" * 100_000, "a=b;" * 30_000, " " * 100_000 + '"', "," * 100_000, 'for="' * 30_000]
)
def test_it_reads_hostile_headers_in_linear_time(hostile):
    start = time.process_time()
    for headers in (forwarded(hostile), xff(hostile)):
        with pytest.raises(UntrustedChain):
            caller(headers)
    assert time.process_time() - start < 5  # quadratic would be minutes


PROTO = "x-forwarded-proto"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(PROTO, "https")], "https"),
        ([(PROTO, "HTTP")], "http"),
        ([(PROTO, "http, https")], "https"),
        ([(PROTO, "https"), (PROTO, "http")], "http"),
        ([("forwarded", "for=9.9.9.9;proto=http, for=203.0.113.7;proto=https")], "https"),
        ([("forwarded", 'for=9.9.9.9;proto="https"')], "https"),
        ([(PROTO, "https"), ("forwarded", "proto=https")], "https"),
        ([(PROTO, "https"), ("forwarded", "proto=http")], None),
        ([(PROTO, "wss")], None),
        ([(PROTO, "https,")], None),
        ([("x_forwarded_proto", "https")], None),
        ([("forwarded", "for=9.9.9.9")], None),
        ([], None),
    ],
)
def test_a_trusted_proxy_says_whether_the_caller_came_over_https(headers, expected):
    raw = [(name.encode(), value.encode()) for name, value in headers]
    assert TRUSTED.scheme(PROXY, raw) == expected
    assert TRUSTED.scheme(CALLER, raw) is None
    assert TrustedProxies([]).scheme(PROXY, raw) is None
