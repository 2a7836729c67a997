"""Forged tokens, altered keys and made-up addresses at every entrance of the running product: REST, `/v1`, WebSocket,
gRPC. No entrance takes what another would refuse."""

from __future__ import annotations

import http.client
import json
import time

import jwt
import pytest
from websockets.sync.client import connect

from tenants import keys
from tests.product.entrances import PLACES, entrances
from tests.product.forged import claims_of, segment, with_the_key, without_the_key
from tests.product.running import Product, until

REFUSED = (401,)
TOO_LARGE = (401, 400, 431)  # before anybody looks at what it is


@pytest.fixture(scope="module")
def tokens(gateway: Product) -> dict[str, str]:
    with gateway.http("") as client:
        body = {"username": gateway.access["admin_user"], "password": gateway.access["admin_password"]}
        answer = client.post("/api/token/", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def key(gateway: Product) -> str:
    """The one tokens are signed with."""
    return (gateway.folder / "secret_key").read_text().strip()


def bearer(token: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {token}")]


def test_a_good_token_is_let_in_everywhere(gateway: Product, upstream, tokens: dict[str, str]) -> None:
    told = {name: ask(bearer(tokens["access"])) for name, ask in entrances(gateway, "operator").items()}
    assert set(told.values()) == {200}, told


def test_no_entrance_takes_a_token_that_was_made_without_the_key(gateway: Product, tokens: dict[str, str]) -> None:
    let_in = {}
    forged = without_the_key(tokens["access"])
    for place, ask in entrances(gateway).items():
        for name, token in forged.items():
            if (status := ask(bearer(token))) not in (TOO_LARGE if name == "huge" else REFUSED):
                let_in[f"{name} at {place}"] = status
    assert len(forged) > 20
    assert let_in == {}


def test_no_entrance_takes_a_token_of_another_time_service_or_purpose(
    gateway: Product, tokens: dict[str, str], key: str
) -> None:
    let_in = {}
    for place, ask in entrances(gateway).items():
        for name, token in with_the_key(tokens["access"], tokens["refresh"], key).items():
            if (status := ask(bearer(token))) not in REFUSED:
                let_in[f"{name} at {place}"] = status
    assert let_in == {}


def test_renewing_takes_refresh_tokens_only(gateway: Product, tokens: dict[str, str], key: str) -> None:
    made = {**without_the_key(tokens["refresh"]), **with_the_key(tokens["refresh"], tokens["access"], key)}
    made.pop("another purpose")  # which makes a refresh token of a refresh token
    with gateway.http("") as client:
        assert client.post("/api/token/refresh/", json={"refresh": tokens["refresh"]}).status_code == 200
        told = {name: client.post("/api/token/refresh/", json={"refresh": token}) for name, token in made.items()}
    wrong = {name: answer.status_code for name, answer in told.items() if answer.status_code not in (400, 401)}
    assert wrong == {}
    assert all(set(answer.json()["error"]) >= {"code", "message", "request_id"} for answer in told.values())


def test_a_visitors_ticket_is_no_token_and_a_token_no_ticket(
    gateway: Product, tokens: dict[str, str], key: str
) -> None:
    now = int(time.time())
    claims = {"iss": "clawdbot", "aud": "clawdbot-visitor", "token_type": "visitor", "iat": now, "exp": now + 600,
              "tenant": gateway.access["tenant"], "visitor": "anon-1", "signed": True, "name": ""}  # fmt: skip
    ticket = jwt.encode(claims, key, algorithm="HS256")  # signed with the key of tokens, which is not that of tickets
    shown = {"a ticket": ticket, "a ticket with its prefix": f"cv_{ticket}", "a token": f"cv_{tokens['access']}"}
    told = {
        f"{name} at {place}": ask(bearer(text))
        for place, ask in entrances(gateway).items()
        for name, text in shown.items()
    }
    assert set(told.values()) == {401}, told


def test_a_socket_refuses_them_as_a_sub_protocol_too(gateway: Product, tokens: dict[str, str], key: str) -> None:
    made = {**without_the_key(tokens["access"]), **with_the_key(tokens["access"], tokens["refresh"], key)}
    let_in = []
    for name, token in made.items():
        if name == "huge" or not token.replace(".", "").replace("-", "").replace("_", "").isalnum():
            continue
        try:
            with connect(f"ws{gateway.url[4:]}/ws/chat", subprotocols=["bearer", token], proxy=None):  # type: ignore[list-item]
                let_in.append(name)
        except Exception as refused:  # noqa: BLE001
            assert "401" in str(refused), (name, refused)
    assert let_in == []


def altered(good: str) -> dict[str, list[tuple[str, str]]]:
    """What is nearly a key."""
    body, check = good[3:-6], good[-6:]
    other = keys.from_digits("0" * len(body))
    texts = {
        "its beginning": good[:20],
        "its prefix": "cb_",
        "but for the end": good[:-1],
        "longer": good + "A",
        "small letters": good.lower(),
        "capital letters": good.upper(),
        "its prefix in capitals": "CB_" + good[3:],
        "without its prefix": good[3:],
        "a space inside": f"{good[:10]} {good[10:]}",
        "a tab inside": f"{good[:10]}\t{good[10:]}",
        "another's checksum": good[:-6] + check[::-1] if check != check[::-1] else good[:-6] + "000000",
        "well formed and nobody's": other,
        "its digest": keys.digest(good),
        "several": f"{good}, {good}",
        "a wildcard": "cb_%",
        "a query": "cb_' OR '1'='1",
    }
    found = {name: bearer(text) for name, text in texts.items()}
    found |= {f"{name} as X-API-Key": [("X-API-Key", text)] for name, text in texts.items()}
    return found | {
        "twice": bearer(good) + bearer(good),
        "twice as X-API-Key": [("X-API-Key", good), ("X-API-Key", good)],
        "after another": bearer(other) + bearer(good),
        "beside another as X-API-Key": [*bearer(good), ("X-API-Key", other)],
        "an underscore": [("X_API_Key", good)],
        "another scheme": [("Authorization", f"Basic {good}")],
        "no scheme": [("Authorization", good)],
        "a cookie": [("Cookie", f"authorization=Bearer {good}; x-api-key={good}; api_key={good}")],
        "for a proxy": [("Proxy-Authorization", f"Bearer {good}")],
    }


def test_no_entrance_takes_what_is_nearly_a_key(gateway: Product, upstream) -> None:
    attempts = altered(gateway.key)
    let_in = {}
    for place, ask in entrances(gateway).items():
        for name, headers in attempts.items():
            if place == "grpc" and "a tab inside" in name:  # its client does not send that
                continue
            if (status := ask(headers)) != 401:
                let_in[f"{name} at {place}"] = status
    assert let_in == {}
    assert entrances(gateway)["rest"](bearer(gateway.key)) == 200


def test_no_address_of_a_page_carries_a_key(gateway: Product) -> None:
    with gateway.http("") as client:
        for name in ("api_key", "key", "token", "access_token", "authorization", "x-api-key", "ticket"):
            assert client.get("/v1/models", params={name: gateway.key}).status_code == 401, name


FORGERIES = {
    "X-Forwarded-For": "{}",
    "Forwarded": "for={}",
    "X-Real-IP": "{}",
    "X-Client-IP": "{}",
    "True-Client-IP": "{}",
    "CF-Connecting-IP": "{}",
    "X-Cluster-Client-IP": "{}",
    "X_Forwarded_For": "{}",
    "X-Forwarded_For": "{}",
    "X-Original-Forwarded-For": "{}",
    "Via": "1.1 {}",
}
ALLOWED = "203.0.113.7"


def test_nobody_is_let_in_by_an_address_they_say_they_have(gateway: Product, upstream) -> None:
    gateway.operate(
        "from tenants.models import IpRule\n"
        "fenced = services.create_tenant(slug='fenced', name='Fenced')\n"
        "SCOPES = ['chat', 'sessions', 'manage']\n"
        f"_ = IpRule.objects.create(tenant=fenced, network='{ALLOWED}')"
    )
    key = gateway.operate("value = services.create_api_key(tenant=fenced, name='fenced', scopes=SCOPES)[1]")
    ways = entrances(gateway, "operator")
    until(lambda: {ask(bearer(key)) for ask in ways.values()} == {403}, "the key works, and its address does not")
    let_in = {}
    for place, ask in ways.items():
        for name, form in FORGERIES.items():
            for value in (ALLOWED, f"{ALLOWED}, 127.0.0.1", f"127.0.0.1, {ALLOWED}", f"[::ffff:{ALLOWED}]:80"):
                if (status := ask([*bearer(key), (name, form.format(value))])) != 403:
                    let_in[f"{name}: {value} at {place}"] = status
        if (status := ask([*bearer(key), ("X-Forwarded-For", "x"), ("X-Forwarded-For", ALLOWED)])) != 403:
            let_in[f"twice at {place}"] = status
    assert let_in == {}


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in PLACES.values()])
def test_no_answer_tells_what_serves_it(gateway: Product, method: str, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    for asked in (path, "/admin/", "/nothing", "/static/console/console.css", "/livez"):
        connection.request(method if asked == path else "GET", asked)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.headers["Server"] is None and answer.headers["X-Powered-By"] is None, asked
        assert answer.headers["X-Content-Type-Options"] == "nosniff", asked
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'"), asked
        if asked == path:
            assert set(json.loads(text)["error"]) & {"code", "message"}
    connection.close()


def test_claims_are_read_as_they_are() -> None:
    """What the forgeries are made with changes nothing by itself."""
    token = jwt.encode({"a": 1}, "k" * 32, algorithm="HS256")
    assert claims_of(token) == {"a": 1} and segment(b"{}") == "e30"
