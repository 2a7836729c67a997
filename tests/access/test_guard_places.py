"""There is one way from bytes of others to values: `access.bodies`. What else decodes anything in `access` is named
here, with what it decodes; and every route that takes JSON refuses what the guard refuses."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from access import bodies
from access.edges.messages_calls import given
from access.openapi import OPERATIONS
from access.urls import ROUTES
from adapters.conversations import INVALID
from tests.access.managed import managed
from tests.cast import ALICE

ACCESS = Path(inspect.getfile(bodies)).parent
DECODERS = {
    ("json", "loads"), ("json", "load"), ("json", "JSONDecoder"), ("orjson", "loads"), ("yaml", "load"),
    ("yaml", "safe_load"), ("pickle", "loads"), ("pickle", "load"), ("marshal", "loads"), ("ast", "literal_eval"),
    ("msgpack", "unpackb"),
}  # fmt: skip
DRFS = {
    "data",
    "JSONParser",
    "FormParser",
    "MultiPartParser",
}  # of DRF, which knows no guard
# Where, and what is decoded there. Bytes of others stand in the first block alone.
KNOWN = {
    "bodies.py:loaded": "the guard",
    "edges/sockets.py:ref_in": "a frame that the guard refused already: only its ref is taken, in bounds of its own",
    "edges/grpc/writing.py:frame": "an event of ours",
    "tickets.py:redeem": "what we sealed",
    "isolation_tests.py:report_of": "a report of ours",
    "console/journal_jobs.py:_result": "a report of ours",
    "console/replay.py:_result": "a report of ours",
    "console/erasures.py:paper": "a certificate of ours",
    "console/setting_fields.py:_choice": "one of the choices, which it was compared with before",
    "dry_running.py:read": "a report of ours",
    "dry_running.py:_work": "settings that were read and sealed before",
    "metrics/machine.py:module": "names that our own processes wrote",
    "metrics/snapshot.py:module": "what our own processes counted",
    "alerting/readings.py:before": "a row of ours",
    "console/charts.py:lines": "what was drawn here before",
    "heartbeats.py:listed": "what workers say of themselves",
    "turns.py:heard": "what workers tell each other",
    "journal_events.py:_session": "an entry of the journal",
    "journal_events.py:_change": "an entry of the journal",
    "offboarding/deleting.py:verified": "a certificate, by an operator's command line",
}


def decodes(node: ast.AST) -> bool:
    """Also where it is only named, as `coerce=json.loads`."""
    if not isinstance(node, ast.Attribute):
        return False
    if isinstance(node.value, ast.Name) and (node.value.id, node.attr) in DECODERS:
        return True
    return isinstance(node.value, ast.Attribute) and node.value.attr in ("json", "msgpack", "yaml") and node.attr in (
        "decode", "Decoder"
    )  # fmt: skip


def places() -> set[str]:
    found = set()
    for file in ACCESS.rglob("*.py"):
        if file.name.endswith(("_pb2.py", "_pb2_grpc.py")):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
        for node in ast.walk(tree):
            if decodes(node):
                around = [each for each in functions if each.lineno <= node.lineno <= (each.end_lineno or 0)]
                name = around[-1].name if around else "module"
                found.add(f"{file.relative_to(ACCESS).as_posix()}:{name}")
    return found


def test_nothing_else_decodes_bytes():
    assert places() == set(KNOWN)


def test_no_view_reads_with_another_parser():
    wrong = []
    for file in ACCESS.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in DRFS and isinstance(node.value, ast.Name):
                if node.value.id == "request":
                    wrong.append(f"{file.name}:{node.lineno}")
    assert wrong == []


def test_messages_of_grpc_are_read_in_one_place():
    found = [
        file.relative_to(ACCESS).as_posix()
        for file in ACCESS.rglob("*.py")
        if "FromString(" in file.read_text(encoding="utf-8") and not file.name.endswith("_pb2_grpc.py")
    ]
    assert found == ["edges/grpc/reading.py"]


@pytest.mark.parametrize("arguments", ['{"a":' * 300 + "1" + "}" * 300, '{"a":"\\ud800"}', "[" * 100_000, '{"a":NaN}'])
def test_arguments_that_a_model_wrote_can_be_told_whatever_they_are(arguments):
    assert orjson.dumps(given(arguments)) and given(arguments) == {INVALID: arguments}


# Every route -----

BAD = {
    "no JSON": b"hello",
    "half": b'{"name":',
    "an array": b"[]",
    "invalid UTF-8": b'{"name":"\xff"}',
    "UTF-16": '{"name":"a"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NaN": b'{"name":NaN}',
    "too deep": b'{"name":' * 70 + b"1" + b"}" * 70,
    "far too deep": b"[" * 100_000,
    "NUL": b'{"name":"a\\u0000b"}',
    "NUL in a key": b'{"a\\u0000":1}',
    "a lone surrogate": b'{"name":"\\ud800"}',
    "too many keys": b"{" + b",".join(b'"%d":1' % number for number in range(5000)) + b"}",
    "too many elements": b'{"name":[' + b"1," * 40_000 + b"1]}",
    "a number without an end": b'{"name":' + b"9" * 5000 + b"}",
}
JSON = [
    (operation.method.upper(), path)
    for path, found in OPERATIONS.items()
    for operation in found
    if operation.body is not None and (path in ROUTES or path.startswith("/v1/"))
]
PLACES = [(method, path) for method, path in JSON if not path.startswith("/api/tenants")]


@pytest.fixture
async def site(transactional_db, cast):
    async with managed() as made:
        yield made


def filled(path: str) -> str:
    for name in ("session_id", "turn_id", "snapshot_id", "layer_id"):
        path = path.replace(f"{{{name}}}", "0" * 32)
    return (
        path.replace("{plugin}", "language").translate(str.maketrans({"{": "\0", "}": "\0"})) if "{" in path else path
    )


def real(path: str) -> str:
    parts = [("1" if step.startswith("{") else step) for step in filled_steps(path)]
    return "/".join(parts)


def filled_steps(path: str) -> list[str]:
    known = {"{session_id}": "0" * 32, "{turn_id}": "0" * 32, "{plugin}": "language"}
    return [known.get(step, step) for step in path.split("/")]


def test_there_are_many():
    assert len(PLACES) > 40


async def test_every_route_that_takes_json_refuses_what_the_guard_refuses(site):
    """Before anything else is looked at: whatever the ids in its path are."""
    client, wrong, told = site.signed_in(ALICE, "owner"), {}, Counter[int]()
    for method, path in PLACES:
        for name, body in BAD.items():
            answer = await client.request(method, real(path), body)
            error: dict[str, Any] = answer.json.get("error", {})
            told[answer.status] += 1
            if answer.status != 400 or not {"invalid_request", "invalid_request_error"} & {
                error.get("code"),
                error.get("type"),
            }:
                wrong[f"{method} {path}: {name}"] = (answer.status, answer.body[:120])
    assert wrong == {}, told


# What is no body -----

ODD = [
    "%00",
    "%ff%fe",
    "%ed%a0%80",
    "%E2%80%AE",
    "..",
    "%2e%2e%2f%2e%2e",
    "a" * 4000,
    "'--",
    "<script>",
    "%0d%0aX:y",
    "-1",
    "9" * 40,
]
HEADERS = {
    "Idempotency-Key": ["\0", "a" * 300, "ÿ", " ", "a\tb"],
    "Last-Event-ID": ["\0", "a" * 5000, "0" * 32 + "." + "9" * 40, "-1", "ÿ"],
    "Accept-Language": ["\0", "a-" * 5000, "zh;q=nan, en;q=1e999", ",,,;;;", "ÿ", "*" * 3000],
    "Traceparent": ["\0", "00-" + "z" * 32, "ff-" + "0" * 400, "ÿ", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"],
    "Tracestate": ["\0", "a=" + "b" * 9000, "ÿ"],
    "Cookie": ["sessionid=\0", "sessionid=" + "a" * 9000, "ÿ=ÿ", "csrftoken=;;;=;"],
    "X-Session-Id": ["\0", "a" * 500, "ÿ", "../x", "{}"],
    "X-Request-Id": ["\0", "a" * 500, "ÿ", "a b"],
    "Content-Type": ["\0", "application/json; charset=utf-7", "multipart/form-data; boundary=" + "a" * 9000, "ÿ"],
    "Content-Encoding": ["gzip", "br", "deflate, gzip", "ÿ"],
    "Range": ["bytes=9-1", "bytes=" + "0-0," * 2000, "ÿ"],
    "If-None-Match": ["\0", "ÿ", '"' * 3000],
    "Origin": ["\0", "null", "http://ÿ", "http://a" * 900, "file://"],
    "X-Forwarded-For": ["\0", "1.2.3.4," * 900, "ÿ", "::1%eth0"],
    "Forwarded": ["\0", "for=" + '"' * 900, "ÿ"],
    "Authorization": ["Bearer \0", "Bearer " + "a" * 9000, "Bearer ÿ", "Basic ÿ", "Bearer a.b.c", "Bearer"],
}  # fmt: skip


async def test_no_path_and_no_query_ends_in_a_mistake_of_ours(site):
    client, wrong = site.signed_in(ALICE, "owner"), []
    for path, found in OPERATIONS.items():
        if path not in ROUTES or path.startswith(("/api/tenants", "/api/sessions")):  # those are the running product's
            continue
        names = [name for operation in found for name, *_ in operation.query] or ["limit"]
        asked = [path.replace(step, odd) for step in path.split("/") if step.startswith("{") for odd in ODD]
        asked += [f"{real(path)}?{name}={odd}" for name in names for odd in ODD] + [f"{real(path)}?{'a&' * 1_100}"]
        for each in asked:
            answer = await client.get(each)
            if answer.status >= 500 and answer.status != 503:
                wrong.append((each[:80], answer.status, answer.body[:100]))
    assert wrong == []


@pytest.mark.parametrize("name", list(HEADERS))
async def test_no_header_ends_in_a_mistake_of_ours(site, name):
    client, hi = site.signed_in(ALICE, "owner"), {"messages": [{"role": "user", "content": "Hi"}]}
    for value in HEADERS[name]:
        for method, path, body in [
            ("POST", "/api/chat", hi), ("POST", "/v1/chat/completions", hi), ("POST", "/v1/responses", {"input": "Hi"}),
            ("POST", "/v1/messages", {**hi, "max_tokens": 5}), ("GET", f"/api/turns/{'0' * 32}/events", b""),
            ("GET", "/api/me", b""), ("PATCH", "/api/tenant", {}), ("POST", "/api/webhooks", {"name": "a"}),
        ]:  # fmt: skip
            answer = await client.request(method, path, body, {name: value})
            assert answer.status < 500, (path, value, answer.body)
            assert not any("\0" in each or "\n" in each for each in answer.headers.values())
