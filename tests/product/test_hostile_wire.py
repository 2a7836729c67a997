"""The running product against clients that mean harm: who sends slowly, endlessly, somebody else's query language, a
path out of a folder, a line of another header. Everybody else is answered meanwhile."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import quote

import pytest

from access.openapi import OPERATIONS
from benchmarks.processes import resident
from tests.product.running import Product, until

MIB = 1 << 20
ROOM = 64  # MiB a worker may grow by while somebody sends it without end
HOST = b"Host: localhost\r\n"


@pytest.fixture(scope="module", autouse=True)
def as_before(gateway: Product, _scripted):
    before, said = gateway.workers(), len(gateway.said())
    yield
    assert gateway.workers() == before
    assert "Traceback" not in (told := gateway.said()[said:]), told[:3000]


def opened(gateway: Product) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=20)


def exchange(gateway: Product, data: bytes) -> bytes:
    with opened(gateway) as connection:
        received = b""
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
            while piece := connection.recv(1 << 16):
                received += piece
        return received


def get(target: bytes, *fields: bytes) -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"GET %b HTTP/1.1\r\n%bConnection: close\r\n%b\r\n" % (target, HOST, lines)


def post(gateway: Product, *fields: bytes) -> bytes:
    key = b"Authorization: Bearer %b\r\n" % gateway.key.encode()
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST /api/chat HTTP/1.1\r\n" + HOST + key + lines + b"\r\n"


# Sizes and times -----


def test_300_half_sent_heads_keep_nobody_waiting(gateway: Product):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(opened(gateway)) for _ in range(300)]
        for number, connection in enumerate(slow):
            connection.sendall(b"GET /api/me HTTP/1.1\r\n" + HOST + b"X-Number: %d" % number)
        for _ in range(20):
            assert gateway.ask().status_code == 200  # when they are closed: tests/clawdbot_site/test_server.py


@pytest.mark.parametrize("path", [b"/api/chat", b"/v1/chat/completions", b"/api/token/", b"/admin/login/"])
def test_an_endless_body_takes_no_memory(gateway: Product, path):
    before = {pid: resident(pid) for pid in gateway.workers()}
    piece, sent = b"10000\r\n" + b" " * (1 << 16) + b"\r\n", 0
    head = post(gateway, b"Transfer-Encoding: chunked", b"Connection: close").replace(b"/api/chat", path, 1)
    with opened(gateway) as connection:
        connection.sendall(head)
        with contextlib.suppress(OSError):
            while sent < 100 * MIB:
                connection.sendall(piece)
                sent += 1 << 16
        with contextlib.suppress(OSError):
            answer = connection.recv(1 << 16)
            assert answer == b"" or answer.split()[1] == b"413"
    assert sent < 100 * MIB, "all of it was taken"
    for pid, size in before.items():
        assert resident(pid) - size < ROOM
    assert gateway.ask().status_code == 200


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"deflate", b"gzip, gzip", b"compress"])
@pytest.mark.parametrize("path", [b"/api/chat", b"/v1/chat/completions", b"/v1/embeddings", b"/api/token/"])
def test_nothing_is_unpacked(gateway: Product, path, encoding):
    head = post(gateway, b"Content-Encoding: " + encoding, b"Content-Length: 17", b"Connection: close")
    answer = exchange(gateway, head.replace(b"/api/chat", path, 1) + b'{"message":"Hi!"}')
    assert answer.split()[1] == b"400" and b"Content-Encoding" in answer


def test_a_tenants_limit_is_live_within_a_second(gateway: Product):
    gateway.operate("large = services.create_tenant(slug='large', name='Large')")
    key = gateway.operate("value = services.create_api_key(tenant=large, name='large')[1]")
    until(lambda: {gateway.ask(key=key).status_code for _ in range(4)} == {200}, "the key works")
    text = "a" * (3 * MIB)
    assert gateway.ask(text, key=key).status_code == 413
    gateway.operate("large.body_limit = 5; large.save()")
    until(lambda: {gateway.ask(text, key=key).status_code for _ in range(4)} == {200}, "it may send more")
    assert gateway.ask(text).status_code == 413  # nobody else
    assert gateway.ask("a" * (6 * MIB), key=key).status_code == 413
    gateway.operate("large.body_limit = None; large.save()")
    until(lambda: {gateway.ask(text, key=key).status_code for _ in range(4)} == {413}, "it may not any more")


# Fields -----


def test_a_trailer_brings_no_credential(gateway: Product):
    body = b'11\r\n{"message":"Hi!"}\r\n0\r\nAuthorization: Bearer %b\r\n\r\n' % gateway.key.encode()
    head = b"POST /api/chat HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert exchange(gateway, head + body).split()[1] == b"401"


@pytest.mark.parametrize("name", ["X_Api_Key", "X-Api_Key", "Authorization_", "Content_Type", "X_Forwarded_For"])
def test_an_underscore_is_no_hyphen(gateway: Product, name):
    assert exchange(gateway, get(b"/api/me", f"{name}: {gateway.key}".encode())).split()[1] == b"401"


INJECTED = [
    "a%0d%0aX-Evil: 1",
    "a\r\nX-Evil: 1",
    "a%0aSet-Cookie: evil=1",
    "%E5%98%8A%E5%98%8DX-Evil: 1",
    'a"; filename="evil',
    "a\x00b",
]


@pytest.mark.parametrize("text", INJECTED)
def test_nothing_that_is_said_again_begins_another_line(gateway: Product, text):
    """Request ids, session ids, models, languages, names of downloads, places to go on to."""
    printable = text.encode("ascii", "replace").replace(b"\r", b"%0d").replace(b"\n", b"%0a").replace(b"\0", b"%00")
    quoted = printable.replace(b" ", b"%20").replace(b'"', b"%22")
    asked = [
        get(b"/api/me", b"X-Request-Id: " + printable, b"Authorization: Bearer " + gateway.key.encode()),
        get(b"/api/sessions/" + quoted, b"Authorization: Bearer " + gateway.key.encode()),
        get(b"/api/jobs/" + quoted + b"/result", b"Authorization: Bearer " + gateway.key.encode()),
        get(b"/admin/login/?next=" + quoted),
        get(b"/chat/?tenant=" + quoted, b"Accept-Language: " + printable),
        get(b"/v1/models/" + quoted, b"Authorization: Bearer " + gateway.key.encode(), b"Origin: " + printable),
        get(b"/" + quoted),
    ]
    for data in asked:
        answer = exchange(gateway, data)
        head = answer.partition(b"\r\n\r\n")[0].lower()
        assert 200 <= int(answer.split()[1]) < 500
        assert not [line for line in head.split(b"\r\n")[1:] if line.startswith((b"x-evil", b"set-cookie: evil"))]
        assert b'filename="evil' not in head
    with gateway.http() as client:
        told = client.post("/api/chat", json={"message": "Hi", "session_id": text, "model": text, "language": text})
    assert 400 <= told.status_code < 500 and "x-evil" not in told.headers


# Paths -----

OUT = [
    b"../",
    b"..%2f",
    b"%2e%2e/",
    b"%2e%2e%2f",
    b"..%5c",
    b"..%c0%af",
    b"%252e%252e%252f",
    b"....//",
    b"..;/",
    b"..%00/",
]


@pytest.mark.parametrize("folder", [b"/static/", b"/static/admin/", b"/chat/", b"/media/", b"/"])
def test_no_path_leads_out_of_a_folder(gateway: Product, folder):
    for step in OUT:
        for file in (b"etc/passwd", b"manage.py", b"db.sqlite3", b"bootstrap.json", b"clawdbot_site/settings.py"):
            answer = exchange(gateway, get(folder + step * 6 + file))
            assert int(answer.split()[1]) in (301, 302, 400, 403, 404), (step, file)
            assert b"root:" not in answer and b"SECRET" not in answer and gateway.key.encode() not in answer
            assert b"SQLite format" not in answer


@pytest.mark.parametrize(
    "path",
    [b"//evil.example/", b"//evil.example/%2e%2e", b"/%2fevil.example", b"/\\evil.example/", b"//evil.example",
     b"/admin//evil.example", b"/admin/login/?next=//evil.example/", b"/admin/login/?next=https:evil.example"],
)  # fmt: skip
def test_it_sends_nobody_elsewhere(gateway: Product, path):
    head = exchange(gateway, get(path)).partition(b"\r\n\r\n")[0]
    places = [line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"location:")]
    assert not [place for place in places if place.startswith((b"//", b"http", b"/\\"))], places


# Queries -----

FOR_EVER = "(WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT max(x) FROM c)"
QUERIES = [
    f"1' OR 1={FOR_EVER}--",
    f"1 OR 1={FOR_EVER}",
    "1'; SELECT pg_sleep(60)--",
    '1"; DROP TABLE tenants_tenant;--',
]


@pytest.mark.parametrize("query", QUERIES)
def test_no_field_is_a_query(gateway: Product, query):
    """A query that is run takes for ever: every one of these is answered, and the tables are there."""
    names = ["Authorization", "X-API-Key", "X-Request-Id", "X-Session-Id", "Idempotency-Key", "Accept-Language",
             "Cookie", "Last-Event-ID", "X-Forwarded-For", "Origin", "User-Agent", "Anthropic-Version"]  # fmt: skip
    odd = []
    with gateway.http() as client:
        for name in names:
            value = f"Bearer {query}" if name == "Authorization" else query
            for path in ("/api/me", "/v1/models", "/admin/login/"):
                odd.append((name, client.get(path, headers={name: value}).status_code))
            asked = {"message": "Hi"}
            odd.append((name, client.post("/api/chat", json=asked, headers={name: value}).status_code))
        for field in ("session_id", "user", "model", "language", "idempotency_key"):
            odd.append((field, client.post("/api/chat", json={"message": "Hi", field: query}).status_code))
        for field in ("username", "password", "tenant", "otp"):
            who = {"username": "nobody", "password": "x", field: query}  # whose account may be locked
            odd.append((field, client.post("/api/token/", json=who).status_code))
    assert [each for each in odd if each[1] >= 500] == []
    assert gateway.operate("value = Tenant.objects.count()") > 0


@pytest.mark.parametrize("query", QUERIES[:2])
def test_no_id_and_no_filter_is_a_query(gateway: Product, query):
    gateway.operate("probed = services.create_tenant(slug=f'probed-{Tenant.objects.count()}', name='Probed')")
    scopes = "('chat', 'sessions', 'audit', 'manage')"
    key = gateway.operate(f"value = services.create_api_key(tenant=probed, name='p', scopes={scopes})[1]")
    until(lambda: {gateway.ask(key=key).status_code for _ in range(4)} == {200}, "the key works")
    odd = []
    with gateway.http(key) as client:
        for path, found in OPERATIONS.items():
            if not any(operation.method == "get" for operation in found):
                continue
            names = {name for operation in found for name, *_ in operation.query}
            asked = [step for step in path.split("/") if step.startswith("{")]
            where = path
            for step in asked:
                where = where.replace(step, quote(query, safe=""))
            for params in [{name: query} for name in names] or [{}]:
                status = client.get(where, params=params).status_code
                if status >= 500:
                    odd.append((path, params, status))
    assert odd == []


def test_the_pages_of_sessions_take_any_id(gateway: Product):
    """What `tests/access/test_guard_places.py` asks of every other route."""
    odd = []
    for path in OPERATIONS:
        if path.startswith("/api/sessions/{session_id}"):
            for step in (b"%00", b"%ff%fe", b"%ed%a0%80", b"a" * 4000, b"..", b"%0d%0aX:y", b"-1"):
                target = path.encode().replace(b"{session_id}", step)
                target = b"/".join(b"1" if part.startswith(b"{") else part for part in target.split(b"/"))
                status = int(
                    exchange(gateway, get(target, b"Authorization: Bearer " + gateway.key.encode())).split()[1]
                )
                if not 400 <= status < 500:
                    odd.append((target[:80], status))
    assert odd == []
