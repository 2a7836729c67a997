import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from engine.snapshots import Cell
from tenants.directory import SiteView, TenantTable
from tenants.models import ChatSite
from tenants.origin_names import parse_origin
from tenants.origins import Origins, origin_of, same_origin
from tests.cast import ACME, GLOBEX


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://www.example.com", "https://www.example.com"),
        (" HTTPS://WWW.Example.COM/ ", "https://www.example.com"),
        ("https://example.com:443", "https://example.com"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://192.0.2.7", "https://192.0.2.7"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://shop.localhost", "http://shop.localhost"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:5173", "http://[::1]:5173"),
    ],
)
def test_it_reads_an_origin_as_browsers_send_it(written, meant):
    assert parse_origin(written) == meant
    assert parse_origin(meant) == meant


@pytest.mark.parametrize(
    "written",
    [
        "", "   ", "*", "null", "example.com", "https://", "https://*.example.com", "http://example.com",
        "http://10.0.0.1", "https://example.com/chat", "https://example.com?x", "https://example.com#x",
        "https://user@example.com", "https://example.com:99999", "https://example.com:x", "https://a b.example",
        "https://a.example; script-src *", "https://a.example\nx", "ftp://example.com", "javascript:alert(1)",
        "data:text/html,x", "https://" + "a" * 64 + ".example", "https://" + "a." * 200 + "example", "https://a..example",
        "https://[::1", "https://[fe80::1%25eth0]", "https://-a.example", "http://localhost.example.com", "https://a.example,https://b.example",
    ],
)  # fmt: skip
def test_it_refuses_what_is_none(written):
    with pytest.raises(ValueError):
        parse_origin(written)


@given(st.text(max_size=60) | st.text(max_size=40).map("https://{}".format))
def test_it_lets_nothing_into_a_header_that_ends_a_directive(text):
    try:
        origin = parse_origin(text)
    except ValueError:
        return
    assert origin.isascii() and not set(origin) & set(" ;,'\"\r\n\t*")


def headers(origin=None, host="gateway.example"):
    return [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin is not None else [])


def test_it_allows_pages_of_its_own_of_the_tenant_and_of_the_deployment():
    acme = ACME.view(site=SiteView(origins=frozenset({"https://acme.example"})))
    table = TenantTable({1: acme, 2: GLOBEX.view()}, {}, frozenset({"https://acme.example"}))
    origins = Origins(Cell(table), ["https://app.example"])
    for origin in (
        None,
        "https://gateway.example",
        "http://gateway.example:80",
        "https://acme.example",
        "https://app.example",
    ):
        assert origins.allows(headers(origin), acme), origin
    for origin in ("https://evil.example", "null", "", "https://gateway.example.evil.example", "https://gateway.example:8443",
                   "https://acme.example.", "https://ACME.example", "gateway.example"):  # fmt: skip
        assert not origins.allows(headers(origin), acme), origin
    assert not origins.allows(headers("https://acme.example"), GLOBEX.view())
    assert origins.allowed("https://acme.example", 1) and not origins.allowed("https://acme.example", 2)
    assert not origins.allowed("https://acme.example", 3)
    assert origins.known("https://acme.example") and not origins.known("https://evil.example")


def test_it_allows_nothing_that_comes_twice():
    twice = [*headers("https://acme.example"), (b"origin", b"https://acme.example")]
    acme = ACME.view(site=SiteView(origins=frozenset({"https://acme.example"})))
    assert origin_of(twice) == "https://acme.example, https://acme.example"
    assert not Origins(Cell(TenantTable({1: acme}))).allows(twice, acme)


def test_it_knows_its_own_host_by_any_port():
    assert same_origin("http://127.0.0.1:8000", headers(host="127.0.0.1:8000"))
    assert same_origin("https://[::1]", headers(host="[::1]:443"))
    assert not same_origin("http://127.0.0.1:8001", headers(host="127.0.0.1:8000"))
    assert not same_origin("https://x", [])


def test_it_keeps_a_chat_of_clean_settings(cast):
    site = ChatSite(tenant=cast.acme, name=" Help ", greeting="a\r\nb\n", accent="#ABCDEF",
                    origins=["HTTPS://a.example/"] * 2, visitor_models=[" gpt ", "auto", "gpt", ""])  # fmt: skip
    site.full_clean()
    assert (site.name, site.greeting, site.accent) == ("Help", "a\nb", "#abcdef")
    assert (site.origins, site.visitor_models) == (["https://a.example"], ["gpt"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a\nb"), ("name", "a\x00"), ("greeting", "\x1b[1m"), ("accent", "red"), ("accent", "#12345"),
        ("background", "#1234567"), ("accent", "#ffffff;}"), ("origins", "https://a.example"), ("origins", [1]),
        ("origins", ["http://a.example"]), ("origins", ["https://a.example"] * 51), ("visitor_models", {"a": 1}),
        ("visitor_models", ["a\nb"]), ("visitor_models", ["x" * 256]), ("ticket_minutes", 0), ("ticket_minutes", 1441),
        ("visitors", "everyone"), ("visitor_requests_per_minute", 6001), ("greeting", "x" * 1001),
    ],
)  # fmt: skip
def test_it_refuses_settings_that_name_their_field(cast, field, value):
    with pytest.raises(ValidationError) as caught:
        ChatSite(tenant=cast.acme, **{field: value}).full_clean()
    assert set(caught.value.message_dict) == {field}


def test_a_tenant_has_one_chat(cast):
    ChatSite.objects.create(tenant=cast.acme)
    with pytest.raises(ValidationError, match="one already"):
        ChatSite(tenant=cast.acme).full_clean()
    ChatSite(tenant=cast.globex).full_clean()
