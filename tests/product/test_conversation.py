"""What a new user sees: the first start, the printed line, a remembered conversation, every client."""

import asyncio
import json
import re
import stat
import subprocess

import openai
import pytest
from openai import OpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.product.running import COMMAND_TIME, Product, events_of

SHORT = 12  # tokens: a small model on a busy machine


def said_something(text: str) -> bool:
    """A small model may answer with anything, even with pictures only."""
    return bool(text.strip())


@pytest.fixture
def sdk(local):
    with OpenAI(base_url=f"{local.url}/v1", api_key=local.key, max_retries=0) as client:
        yield client


def test_it_leaves_how_to_get_in(local: Product):
    file = local.folder / "bootstrap.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(local.access) == {"base_url", "grpc_target", "tenant", "admin_user", "admin_password", "api_key"}
    assert all(local.access.values())
    assert local.access["base_url"] == local.url
    assert local.key.startswith("cb_")


def test_it_prints_addresses_name_password_key_and_progress(local: Product):
    said = local.said()
    for what in (
        f"{local.url}/api/chat",
        f"{local.url}/v1",
        f"ws{local.url[4:]}/ws/chat",
        f"{local.url}/admin/",
        f"{local.url}/chat/",
        local.access["grpc_target"],
    ):
        assert what in said
    for name in ("admin_user", "admin_password", "api_key", "tenant"):
        assert local.access[name] in said
    for step in (
        "Valkey is up",
        "Preparing the databases",
        "Loading the local model",
        "Starting the web and gRPC servers",
    ):
        assert step in said


def test_its_printed_line_works_as_printed(local: Product):
    (line,) = re.findall(r"^  (curl .*)$", local.said(), re.MULTILINE)
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=COMMAND_TIME)
    answer = json.loads(ended.stdout)
    assert {"id", "session_id", "model", "message", "usage", "finish_reason", "route"} <= set(answer), answer
    assert answer["message"]["role"] == "assistant"
    assert said_something(answer["message"]["content"])
    assert answer["finish_reason"] in ("stop", "length")
    assert answer["usage"]["completion_tokens"] > 0


def test_it_remembers_a_conversation(local: Product):
    first = local.ask("My name is Ada.", max_tokens=SHORT).json()
    second = local.ask("What is my name?", max_tokens=SHORT, session_id=first["session_id"]).json()
    alone = local.ask("What is my name?", max_tokens=SHORT).json()
    assert second["session_id"] == first["session_id"] != alone["session_id"]
    remembered = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"]
    assert second["usage"]["prompt_tokens"] > remembered > alone["usage"]["prompt_tokens"] // 2
    assert second["usage"]["prompt_tokens"] > alone["usage"]["prompt_tokens"]
    with local.http() as client:
        session = client.get(f"/api/sessions/{first['session_id']}").json()
    stack = [(message["role"], message["content"]) for message in session["context_stack"]]
    assert stack == [
        ("user", "My name is Ada."),
        ("assistant", first["message"]["content"]),
        ("user", "What is my name?"),
        ("assistant", second["message"]["content"]),
    ]
    assert set(session) >= {"session_id", "user_profile", "context_stack", "metadata", "version", "state"}
    assert set(session["metadata"]) == {"last_active", "model_version"}


def test_it_streams_server_sent_events(local: Product):
    response = local.ask("Say hello.", stream=True, max_tokens=SHORT)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response.text)
    assert [event for _, event, _ in events[:2]] == ["start", "delta"]
    (identity, last, done) = events[-1]
    assert last == "done"
    assert [number for number, _, _ in events] == [f"{done['id']}.{n}" for n in range(len(events))]
    assert identity == f"{done['id']}.{len(events) - 1}"
    assert (
        "".join(data.get("content", "") for _, event, data in events if event == "delta") == done["message"]["content"]
    )


# The official OpenAI SDK -----


def test_it_lists_models_to_the_sdk(sdk: OpenAI):
    models = [model.id for model in sdk.models.list()]
    assert models[0] == "auto"
    assert len(models) == 2
    assert sdk.models.retrieve(models[1]).id == models[1]
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("nothing")


def test_it_answers_the_sdk(sdk: OpenAI):
    messages = [{"role": "user", "content": "Say hello."}]
    answer = sdk.chat.completions.create(model="auto", messages=messages, max_tokens=SHORT)
    assert said_something(answer.choices[0].message.content)
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    again = sdk.chat.completions.create(model=answer.model, messages=messages, max_completion_tokens=SHORT)
    assert again.model == answer.model


def test_it_streams_to_the_sdk_with_usage_last(sdk: OpenAI):
    with sdk.chat.completions.create(
        model="auto",
        messages=[{"role": "user", "content": "Say hello."}],
        max_tokens=SHORT,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-2].choices[0].finish_reason in ("stop", "length")
    assert said_something("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_it_streams_to_the_sdk_without_usage_unless_asked(sdk: OpenAI):
    messages = [{"role": "user", "content": "Say hello."}]
    with sdk.chat.completions.create(model="auto", messages=messages, max_tokens=SHORT, stream=True) as stream:
        chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert all(chunk.choices for chunk in chunks)


def test_it_remembers_for_the_sdk_too(sdk: OpenAI):
    def ask(text: str) -> int:
        return sdk.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": text}],
            max_tokens=SHORT,
            extra_headers={"X-Session-Id": "sdk-session"},
        ).usage.prompt_tokens

    assert ask("My name is Ada.") < ask("What is my name?")


def test_its_errors_are_the_sdks_own(sdk: OpenAI, local: Product):
    messages = [{"role": "user", "content": "Hello"}]
    with pytest.raises(openai.NotFoundError) as missing:
        sdk.chat.completions.create(model="no-such-model", messages=messages)
    assert missing.value.code == "model_not_found"
    assert missing.value.param == "model"
    with pytest.raises(openai.BadRequestError) as wrong:
        sdk.chat.completions.create(model="auto", messages=messages, temperature=9)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError):
        sdk.chat.completions.create(model="auto", messages=[])
    with OpenAI(base_url=f"{local.url}/v1", api_key="cb_wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            stranger.models.list()
        with pytest.raises(openai.AuthenticationError):
            stranger.chat.completions.create(model="auto", messages=messages)


# WebSocket -----


def socket_of(product: Product, *protocols: str, path: str = "/ws/chat", **options):
    return connect(f"ws{product.url[4:]}{path}", subprotocols=protocols or None, proxy=None, **options)


async def hear(socket, *last: str) -> list[dict]:
    """Frames up to the first of the kinds in `last`."""
    frames = []
    while not frames or frames[-1]["type"] not in last:
        frames.append(json.loads(await asyncio.wait_for(socket.recv(), 60)))
    return frames


async def test_it_talks_on_a_websocket(local: Product):
    async with socket_of(local, "bearer", local.key) as socket:
        assert socket.subprotocol == "bearer"
        await socket.send(json.dumps({"type": "ping", "ref": 7}))
        assert await hear(socket, "pong") == [{"type": "pong", "ref": 7}]
        await socket.send(json.dumps({"type": "chat", "ref": "a", "message": "Say hello.", "max_tokens": SHORT}))
        frames = await hear(socket, "done", "error")
        assert [frame["type"] for frame in frames[:2]] == ["start", "delta"]
        done = frames[-1]
        assert done["type"] == "done"
        assert {frame["ref"] for frame in frames} == {"a"}
        assert "".join(frame.get("content", "") for frame in frames[1:-1]) == done["message"]["content"]
        assert said_something(done["message"]["content"])
        follow = {"type": "chat", "ref": "b", "message": "Again.", "session_id": frames[0]["session_id"]}
        await socket.send(json.dumps({**follow, "max_tokens": SHORT}))
        again = (await hear(socket, "done", "error"))[-1]
        assert again["usage"]["prompt_tokens"] > done["usage"]["prompt_tokens"]


async def test_it_cancels_on_a_websocket(local: Product):
    async with socket_of(local, additional_headers={"Authorization": f"Bearer {local.key}"}) as socket:
        await socket.send(json.dumps({"type": "chat", "ref": "long", "message": "Tell a story.", "max_tokens": 500}))
        frames = await hear(socket, "delta", "done", "error")
        await socket.send(json.dumps({"type": "cancel", "ref": "long"}))
        ended = (await hear(socket, "done", "error"))[-1]
        assert (ended["type"], ended["code"], ended["ref"]) == ("error", "cancelled", "long")
        await socket.send(json.dumps({"type": "ping"}))
        assert (await hear(socket, "pong"))[-1] == {"type": "pong"}
    with local.http() as client:
        turn = await asyncio.to_thread(client.get, f"/api/turns/{frames[0]['id']}")
    assert turn.json()["state"] == "cancelled"


async def test_it_opens_a_websocket_by_ticket_once(local: Product):
    with local.http() as client:
        issued = client.post("/api/ws-ticket").json()
    assert issued["expires_in"] == 60
    path = f"/ws/chat?ticket={issued['ticket']}"
    async with socket_of(local, path=path) as socket:
        await socket.send(json.dumps({"type": "ping"}))
        await hear(socket, "pong")
    with pytest.raises(InvalidStatus) as refused:
        async with socket_of(local, path=path):
            pass
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("protocols", [(), ("bearer", "cb_wrong"), ("bearer", "a.b.c"), ("bearer",)])
async def test_it_refuses_a_websocket_without_a_good_token(local: Product, protocols):
    with pytest.raises(InvalidStatus) as refused:
        async with socket_of(local, *protocols):
            pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["error"]["code"] == "unauthenticated"


# Tokens -----


def test_it_signs_members_in(local: Product):
    access = local.access
    with local.http(key="") as client:
        who = {"username": access["admin_user"], "password": access["admin_password"]}
        wrong = client.post("/api/token/", json={**who, "password": "wrong"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "unauthenticated")
        pair = client.post("/api/token/", json={**who, "tenant": access["tenant"]}).json()
        fresh = client.post("/api/token/refresh/", json={"refresh": pair["refresh"]}).json()["access"]
        assert client.post("/api/token/refresh", json={"refresh": pair["access"]}).status_code == 401
    for token in (pair["access"], fresh):
        answer = local.ask("Hello", key=token, max_tokens=SHORT)
        assert answer.status_code == 200
    assert local.ask("Hello", key=pair["refresh"]).status_code == 401
    session = answer.json()["session_id"]
    with local.http(key=fresh) as member, local.http() as machine:
        assert member.get(f"/api/sessions/{session}").status_code == 200
        assert machine.get(f"/api/sessions/{session}").status_code == 404


def test_its_administrator_can_sign_in_to_the_console(local: Product):
    with local.http(key="", follow_redirects=True) as browser:
        page = browser.get("/admin/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        form = {
            "login": local.access["admin_user"],
            "password": local.access["admin_password"],
            "csrfmiddlewaretoken": token[1],
        }
        inside = browser.post("/accounts/login/?next=/admin/", data=form, headers={"Referer": f"{local.url}/accounts/"})
        assert inside.status_code == 200
        assert "csrfmiddlewaretoken" in inside.text
        assert 'name="password"' not in inside.text
        assert browser.get("/admin/routing/modelinstance/").status_code == 200
