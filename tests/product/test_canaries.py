"""Secrets and what people say, sent through every way that fails, at LOG_LEVEL=DEBUG: none of it in a log, a figure, a
trace, the journal, the database, a message to background work, an address or somebody else's answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx2
import psycopg
import pytest
import redis
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from access.edges.grpc.generated import chat_pb2 as pb
from access.edges.grpc.service import SERVICE
from clawdbot_site.selftest.ports import free_port
from clawdbot_site.selftest.proxy import Proxy
from tests.adapters.upstream import CUT, HANG, Upstream, answer, error, head_of_stream, whole
from tests.product.running import Product, until
from tests.product.upstreams import upstream_in_thread
from tests.services.collector import Collector
from tests.services.postgres import PostgresServer
from tests.services.valkey import ValkeyServer

SECRETS = {
    "MASTER_KEY": "mk7Fq0canaryMASTERkey0xVb4Nn81-8f3kQz",
    "SECRET_KEY": "zk7Fq1canarySECRETkey1xVb4Nn82-8f3kQz",
    "SIGNING_KEY": b64encode(b"canarySIGNINGkey".ljust(32, b"q")).decode(),
    "API_KEY": "sk-canaryPROVIDERkey2xVb4Nn83",
    "EMAIL_HOST_PASSWORD": "canaryMAILpassword3xVb4Nn84",
    "OIDC_CLIENT_SECRET": "canaryOIDCsecret4xVb4Nn85",
    "METRICS_TOKEN": "canaryMETRICStoken5xVb4Nn86",
    "redis": "canaryREDISpassword6xVb4Nn87",
    "journal": "canaryDATABASEpassword7xVb4Nn88",
    "collector": "canaryCOLLECTORkey8xVb4Nn89",
}
GIVEN = {
    "password": "canaryPERSONpassword9xVb4Nn90",
    "source": "canarySOURCEpassword0xVb4Nn91",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.canaryJWTsignature1xVb4Nn92",
    "link": "canaryLINKsecret2xVb4Nn93",
    "key": "cb_canaryKEYthatNobodyHas3xVb4Nn94canaryKEYthatNobodyHas",
}
PROMPT, ANSWER = "canary prompt of Alice, 41 Linden Street", "canary answer about the tumour"


@dataclass
class World:
    product: Product
    upstream: Upstream
    valkey: ValkeyServer
    proxy: Proxy
    collector: Collector
    journal: str
    keys: dict[str, str] = field(default_factory=dict)  # secrets that the product made
    heard: list[str] = field(default_factory=list)  # what came back: bodies and headers

    def http(self, method: str, path: str, *, key: str | None = None, **options: object) -> httpx2.Response | None:
        with self.product.http(key) as client, contextlib.suppress(httpx2.TransportError):
            got = client.request(method, path, **options)
            self.heard += [got.text, *(f"{name}: {value}" for name, value in got.headers.items())]
            return got
        return None

    def everywhere(self) -> dict[str, str]:
        """Every secret by its name."""
        return {**SECRETS, **GIVEN, **self.keys}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, port = tmp_path_factory.mktemp("canaries"), free_port()
    server = PostgresServer(folder / "postgres")
    options = ["--port", str(port), "--requirepass", SECRETS["redis"]]
    valkey = ValkeyServer(folder / "valkey", options=options)
    with contextlib.ExitStack() as stack:
        server.start()
        stack.callback(server.stop)
        started(valkey, port)
        stack.callback(valkey.stop)
        upstream, collector = stack.enter_context(upstream_in_thread()), stack.enter_context(Collector())
        proxy = stack.enter_context(Proxy(server.port))
        address = server.database("canaries")
        journal = address.replace(str(server.port), str(proxy.port)).replace("@", f":{SECRETS['journal']}@")
        product = Product(
            folder / "var",
            **{name: value for name, value in SECRETS.items() if name.isupper()},
            DJANGO_SETTINGS_MODULE="tests.product.canaried",
            REDIS_HOST=f"redis://:{SECRETS['redis']}@127.0.0.1:{port}",
            JOURNAL_URL=journal,
            MODEL_ENDPOINT=upstream.url,
            MODEL_NAME="scripted",
            MODEL_TIMEOUT="1",
            LOCAL_MODEL="off",
            EMAIL_HOST="127.0.0.1",
            EMAIL_PORT=str(free_port()),
            EMAIL_HOST_USER="mailer",
            OIDC_ISSUER=f"http://127.0.0.1:{free_port()}",
            OIDC_PRIVATE="on",
            OIDC_CLIENT_ID="clawdbot",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_HEADERS=f"x-key={SECRETS['collector']}",
            OTEL_METRIC_EXPORT_INTERVAL="1000",
            OTEL_BSP_SCHEDULE_DELAY="200",
            LOG_LEVEL="DEBUG",
            LOG_FORMAT="json",
            ACCESS_LOG="on",
            DATABASE_PRIVATE="on",
            WEBHOOK_PRIVATE="on",
        )
        with product.up():
            yield World(product, upstream, valkey, proxy, collector, address)


def started(valkey: ValkeyServer, port: int) -> None:
    valkey.start(wait=False)
    client = redis.Redis(port=port, password=SECRETS["redis"])

    def answers() -> bool:
        with contextlib.suppress(redis.ConnectionError):
            return bool(client.ping())
        return False

    until(answers, "Valkey is up")


# What is done to it ---------------------------------------------------------------------------------------------------


def models_fail(world: World) -> None:
    key, chat = SECRETS["API_KEY"], {"message": PROMPT}
    told = f"Incorrect API key provided: {key} for {PROMPT}"
    scripts = [
        error(401, told),
        error(403, told),
        error(500, told),
        error(429, told),
        error(400, told),
        answer(200, f'{{"choices": "{ANSWER} {key}"'.encode()),
        answer(200, {"error": {"message": told}}),
        [head_of_stream() + f'data: {{"x": "{ANSWER} {key}"}}\n\n'.encode(), CUT],
        [HANG],
        answer(302, b"", location=f"http://127.0.0.1:1/?key={key}"),
    ]
    world.product.operate(  # one each: whoever failed as often as all of them is not asked any more
        f"for number in range({len(scripts)}):\n"
        f"    instance = ModelInstance(name=f'm{{number}}', endpoint='{world.upstream.url}', allow_private=True)\n"
        f"    save_instance(instance=instance, api_key='{key}')\n"
    )
    last = f"m{len(scripts) - 1}"
    until(lambda: last in world.http("GET", "/v1/models").text, "the models are live")
    for number, script in enumerate(scripts):
        world.upstream.answers(script)
        before = len(world.upstream.requests)
        for body in (chat, {**chat, "stream": True}):
            world.http("POST", "/api/chat", json={**body, "model": f"m{number}"})
        assert len(world.upstream.requests) > before
    world.upstream.answers(whole(ANSWER))


def callers_err(world: World) -> None:
    for path in ("/api/chat", "/v1/chat/completions", "/v1/messages", "/v1/responses"):
        world.http("POST", path, content=f'{{"message": "{PROMPT}", "x": }}'.encode())
        world.http("POST", path, json={"message": {"nested": PROMPT}, "messages": PROMPT, "input": 3})
        for secret in (GIVEN["key"], GIVEN["jwt"]):
            world.http("POST", path, key=secret, json={"message": PROMPT})
            world.http("GET", f"{path}?api_key={secret}&ticket={GIVEN['link']}", key="")
    world.http("POST", "/api/token/", key="", json={"username": "admin", "password": GIVEN["password"]})
    world.http("POST", "/api/token/refresh/", key="", json={"refresh": GIVEN["jwt"]})
    for page in (f"/accounts/invitation/{GIVEN['link']}/", f"/admin/{GIVEN['link']}/", f"/nowhere/{GIVEN['link']}"):
        world.http("GET", f"{page}?token={GIVEN['link']}", key="")
    login = {"login": "admin", "username": "admin", "password": GIVEN["password"]}
    for page in ("/accounts/login/", "/admin/login/"):
        world.http("POST", page, key="", data=login)  # without its CSRF token
        with world.product.http("") as client:
            client.get(page)
            token = client.cookies.get("csrftoken", "")
            given = {**login, "csrfmiddlewaretoken": token}
            world.heard.append(client.post(page, data=given, headers={"Referer": world.product.url}).text)
    world.http("GET", "/accounts/oidc/oidc/login/?process=login", key="")
    world.http("GET", f"/admin/broken/{GIVEN['link']}/", key=GIVEN["key"])
    world.http("GET", "/metrics", key=GIVEN["key"], headers={"X-Forwarded-For": "203.0.113.1"})


def sockets_err(world: World) -> None:
    base = world.product.url.replace("http", "ws") + "/ws/chat"

    async def knock() -> None:
        for path, headers in (
            (f"?token={GIVEN['key']}&ticket={GIVEN['link']}", {}),
            ("", {"Authorization": f"Bearer {GIVEN['jwt']}"}),
            ("", {"X-API-Key": GIVEN["key"]}),
        ):
            with pytest.raises(WebSocketException):
                await connect(base + path, additional_headers=headers, proxy=None)
        async with connect(base, additional_headers={"X-API-Key": world.product.key}, proxy=None) as socket:
            for frame in (
                "{" + PROMPT,
                json.dumps({"type": PROMPT}),
                json.dumps({"type": "chat", "message": [PROMPT]}),
            ):
                await socket.send(frame)
                world.heard.append(str(await socket.recv()))
            await socket.send(json.dumps({"type": "chat", "message": PROMPT}))
            while json.loads(await socket.recv())["type"] not in ("done", "error"):
                pass

    asyncio.run(knock())


def grpc_errs(world: World) -> None:
    with grpc.insecure_channel(world.product.access["grpc_target"]) as channel:
        method = channel.unary_unary(f"/{SERVICE}/Chat")
        asked = pb.ChatRequest(message=PROMPT).SerializeToString()
        method(asked, metadata=(("authorization", f"Bearer {world.product.key}"),), timeout=30)
        for body, secret in ((asked, GIVEN["key"]), (asked, GIVEN["jwt"]), (PROMPT.encode(), world.product.key)):
            with pytest.raises(grpc.RpcError) as refused:
                method(body, metadata=(("authorization", f"Bearer {secret}"),), timeout=30)
            world.heard.append(str(refused.value))


def tenants_err(world: World) -> None:
    scopes = "('chat', 'sessions', 'manage')"
    world.keys["manager"] = manager = world.product.operate(
        f"value = services.create_api_key(tenant=Tenant.objects.get(slug='demo'), name='m', scopes={scopes})[1]"
    )
    until(lambda: world.http("GET", "/api/webhooks", key=manager).status_code == 200, "the key works")
    for scheme in ("postgresql", "mysql"):
        url = f"{scheme}://reader:{GIVEN['source']}@127.0.0.1:1/warehouse"
        made = world.http("POST", "/api/data-sources", key=manager, json={"name": scheme, "url": url})
        if made.status_code == 201:
            world.http("POST", f"/api/data-sources/{made.json()['id']}/look", key=manager)
    made = world.http("POST", "/api/webhooks", key=manager, json={"name": "w", "url": "http://127.0.0.1:1/hook"})
    assert made.status_code == 201, made.text
    world.heard.clear()  # shown this once
    world.keys["webhook"] = made.json()["secret"]
    world.http("POST", f"/api/webhooks/{made.json()['id']}/test", key=manager)
    world.http("POST", "/api/invitations", key=manager, json={"email": "new@example.com", "role": "member"})
    world.http("POST", "/api/route/explain", json={"message": PROMPT})
    world.http("POST", "/api/chat", json={"message": PROMPT, "model": "no such model"})


def stores_go_away(world: World) -> None:
    world.proxy.cut()
    for stream in (False, True):
        world.http("POST", "/api/chat", json={"message": PROMPT, "stream": stream})
    world.proxy.mend()
    until(lambda: world.http("POST", "/api/chat", json={"message": PROMPT}).status_code == 200, "the journal is back")
    world.valkey.kill()
    for path in ("/api/chat", "/api/sessions", "/admin/login/"):
        world.http("POST" if path == "/api/chat" else "GET", path, json={"message": PROMPT})
    port = int(world.valkey.options[1])
    started(world.valkey, port)
    until(lambda: world.http("POST", "/api/chat", json={"message": PROMPT}).status_code == 200, "Valkey is back")


def work_fails(world: World) -> None:
    text = f"{PROMPT} {GIVEN['key']}"
    world.product.operate(f"from tests.product.canaried import broken\nbroken.delay({text!r})")
    until(lambda: "tests.product.canaried.broken" in log_of(world, "worker"), "the task has failed")


# Where it is looked for ----------------------------------------------------------------------------------------------


def log_of(world: World, name: str) -> str:
    return (world.product.folder / "log" / f"{name}.log").read_text(errors="replace")


def logs(world: World) -> str:
    files = sorted((world.product.folder / "log").glob("*.log"))
    said = [world.product.said().replace(world.product.key, "")]  # which the first start shows its operator
    return "\n".join([*said, *(file.read_text(errors="replace") for file in files)])


def journal_of(world: World) -> bytes:
    found = []
    with psycopg.connect(world.journal) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            with connection.cursor().copy(f'COPY (SELECT * FROM "{table}") TO STDOUT (FORMAT binary)') as rows:
                found += [bytes(piece) for piece in rows]
    return b"".join(found)


def broker_of(world: World, database: int) -> bytes:
    client = redis.Redis(port=int(world.valkey.options[1]), password=SECRETS["redis"], db=database)
    return b"".join(client.dump(name) or b"" for name in client.keys())


def found_in(world: World, sink: bytes, *, said: bool = True) -> list[str]:
    names = [name for name, secret in world.everywhere().items() if secret.encode() in sink]
    names += ["the first key"] if world.product.key.encode() in sink else []
    return names + ([text for text in (PROMPT, ANSWER) if text.encode() in sink] if said else [])


@pytest.fixture(scope="module")
def through(world: World) -> World:
    """After everything was tried."""
    world.upstream.answers(whole(ANSWER))
    assert world.http("POST", "/api/chat", json={"message": PROMPT}).status_code == 200
    world.heard.clear()
    callers_err(world)
    sockets_err(world)
    grpc_errs(world)
    models_fail(world)
    tenants_err(world)
    world.broker = b"".join(broker_of(world, database) for database in range(4))  # type: ignore[attr-defined]
    stores_go_away(world)
    work_fails(world)
    time.sleep(1.5)  # the collector is sent what there is
    return world


def test_no_log_has_them(through: World):
    text = logs(through)
    assert found_in(through, text.encode()) == []
    for tried in ('"exception"', '"level": "debug"', "a mail could not be sent", "canaried.broken", "cannot commit"):
        assert tried in text


def test_every_line_of_the_logs_is_an_object(through: World):
    """But what programs say to people when they start, and the sequencer's own checkpoints."""
    for text in (
        through.product.said(),
        *(log_of(through, name) for name in ("worker", "replays", "beat", "publisher")),
    ):
        lines = [line for line in text.splitlines() if line.startswith("{")]
        assert all(
            {"timestamp", "level", "logger", "event", "process", "pid"} <= json.loads(line).keys() for line in lines
        )
        assert not any(f" {level} " in text for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))


def test_lines_tell_whose_they_are(through: World):
    lines = [json.loads(line) for line in through.product.said().splitlines() if line.startswith("{")]
    access = [line for line in lines if line["logger"] == "clawdbot.access"]
    chats = [line for line in access if line.get("route") == "/api/chat" and line["status"] == 200]
    assert chats and all(line["tenant"] == "demo" and line["request_id"] and line["ms"] > 0 for line in chats)
    assert {line["method"] for line in access} >= {"POST", "GET", "WEBSOCKET", "GRPC"}


def test_lines_of_tasks_tell_which(through: World):
    def told() -> bool:  # that a task failed is said first, and its last line may be half written
        lines = [line for line in log_of(through, "worker").splitlines() if line[:1] + line[-1:] == "{}"]
        return any(json.loads(line).get("task") for line in lines)

    until(told, "a line names its task")


def test_no_figure_and_no_trace_has_them(through: World):
    metrics = through.http("GET", "/metrics", key=SECRETS["METRICS_TOKEN"])
    assert metrics.status_code == 200 and found_in(through, metrics.content) == []
    sent = b"".join(through.collector.raw)
    assert {"POST /api/chat", "turn rest", "turn websocket", "turn grpc"} <= {s.name for s in through.collector.spans}
    assert found_in(through, sent) == []


def test_no_database_has_them(through: World):
    assert found_in(through, journal_of(through)) == []
    for file in [*through.product.folder.glob("db.sqlite3*"), *through.product.folder.rglob("celery/*")]:
        assert (file.name, found_in(through, file.read_bytes())) == (file.name, [])


def test_no_message_to_background_work_has_them(through: World):
    assert found_in(through, through.broker) == []  # type: ignore[attr-defined]


def test_no_answer_and_no_address_has_them(through: World):
    heard = "\n".join(through.heard).encode()
    # An own address may be told its caller again: in a page's form, or where to go next.
    assert set(found_in(through, heard, said=False)) - {"link", "jwt", "key"} == set()


def test_nothing_else_that_is_written_has_them(through: World):
    """But where they belong: what the first start leaves its operator."""
    folder: Path = through.product.folder
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "bootstrap.json"]
    found = {str(file): names for file in files if (names := found_in(through, file.read_bytes(), said=False))}
    assert found == {}


def test_it_ends_well(through: World):
    through.product.send(signal.SIGTERM)
    through.product.wait()
    assert found_in(through, logs(through).encode()) == []
