"""Keys are replaced under load: no request fails, what was recorded before and after can be read, and what a key let in
it lets in no longer once it is gone. `make soak NAME=rotation` does each many times over."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.adapters.upstream import Upstream
from tests.product.entrances import entrances
from tests.product.running import Product, until
from tests.product.upstreams import upstream_in_thread

CLIENTS = 4
ROUNDS = int(os.environ.get("ROTATION_ROUNDS", "1"))
KEYS = [f"{letter}-7Kq2xVr9-Lm4w-{letter * 2}Zt8-{number}-8fHs6Yd3" for number, letter in enumerate("ABCDE")]
LEARNT = 2.5  # seconds within which every process has read a file again

pytestmark = pytest.mark.timeout(1200 + 60 * ROUNDS)


@pytest.fixture(scope="module")
def model() -> Iterator[Upstream]:
    with upstream_in_thread() as model:
        yield model


@pytest.fixture(scope="module")
def jwt_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "jwt_key"
    file.write_text(KEYS[0])
    return file


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, model: Upstream, jwt_key: Path) -> Iterator[Product]:
    settings = {"MODEL_ENDPOINT": model.url, "MODEL_NAME": "scripted", "API_KEY": "sk-up"}
    settings |= {"JWT_KEY_FILE": str(jwt_key), "TRUSTED_PROXIES": "127.0.0.1", "WORKERS": "2"}
    with Product(tmp_path_factory.mktemp("rotating") / "var", **settings).up() as product:
        yield product


class Load:
    """What clients were told: turns, and failures."""

    def __init__(self) -> None:
        self.turns: list[dict[str, Any]] = []
        self.failures: list[Any] = []
        self.stop = threading.Event()

    def more(self, number: int) -> None:
        seen = len(self.turns)
        until(lambda: len(self.turns) > seen + number or self.failures, "the load runs on")


@contextmanager
def loaded(product: Product, credential: Callable[[], str] | None = None) -> Iterator[Load]:
    """Turns by several clients meanwhile; `credential` is asked before each."""
    load = Load()

    def client() -> None:
        with product.http() as http:
            while not load.stop.is_set():
                own = {} if credential is None else {"Authorization": f"Bearer {credential()}"}
                try:
                    answer = http.post("/api/chat", json={"message": "Hello"}, headers=own)
                except httpx2.HTTPError as error:
                    load.failures.append(repr(error))
                else:
                    (load.turns if answer.status_code == 200 else load.failures).append(answer.json())

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for each in clients:
        each.start()
    try:
        load.more(20)
        yield load
        load.more(20)
    finally:
        load.stop.set()
        for each in clients:
            each.join()
    assert load.failures == []


def test_no_request_fails_while_the_master_key_is_replaced(product: Product, model: Upstream) -> None:
    file = product.folder / "master_key"
    old, new = file.read_text().strip(), KEYS[1]
    with loaded(product) as load:
        file.write_text(f"{new},{old}")
        rotated = product.manage("rotatekeys")
        assert rotated.returncode == 0, rotated.stdout + rotated.stderr
        product.operate("_ = services.create_tenant(slug='later', name='Later')")
        file.write_text(new)
        load.more(100)
        # a saved change makes every worker open everything anew: with the new key alone
        product.operate("[row.save() for row in ModelInstance.objects.everywhere()]")
        product.operate("[row.save() for row in TenantKey.objects.everywhere()]")
        load.more(300)
    assert product.manage("rotatekeys", "--check").returncode == 0
    with product.http() as http:
        for turn in (load.turns[0], load.turns[-1]):
            told = http.get(f"/api/turns/{turn['id']}").json()
            assert (told["erased"], told["unreadable"]) == (False, False)
            assert told["intent"]["messages"][0]["content"] == "Hello"
    assert model.requests[-1].headers["authorization"] == "Bearer sk-up"
    assert "cannot be opened" not in product.said()


def signed_in(product: Product) -> dict[str, str]:
    with product.http("") as http:
        body = {"username": product.access["admin_user"], "password": product.access["admin_password"]}
        answer = http.post("/api/token/", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def renewed(product: Product, refresh: str) -> httpx2.Response:
    with product.http("") as http:
        return http.post("/api/token/refresh/", json={"refresh": refresh})


def test_nobody_is_signed_out_while_the_key_of_tokens_is_replaced(product: Product, jwt_key: Path) -> None:
    """The new one is believed by all, then signs, then is the only one. Each process reads the file by itself."""
    for number in range(ROUNDS):
        old, new = KEYS[number % 2], KEYS[1 - number % 2]
        tokens = signed_in(product)
        newest = {"access": tokens["access"]}
        with loaded(product, lambda newest=newest: newest["access"]) as load:
            for text in (f"{old},{new}", f"{new},{old}"):
                jwt_key.write_text(text)
                deadline = time.monotonic() + LEARNT
                while time.monotonic() < deadline:
                    answer = renewed(product, tokens["refresh"])
                    assert answer.status_code == 200, answer.text
                    newest["access"] = answer.json()["access"]
                load.more(20)
            newest["access"] = signed_in(product)["access"]
            jwt_key.write_text(new)
            time.sleep(LEARNT)
            load.more(20)
        ways = entrances(product, "operator")
        assert {ask([("Authorization", f"Bearer {tokens['access']}")]) for ask in ways.values()} == {401}
        assert renewed(product, tokens["refresh"]).status_code == 401
        assert {ask([("Authorization", f"Bearer {newest['access']}")]) for ask in ways.values()} == {200}


def test_no_request_fails_while_a_providers_key_is_replaced(product: Product, model: Upstream) -> None:
    """A call that began with the old one ends with it."""
    for number in range(ROUNDS):
        new = f"sk-new-{number}"
        with loaded(product) as load:
            product.operate(
                "instance = ModelInstance.objects.everywhere().get(name='scripted')\n"
                f"_ = save_instance(instance=instance, api_key={new!r})"
            )
            until(lambda new=new: model.requests[-1].headers["authorization"] == f"Bearer {new}", "the new key is used")
            load.more(100)
        last = [each.headers["authorization"] for each in model.requests[-20:]]
        assert set(last) == {f"Bearer {new}"}


def test_no_request_fails_while_a_callers_key_is_replaced(product: Product) -> None:
    """The old one is good for the grace it was given, and not a moment longer."""
    secret = product.operate(
        f"tenant = Tenant.objects.get(slug={product.access['tenant']!r})\n"
        "value = services.create_api_key(tenant=tenant, name='rotated')[1]"
    )
    manager = product.operate("value = services.create_api_key(tenant=tenant, name='m', scopes=['chat', 'manage'])[1]")
    until(lambda: {product.ask(key=secret).status_code for _ in range(4)} == {200}, "the key works")
    for _ in range(ROUNDS):
        in_use = [secret]
        with loaded(product, lambda in_use=in_use: in_use[0]) as load, product.http(manager) as http:
            listed = http.get("/api/keys").json()["keys"]
            number = next(each["id"] for each in listed if each["hint"] == secret[:8] and each["name"] == "rotated")
            answer = http.post(f"/api/keys/{number}/rotate", json={"grace_seconds": 4})
            assert answer.status_code == 201, answer.text
            made, old = answer.json()["key"], secret
            load.more(50)  # the old one still
            in_use[0] = secret = made
            load.more(50)
        until(
            lambda old=old: {product.ask(key=old).status_code for _ in range(4)} == {401}, "the old one has ended", 10
        )


ALLOWED, OTHER = "203.0.113.7", "198.51.100.9"


def test_a_trusted_proxy_is_believed_from_right_to_left_at_every_entrance(product: Product) -> None:
    product.operate(
        "from tenants.models import IpRule\n"
        "fenced = services.create_tenant(slug='fenced', name='Fenced')\n"
        "SCOPES = ['chat', 'sessions', 'manage']\n"
        f"_ = IpRule.objects.create(tenant=fenced, network='{ALLOWED}')\n"
        "_ = IpRule.objects.create(tenant=fenced, network='2001:db8::7')"
    )
    key = (
        "Authorization",
        "Bearer " + product.operate("value = services.create_api_key(tenant=fenced, name='f', scopes=SCOPES)[1]"),
    )
    ways = entrances(product, "operator", "grpc")
    over_grpc = entrances(product)["grpc"]  # where nobody is believed: docs/grpc.md
    x, f = "X-Forwarded-For", "Forwarded"
    until(lambda: {ask([key, (x, ALLOWED)]) for ask in ways.values()} == {200}, "the key works from there")
    expected: list[tuple[list[tuple[str, str]], int]] = [
        ([(x, f"{OTHER}, {ALLOWED}")], 200),
        ([(x, f"{ALLOWED}, {OTHER}")], 403),
        ([(x, f"{ALLOWED}, 127.0.0.1")], 200),
        ([(x, OTHER), (x, ALLOWED)], 200),
        ([(x, ALLOWED), (x, OTHER)], 403),
        ([(x, f"{ALLOWED}:4711")], 200),
        ([(x, "[2001:db8::7]:443")], 200),
        ([(x, "2001:db8::7%eth0")], 403),
        ([(x, f"::ffff:{ALLOWED}")], 200),
        ([(x, "garbage")], 403),
        ([(x, f"{ALLOWED}, garbage")], 403),
        ([(f, f"for={OTHER}, for={ALLOWED};proto=https")], 200),
        ([(f, f'for="{ALLOWED}:80"')], 200),
        ([(f, f"for={ALLOWED}, for={OTHER}")], 403),
        ([(f, f"for={ALLOWED};for={OTHER}")], 403),
        ([(f, f"for={ALLOWED}"), (x, OTHER)], 403),
        ([(f, f"for={ALLOWED}"), (x, ALLOWED)], 200),
        ([("X-Real-IP", ALLOWED)], 403),
        ([("X_Forwarded_For", ALLOWED)], 403),
        ([("X-Real-IP", ALLOWED), (x, OTHER)], 403),
        ([], 403),
    ]
    wrong = {}
    for headers, status in expected:
        for place, ask in ways.items():
            if (told := ask([key, *headers])) != status:
                wrong[f"{headers} at {place}"] = told
        assert over_grpc([key, *headers]) == 403, headers
    assert wrong == {}
