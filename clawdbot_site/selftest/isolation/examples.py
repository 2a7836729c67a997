"""What a door has to be sent so that its owner gets an answer, where nothing is not enough. Names in braces are ids of
the owner's: an attack puts there what is not the attacker's, and then what nobody has.

A door that its owner cannot open with what stands here is not covered, and the self-test says so."""

from __future__ import annotations

from typing import Any, Final

CHAT: Final = [{"role": "user", "content": "Hello"}]
BODIES: Final[dict[str, list[Any]]] = {
    "POST /api/chat": [{"message": "Hello", "session_id": "{session_id}"}, {"message": "Hello", "model": "{id}"}],
    "PATCH /api/sessions/{session_id}": [{"name": "mine now"}],
    "POST /api/sessions/{session_id}/layers": [{}],
    "POST /api/sessions/{session_id}/snapshots": [{"name": "mine now"}],
    "PATCH /api/sessions/{session_id}/snapshots/{snapshot}": [{"name": "mine now"}],
    "POST /api/sessions/{session_id}/restore": [{"version": 1}, {"snapshot": "{snapshot}"}],
    "POST /api/sessions/{session_id}/branch": [{"version": 1}, {"snapshot": "{snapshot}"}],
    "POST /api/route/explain": [{"message": "Hello", "model": "{id}"}],
    "POST /api/route/score": [{"text": "Hello"}],
    "POST /api/route/replay": [{"rules": []}],
    "POST /api/erasures": [{"user": "nobody"}],
    "POST /api/rules": [{"model": "{id}", "name": "made"}],
    "PUT /api/rules/{rule_id}": [{"model": "{id}"}],
    "PATCH /api/rules/{rule_id}": [{"weight": 7}],
    "POST /api/audit/search": [{"text": "secret"}],
    "POST /api/audit/exports": [{}],
    "PATCH /api/privacy": [{"recognisers": []}],
    "POST /api/visitors": [{"tenant": "strangers"}],
    "POST /api/visitor-tickets": [{"visitor": "somebody"}],
    "POST /api/words": [{"name": "made", "words": ["made"]}],
    "PUT /api/words/exceptions": [{"words": ["made"]}],
    "PATCH /api/words/exceptions": [{"add": ["made too"]}],
    "POST /api/words/test": [{"text": "a word", "lists": ["{number:list_id}"]}],
    "PUT /api/words/{list_id}": [{"name": "mine now"}],
    "PATCH /api/words/{list_id}": [{"enabled": False}],
    "POST /api/words/{list_id}/rollback": [{"version": 1}],
    "PUT /api/words/{list_id}/subscription": [{}],
    "POST /api/words/{list_id}/import": ["a word\nanother\n"],
    "POST /v1/chat/completions": [{"messages": CHAT, "model": "{id}"}],
    "POST /v1/embeddings": [{"input": "Hello", "model": "{vectors}"}],
    "POST /v1/messages": [{"messages": CHAT, "max_tokens": 9, "model": "{id}"}],
    "POST /v1/messages/count_tokens": [{"messages": CHAT, "model": "{id}"}],
    "POST /v1/responses": [
        {"input": "Hello", "model": "{id}"},
        {"input": "Hello", "previous_response_id": "{response_id}"},
        {"input": [{"type": "item_reference", "id": "{item}"}]},
        {"input": "Hello", "conversation": "{session_id}"},
    ],
    "POST /v1/responses/input_tokens": [{"input": "Hello", "previous_response_id": "{response_id}"}],
    "POST /api/addresses": [{"network": "127.0.0.1"}],  # left when the other is gone
    "PATCH /api/addresses/{address_id}": [{"note": "mine now"}],
    "POST /api/allowances": [
        {"model": "made", "requests_per_minute": 1000},
        {"key": "{number:key_id}", "requests_per_minute": 1000},
        {"member": "{number:member_id}", "requests_per_minute": 1000},
    ],
    "PATCH /api/allowances/{allowance_id}": [{"requests_per_minute": 999}],
    "POST /api/data-sources": [{"name": "made", "url": "postgresql://a:b@127.0.0.1:1/made"}],
    "PATCH /api/data-sources/{source_id}": [{"description": "mine now"}],
    "PATCH /api/chat-site/settings": [{"greeting": "made"}],
    "PUT /api/chat-site/settings": [{"name": "made", "visitors": "anyone"}],
    "POST /api/invitations": [{"email": "made@example.com"}],
    "POST /api/keys": [{"name": "made"}],
    "PATCH /api/keys/{key_id}": [{"name": "mine now"}],
    "POST /api/keys/{key_id}/rotate": [{"grace_seconds": 60}],
    "PATCH /api/members/{member_id}": [{"role": "auditor"}],
    "POST /api/models": [{"name": "made", "adapter": "echo"}],
    "PUT /api/models/{instance_id}": [{"name": "{id}", "adapter": "echo"}],
    "PATCH /api/models/{instance_id}": [{"weight": 7}],
    "POST /api/models/{instance_id}/test": [{}],
    "POST /api/webhooks": [{"name": "made", "url": "https://made.example/"}],
    "PATCH /api/webhooks/{webhook_id}": [{"content": True}],
    "PUT /api/plugins/{plugin}": [{"enabled": False}],
    "POST /api/plugins/dry-run": [{"plugin": "canned_answers"}],
    "POST /api/intents": [{"name": "made", "utterances": ["made"]}],
    "PATCH /api/intents/settings": [{"threshold": 0.5}],
    "POST /api/intents/classify": [{"text": "an example"}],
    "PUT /api/intents/{intent_id}": [{"name": "mine-now"}],
    "PATCH /api/intents/{intent_id}": [{"enabled": True}],
    "PATCH /api/tenant": [{"time_zone": "UTC"}],
    "POST /api/tenants": [{"slug": "made", "name": "Made"}],
    "PATCH /api/tenants/{tenant_id}": [{"share": 2}],
}
# Routes of the platform's operators: every credential of a tenant's is refused, whosever the id.
OPERATORS: Final = ("/api/tenants",)
# Instead of none.
QUERIES: Final[dict[str, list[str]]] = {
    "GET /api/audit": ["", "session={session_id}", "user=key:{alice}", "key={alice}", "model={id}"],
    "GET /api/audit/changes": ["", "model=routing.routingrule&row={rule_id}", "actor=key:{alice}"],
    "GET /api/audit/sessions": ["", "session={session_id}"],
    "GET /api/sessions/{session_id}/diff": ["from=1&to={snapshot}"],
    "GET /api/chat-site": ["tenant=strangers"],
}
# Where an id stands for a certain one: only a turn that still runs can be cancelled.
RENAMED: Final = {"POST /api/turns/{turn_id}/cancel": ("{turn_id}", "{running}")}
# Parameters that are no ids of anybody's.
PLAIN: Final = {"version": "1", "app_label": "tenants", "url": "nowhere", "content_type_id": "1",
                "plugin": "canned_answers", "name": "canned_answers"}  # fmt: skip
# What all of a tenant may use, so that it is a secret before other tenants only.
SHARED: Final = frozenset({"id", "vectors"})
# What an owner is answered in the end where that is no success: the example is whole, the state is not.
CONTROLS: Final[dict[str, frozenset[int]]] = {
    "POST /api/data-sources/{source_id}/look": frozenset({409}),  # there is no database at its address
    "DELETE /api/sessions/{session_id}/layers/{layer_id}": frozenset({404}),
    "POST /api/sessions/{session_id}/layers": frozenset({201, 409, 422}),
    "POST /v1/responses/{response_id}/cancel": frozenset({400, 409}),
    "PUT /api/words/{list_id}/subscription": frozenset({400}),  # its own list applies without
    "DELETE /api/words/{list_id}/subscription": frozenset({404}),
    "POST /api/words/{list_id}/promote": frozenset({400, 409}),
    "POST /api/intents/classify": frozenset({200, 409}),  # learnt in the background
    "POST /api/webhooks/{webhook_id}/test": frozenset({409}),  # it is switched off: nothing is posted anywhere
}
# Pages that let people in, or show the same to everybody; each by the beginning of its address.
PUBLIC: Final = (
    "/accounts/", "/admin/login", "/admin/logout", "/admin/jsi18n", "/console/login", "/console/logout",
    "/console/jsi18n", "/chat", "/widget.js", "/favicon.ico", "/api/token", "/api/schema", "/api/docs",
)  # fmt: skip
DOORSTEPS: Final = ("/", "/admin", "/console")  # addresses that only lead on
