"""Who attacks, with what, and what there is to be had: the instance's own rows and what was made over its API."""

from __future__ import annotations

import http.client
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.conf import settings

from clawdbot_site.selftest.isolation.examples import PLAIN
from clawdbot_site.selftest.isolation.furnishing import SECRET

PATIENCE: Final = 30.0
# Those who must not even learn that there is such an id; the first of them have no credential that counts.
STRANGERS: Final = ("nobody", "revoked", "visitor", "stranger", "stranger member", "neighbour", "neighbour member")
WITHOUT: Final = ("nobody", "revoked")
NEAR: Final = ("neighbour", "neighbour member")
_SLOT: Final = re.compile(r"\"\{number:(\w+)\}\"|\{(\w+)\}")


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class World:
    port: int
    grpc: str
    furnished: dict[str, Any]
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    _open: dict[str, http.client.HTTPConnection] = field(default_factory=dict)
    _streams: list[tuple[http.client.HTTPConnection, http.client.HTTPResponse]] = field(default_factory=list)

    @property
    def unknown(self) -> dict[str, str]:
        """Ids of the same forms that nobody has."""
        return {name: unlike(value) for name, value in self.ids.items()} | PLAIN

    def filled(self, text: str, ids: dict[str, str]) -> str:
        """With ids in the places of their names; `"{number:name}"` becomes a bare number. KeyError: no such name."""
        return _SLOT.sub(lambda found: ids[found[1] or found[2]], text)

    def ask(self, who: str, method: str, path: str, body: Any = None, **more: str) -> Answer:
        """Bodies are text, or become JSON. Redirects are not followed."""
        headers = {**self.headers[who], **more}
        content = None
        if body is not None:
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            headers.setdefault("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        for last in (False, True):
            connection = self._open.setdefault(who, http.client.HTTPConnection("127.0.0.1", self.port, timeout=60))
            try:
                connection.request(method, path, content, headers)
                response = connection.getresponse()
                text = response.read().decode("utf-8", "replace")
                return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, text)
            except (http.client.HTTPException, OSError):
                self._open.pop(who).close()
                if last:
                    raise
        raise AssertionError

    def run_a_turn(self) -> None:
        """A turn of the owner's that goes on for long, whoever reads it; `running` is its id from now on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = {"message": f"My {SECRET}.", "stream": True, "model": self.furnished["ids"]["slow"]}
        headers = {**self.headers["alice"], "Content-Type": "application/json"}
        connection.request("POST", "/api/chat", json.dumps(body), headers)
        response = connection.getresponse()
        turn_id = response.headers["x-clawdbot-decision"]
        if not turn_id:
            raise RuntimeError(f"no turn begins: {response.status} {response.read(300)!r}")
        self.ids["running"] = turn_id
        self._streams.append((connection, response))

    def close(self) -> None:
        for stream, _ in self._streams:
            stream.close()
        for connection in self._open.values():
            connection.close()
        self._open.clear()


def enter(port: int, grpc: str, furnished: dict[str, Any]) -> World:
    """Signs everybody in and makes what only the API makes. Raises RuntimeError: the instance does not play along."""
    world = World(port, grpc, furnished)
    for who, key in furnished["keys"].items():
        world.headers[who] = {"Authorization": f"Bearer {key}"}
    world.headers["nobody"] = {}
    for who in ("alice", "neighbour", "revoked", "stranger"):
        _until(lambda who=who: world.ask(who, "POST", "/api/chat", {"message": "Hello"}).status == 200, f"{who}'s key")
    for who, name, tenant in (
        ("stranger member", "strangers-owner", "strangers"),
        ("neighbour member", "owners-member", "owners"),
    ):
        signed = {"username": name, "password": furnished["password"], "tenant": tenant}
        _until(lambda signed=signed: world.ask("nobody", "POST", "/api/token/", signed).status == 200, name)
        token = json.loads(world.ask("nobody", "POST", "/api/token/", signed).text)["access"]
        world.headers[who] = {"Authorization": f"Bearer {token}"}
    signed = {"username": "selftest-operator", "password": furnished["password"], "operator": True}
    token = _json(world.ask("nobody", "POST", "/api/token/", signed))["access"]
    world.headers["operator"] = {"Authorization": f"Bearer {token}"}
    ticket = world.ask("nobody", "POST", "/api/visitors", {"tenant": "strangers"})
    found = json.loads(ticket.text)
    world.headers["visitor"] = {"Authorization": f"Bearer {found.get('token') or found.get('ticket')}"}
    for name, cookie in furnished["cookies"].items():
        world.headers[f"page:{name}"] = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}"}
    world.headers["page:nobody"] = {}
    world.ids = {**furnished["ids"], **PLAIN, **_made(world)}
    world.run_a_turn()
    return world


def _made(world: World) -> dict[str, str]:
    chat = _json(
        world.ask("alice", "POST", "/api/chat", {"message": f"My {SECRET}.", "model": world.furnished["ids"]["id"]})
    )
    session = chat["session_id"]
    snapshot = _json(world.ask("alice", "POST", f"/api/sessions/{session}/snapshots", {"name": f"of {SECRET}"}))
    kept = _json(world.ask("alice", "POST", "/v1/responses", {"input": f"My {SECRET}."}))
    words = world.furnished["ids"]["list_id"]
    world.ask("alice", "PATCH", f"/api/words/{words}", {"words": ["another word", "a third"]})
    return {
        "session_id": session, "turn_id": chat["id"], "snapshot": snapshot["id"], "layer_id": "0",
        "response_id": kept["id"], "item": kept["output"][0]["id"],
    }  # fmt: skip


def _json(answer: Answer) -> Any:
    if answer.status >= 300:  # noqa: PLR2004
        raise RuntimeError(f"the instance could not be furnished: {answer.status} {answer.text[:300]}")
    return json.loads(answer.text)


def _until(true: Any, what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > until:
            raise RuntimeError(f"{what} does not work")
        time.sleep(0.1)


def unlike(value: str) -> str:
    """Another id of the same length and form."""
    if value.isdigit():
        return str(10**9 - 7 - int(value) % 1000)
    found = re.search(r"[0-9a-f]{24,}\Z", value)
    if found is None:
        return f"{value[:-2]}zz"
    digits = found[0]
    return (
        value[: found.start()]
        + digits[:12]
        + digits[12:][::-1].translate(str.maketrans("0123456789abcdef", "fedcba9876543210"))
    )
