"""Any bytes to any edge: a 4xx in the one error shape or a closed connection, never a 5xx, and the product goes on."""

import asyncio
import json
import socket
import uuid

import pytest
from websockets.asyncio.client import connect

from tests.adapters.upstream import Upstream
from tests.conformance.badinput import CASES, EMBEDDING_CASES, TOO_LARGE, TOO_LARGE_FOR_CHAT
from tests.product.running import Product, until

HI = [{"role": "user", "content": "Hello"}]


def well_told(path: str, status: int, text: str) -> bool:
    """A client's error in the shape of its edge."""
    error = json.loads(text)["error"]
    if path.startswith("/v1/"):
        return 400 <= status < 500 and set(error) == {"message", "type", "param", "code", "retryable"}
    wanted = {"code", "message", "request_id", "retryable"}
    return 400 <= status < 500 and set(error) - {"param"} == wanted and bool(error["request_id"])


# Bodies -----


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/api/route/explain"])
def test_it_refuses_every_bad_body(gateway: Product, path):
    wrong = {}
    large = TOO_LARGE_FOR_CHAT if path.startswith("/v1/") else TOO_LARGE
    with gateway.http() as client:
        for name, body in {**CASES, "too large": large}.items():
            answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
            if not well_told(path, answer.status_code, answer.text):
                wrong[name] = (answer.status_code, answer.text[:200])
        too_large = client.post(path, content=large)
        assert too_large.status_code == 413
        assert client.post(path, json={"messages": HI}).status_code == 200
    assert wrong == {}


def test_it_refuses_every_bad_body_for_embeddings(gateway: Product):
    wrong = {}
    with gateway.http() as client:
        for name, body in {**EMBEDDING_CASES, "2 MiB and more": TOO_LARGE}.items():
            answer = client.post("/v1/embeddings", content=body)
            if not well_told("/v1/embeddings", answer.status_code, answer.text):
                wrong[name] = (answer.status_code, answer.text[:200])
    assert wrong == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/api/sessions/{}"),
        ("POST", "/api/sessions/{}/snapshots"),
        ("POST", "/api/sessions/{}/restore"),
        ("POST", "/api/sessions/{}/branch"),
        ("POST", "/api/route/score"),
        ("POST", "/api/token/"),
        ("POST", "/api/token/refresh/"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/responses/input_tokens"),
    ],
)
def test_it_refuses_bad_bodies_everywhere_else(gateway: Product, method, path):
    path = path.format(gateway.ask().json()["session_id"])
    bodies = [CASES[name] for name in CASES if name not in ("an empty object",)]
    bodies += [
        b'{"user_profile":[]}',
        b'{"user_profile":"x"}',
        b'{"name":5}',
        b'{"text":[]}',
        b'{"username":5,"password":5}',
    ]
    bodies += [b'{"refresh":"a.b.c"}', b'{"username":"a\\u0000","password":"p"}', b'{"text":"\\ud800"}', TOO_LARGE]
    wrong = []
    with gateway.http() as client:
        for body in bodies:
            answer = client.request(method, path, content=body)
            fine = answer.status_code == 200 and method == "PATCH"  # a session knows no `messages`: nothing to change
            fine = fine or (answer.status_code == 201 and not body)  # a snapshot or a branch needs no words
            if not fine and not well_told(path, answer.status_code, answer.text):
                wrong.append((body[:80], answer.status_code, answer.text[:200]))
    assert wrong == []


async def test_it_refuses_bad_frames_and_stays_open(gateway: Product):
    async def told(socket, data) -> dict:
        await socket.send(data)
        return json.loads(await asyncio.wait_for(socket.recv(), 20))

    url, wrong = f"ws{gateway.url[4:]}/ws/chat", {}
    options = {"subprotocols": ["bearer", gateway.key], "proxy": None, "max_size": None}
    cases = [case for case in CASES.items() if case[0] not in ("invalid UTF-8", "UTF-16", "a byte order mark")]
    for begin in range(0, len(cases), 15):  # a socket may send 20 frames a second
        async with connect(url, **options) as socket:
            for name, body in cases[begin : begin + 15]:
                try:
                    fields = json.loads(body)
                    text = json.dumps({**fields, "type": "chat"}) if isinstance(fields, dict) else body.decode()
                except ValueError:
                    text = body.decode(errors="replace").replace("{", '{"type":"chat",', 1)
                except RecursionError:
                    text = body.decode()
                frame = await told(socket, text)
                if frame["type"] != "error" or frame["code"] in ("internal_error", "unavailable"):
                    wrong[name] = frame
            frame = await told(socket, b"\x00\xff")
            assert (frame["type"], frame["code"]) == ("error", "invalid_request")
            assert (await told(socket, '{"type":"ping"}'))["type"] == "pong"
    assert wrong == {}


@pytest.mark.parametrize(
    "frame", ['{"type": "dance"}', '{"type": ["chat"]}', '{"ref": {}}', '{"type":"chat","ref":{},"message":"x"}', "{}"]
)
async def test_it_refuses_frames_that_are_none(gateway: Product, frame):
    async with connect(f"ws{gateway.url[4:]}/ws/chat", subprotocols=["bearer", gateway.key], proxy=None) as socket:
        await socket.send(frame)
        said = json.loads(await asyncio.wait_for(socket.recv(), 20))
        assert (said["type"], said["code"]) == ("error", "invalid_request")


# Of duplicate keys the last wins -----


def test_of_duplicate_keys_the_last_is_filtered_and_sent_on(gateway: Product, upstream: Upstream):
    word = f"forbidden{uuid.uuid4().hex[:8]}"
    gateway.operate(f"replace_words(tenant=Tenant.objects.get(slug='demo'), name='dup', words=['{word}'])")
    bodies = {
        "/api/chat": '{"message":"%s","message":"%s"}',
        "/v1/chat/completions": '{"messages":[{"role":"user","content":"%s","content":"%s"}]}',
    }
    try:
        for _ in range(4):  # until each worker has it
            until(lambda: gateway.ask(f"About {word}").status_code == 400, "the word is blocked")
        with gateway.http() as client:
            for path, body in bodies.items():
                hidden = until(lambda p=path, b=body: client.post(p, content=b % ("fine", word)), "an answer")
                assert hidden.status_code == 400
                calls = len(upstream.requests)
                assert client.post(path, content=body % (word, "fine")).status_code == 200
                assert len(upstream.requests) == calls + 1
                assert word.encode() not in upstream.requests[-1].body
                assert upstream.requests[-1].json["messages"][-1]["content"] == "fine"
    finally:
        gateway.operate("SensitiveWordList.objects.everywhere().filter(name='dup').first().delete()")


def test_nothing_unknown_is_sent_on(gateway: Product, upstream: Upstream):
    with gateway.http() as client:
        body = {"messages": [{**HI[0], "smell": "of roses"}], "colour": "red", "user": "ada", "metadata": {"a": "b"}}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
    sent = upstream.requests[-1]
    assert not {"colour", "user", "metadata"} & set(sent.json)
    assert set(sent.json["messages"][0]) == {"role", "content"}


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
@pytest.mark.parametrize("model", ["no-such-model", "scripted/../x", "*", "scripted*", "日本"])
def test_it_knows_no_such_model(gateway: Product, path, model):
    with gateway.http() as client:
        answer = client.post(path, json={"messages": HI, "model": model})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


# Bytes that are hardly HTTP -----

HOST = b"Host: localhost\r\n"
LAST = HOST + b"Connection: close\r\n"


def exchange(product: Product, data: bytes) -> bytes:
    """Everything that comes back until the server closes, or says no more for a while once it began."""
    with socket.create_connection(("127.0.0.1", product.port), timeout=60) as connection:
        received = b""
        try:
            connection.sendall(data)
            while piece := connection.recv(65536):
                connection.settimeout(5)
                received += piece
                head, found, body = received.partition(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if found and length and len(body) >= int(length[0].split(b":")[1]):
                    break
        except (TimeoutError, ConnectionError):
            pass
        return received


def get(path: bytes, *fields: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + LAST + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def post(path: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


KEY = b"Authorization: Bearer KEY"
CHUNK = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
RAW: dict[str, bytes] = {
    "garbage": b"\x00\x01\xff\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"BREW /api/chat HTTP/1.1\r\n" + LAST + b"\r\n",
    "CONNECT": b"CONNECT evil:80 HTTP/1.1\r\n" + LAST + b"\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\n" + LAST + b"\r\n",
    "NUL in a session's id": get(b"/api/sessions/%00", KEY),
    "no UTF-8 in a session's id": get(b"/api/sessions/%ff%fe", KEY),
    "no UTF-8 in a turn's id": get(b"/api/turns/%ff%fe", KEY),
    "no UTF-8 in a model": get(b"/v1/models/%ff%fe", KEY),
    "no UTF-8 in a page": get(b"/%ff%fe"),
    "NUL in a page": get(b"/%00"),
    "NUL in a file": get(b"/static/%00"),
    "a way out of the files": get(b"/static/../../../etc/passwd"),
    "raw bytes in a path": get(b"/\xff\xfe"),
    "another alphabet's digits": get(b"/api/sessions?limit=%d9%a3", KEY),
    "a cursor of nothing": get(b"/api/sessions?cursor=%00%ff", KEY),
    "bytes for a token": get(b"/api/sessions", b"Authorization: Bearer \xff\xfe"),
    "a token of dots": get(b"/api/sessions", b"Authorization: Bearer ..."),
    "two keys": get(b"/api/sessions", KEY, KEY),
    "NUL in a field": get(b"/api/sessions", b"X-API-Key: a\x00b"),
    "another site's name": b"GET /api/token/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "a bad session header": post(
        b"/v1/chat/completions",
        KEY,
        b"X-Session-Id: \xff",
        b"Content-Length: 39",
        body=b'{"messages":[{"role":"user","content":1',
    ),
    "no length": post(b"/api/chat", KEY, b"Content-Length: abc"),
    "a negative length": post(b"/api/chat", KEY, b"Content-Length: -1"),
    "two lengths": post(b"/api/chat", KEY, b"Content-Length: 2", b"Content-Length: 3", body=b"{}"),
    "an endless length": post(b"/api/chat", KEY, b"Content-Length: 99999999999999999999", body=b"{}"),
    "a large length": post(b"/api/chat", KEY, b"Content-Length: 9999999999", body=b"{}"),
    "length and chunks": post(
        b"/api/chat", KEY, b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"
    ),
    "bad chunks": post(b"/api/chat", KEY, b"Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "3 MiB in chunks": post(b"/v1/chat/completions", KEY, b"Transfer-Encoding: chunked", body=CHUNK * 3 + b"0\r\n\r\n"),
    "a large field": get(b"/", b"X: " + b"a" * 200_000),
    "many fields": get(b"/", *[b"x: y"] * 5_000),
    "a long address": get(b"/" + b"a" * 100_000),
    "bytes for a compressed body": post(
        b"/api/chat", KEY, b"Content-Encoding: gzip", b"Content-Length: 4", body=b"\x1f\x8b\x00\xff"
    ),
    "another socket": get(
        b"/ws/%ff",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "a handshake without a key": get(b"/ws/chat", b"Upgrade: websocket", b"Connection: Upgrade"),
    "a request with too many fields": post(b"/api/token/?" + b"a&" * 1_100, b"Content-Length: 2", body=b"{}"),
    "the same with a key": get(b"/api/sessions?" + b"a&" * 1_100, KEY),
    "a socket without asking for one": get(b"/ws/chat", KEY),
    "another format of the description": get(b"/api/schema/?format=nonsense"),
    "another type of the description": get(b"/api/schema/", b"Accept: x/y"),
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in RAW.items()])
def test_it_refuses_bytes_that_are_hardly_http(gateway: Product, data):
    received = exchange(gateway, data.replace(b"KEY", gateway.key.encode()))
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert 400 <= status < 500, received[:300]
    error = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])["error"]  # it may come in chunks
    assert {"code", "message", "retryable"} | ({"param"} if "type" in error else {"request_id"}) <= set(error)
    assert gateway.ask().status_code == 200


@pytest.mark.parametrize("path", [b"/", b"/admin/", b"/admin/login/", b"/livez", b"/metrics", b"/api/docs/"])
@pytest.mark.parametrize(
    "fields",
    [
        (b"Cookie: sessionid=\xff\xfe; csrftoken=\xfe",),
        (b"Accept-Language: " + b"a-" * 5_000,),
        (b"X-Forwarded-For: \xff, nonsense", b"Forwarded: for=\xff"),
        (b"X-Request-Id: a\xffb", b"Accept: \xff", b"Range: bytes=9-1", b"If-Modified-Since: \xff"),
    ],
    ids=["cookies", "language", "addresses", "odd fields"],
)
def test_its_pages_survive_odd_fields(gateway: Product, path, fields):
    assert int(exchange(gateway, get(path, *fields)).split()[1]) < 500


def test_no_process_complained(gateway: Product):
    """Runs last in this file: bytes from outside never reach the program as a mistake of its own."""
    assert "a request failed" not in gateway.said()
    assert "Traceback" not in gateway.said()
