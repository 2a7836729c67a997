"""A provider's key goes to the host it was given for, whatever a request says of addresses: a trap waits for it."""

from __future__ import annotations

import json

import pytest

from tests.adapters.upstream import answer
from tests.outbound.network import listening
from tests.product.running import Product

SECRET = "upstream-secret"
# What other gateways took an address from: LiteLLM CVE-2024-6587 and PYSEC-2026-4070, Portkey CVE-2025-66405 and
# CVE-2026-110719, LobeChat CVE-2024-32964, LLMGateway CVE-2026-108719.
FIELDS = (
    "api_base", "base_url", "baseURL", "api_url", "endpoint", "proxy", "custom_llm_provider", "api_host",
    "callback_url", "host", "upstream", "aws_bedrock_runtime_endpoint", "vertex_api_base", "api_version",
    "organization",
)  # fmt: skip
HEADERS = (
    "X-Portkey-Custom-Host", "X-Api-Base", "X-Base-Url", "X-LiteLLM-Api-Base", "X-Forwarded-Host", "X-Host",
    "X-Upstream", "X-Original-URL", "X-Rewrite-URL", "Forwarded", "Destination", "X-LobeChat-Endpoint",
    "OpenAI-Base-Url",
)  # fmt: skip
DOORS = {
    "/api/chat": {"message": "Hello"},
    "/v1/chat/completions": {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]},
    "/v1/responses": {"model": "auto", "input": "Hello"},
    "/v1/messages": {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]},
    "/v1/embeddings": {"model": "auto", "input": "Hello"},
}


def overrides(url: str):
    yield dict.fromkeys(FIELDS, url)
    yield {"user_config": {"model_list": [{"model_name": "auto", "litellm_params": {"api_base": url}}]}}
    yield {"extra_body": {"api_base": url}, "extra_headers": {"Host": url}, "litellm_params": {"api_base": url}}
    yield {"options": {"endpoint": url, "headers": {"Host": url}}, "config": {"custom_host": url}}
    yield {"router": {"endpoint": url}, "route": {"endpoint": url}, "instance": {"endpoint": url}, "provider": url}
    yield {"fallbacks": [{"model": "auto", "api_base": url}], "client": {"base_url": url}}
    for name in FIELDS[:6]:
        yield {name: url}


@pytest.mark.parametrize("door", DOORS)
def test_no_field_of_a_request_says_where_it_goes(gateway: Product, upstream, door):
    with listening() as trap, gateway.http() as client:
        url, before = f"http://127.0.0.1:{trap.port}/v1", len(upstream.requests)
        for more in overrides(url):
            assert client.post(door, json={**more, **DOORS[door]}).status_code < 500
        said = upstream.requests[before:]
        assert trap.heard == []
    assert door == "/v1/embeddings" or said, "none of them was taken at all"
    for request in said:
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert url.encode() not in request.body and url not in json.dumps(request.headers)


@pytest.mark.parametrize("door", ["/api/chat", "/v1/chat/completions"])
def test_no_header_of_a_request_says_where_it_goes(gateway: Product, upstream, door):
    with listening() as trap, gateway.http() as client:
        place, before = f"127.0.0.1:{trap.port}", len(upstream.requests)
        for value in (f"http://{place}/v1", place):
            headers = {name: f"host={value}" if name == "Forwarded" else value for name in HEADERS}
            assert client.post(door, json=DOORS[door], headers=headers).status_code < 500
        said = upstream.requests[before:]
        assert trap.heard == []
    assert len(said) == 2
    for request in said:
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert place not in json.dumps(request.headers) and place.encode() not in request.body


@pytest.mark.parametrize("status", [302, 308])
def test_no_answer_of_a_service_sends_the_key_on(gateway: Product, upstream, status):
    with listening() as trap, gateway.http() as client:
        upstream.answers(answer(status, {}, location=f"http://127.0.0.1:{trap.port}/v1/chat/completions"))
        assert client.post("/api/chat", json={"message": "Hello"}).status_code == 502
        assert trap.heard == []
