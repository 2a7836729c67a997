"""Conversations of the Responses API on a running product: two workers, a journal in files, a store that is emptied."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any

import openai
import pytest

from tests.adapters.upstream import Upstream
from tests.product.running import Product
from tests.product.test_session_versions import empty


def respond(connection: HTTPConnection, key: str, text: str, **fields: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/responses", json.dumps({"model": "scripted", "input": text, **fields}), headers)
    response = connection.getresponse()
    said = json.loads(response.read())
    assert response.status == 200, said
    return said


def asked(upstream: Upstream) -> list[str]:
    """What users said in the last call."""
    return [each["content"] for each in upstream.requests[-1].json["messages"] if each["role"] == "user"]


def test_a_conversation_goes_on_from_any_response_at_any_worker(gateway: Product, upstream: Upstream):
    with gateway.at_every_worker() as workers:
        here, there = workers
        first = respond(here, gateway.key, "one", instructions="Be kind.")
        second = respond(there, gateway.key, "two", previous_response_id=first["id"])
        assert asked(upstream) == ["one", "two"]
        assert "Be kind." not in str(upstream.requests[-1].json["messages"])
        other = respond(here, gateway.key, "deux", previous_response_id=first["id"])
        assert asked(upstream) == ["one", "deux"]
        empty(gateway)
        respond(there, gateway.key, "trois", previous_response_id=other["id"])
        assert asked(upstream) == ["one", "deux", "trois"]
        respond(here, gateway.key, "three", previous_response_id=second["id"])
        assert asked(upstream) == ["one", "two", "three"]


def test_the_sdk_keeps_and_deletes_responses(gateway: Product, upstream: Upstream):
    with openai.OpenAI(api_key=gateway.key, base_url=f"{gateway.url}/v1", max_retries=0) as client:
        with client.responses.stream(model="scripted", input="Hi", metadata={"a": "b"}) as stream:
            kinds = [event.type for event in stream]
            first = stream.get_final_response()
        assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
        read = client.responses.retrieve(first.id)
        assert (read.output_text, read.metadata) == (first.output_text, {"a": "b"}) and read.output_text
        assert [item.content[0].text for item in client.responses.input_items.list(first.id).data] == ["Hi"]
        client.responses.delete(first.id)
        with pytest.raises(openai.BadRequestError) as missing:
            client.responses.create(model="scripted", input="Hi", previous_response_id=first.id)
        assert missing.value.code == "previous_response_not_found"
