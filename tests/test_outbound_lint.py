"""Whoever opens a connection does it by the rules of `engine.addresses`, or is named here with the reason why not."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.test_architecture import PACKAGES, ROOT

CLIENTS = frozenset(
    "aiohttp aiohttp_client httpx requests urllib3 urllib.request http.client ftplib telnetlib imaplib poplib smtplib "
    "xmlrpc.client websockets websocket pycurl paramiko boto3 botocore redis valkey pymysql psycopg psycopg2 asyncpg "
    "MySQLdb pymongo kombu amqp pika sqlalchemy ldap3 dns socks opentelemetry.exporter".split()
)
WAYS = frozenset(
    "create_connection open_connection sock_connect create_datagram_endpoint getaddrinfo gethostbyname "
    "gethostbyname_ex from_url urlopen urlretrieve insecure_channel secure_channel".split()
)
RULES = "by the rules"
OWN = "the platform's own, as its settings name it"
LOCAL = "this machine alone"
PURE = "types, errors or formats of it: nothing is opened"

ALLOWED = {
    "engine/addresses.py": RULES,
    "engine/aiohttp_client.py": RULES,
    "engine/http1.py": RULES,
    "tenants/warning.py": PURE,
    "tenants/webhooks.py": RULES,
    "tenants/valkey.py": RULES,
    "access/edges/grpc/wire/server.py": "listens",
    "access/people/provider_calls.py": RULES,
    "access/people/adapters.py": PURE,
    "plugins/databases/connecting.py": RULES,
    "plugins/databases/answering.py": PURE,
    "plugins/databases/reading.py": PURE,
    "plugins/databases/running.py": PURE,
    "plugins/outbox/pinned.py": RULES,
    "plugins/outbox/brokers.py": RULES,
    "plugins/outbox/figures.py": OWN,
    "tenants/bus.py": OWN,
    "tenants/live.py": OWN,
    "clawdbot_site/telemetry/exporting.py": OWN,
    "compliance/journal/answering.py": OWN,
    "compliance/journal/copying.py": PURE,
    "clawdbot_site/s3.py": OWN,
    "clawdbot_site/checks.py": OWN,
    "clawdbot_site/migrating.py": PURE,
    "clawdbot_site/backup/making.py": PURE,
    "clawdbot_site/management/commands/restore.py": PURE,
    "clawdbot_site/serving/localmodel.py": LOCAL,
    "clawdbot_site/serving/listening.py": LOCAL,
    "clawdbot_site/serving/valkey.py": LOCAL,
    "clawdbot_site/serving/sockets.py": PURE,
    "clawdbot_site/serving/handshakes.py": PURE,
    "adapters/bedrock_answers.py": PURE,
    "adapters/bedrock_converse.py": PURE,
}
EXCEPT = ("clawdbot_site/selftest/",)  # clients of instances it starts itself; tests, benchmarks and sdk likewise


def found(tree: ast.AST) -> set[str]:
    """What of a client's a module takes in hand."""
    names: set[str] = set()
    made = {f"{alias.asname or alias.name}.socket" for alias in _imported(tree) if alias.name == "socket"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(_client(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            if module.endswith(".exceptions") or all(
                alias.name.endswith(("Error", "Exception")) for alias in node.names
            ):
                continue
            names.update({_client(module), *(_client(f"{module}.{alias.name}") for alias in node.names)})
            names.update(f"{alias.name}()" for alias in node.names if alias.name in WAYS)
            if module == "socket":
                names.update("socket()" for alias in node.names if alias.name == "socket")
        elif isinstance(node, ast.Attribute) and node.attr in WAYS:
            names.add(f"{node.attr}()")  # also where it is only handed on
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if ast.unparse(node.func) in made and not any(each.arg == "fileno" for each in node.keywords):
                names.add("socket()")
            if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
                names.add(_client(str(node.args[0].value)))
    return names - {""}


def _imported(tree: ast.AST) -> list[ast.alias]:
    return [alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]


def _client(module: str) -> str:
    return next((each for each in CLIENTS if module == each or module.startswith(f"{each}.")), "")


@cache
def users() -> dict[str, set[str]]:
    modules = (path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    places = {str(path.relative_to(ROOT)): path for path in modules if "migrations" not in path.parts}
    return {
        place: names
        for place, path in places.items()
        if not place.startswith(EXCEPT) and (names := found(ast.parse(path.read_text(encoding="utf-8"))))
    }


def test_nobody_opens_connections_past_the_rules():
    unknown = {place: sorted(names) for place, names in users().items() if place not in ALLOWED}
    assert unknown == {}, "use engine.outbound or engine.addresses, or say in ALLOWED why not"


def test_the_list_holds_nobody_who_opens_none():
    assert sorted(ALLOWED.keys() - users().keys()) == []


def test_those_who_obey_the_rules_know_them():
    for place, why in ALLOWED.items():
        if why == RULES and place != "engine/addresses.py":
            text = Path(ROOT / place).read_text(encoding="utf-8")
            assert "engine.addresses" in text or "import addresses" in text or "brokers import" in text, place


@pytest.mark.parametrize(
    "source",
    [
        "import requests", "import aiohttp as a", "from http.client import HTTPSConnection", "import http.client",
        "from http import client", "from urllib import request", "from urllib.request import urlopen",
        "import urllib.request as r", "def f():\n    import httpx", "import importlib as i\ni.import_module('redis')",
        "import socket\nsocket.create_connection(a)", "from socket import create_connection as c\nc(a)",
        "await_ = asyncio.open_connection(h, p)", "R.from_url(u)", "socket.getaddrinfo(h, 1)",
        "import socket as s\ns.socket().connect(a)", "from socket import socket\nsocket().connect(a)",
        "later(loop.create_connection, make, host)", "from asyncio import open_connection",
        "from redis import Redis",
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter",
        "import urllib3.util", "grpc.aio.insecure_channel(t)",
    ],
)  # fmt: skip
def test_it_finds_every_way_to_bring_one_in(source):
    assert found(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "from urllib.parse import urlsplit",
        "import http",
        "from http import HTTPStatus",
        "import redistribute",
        "from redis import RedisError",
        "from requests.exceptions import Timeout",
        "import socket\ndef f(link: socket.socket): ...",
        "import socket\nsocket.socket(fileno=a)",
        "import socket\nobserver.socket(a)",
    ],
)
def test_it_lets_what_opens_nothing_be(source):
    assert not found(ast.parse(source))
