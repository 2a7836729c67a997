"""The description of the API: it names every route, holds for real answers, and its page needs no other machine."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import yaml
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from access import answers, openapi
from access.edges.messages_operations import CountAnswer, MessageAnswer
from sessions_app import records
from tests.access.parts import build
from tests.engine.parts import ScriptedModel

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def schema() -> dict:
    return SchemaGenerator().get_schema(request=None, public=True)


def strict(kind: type, value: object) -> None:
    """Nothing is missing, wrong or not described."""
    decoded = msgspec.convert(value, kind)
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    assert set(value) <= known
    assert decoded is not None


def test_it_is_valid(schema: dict) -> None:
    validate_schema(schema)


def test_it_describes_every_route() -> None:
    assert openapi.undescribed() == []


def test_it_describes_what_djangos_urlconf_does_not_know(schema: dict) -> None:
    assert {"/api/chat", "/api/sessions/{session_id}", "/v1/chat/completions", "/api/token"} <= {
        path.rstrip("/") for path in schema["paths"]
    }
    chat = schema["paths"]["/api/chat"]["post"]
    assert chat["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ChatBody"}
    assert {"message", "messages", "session_id", "stream"} <= set(
        schema["components"]["schemas"]["ChatBody"]["properties"]
    )
    assert "text/event-stream" in chat["responses"]["200"]["content"]


def test_it_points_only_at_what_is_there(schema: dict) -> None:
    for name in re.findall(r"#/components/schemas/(\w+)", str(schema)):
        assert name in schema["components"]["schemas"]


async def test_it_holds_for_real_answers() -> None:
    site = build(ScriptedModel(["Hello"]))
    chat = (await site.alice.post("/api/chat", {"message": "Hi"})).json
    strict(answers.ChatAnswer, chat)
    strict(answers.UsageAnswer, chat["usage"])
    strict(answers.RouteAnswer, chat["route"])
    strict(answers.TurnAnswer, (await site.alice.get(f"/api/turns/{chat['id']}")).json)
    strict(answers.ScoreAnswer, (await site.alice.post("/api/route/score", {"text": "Hi"})).json)
    strict(answers.TicketAnswer, (await site.alice.post("/api/ws-ticket")).json)
    models = (await site.alice.get("/v1/models")).json
    strict(answers.ModelListAnswer, models)
    strict(answers.PublicModelAnswer, models["data"][0])
    asked = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    strict(MessageAnswer, (await site.alice.post("/v1/messages", asked)).json)
    strict(CountAnswer, (await site.alice.post("/v1/messages/count_tokens", asked)).json)
    error = (await site.stranger.post("/api/chat", {"message": "Hi"})).json
    strict(answers.ErrorAnswer, error)
    strict(answers.ErrorInside, error["error"])


def test_it_holds_for_sessions() -> None:
    record = records.Record(version=1, name="n")
    strict(answers.SessionAnswer, records.whole("s", record))
    strict(answers.SessionLine, records.summary("s", record))


def test_it_is_what_is_committed(schema: dict) -> None:
    written = OpenApiYamlRenderer().render(schema, renderer_context={}).decode()
    told = "run: .venv/bin/python manage.py spectacular --file docs/openapi.yaml"
    assert yaml.safe_load(COMMITTED.read_text()) == yaml.safe_load(written), told


def test_it_needs_no_other_machine() -> None:
    client = Client()
    for path in ("/api/docs", "/api/docs/"):
        page = client.get(path).content.decode()
        links = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert links
        assert not [link for link in links if "//" in link]
        assert all(client.get(link).status_code == 200 for link in links)
    assert client.get("/api/schema/").status_code == client.get("/api/schema").status_code == 200
