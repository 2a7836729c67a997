"""The description of the routes that Django's urlconf does not know: the chat contract and the OpenAI format.

A postprocessing hook of drf-spectacular adds them to the rest. Bodies come from the structs the edges decode with,
answers from `access.answers`, and a test holds real answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from access.answers import (
    AnthropicErrorAnswer,
    CancelAnswer,
    ChatAnswer,
    DecisionAnswer,
    EmbeddingsAnswer,
    ErrorAnswer,
    LayerAnswer,
    LayerPage,
    ModelListAnswer,
    OpenAIErrorAnswer,
    PublicModelAnswer,
    ScoreAnswer,
    SessionAnswer,
    SessionPage,
    TicketAnswer,
    TurnAnswer,
    WindowAnswer,
)
from access.edges.embeddings import EmbeddingsBody
from access.edges.messages_operations import MESSAGES_OPERATIONS
from access.edges.responses_operations import RESPONSES_OPERATIONS
from access.management.alert_operations import ALERT_OPERATIONS
from access.management.audit_operations import AUDIT_OPERATIONS
from access.management.data_source_operations import DATA_SOURCE_OPERATIONS
from access.management.erasures import ErasureBody, ErasurePage
from access.management.insights_operations import INSIGHTS_OPERATIONS
from access.management.intent_operations import INTENT_OPERATIONS
from access.management.jobs import JobAnswer, JobPage
from access.management.layers import LayerBody
from access.management.limit_operations import LIMIT_OPERATIONS
from access.management.model_operations import MODEL_OPERATIONS
from access.management.outbox_operations import OUTBOX_OPERATIONS
from access.management.people_operations import PEOPLE_OPERATIONS
from access.management.privacy import PrivacyAnswer, PrivacyBody
from access.management.routes import ExplainBody, ReplayBody
from access.management.rules import RuleAnswer, RuleBody, RulePage, RulePatch
from access.management.session_versions import (
    BranchBody,
    RestoreBody,
    SessionDifference,
    SessionVersionPage,
    SnapshotAnswer,
    SnapshotBody,
    SnapshotPage,
    SnapshotPatch,
)
from access.management.tenant_operations import TENANT_OPERATIONS
from access.management.usage_operations import USAGE_OPERATIONS
from access.management.visitor_operations import VISITOR_OPERATIONS
from access.management.word_operations import WORD_OPERATIONS
from access.operations import INTERVAL, MANAGE_ERRORS, ONCE, TURN_ERRORS, Operation
from access.schemas import ChatBody, OpenAIBody, ProfilePatch, ScoreBody
from access.urls import ROUTES
from engine.types import Json

REF: Final = "#/components/schemas/{name}"
CHAT_TEXT = (
    "Give `message` or `messages`. Without `session_id` a new session begins. `model` absent or `auto`: the routing "
    "rules decide. With `stream: true` the answer is server-sent events `start`, `delta`, `done` or `error`, each with "
    "an id `generation.sequence`."
)
RULE_TEXT = (
    "Live in every worker within a second. `model` and `fallbacks` are public names of models the tenant may use; a "
    "wrong condition is refused with its number, the column and what was expected there. At most 200 rules a tenant."
)
REPLAY_TEXT = (
    "Queues a job: poll `/api/jobs/{id}`, then read its `result_url`. The given rules take the place of the tenant's "
    "own, nothing is saved and no model is asked. At most two at a time."
)
ERASURE_TEXT = (
    "Queues a job that destroys the keys of the user's journal entries and deletes sessions, kept answers and results "
    "of jobs. Its result is a signed certificate. What was said cannot be brought back."
)
SNAPSHOT_QUERY = (("limit", "integer", "1 to 200; 50 unless told."), ("cursor", "string", "`next_cursor`."))
VERSION_QUERY = (SNAPSHOT_QUERY[0], ("before", "integer", "`next` of the page before."))
DIFF_QUERY = (
    ("from", "string", "A version, or a snapshot's id."),
    ("to", "string", "The same; the version of now unless told."),
)
RESTORE_TEXT = (
    "Makes a new version with the content of an earlier one; those between stay. Waits for a turn that runs. With "
    "`if_version` it is refused if the session is at another version."
)
BRANCH_TEXT = "The session itself stays as it is. Counts against the tenant's limits like a turn."
PAST_ERRORS = (400, 401, 403, 404, 429, 503)
OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/chat": [
        Operation(method="post", summary="Ask", text=CHAT_TEXT, body=ChatBody, answer=ChatAnswer, errors=TURN_ERRORS,
                  headers=ONCE + INTERVAL, streams=True),
    ],
    "/api/sessions": [
        Operation(method="get", summary="The caller's sessions, newest first", answer=SessionPage,
                  query=(("limit", "integer", "1 to 200; 50 unless told."), ("cursor", "string", "`next_cursor`."))),
    ],
    "/api/sessions/{session_id}": [
        Operation(method="get", summary="A session", answer=SessionAnswer, errors=(401, 403, 404)),
        Operation(method="patch", summary="Its name, the user's profile and pinned messages", body=ProfilePatch,
                  answer=SessionAnswer, errors=(400, 401, 403, 404, 409), text="What is absent stays."),
        Operation(method="delete", summary="Delete a session", status=204, errors=(401, 403, 404)),
    ],
    "/api/sessions/{session_id}/layers": [
        Operation(method="get", summary="A session's summaries", answer=LayerPage, errors=(401, 403, 404)),
        Operation(method="post", summary="Sum up the older turns now", body=LayerBody, answer=LayerAnswer, status=201,
                  text="By the tenant's model for summaries, in a turn of the caller's. The turns stay in the session.",
                  errors=TURN_ERRORS),
    ],
    "/api/sessions/{session_id}/layers/{layer_id}": [
        Operation(method="delete", summary="Undo a summary", status=204, errors=(401, 403, 404),
                  text="Models are sent the turns again. Undoing the newest one stops summing up by itself."),
    ],
    "/api/sessions/{session_id}/window": [
        Operation(method="get", summary="What of a session a model would be sent", answer=WindowAnswer,
                  query=(("model", "string", "A public name; without it the one that would answer."),),
                  errors=(400, 401, 403, 404, 503)),
    ],
    "/api/sessions/{session_id}/snapshots": [
        Operation(method="get", summary="Snapshots of a session, newest first", answer=SnapshotPage,
                  query=SNAPSHOT_QUERY, errors=(400, 401, 403, 404)),
        Operation(method="post", summary="Name the session's version of now", body=SnapshotBody, answer=SnapshotAnswer,
                  status=201, errors=(400, 401, 403, 404, 409, 503)),
    ],
    "/api/sessions/{session_id}/snapshots/{snapshot}": [
        Operation(method="get", summary="A snapshot", answer=SnapshotAnswer, errors=(401, 403, 404)),
        Operation(method="patch", summary="Rename or tag a snapshot", body=SnapshotPatch, answer=SnapshotAnswer,
                  errors=(400, 401, 403, 404, 503)),
    ],
    "/api/sessions/{session_id}/versions": [
        Operation(method="get", summary="What made the session's versions, newest first", answer=SessionVersionPage,
                  errors=PAST_ERRORS, query=VERSION_QUERY),
    ],
    "/api/sessions/{session_id}/versions/{version}": [
        Operation(method="get", summary="A session as it was", answer=SessionAnswer, errors=PAST_ERRORS,
                  text="`version` is a number, or a snapshot's id. `state` is `past` unless it is the version of now."),
    ],
    "/api/sessions/{session_id}/diff": [
        Operation(method="get", summary="What changed between two versions", answer=SessionDifference,
                  errors=PAST_ERRORS, query=DIFF_QUERY),
    ],
    "/api/sessions/{session_id}/restore": [
        Operation(method="post", summary="Go back to a version", text=RESTORE_TEXT, body=RestoreBody,
                  answer=SessionAnswer, errors=(409, *PAST_ERRORS)),
    ],
    "/api/sessions/{session_id}/branch": [
        Operation(method="post", summary="Begin a new session with this one's content", text=BRANCH_TEXT,
                  body=BranchBody, answer=SessionAnswer, status=201, errors=(409, *PAST_ERRORS)),
    ],
    "/api/turns/{turn_id}": [
        Operation(method="get", summary="A recorded turn and its decision", answer=TurnAnswer, errors=(401, 403, 404),
                  text="The caller's own turns; with the scope `audit` those of the whole tenant."),
    ],
    "/api/turns/{turn_id}/events": [
        Operation(method="get", summary="A turn's events, from any of them on", streams=True,
                  query=(("last_event_id", "string", "As the header `Last-Event-ID`: the last event that was seen."),),
                  errors=(400, 401, 403, 404, 503),
                  text="The caller's own turns. Server-sent events: those that are missing, then the live ones to the "
                       "end. 204: nothing is missing and nothing will come."),
    ],
    "/api/turns/{turn_id}/cancel": [
        Operation(method="post", summary="Stop a running turn", answer=CancelAnswer, status=202,
                  errors=(401, 403, 404, 503)),
    ],
    "/api/route/explain": [
        Operation(method="post", summary="Where would this go, and why?", body=ExplainBody, answer=DecisionAnswer,
                  text="The body of `/api/chat`. Nothing is sent to a model.", errors=(400, 401, 403, 404, 429, 503)),
    ],
    "/api/route/score": [
        Operation(method="post", summary="How complex is a text?", body=ScoreBody, answer=ScoreAnswer),
    ],
    "/api/route/replay": [
        Operation(method="post", summary="What would recorded turns have done under these rules?", body=ReplayBody,
                  answer=JobAnswer, status=202, text=REPLAY_TEXT, errors=(400, 429, *MANAGE_ERRORS)),
    ],
    "/api/erasures": [
        Operation(method="get", summary="Who was erased", text="Pseudonyms: nothing else of them is kept.",
                  answer=ErasurePage, errors=MANAGE_ERRORS),
        Operation(method="post", summary="Erase a user", text=ERASURE_TEXT, body=ErasureBody, answer=JobAnswer,
                  status=202, errors=(400, 409, *MANAGE_ERRORS)),
    ],
    "/api/rules": [
        Operation(method="get", summary="The tenant's rules, and the platform's that apply to it", answer=RulePage,
                  errors=MANAGE_ERRORS),
        Operation(method="post", summary="Make a rule of the tenant's own", text=RULE_TEXT, body=RuleBody,
                  answer=RuleAnswer, status=201, errors=(400, *MANAGE_ERRORS)),
    ],
    "/api/rules/{rule_id}": [
        Operation(method="get", summary="A rule", answer=RuleAnswer, errors=(404, *MANAGE_ERRORS)),
        Operation(method="put", summary="Put another rule in its place", body=RuleBody, answer=RuleAnswer,
                  errors=(400, 404, *MANAGE_ERRORS), text="What is left out gets its default."),
        Operation(method="patch", summary="Change a rule", body=RulePatch, answer=RuleAnswer,
                  errors=(400, 404, *MANAGE_ERRORS), text="What is absent stays."),
        Operation(method="delete", summary="Delete a rule", status=204, errors=(404, *MANAGE_ERRORS)),
    ],
    "/api/jobs": [
        Operation(method="get", summary="The tenant's last jobs", answer=JobPage, errors=MANAGE_ERRORS),
    ],
    "/api/jobs/{job_id}": [
        Operation(method="get", summary="A job, and how far it is", answer=JobAnswer, errors=(404, *MANAGE_ERRORS)),
    ],
    "/api/jobs/{job_id}/result": [
        Operation(method="get", summary="What a job left", text="JSON, JSON Lines or CSV, by the kind of job.",
                  answer=dict, gives=("application/x-ndjson", "text/csv"), errors=(404, *MANAGE_ERRORS)),
    ],
    **AUDIT_OPERATIONS,
    "/api/cache": [
        Operation(method="delete", summary="Forget the tenant's kept answers", status=204, errors=(401, 403, 503)),
    ],
    "/api/privacy": [
        Operation(method="get", summary="Which personal data is masked before models", answer=PrivacyAnswer,
                  errors=MANAGE_ERRORS),
        Operation(method="patch", summary="Choose which personal data is masked", body=PrivacyBody,
                  answer=PrivacyAnswer, errors=(400, *MANAGE_ERRORS), text="Live in every worker within a second."),
    ],
    "/api/ws-ticket": [
        Operation(method="post", summary="A ticket for /ws/chat", answer=TicketAnswer,
                  text="For browsers, which can send no header with a WebSocket."),
    ],
    **USAGE_OPERATIONS,
    **INSIGHTS_OPERATIONS,
    **VISITOR_OPERATIONS,
    **TENANT_OPERATIONS,
    **DATA_SOURCE_OPERATIONS,
    **OUTBOX_OPERATIONS,
    **ALERT_OPERATIONS,
    **PEOPLE_OPERATIONS,
    **MODEL_OPERATIONS,
    **INTENT_OPERATIONS,
    **LIMIT_OPERATIONS,
    **WORD_OPERATIONS,
    "/v1/chat/completions": [
        Operation(method="post", summary="Ask, in the OpenAI format", body=OpenAIBody, errors=TURN_ERRORS, streams=True,
                  text="Official SDKs work unchanged. The header `X-Session-Id` adds memory on the server.",
                  headers=ONCE + INTERVAL),
    ],
    "/v1/embeddings": [
        Operation(method="post", summary="Vectors of texts, in the OpenAI format", body=EmbeddingsBody,
                  answer=EmbeddingsAnswer, errors=TURN_ERRORS, headers=ONCE,
                  text="Texts, not tokens; at most 2,048 of them. `model` absent or `auto`: the routing rules decide."),
    ],
    **MESSAGES_OPERATIONS,
    "/v1/models": [Operation(method="get", summary="The models a caller can name", answer=ModelListAnswer)],
    "/v1/models/{id}": [
        Operation(method="get", summary="One of them", answer=PublicModelAnswer, errors=(401, 403, 404)),
    ],
    **RESPONSES_OPERATIONS,
}  # fmt: skip
OPENAI: Final = "OpenAI format"
FORMATS: Final = {"messages": "Anthropic format"}
TAGS: Final = {"chat": "chat", "sessions": "sessions", "turns": "turns", "route": "routing", "rules": "routing",
               "jobs": "jobs", "audit": "audit", "cache": "routing", "privacy": "privacy", "ws-ticket": "chat",
               "words": "sensitive words", "erasures": "compliance", "visitors": "chat", "visitor-tickets": "chat",
               "chat-site": "chat", "me": "people", "tenant": "tenant", "keys": "people", "members": "people",
               "invitations": "people", "allowances": "tenant", "addresses": "tenant", "webhooks": "events",
               "outbox": "events", "plugins": "tenant", "data-sources": "tenant", "intents": "intents",
               "models": "models", "adapters": "models", "tenants": "platform", "usage": "usage",
               "insights": "usage", "alerts": "usage", "limits": "limits"}  # fmt: skip


def describe(result: Json, **_: Any) -> Json:
    """The hook: drf-spectacular's own result, with our routes and their schemas."""
    told = [one for found in OPERATIONS.values() for one in found]
    structs = {each for one in told for each in (one.body, one.answer, one.queued) if each}
    structs.discard(dict)
    structs |= {ErrorAnswer, OpenAIErrorAnswer, AnthropicErrorAnswer}
    _refs, schemas = msgspec.json.schema_components(sorted(structs, key=_name), ref_template=REF)
    components = result.setdefault("components", {})
    components.setdefault("schemas", {}).update(_ecma(schemas))
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key (cb_…) or an access token."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    result["security"] = [{"bearer": []}, {"apiKey": []}]
    described = {path: {one.method: _operation(path, one) for one in found} for path, found in OPERATIONS.items()}
    result["paths"] = {**described, **result.get("paths", {})}
    return result


def _ecma(schema: Any) -> Any:
    """With patterns as JSON Schema writes them: the end of a text is `$` there, Python's own word for it is `\\Z`."""
    if isinstance(schema, dict):
        return {name: _pattern(value) if name == "pattern" else _ecma(value) for name, value in schema.items()}
    return [_ecma(each) for each in schema] if isinstance(schema, list) else schema


def _pattern(value: Any) -> Any:
    return value.replace("\\Z", "$") if isinstance(value, str) else _ecma(value)


def undescribed() -> list[str]:
    """Routes of the lean handler, with their methods, that are served and not described, or the other way round."""
    served = {f"{method} {path}" for path, view in ROUTES.items() for method in view.http_method_names}
    told = {f"{one.method} {path}" for path, found in OPERATIONS.items() for one in found if path.startswith("/api/")}
    return sorted(served ^ told)


def _operation(path: str, one: Operation) -> Json:
    step = path.split("/")[2]
    name = path[1:].replace("/", "_").replace("{", "").replace("}", "").replace("-", "_")
    operation: Json = {
        "operationId": f"{name}_{one.method}",
        "summary": one.summary,
        "tags": [FORMATS.get(step, OPENAI) if path.startswith("/v1/") else TAGS[step]],
        "parameters": [_in_path(part[1:-1]) for part in path.split("/") if part.startswith("{")]
        + [_in_query(*each) for each in one.query]
        + [_in_header(*each) for each in one.headers],
        "responses": {str(one.status): _answer(one)}
        | {str(status): {"description": "An error.", "content": _content(_error(path))} for status in _failures(one)},
    }
    if one.queued is not None:
        operation["responses"]["202"] = {"description": "A job is queued.", "content": _content(one.queued)}
    if one.open:
        operation["security"] = []
    if one.text:
        operation["description"] = one.text
    if one.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(one.body)}
    if one.takes:
        operation["requestBody"] = {"required": True, "content": _texts(one.takes)}
    return operation


def _failures(one: Operation) -> list[int]:
    """Whatever has a body may have one that is too large."""
    return sorted({*one.errors, *((413,) if one.body is not None or one.takes else ())})


def _error(path: str) -> type:
    if path.startswith("/v1/messages"):
        return AnthropicErrorAnswer
    return OpenAIErrorAnswer if path.startswith("/v1/") else ErrorAnswer


def _answer(one: Operation) -> Json:
    if one.gives:
        whole = _content(one.answer) if one.answer else {}
        return {"description": "A file.", "content": whole | _texts(one.gives)}
    if one.answer is None and not one.streams:
        return {"description": "Done."}
    whole = _content(one.answer or dict) if one.answer or one.body else {}
    stream = {"text/event-stream": {"schema": {"type": "string"}}} if one.streams else {}
    return {"description": "The answer.", "content": whole | stream}


def _content(struct: type) -> Json:
    if struct is dict:
        return {"application/json": {"schema": {"type": "object"}}}
    return {"application/json": {"schema": {"$ref": REF.format(name=_name(struct))}}}


def _texts(kinds: Sequence[str]) -> Json:
    return {kind: {"schema": {"type": "string"}} for kind in kinds}


def _in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(name: str, kind: str, text: str) -> Json:
    return {"name": name, "in": "query", "description": text, "schema": {"type": kind}}


def _in_header(name: str, text: str) -> Json:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string", "maxLength": 255}}


def _name(struct: type) -> str:
    return struct.__name__
