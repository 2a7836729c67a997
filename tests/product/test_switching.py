"""An instance that is given another adapter while it is asked: no call is dropped, none is asked twice."""

from __future__ import annotations

import json
import threading
import time
import uuid

from tests.adapters import anthropic
from tests.adapters.upstream import Request, Upstream, events, streamed, whole
from tests.product.running import Product, until

PIECES = ("The ", "switched ", "answer.")
ANSWER = "".join(PIECES)
SWITCHES = ("anthropic_messages", "deepseek", "openai_compatible", "anthropic_messages", "openai_compatible")
CALLERS = 6


def choose(request: Request) -> int:
    return 2 * request.path.endswith("/messages") + bool(request.json.get("stream"))


class Caller(threading.Thread):
    """Asks again and again, by turns with a stream and without; `wrong` are answers that are not the whole one."""

    def __init__(self, gateway: Product, model: str, over: threading.Event) -> None:
        super().__init__()
        self.gateway, self.model, self.over = gateway, model, over
        self.answered = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        with self.gateway.http() as client:
            while not self.over.is_set():
                streams = bool(self.answered % 2)
                body = {"model": self.model, "stream": streams, "messages": [{"role": "user", "content": "Hello"}]}
                answer = client.post("/v1/chat/completions", json=body)
                self.answered += 1
                if (answer.status_code, said(answer.text, streams)) != (200, ANSWER):
                    self.wrong.append(f"{answer.status_code} {answer.text[:300]}")


def said(text: str, streams: bool) -> str:
    try:
        if not streams:
            return str(json.loads(text)["choices"][0]["message"]["content"])
        chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    except (KeyError, ValueError, IndexError):
        return ""


def test_it_drops_no_call(gateway: Product, upstream: Upstream):
    blocks = [anthropic.started(), *anthropic.text(0, *PIECES), *anthropic.ended()]
    upstream.answers(
        whole(ANSWER),
        streamed(events(*PIECES), 0.01),
        anthropic.message({"type": "text", "text": ANSWER}),
        streamed(blocks, 0.01),
        choose=choose,
    )
    model = f"switched-{uuid.uuid4().hex[:8]}"
    gateway.operate(
        f"value = save_instance(instance=ModelInstance(name='{model}', adapter='openai_compatible', allow_private=True,"
        f" endpoint='{upstream.url}'), api_key='k').pk"
    )
    over = threading.Event()
    callers = [Caller(gateway, model, over) for _ in range(CALLERS)]
    try:
        with gateway.http() as client:
            body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
            ready = lambda: client.post("/v1/chat/completions", json=body).status_code == 200  # noqa: E731
            until(lambda: all(ready() for _ in range(8)), "both workers know the model")
        before = len(upstream.requests)
        for caller in callers:
            caller.start()
        for adapter in SWITCHES:
            time.sleep(0.5)
            gateway.operate(
                f"row = ModelInstance.objects.everywhere().get(name='{model}')\n"
                f"row.adapter = '{adapter}'\n"
                "_ = save_instance(instance=row)"
            )
            format_of = "/messages" if adapter == "anthropic_messages" else "/chat/completions"
            asked = len(upstream.requests)
            until(
                lambda start=asked, path=format_of: any(r.path.endswith(path) for r in upstream.requests[start:]),
                f"calls go out by {adapter}",
            )
        time.sleep(0.5)
    finally:
        over.set()
        for caller in callers:
            caller.join(30)
        gateway.operate(f"ModelInstance.objects.everywhere().get(name='{model}').delete()")
    assert [wrong for caller in callers for wrong in caller.wrong] == []
    answered = sum(caller.answered for caller in callers)
    assert answered >= 2 * CALLERS and len(upstream.requests) - before == answered
