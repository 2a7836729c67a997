import json
import re
from pathlib import Path

import pytest
from django.core import exceptions as core
from django.http import Http404, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.test import RequestFactory
from rest_framework import exceptions

from access import errors
from engine import errors as tree
from engine.errors import EngineError

DOCS = Path(__file__).parents[2] / "docs" / "errors.md"


def every_error(kind=EngineError):
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == tree.__name__:
            yield from every_error(child)


def test_it_documents_every_error_as_it_is_translated():
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \| (\d+) \| `(\w+)` \| `(\w+)` \| (yes|no) \|", DOCS.read_text(), re.MULTILINE
    )
    documented = {row[0]: (*map(int, row[1:3]), row[3], row[4], row[5] == "yes") for row in rows}
    wanted = {kind.code: (*errors.translation(kind), kind.retryable) for kind in every_error()}
    assert documented == wanted


def test_it_gives_every_error_its_own_code():
    codes = [kind.code for kind in every_error()]
    assert len(codes) == len(set(codes))


def test_it_answers_5xx_only_where_the_design_says_so():
    failing = {kind.code for kind in every_error() if errors.translation(kind).status >= 500}
    assert failing == {
        *("audit_unavailable", "store_unavailable", "overloaded", "unavailable", "upstream_error", "upstream_timeout"),
        "internal_error",
        "aborted",  # only ever the last event of a stream
        "plugin_unavailable",  # the tenant itself chose to fail rather than to go on without its plugin
    }


def test_it_builds_the_one_body():
    error = tree.InvalidRequest("No.", param="model")
    assert errors.body(error, "r1") == {
        "error": {"code": "invalid_request", "message": "No.", "request_id": "r1", "retryable": False, "param": "model"}
    }


def test_it_says_which_turn_answers_a_request_that_came_again():
    error = tree.IdempotencyRunning(running="t1")
    assert errors.body(error, "r")["error"]["running"] == errors.event(error, "r")["running"] == "t1"
    assert "running" not in errors.event(tree.IdempotencyRunning(), "r")


def test_it_builds_openais_envelope():
    assert errors.openai_body(tree.ModelNotFound(param="model")) == {
        "error": {
            "message": "There is no such model.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
            "retryable": False,
        }
    }
    assert errors.openai_body(tree.UpstreamTimeout())["error"]["retryable"] is True
    assert errors.openai_body(tree.ContentBlocked())["error"]["code"] == "content_filter"
    overflow = errors.openai_body(tree.ContextTooLong())["error"]
    assert overflow["code"] == "context_length_exceeded" and "maximum context length" in overflow["message"]


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (tree.RateLimited(retry_after=0.2), {"Retry-After": "1"}),
        (tree.UpstreamBusy(retry_after=12.1), {"Retry-After": "13"}),
        (tree.AuditUnavailable(), {"Retry-After": "1"}),
        (tree.BudgetExceeded(), {}),
        (tree.Unauthenticated(), {"WWW-Authenticate": 'Bearer realm="clawdbot"'}),
        (tree.InvalidRequest(), {}),
    ],
)
def test_it_adds_the_headers_of_the_status(error, headers):
    assert dict(errors.headers(error)) == headers


def test_an_error_of_a_recorded_turn_names_it():
    error = tree.Overloaded(retry_after=2)
    error.turn_id = "t1"
    assert dict(errors.headers(error)) == {"Retry-After": "2", "X-Clawdbot-Decision": "t1"}
    assert errors.event(error, "r1")["turn_id"] == "t1"
    assert "turn_id" not in errors.body(error, "r1")["error"] and "turn_id" not in errors.event(tree.NotFound(), "r1")


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (Http404(), "not_found"),
        (exceptions.MethodNotAllowed("PUT"), "method_not_allowed"),
        (exceptions.NotAuthenticated(), "unauthenticated"),
        (exceptions.PermissionDenied(), "forbidden"),
        (exceptions.ParseError("odd"), "invalid_request"),
        (exceptions.UnsupportedMediaType("a/b"), "invalid_request"),
        (exceptions.ValidationError({"name": ["Too long."]}), "invalid_request"),
        (exceptions.Throttled(wait=3), "rate_limited"),
        (core.PermissionDenied("secret"), "forbidden"),
        (core.BadRequest("secret"), "invalid_request"),
        (core.SuspiciousOperation("secret"), "invalid_request"),
        (core.TooManyFieldsSent("secret"), "invalid_request"),
        (core.RequestDataTooBig("secret"), "payload_too_large"),
        (MultiPartParserError("secret"), "invalid_request"),
        (UnreadablePostError("secret"), "invalid_request"),
        (ValueError("secret"), "internal_error"),
    ],
)
def test_it_turns_what_the_frameworks_raise_into_the_one_shape(raised, code):
    response = errors.exception_handler(raised, {})
    assert f'"code":"{code}"'.encode() in response.content and b"secret" not in response.content


def test_it_names_the_field_a_serializer_refuses():
    response = errors.exception_handler(exceptions.ValidationError({"rules": [{"weight": ["Not a number."]}]}), {})
    assert b'"param":"rules.weight"' in response.content and b"Not a number." in response.content


@pytest.mark.parametrize(("given", "kept"), [("abc-1", True), ("a b", False), (None, False)])
def test_it_gives_every_refused_request_a_number(given, kept):
    request = RequestFactory().get("/api/schema", headers={"X-Request-Id": given} if given else {})
    response = errors.exception_handler(Http404(), {"request": request})
    number = json.loads(response.content)["error"]["request_id"]
    assert number == response["X-Request-Id"] and len(number) > 4 and (number == given) == kept
