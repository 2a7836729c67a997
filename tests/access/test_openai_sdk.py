"""The official SDK against the edge, without a socket."""

import httpx2
import openai
import pytest

from adapters.hashing import unit_vector
from adapters.scripted import ScriptedAdapter
from engine.errors import UpstreamError
from engine.types import Delta
from tests.access.parts import build
from tests.cast import ALICE
from tests.conformance.edges import FRAGMENTS, HI, TOOLS
from tests.engine.parts import ScriptedModel


def sdk(site, key=ALICE.key):
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(site.app))
    return openai.AsyncOpenAI(api_key=key, base_url="http://clawdbot/v1", http_client=client, max_retries=0)


async def test_it_answers_the_sdk():
    async with sdk(build(ScriptedModel(["Hel", "lo"]))) as client:
        completion = await client.chat.completions.create(model="auto", messages=HI, temperature=0.2, user="u")
        assert completion.choices[0].message.content == "Hello" and completion.usage.total_tokens == 8
        assert [model.id async for model in await client.models.list()] == ["auto", "scripted", "openai/gpt-4o"]


async def test_it_streams_to_the_sdk():
    async with sdk(build(ScriptedModel(FRAGMENTS, finish="tool_calls"))) as client:
        async with client.chat.completions.stream(
            model="auto", messages=HI, tools=TOOLS, stream_options={"include_usage": True}
        ) as stream:
            completion = await stream.get_final_completion()
        assert completion.choices[0].message.tool_calls[0].function.arguments == '{"city": "Paris"}'
        assert completion.choices[0].finish_reason == "tool_calls" and completion.usage.completion_tokens == 5


async def test_it_embeds_for_the_sdk():
    async with sdk(build(ScriptedAdapter())) as client:
        packed = await client.embeddings.create(model="auto", input=["Hi", "Bonjour"], dimensions=6)
        plain = await client.embeddings.create(model="auto", input="Hi", dimensions=6, encoding_format="float")
        assert [one.embedding for one in packed.data] == [unit_vector("Hi", 6), unit_vector("Bonjour", 6)]
        assert plain.data[0].embedding == unit_vector("Hi", 6) and plain.usage.total_tokens == 1
        tokens = await client.embeddings.create(model="auto", input=[13347], dimensions=6)
        assert tokens.data[0].embedding == unit_vector("Hi", 6)


async def test_it_raises_what_the_sdk_calls_it():
    site = build(ScriptedModel([Delta("a"), UpstreamError()]))
    async with sdk(site) as client, sdk(site, "cb_wrong") as stranger:
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="missing", messages=HI)
        assert missing.value.code == "model_not_found" and missing.value.body["retryable"] is False
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()
        with pytest.raises(openai.BadRequestError) as wrong:
            await client.chat.completions.create(model="auto", messages=HI, temperature=9)
        assert wrong.value.param == "temperature"
        with pytest.raises(openai.APIError, match="failed"):
            async for _ in await client.chat.completions.create(model="auto", messages=HI, stream=True):
                pass
