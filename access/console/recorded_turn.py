"""A recorded turn as people read it: what was asked, why it went where, what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.utils import timezone
from django.utils.dateformat import format as date_format
from django.utils.translation import gettext_lazy as _

from access.console import decisions
from access.translating import choices as in_words
from compliance.journal.reader import TurnRecord
from compliance.models import AuditEntry
from engine.entries import Completion, SkippedHook
from engine.pricing import UNIT
from engine.types import Json, Message, Verdict
from tenants.models import Tenant

LONGEST = 20_000  # characters of one text on the page; the entry below it has all
STATE_COLOURS = {
    "completed": "success",
    "refused": "warning",
    "cancelled": "info",
    "failed": "danger",
    "aborted": "danger",
    "in_flight": "primary",
}
SOURCES = {
    "model": _("a model"),
    "cache": _("an answer that was kept"),
    "shared": _("another turn's call"),
    "plugin": _("a plugin"),
}


class Spoken(msgspec.Struct, frozen=True):
    """A message: who, what, and as JSON whatever is not text."""

    role: str
    text: str
    more: str = ""


class PresentedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """`facts` are pairs of name and value; the tables are as django-unfold wants them, None where there is nothing."""

    state: str
    state_name: Any
    colour: str
    erased: bool
    unreadable: bool
    facts: list[tuple[Any, Any]]
    asked: list[Spoken]
    answered: list[Spoken]
    decision: list[tuple[Any, Any]]
    retries: Json | None
    passed_over: Json | None
    candidates: Json | None
    features: Json | None
    verdicts: Json | None
    intent: str
    completion: str


def present(record: TurnRecord, tenant: Tenant | None) -> PresentedTurn:
    intent, end = record.intent, record.completion
    state = end.state if end is not None else "in_flight"
    decision = record.decision
    return PresentedTurn(
        state=state,
        state_name=state_name(state),
        colour=STATE_COLOURS[state],
        erased=record.erased,
        unreadable=record.unreadable,
        facts=_facts(record, tenant),
        asked=[spoken(message) for message in intent.messages],
        answered=[spoken(choice.message) for choice in record.sent],
        decision=decisions.reasons(decision),
        retries=decisions.retries(record.retries),
        passed_over=decisions.passed_over(decision.get("passed_over")),
        candidates=decisions.candidates(decision.get("candidates")),
        features=_pairs(decision.get("features")),
        verdicts=_verdicts([*intent.verdicts, *(end.verdicts if end is not None else [])]),
        intent=_json(intent),
        completion=_json(end) if end is not None else "",
    )


def state_name(state: str) -> Any:
    return dict(in_words(AuditEntry.State)).get(state, _("In flight"))


def moment(at: float) -> str:
    """Unix seconds as people read them, in the time zone of the console they are in (see `zone`)."""
    return date_format(datetime.fromtimestamp(at, timezone.get_current_timezone()), "Y-m-d H:i:s")


def moment_here(at: float) -> str:
    """The same, and which time that is."""
    return f"{moment(at)} {zone()}"


def zone() -> str:
    """`UTC` in the platform's console, a tenant's own in its console."""
    return str(timezone.get_current_timezone())


def duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _facts(record: TurnRecord, tenant: Tenant | None) -> list[tuple[Any, Any]]:
    intent = record.intent
    owner: Any = tenant or (_("Platform") if intent.tenant_id == 0 else intent.tenant_id)
    facts = [
        (_("Turn"), record.turn_id),
        (_("Time"), moment_here(intent.at)),
        (_("Tenant"), owner),
        (_("Caller"), intent.subject),
        (_("User"), intent.user),
        (_("Edge"), intent.edge),
        (_("Further round of turn"), intent.parent_turn),
        (_("Session"), intent.session_id),
        (_("Model asked for"), intent.model),
        (_("Instance"), (record.completion.instance if record.completion else "") or intent.instance),
        (_("Request id"), intent.request_id),
        (_("Parameters"), _json(intent.params) if intent.params else None),
        (_("Masked for the model"), ", ".join(f"{kind} {number}" for kind, number in intent.personal.items())),
    ]
    if record.completion is not None:
        facts += _ending(record.completion)
    return [(name, value) for name, value in facts if value not in (None, "")]


def _ending(end: Completion) -> list[tuple[Any, Any]]:
    usage = end.usage
    tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} = {usage.total_tokens}"
    return [
        (_("Error"), end.error),
        (_("Answer from"), SOURCES[end.source] if end.choices else None),
        (_("Model of the answer"), end.model),
        (_("Tokens in and out"), f"{tokens} ({_('estimated')})" if usage.estimated else tokens),
        (_("Cost"), f"{end.cost / UNIT:.6f}" if end.cost else None),
        (_("First token after"), duration(end.ttft) if end.ttft is not None else None),
        (_("Took"), duration(end.duration)),
        (_("Model calls"), end.attempts),
        (_("Tokens of further rounds"), end.rounds.total_tokens or None),
        (_("Hooks of plugins that were skipped"), ", ".join(map(_skipped, end.skipped))),
        (_("Plugins have to say"), _short(_json(end.plugins)) if end.plugins else None),
        (_("Finish reason"), ", ".join(choice.finish_reason for choice in end.choices)),
    ]


def _skipped(hook: SkippedHook) -> str:
    return f"{hook.plugin}.{hook.hook} ({hook.reason})"


def spoken(message: Message) -> Spoken:
    """As `console/spoken.html` shows it."""
    parts = message.content if isinstance(message.content, list) else []
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    text = message.content if isinstance(message.content, str) else "\n".join(texts)
    more: Json = {}
    if others := [part for part in parts if not isinstance(part.get("text"), str)]:
        more["content"] = others
    for field in ("reasoning_content", "tool_calls", "tool_call_id", "refusal", "name"):
        if value := getattr(message, field):
            more[field] = value
    return Spoken(message.role, _short(text), _short(_json(more)) if more else "")


def _pairs(found: Any) -> Json | None:
    if not isinstance(found, dict) or not found:
        return None
    rows = [[name, value if isinstance(value, str | int | float) else _json(value)] for name, value in found.items()]
    return {"headers": [_("Feature"), _("Value")], "rows": rows}


def _verdicts(found: Sequence[Verdict]) -> Json | None:
    if not found:
        return None
    rows = [[each.where, each.action, each.word, _list(each)] for each in found]
    return {"headers": [_("Where"), _("Action"), _("Word"), _("List")], "rows": rows}


def _list(verdict: Verdict) -> str:
    name = f"{verdict.list} (v{verdict.version})"
    return name if verdict.scope == "tenant" else f"{name}, {_('Platform')}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … (+{len(text) - LONGEST})"


def _json(value: Any) -> str:
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=2)
