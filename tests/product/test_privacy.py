"""What a model's service receives of personal data: nothing, on every edge; and everybody gets their own back."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from websockets.asyncio.client import connect

from tests.adapters.upstream import Upstream, answer, by_stream, events, streamed, whole
from tests.product.running import Product, events_of, until

MOBILE, MAIL, IDENTITY, CARD = "13812345678", "li.lei@example.com", "11010519491231002X", "4111 1111 1111 1111"
SAID = f"我是李雷，电话{MOBILE}，邮箱{MAIL}，身份证{IDENTITY}，卡号{CARD}。"
ANSWER = "请拨[PHONE_1]，写信到[EMAIL_1]；[ID_1]和[CARD_1]已核对，[PHONE_2]不详。"
PIECES = ["请拨[", "PHONE", "_1]，写信到", "[EMAIL_1]", "；[ID_", "1", "]和[CARD_1]已", "核对，[PHONE_2]不详", "。"]
RESTORED = f"请拨{MOBILE}，写信到{MAIL}；{IDENTITY}和{CARD}已核对，[PHONE_2]不详。"


@pytest.fixture(scope="module")
def keys(gateway: Product) -> dict[str, str]:
    """`private` masks, keeps answers and shares calls; `plain` does not."""
    found = {}
    for slug in ("private", "plain"):
        found[slug] = gateway.operate(
            f"tenant = services.create_tenant(slug='{slug}', name='{slug}')\n"
            "_, value = services.create_api_key(tenant=tenant, name='e2e', scopes=['chat', 'sessions', 'manage'])"
        )
    until(lambda: {gateway.ask(key=key).status_code for key in found.values() for _ in range(4)} == {200}, "keys work")
    with gateway.http(found["private"]) as client:
        names = ["email", "phone", "card", "id_cn"]
        assert client.patch("/api/privacy", json={"recognisers": names}).json() == {"recognisers": names}
    return found


@pytest.fixture
def key(gateway: Product, upstream: Upstream, keys) -> str:
    """Of `private`, once its recognisers are live in every worker."""
    with gateway.at_every_worker() as workers:
        for connection in workers:
            until(lambda c=connection: "[PHONE_1]" in sent_on(c, upstream, keys["private"]), "it masks")
    upstream.answers(whole(ANSWER), streamed(events(*PIECES)), choose=by_stream)
    return keys["private"]


def sent_on(connection, upstream: Upstream, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/api/chat", json.dumps({"message": MOBILE}), headers)
    assert connection.getresponse().read()
    return upstream.requests[-1].body.decode()


def received(upstream: Upstream, since: int) -> str:
    """All bytes the model's service got, escapes resolved as well."""
    bodies = [request.body.decode() for request in upstream.requests[since:]]
    return "\n".join([*bodies, *(json.dumps(json.loads(body), ensure_ascii=False) for body in bodies)])


def assert_clean(upstream: Upstream, since: int) -> None:
    text = received(upstream, since)
    assert len(upstream.requests) > since and "[PHONE_1]" in text
    for value in (MOBILE, MAIL, IDENTITY, CARD):
        assert value not in text


def test_rest_and_its_stream(gateway: Product, upstream: Upstream, key):
    since = len(upstream.requests)
    plain = gateway.ask(SAID, key=key, model="scripted").json()
    assert plain["message"]["content"] == RESTORED
    stream = events_of(gateway.ask(SAID, key=key, model="scripted", stream=True).text)
    pieces = [data["content"] for _, name, data in stream if name == "delta" and "content" in data]
    assert "".join(pieces) == stream[-1][2]["message"]["content"] == RESTORED
    assert len(pieces) > 3
    assert_clean(upstream, since)


def test_the_openai_format_and_its_stream(gateway: Product, upstream: Upstream, key):
    since = len(upstream.requests)
    body = {"model": "scripted", "messages": [{"role": "user", "content": [{"type": "text", "text": SAID}]}],
            "user": "someone"}  # fmt: skip
    with gateway.http(key) as client:
        whole_answer = client.post("/v1/chat/completions", json=body).json()
        lines = client.post("/v1/chat/completions", json={**body, "stream": True}).text.split("\n\n")
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert whole_answer["choices"][0]["message"]["content"] == said == RESTORED
    assert_clean(upstream, since)


async def test_the_web_socket(gateway: Product, upstream: Upstream, key):
    since = len(upstream.requests)
    async with connect(f"ws{gateway.url[4:]}/ws/chat", subprotocols=["bearer", key], proxy=None) as socket:
        await socket.send(json.dumps({"type": "chat", "ref": "r", "message": SAID, "model": "scripted"}))
        frames = [json.loads(await socket.recv())]
        while frames[-1]["type"] not in ("done", "error"):
            frames.append(json.loads(await socket.recv()))
    pieces = "".join(frame.get("content") or "" for frame in frames if frame["type"] == "delta")
    assert pieces == frames[-1]["message"]["content"] == RESTORED
    assert_clean(upstream, since)


def test_tool_calls(gateway: Product, upstream: Upstream, key):
    since = len(upstream.requests)
    call = {"id": "c1", "type": "function", "function": {"name": "dial", "arguments": '{"to": "[PHONE_1]"}'}}
    fragments = [{"tool_calls": [{"index": 0, **call, "function": {"name": "dial", "arguments": ""}}]}]
    fragments += [
        {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in ('{"to": "[PHO', 'NE_1]"}')
    ]
    calling = streamed(events(*fragments, finish="tool_calls"))
    upstream.answers(whole(None, "tool_calls", tool_calls=[call]), calling, choose=by_stream)
    tools = [{"type": "function", "function": {"name": "dial", "description": f"Never {MAIL}", "parameters": {}}}]
    for stream in (False, True):
        answer = gateway.ask(f"Dial {MOBILE}", key=key, model="scripted", tools=tools, stream=stream)
        message = events_of(answer.text)[-1][2]["message"] if stream else answer.json()["message"]
        assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"to": MOBILE}
    made = {**call, "function": {"name": "dial", "arguments": json.dumps({"to": int(MOBILE)})}}
    said = [{"role": "user", "content": f"Dial {MOBILE}"}, {"role": "assistant", "tool_calls": [made]},
            {"role": "tool", "tool_call_id": "c1", "content": json.dumps({"rang": MOBILE})}]  # fmt: skip
    with gateway.http(key) as client:
        assert client.post("/api/chat", json={"messages": said, "model": "scripted"}).status_code == 200
    assert_clean(upstream, since)
    assert json.loads(upstream.requests[-1].json["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {
        "to": "[PHONE_1]"
    }


def test_a_session_keeps_what_was_said_and_the_record_how_much_was_masked(gateway: Product, upstream: Upstream, key):
    since = len(upstream.requests)
    first = gateway.ask(SAID, key=key, model="scripted", user_profile={"mail": MAIL}).json()
    other = "13987654321"
    second = gateway.ask(f"Not {MOBILE} but {other}", key=key, model="scripted", session_id=first["session_id"]).json()
    assert second["message"]["content"] == RESTORED  # the [PHONE_2] that the model made up stays nobody's
    sent = [message["content"] for message in upstream.requests[-1].json["messages"]]
    assert sent[-2:] == [ANSWER, "Not [PHONE_1] but [PHONE_3]"] and "[EMAIL_1]" in sent[0]
    assert_clean(upstream, since)
    assert other not in received(upstream, since)
    with gateway.http(key) as client:
        session = client.get(f"/api/sessions/{first['session_id']}").json()
        record = client.get(f"/api/turns/{first['id']}").json()
    assert [message["content"] for message in session["context_stack"]][:2] == [SAID, RESTORED]
    assert record["intent"]["personal"] == {"phone": 1, "email": 1, "id_cn": 1, "card": 1}
    assert record["intent"]["messages"][0]["content"] == SAID
    assert record["completion"]["choices"][0]["message"]["content"] == RESTORED
    assert 'clawdbot_personal_masked_total{kind="phone"}' in gateway.http("").get("/metrics").text


def keep(gateway: Product, seconds: int | None, coalesce: bool) -> None:
    gateway.operate(
        "tenant = Tenant.objects.get(slug='private')\n"
        f"tenant.cache_ttl, tenant.coalesce = {seconds}, {coalesce}\n"
        "tenant.save()"
    )


def test_two_people_share_an_answer_and_get_their_own_numbers(gateway: Product, upstream: Upstream, key):
    keep(gateway, 300, True)
    question = uuid.uuid4().hex
    numbers = ["13800000001", "13900000002", "13700000003"]

    def ask(number: str, text: str = question, **fields):
        return gateway.ask(f"{text}: {number}", key=key, model="scripted", temperature=0, **fields)

    def kept() -> bool:
        return all(ask(MOBILE, "kept?").headers.get("x-clawdbot-cache") == "hit" for _ in range(6))

    try:
        until(kept, "answers are kept")
        since = len(upstream.requests)
        answers = [ask(number) for number in numbers]
        assert len(upstream.requests) == since + 1
        assert [answer.headers.get("x-clawdbot-cache") for answer in answers] == [None, "hit", "hit"]
        for answer, number in zip(answers, numbers, strict=True):
            assert f"请拨{number}，" in answer.json()["message"]["content"]
            assert not any(other in answer.text for other in numbers if other != number)
        stranger = ask("[PHONE_1]")
        assert stranger.headers["x-clawdbot-cache"] == "hit" and "请拨[PHONE_1]，" in stranger.text
        shared(gateway, upstream, key, numbers)
    finally:
        keep(gateway, None, False)


def shared(gateway: Product, upstream: Upstream, key: str, numbers: list[str]) -> None:
    """At the same time, in one worker, as streams."""
    upstream.answers(whole(ANSWER), streamed(events(*PIECES), 0.05), choose=by_stream)
    question, since = uuid.uuid4().hex, len(upstream.requests)

    def stream_on(connection, number: str) -> str:
        body = {"message": f"{question}: {number}", "temperature": 0, "stream": True, "model": "scripted"}
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/api/chat", json.dumps(body), headers)
        return connection.getresponse().read().decode()

    with ExitStack() as stack, ThreadPoolExecutor(3) as threads:
        connections = [stack.enter_context(gateway.at_worker(gateway.workers()[0])) for _ in numbers]
        texts = list(threads.map(stream_on, connections, numbers))
    assert len(upstream.requests) == since + 1
    for text, number in zip(texts, numbers, strict=True):
        pieces = [data.get("content", "") for _, name, data in events_of(text) if name == "delta"]
        assert f"请拨{number}，" in "".join(pieces)
        assert not any(other in text for other in numbers if other != number)


def test_vectors_are_made_of_what_is_masked(gateway: Product, upstream: Upstream, key):
    data = [{"index": place, "embedding": [1.0, float(place)]} for place in range(2)]
    upstream.answers(answer(200, {"data": data}))
    gateway.operate(
        "_ = save_instance(instance=ModelInstance(tenant=Tenant.objects.get(slug='private'), name='vectors',"
        f" task='embeddings', endpoint='{upstream.url}', allow_private=True))"
    )
    body = {"input": [f"{MOBILE} {MAIL}", SAID], "model": "vectors"}
    with gateway.http(key) as client:
        made = until(lambda: (said := client.post("/v1/embeddings", json=body)).status_code == 200 and said, "vectors")
        record = client.get(f"/api/turns/{made.headers['x-clawdbot-decision']}").json()
    assert upstream.requests[-1].json["input"][0] == "[PHONE_1] [EMAIL_1]"
    assert_clean(upstream, len(upstream.requests) - 1)
    assert record["intent"]["personal"] == {"phone": 2, "email": 2, "id_cn": 1, "card": 1}
    assert record["intent"]["messages"][1]["content"] == SAID


def test_other_tenants_are_left_alone(gateway: Product, upstream: Upstream, key, keys):
    answer = gateway.ask(SAID, key=keys["plain"], model="scripted").json()
    assert answer["message"]["content"] == ANSWER
    assert upstream.requests[-1].json["messages"][-1]["content"] == SAID
    with gateway.http(keys["plain"]) as client:
        assert client.get("/api/privacy").json() == {"recognisers": []}


def test_it_is_switched_off_again(gateway: Product, upstream: Upstream, key):
    with gateway.http(key) as client:
        assert client.patch("/api/privacy", json={"recognisers": []}).status_code == 200
    with gateway.at_every_worker() as workers:
        for connection in workers:
            until(lambda c=connection: MOBILE in sent_on(c, upstream, key), "it masks no longer")
