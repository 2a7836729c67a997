"""A model that stops to think in the middle of its answer: clients of every format are told that their connection is in
use, and none takes that for an event."""

import anthropic
import openai
import pytest
from clawdbot_client import Client

from tests.adapters.upstream import by_stream, events, streamed, whole
from tests.product.running import Product
from tests.product.upstreams import upstream_in_thread

PAUSE = 4.0  # seconds; a look each second, a comment after one to two of them
ASKED = {"model": "auto", "messages": [{"role": "user", "content": "Think."}]}


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory):
    with upstream_in_thread() as model:
        first, *rest = events("Let me ", "think.")
        steps = streamed([first, *rest])
        model.answers(whole("Let me think."), [*steps[:3], PAUSE, *steps[3:]], choose=by_stream)
        settings = {"MODEL_ENDPOINT": model.url, "MODEL_NAME": "thinker", "STREAM_KEEPALIVE": "1"}
        with Product(tmp_path_factory.mktemp("thinking") / "var", **settings).up() as product:
            yield product


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"message": "Think."}),
        ("/v1/chat/completions", ASKED),
        ("/v1/messages", {**ASKED, "max_tokens": 64}),
        ("/v1/responses", {"model": "auto", "input": "Think."}),
    ],
)
def test_every_format_has_signs_of_life(thinking: Product, path: str, body: dict):
    with thinking.http() as client, client.stream("POST", path, json={**body, "stream": True}) as answer:
        text = answer.read().decode()
    said = text.split("\n\n")
    assert said.count(":") >= 2, text
    assert "Let me " in text.split("\n\n:\n\n")[0]
    assert not [each for each in said[:-1] if each != ":" and "data: " not in each]


def test_the_sdks_take_them_for_no_event(thinking: Product):
    options = {"api_key": thinking.key, "max_retries": 0}
    with openai.OpenAI(base_url=f"{thinking.url}/v1", **options) as client:
        chunks = list(client.chat.completions.create(**ASKED, stream=True))
        assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == "Let me think."
        with client.responses.stream(model="auto", input="Think.") as stream:
            assert stream.get_final_response().output_text == "Let me think."
    with (
        anthropic.Anthropic(base_url=thinking.url, **options) as client,
        client.messages.stream(**ASKED, max_tokens=64) as stream,
    ):
        assert stream.get_final_text() == "Let me think."


async def test_nor_does_our_own(thinking: Product):
    async with Client(thinking.url, thinking.key) as client:
        heard = [event async for event in client.stream("Think.")]
    assert heard[-1].message == {"role": "assistant", "content": "Let me think."}
