"""The rows of the matrix by hand: what each route is asked, by templates. Modules `tests/product/isolation_*.py` may
have more, in dictionaries of the same names, and `names(gateway)` that makes what theirs name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from access.edges import messages, openai, responses

BODY = {"message": "Hello"}
MESSAGES = {"messages": [{"role": "user", "content": "Hello"}]}

# Routes whose path or body names something of somebody's: method, path, body.
OWNED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/sessions/{session_id}": [
        ("GET", "/api/sessions/{session}", None),
        ("PATCH", "/api/sessions/{session}", {"name": "mine now"}),
        ("DELETE", "/api/sessions/{session}", None),
    ],
    "/api/sessions/{session_id}/layers": [
        ("GET", "/api/sessions/{session}/layers", None),
        ("POST", "/api/sessions/{session}/layers", {"through": 1}),
    ],
    "/api/sessions/{session_id}/layers/{layer_id}": [("DELETE", "/api/sessions/{session}/layers/0", None)],
    "/api/sessions/{session_id}/window": [("GET", "/api/sessions/{session}/window", None)],
    "/api/sessions/{session_id}/snapshots": [
        ("GET", "/api/sessions/{session}/snapshots", None),
        ("POST", "/api/sessions/{session}/snapshots", {"name": "mine now"}),
    ],
    "/api/sessions/{session_id}/snapshots/{snapshot}": [
        ("GET", "/api/sessions/{session}/snapshots/{snapshot}", None),
        ("PATCH", "/api/sessions/{session}/snapshots/{snapshot}", {"name": "mine now"}),
    ],
    "/api/sessions/{session_id}/versions": [("GET", "/api/sessions/{session}/versions", None)],
    "/api/sessions/{session_id}/versions/{version}": [
        ("GET", "/api/sessions/{session}/versions/1", None),
        ("GET", "/api/sessions/{session}/versions/{snapshot}", None),
    ],
    "/api/sessions/{session_id}/diff": [("GET", "/api/sessions/{session}/diff?from=1&to={snapshot}", None)],
    "/api/sessions/{session_id}/restore": [
        ("POST", "/api/sessions/{session}/restore", {"version": 1}),
        ("POST", "/api/sessions/{session}/restore", {"snapshot": "{snapshot}"}),
    ],
    "/api/sessions/{session_id}/branch": [("POST", "/api/sessions/{session}/branch", {"version": 1})],
    "/api/turns/{turn_id}": [("GET", "/api/turns/{turn}", None)],
    "/api/turns/{turn_id}/events": [("GET", "/api/turns/{turn}/events", None)],
    "/api/turns/{turn_id}/cancel": [("POST", "/api/turns/{running}/cancel", None)],
    "/api/audit/{turn_id}": [("GET", "/api/audit/{turn}", None)],
    "/api/chat": [("POST", "/api/chat", {**BODY, "session_id": "{session}"})],
    openai.MODEL: [("GET", "/v1/models/acme-only", None)],
    openai.COMPLETIONS: [("POST", "/v1/chat/completions", {**MESSAGES, "model": "acme-only"})],
    openai.EMBEDDINGS: [("POST", "/v1/embeddings", {"input": "Hello", "model": "acme-only-vectors"})],
    responses.RESPONSES: [
        ("POST", "/v1/responses", {"input": "Hello", "model": "acme-only"}),
        ("POST", "/v1/responses", {"input": "Hello", "previous_response_id": "{response}"}),
        ("POST", "/v1/responses", {"input": "Hello", "previous_response_id": "{response}", "store": False}),
        ("POST", "/v1/responses", {"input": [{"type": "item_reference", "id": "{item}"}]}),
        ("POST", "/v1/responses", {"input": "Hello", "conversation": "{session}"}),
    ],
    responses.INPUT_TOKENS: [
        ("POST", "/v1/responses/input_tokens", {"input": "Hello", "previous_response_id": "{response}"})
    ],
    responses.RESPONSE: [("GET", "/v1/responses/{response}", None), ("DELETE", "/v1/responses/{response}", None)],
    responses.INPUT_ITEMS: [("GET", "/v1/responses/{response}/input_items", None)],
    responses.CANCEL: [("POST", "/v1/responses/{response}/cancel", None)],
    messages.MESSAGES: [("POST", "/v1/messages", {**MESSAGES, "max_tokens": 9, "model": "acme-only"})],
    messages.COUNT: [("POST", "/v1/messages/count_tokens", {**MESSAGES, "model": "acme-only"})],
}
# Routes that show a caller only what is theirs, or nothing of anybody's; all need a credential.
ANYBODYS: dict[str, tuple[str, dict | None]] = {
    "/api/sessions": ("GET", None),
    "/api/audit": ("GET", None),
    "/api/route/explain": ("POST", BODY),
    "/api/route/score": ("POST", {"text": "Hello"}),
    "/api/ws-ticket": ("POST", None),
    openai.MODELS: ("GET", None),
}
# Routes for who manages the tenant: a whole tenant's, so Bob's role counts and not whose it is. Method, path, body.
MANAGED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/rules": [("GET", "/api/rules", None)],
    "/api/rules/{rule_id}": [
        ("GET", "/api/rules/{rule}", None),
        ("PATCH", "/api/rules/{rule}", {"weight": 7}),
        ("PUT", "/api/rules/{rule}", {"model": "scripted"}),
        ("DELETE", "/api/rules/{rule}", None),
    ],
    "/api/route/replay": [("POST", "/api/route/replay", {"rules": []})],
    "/api/jobs": [("GET", "/api/jobs", None)],
    "/api/cache": [("DELETE", "/api/cache", None)],
    "/api/privacy": [
        ("GET", "/api/privacy", None),
        ("PATCH", "/api/privacy", {"recognisers": []}),
    ],
    "/api/erasures": [("GET", "/api/erasures", None), ("POST", "/api/erasures", {"user": "nobody"})],
    "/api/jobs/{job_id}": [("GET", "/api/jobs/{job}", None)],
    "/api/jobs/{job_id}/result": [("GET", "/api/jobs/{job}/result", None)],
    "/api/words": [("GET", "/api/words", None)],
    "/api/words/exceptions": [("GET", "/api/words/exceptions", None)],
    "/api/words/test": [("POST", "/api/words/test", {"text": "a secret word"})],
    "/api/words/{list_id}": [
        ("GET", "/api/words/{words}", None),
        ("PATCH", "/api/words/{words}", {"enabled": False}),
        ("PUT", "/api/words/{words}", {"name": "mine now"}),
        ("DELETE", "/api/words/{words}", None),
    ],
    "/api/words/{list_id}/versions": [("GET", "/api/words/{words}/versions", None)],
    "/api/words/{list_id}/versions/{version}": [("GET", "/api/words/{words}/versions/2", None)],
    "/api/words/{list_id}/diff": [("GET", "/api/words/{words}/diff", None)],
    "/api/words/{list_id}/rollback": [("POST", "/api/words/{words}/rollback", {"version": 1})],
    "/api/words/{list_id}/promote": [("POST", "/api/words/{words}/promote", None)],
    "/api/words/{list_id}/subscription": [
        ("PUT", "/api/words/{words}/subscription", {}),
        ("DELETE", "/api/words/{words}/subscription", None),
    ],
    "/api/words/{list_id}/import": [("POST", "/api/words/{words}/import", None)],
    "/api/words/{list_id}/export": [("GET", "/api/words/{words}/export", None)],
    "/api/words/{list_id}/hits": [("GET", "/api/words/{words}/hits", None)],
}
# Routes for the platform's operators: every credential of a tenant's is refused.
OPERATORS: dict[str, list[tuple[str, str, dict | None]]] = {}
# Routes for visitors, who have a cast of their own in test_visitors.py.
VISITING = {"/api/visitors", "/api/visitor-tickets", "/api/chat-site"}
# What these say of somebody's names nothing: only that there is one, to who may know.
NAMELESS = {"/api/words/{words}/versions", "/api/words/{words}/hits"}
SOMETIMES: set[str] = set()  # and these not always
# Routes for who audits the tenant.
AUDITED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/audit/changes": [("GET", "/api/audit/changes", None)],
    "/api/audit/checkpoints": [("GET", "/api/audit/checkpoints", None)],
    "/api/audit/sessions": [("GET", "/api/audit/sessions", None)],
    "/api/audit/search": [("POST", "/api/audit/search", {"text": "secret"})],
    "/api/audit/exports": [("POST", "/api/audit/exports", {})],
}
# Django's own: what people sign in to or with (tested in test_conversation.py), and the API's description.
OUTSIDE = {"", "^admin$", "admin/", "^console$", "console/", "accounts/",
           "^api/schema/?$", "^api/docs/?$", "^token/?$", "^token/refresh/?$",
           "^chat/?$", "^chat/embed/?$", "^chat/token/?$", "widget.js", "favicon.ico"}  # fmt: skip

# What else than success is an answer, where somebody may have nothing yet.
ANSWERED: dict[str, tuple[int, ...]] = {}

FURTHER: list[ModuleType] = [
    import_module(f"tests.product.{path.stem}") for path in sorted(Path(__file__).parents[1].glob("isolation_*.py"))
]
for _module in FURTHER:
    OWNED.update(getattr(_module, "OWNED", {}))
    ANSWERED.update(getattr(_module, "ANSWERED", {}))
    ANYBODYS.update(getattr(_module, "ANYBODYS", {}))
    MANAGED.update(getattr(_module, "MANAGED", {}))
    AUDITED.update(getattr(_module, "AUDITED", {}))
    OPERATORS.update(getattr(_module, "OPERATORS", {}))
    NAMELESS.update(getattr(_module, "NAMELESS", ()))
    SOMETIMES.update(getattr(_module, "SOMETIMES", ()))
    OUTSIDE.update(getattr(_module, "OUTSIDE", ()))
