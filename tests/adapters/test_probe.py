"""Whether a service is there is asked at no cost: with the list of its models."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.base import AdapterConfig, BaseModelAdapter
from adapters.echo import EchoAdapter
from adapters.openai_compatible import OpenAICompatibleAdapter
from adapters.scripted import HANG, Script, ScriptedAdapter
from engine.errors import NotSupported, UpstreamBusy, UpstreamError, UpstreamRejected, UpstreamTimeout
from engine.outbound import HttpClient
from tests.adapters import upstream as wire
from tests.adapters.replay import ReplayClient
from tests.adapters.upstream import CUT, RESET, Upstream
from tests.adapters.upstream import HANG as SILENCE


@pytest.fixture
def adapter(http: HttpClient, upstream: Upstream) -> Any:
    def build(**fields: Any) -> OpenAICompatibleAdapter:
        config = AdapterConfig(endpoint=f"{upstream.url}/chat/completions?v=1", api_key="sk-secret", **fields)
        return OpenAICompatibleAdapter(config, http)

    return build


async def test_it_asks_for_the_models_with_key_and_headers(adapter: Any, upstream: Upstream) -> None:
    upstream.answers(wire.answer(200, {"object": "list", "data": []}))
    probing = adapter(options={"headers": {"x-team": "blue"}})
    for _ in range(3):
        await probing.probe()
    request = upstream.requests[0]
    assert (request.method, request.path, request.body) == ("GET", "/v1/models?v=1", b"")
    assert (request.headers["authorization"], request.headers["x-team"]) == ("Bearer sk-secret", "blue")
    assert upstream.connections == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"x" * 300_000])
async def test_it_is_content_with_any_body(body: bytes, adapter: Any, upstream: Upstream) -> None:
    upstream.answers(wire.answer(200, body))
    await adapter().probe()
    upstream.answers(wire.answer(203, body))
    await adapter().probe()


@pytest.mark.parametrize("script", [[SILENCE], [step for _ in range(99) for step in (b"x", 0.5)]])
async def test_it_is_content_with_a_head(script: Any, adapter: Any, upstream: Upstream) -> None:
    upstream.answers([b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", *script])
    async with asyncio.timeout(30):
        await adapter(timeout=60).probe()
    await upstream.closed(1)


@pytest.mark.parametrize("status", [400, 404, 405, 422, 429, 501])
async def test_it_takes_an_answer_for_a_sign_of_life(status: int, adapter: Any, upstream: Upstream) -> None:
    upstream.answers(wire.error(status))
    await adapter().probe()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, UpstreamError) for status in (301, 302, 401, 402, 403, 407, 500, 502, 503)),
        (408, UpstreamTimeout),
        (504, UpstreamTimeout),
    ],
)
async def test_it_says_when_nobody_could_be_served(
    status: int, kind: type[UpstreamError], adapter: Any, upstream: Upstream
) -> None:
    upstream.answers(wire.error(status, "sk-secret", location="http://127.0.0.1:1/"))
    with pytest.raises(UpstreamError) as caught:
        await adapter().probe()
    assert type(caught.value) is kind
    assert "secret" not in caught.value.message
    assert "127.0.0.1" not in caught.value.message


@pytest.mark.parametrize("script", [[CUT], [RESET], [b"SSH-2.0-x\r\n", CUT], [b"HTTP/1.1 100 Continue\r\n\r\n", CUT]])
async def test_it_says_when_there_is_no_answer(script: Any, adapter: Any, upstream: Upstream) -> None:
    upstream.answers(script)
    with pytest.raises(UpstreamError):
        await adapter().probe()


async def test_it_waits_no_longer_than_for_a_first_token(adapter: Any, upstream: Upstream) -> None:
    upstream.answers([SILENCE])
    with pytest.raises(UpstreamTimeout):
        async with asyncio.timeout(30):
            await adapter(timeout=60, first_token_timeout=0.2).probe()
    await upstream.closed(1)


async def test_a_script_is_probed_as_it_answers() -> None:
    model = ScriptedAdapter.saying("Hello")
    await model.probe()
    assert (model.probes, model.calls) == (1, [])
    for there in (UpstreamBusy(), UpstreamRejected("no")):
        await ScriptedAdapter.saying(there).probe()
    for gone in (UpstreamError(), UpstreamTimeout()):
        with pytest.raises(type(gone)):
            await ScriptedAdapter.saying(gone).probe()
    repaired = ScriptedAdapter(queue=[Script([UpstreamError()]), Script(["a"])])
    with pytest.raises(UpstreamError):
        await repaired.probe()
    repaired.queue.popleft()
    await repaired.probe()


async def test_a_script_that_hangs_is_not_there() -> None:
    model = ScriptedAdapter(AdapterConfig(first_token_timeout=0.01), queue=[Script([HANG])])
    with pytest.raises(UpstreamTimeout):
        await model.probe()


async def test_a_probe_may_have_a_script_of_its_own() -> None:
    model = ScriptedAdapter(AdapterConfig(options={"probe_error": "upstream_timeout"}))
    with pytest.raises(UpstreamTimeout):
        await model.probe()
    model.probe_error = None
    await model.probe()
    assert model.probes == 2


async def test_an_echo_is_always_there() -> None:
    await EchoAdapter(AdapterConfig(), ReplayClient()).probe()


async def test_an_adapter_that_cannot_says_so() -> None:
    class Mute(EchoAdapter):
        probe = BaseModelAdapter.probe

    with pytest.raises(NotSupported):
        await Mute(AdapterConfig(), ReplayClient()).probe()
