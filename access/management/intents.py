"""`/api/intents`: what a tenant's users may want, how well it was learnt, and what a text is taken for."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

import msgspec
from django.db import transaction
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.paging import number
from access.management.routes import count
from access.views import LeanView
from engine.errors import Conflict, NotFound
from engine.types import ChatRequest, Json
from plugins.intents import services
from plugins.intents.live import LIVE
from plugins.intents.validation import LONGEST_NAME, MOST_UTTERANCES
from plugins.models import Intent, IntentSettings, TrainedIntents

MISSING: Final = "There is no such intent."
NONE: Final = "No intents are defined."
NOT_YET: Final = "The intents have not been learnt yet. Try again in a moment."
PAUSE: Final = 2.0  # seconds

Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
Utterances = Annotated[list[str], Meta(max_length=2 * MOST_UTTERANCES)]
Description = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]


class IntentBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A whole intent. `utterances` are examples as people say them."""

    name: Name
    description: Description = ""
    utterances: Utterances = []
    enabled: bool = True


class IntentPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of an intent is to change; what is absent stays. `add` are more examples."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    utterances: Utterances | UnsetType = UNSET
    add: Utterances | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class IntentLine(msgspec.Struct, kw_only=True):
    """An intent; `examples` counts its utterances. Times are in Unix seconds."""

    id: int
    name: str
    description: str
    examples: int
    enabled: bool
    created_at: float
    updated_at: float


class IntentAnswer(IntentLine, kw_only=True):
    """An intent with its utterances."""

    utterances: list[str]


class IntentPage(msgspec.Struct):
    """All of the tenant, by name, without their utterances."""

    intents: list[IntentLine]


class IntentSettingsPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is absent stays. `threshold` null: the one found in training."""

    threshold: Annotated[float, Meta(ge=0, le=1)] | None | UnsetType = UNSET
    outside: Utterances | UnsetType = UNSET


class IntentSettingsAnswer(msgspec.Struct, kw_only=True):
    """The score from which an intent is named, and examples of what is none of them."""

    threshold: float | None
    outside: list[str]


class TrainingAnswer(msgspec.Struct, kw_only=True):
    """`state`: `none` (nothing to learn), `training` (what was last learnt is out of date and goes on meanwhile),
    `ready` or `failed`. `report` has shares of examples that the model had not seen."""

    state: str
    trained_at: float | None
    failed: str
    vectors: str
    report: Json


class ClassifyBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of a long text the first 400 characters are read."""

    text: Annotated[str, Meta(max_length=100_000)]


class CandidateAnswer(msgspec.Struct):
    intent: str
    score: float


class ClassifyAnswer(msgspec.Struct):
    """`intent` null: none of them. `score`, from 0 to 1: how likely the first of the candidates is meant."""

    intent: str | None
    score: float
    candidates: list[CandidateAnswer]


class IntentList(LeanView):
    """GET: the tenant's intents. POST: makes one, 201. What changes is learnt within seconds."""

    area = "plugins"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(listed, self.principal.tenant_id)))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        values = msgspec.structs.asdict(schemas.fields(self.body(), IntentBody))
        return self.json(await self.parts.rows.run(partial(make, self.principal.tenant_id, values)), status=201)


class IntentDetail(LeanView):
    """GET, PUT (a whole intent), PATCH (what changes) and DELETE. Unknown and foreign ids alike are 404."""

    area = "plugins"
    http_method_names = ["get", "put", "patch", "delete"]

    async def get(self, request: Request, intent_id: str, **kwargs: Any) -> JsonReply:
        work = partial(own, self.principal.tenant_id, number(intent_id, MISSING))
        return self.json(answer(await self.parts.rows.run(work)))

    async def put(self, request: Request, intent_id: str, **kwargs: Any) -> JsonReply:
        return await self._change(intent_id, IntentBody)

    async def patch(self, request: Request, intent_id: str, **kwargs: Any) -> JsonReply:
        return await self._change(intent_id, IntentPatch)

    async def delete(self, request: Request, intent_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(remove, self.principal.tenant_id, number(intent_id, MISSING)))
        return HttpResponse(status=204)

    async def _change(self, intent_id: str, kind: type[IntentBody] | type[IntentPatch]) -> JsonReply:
        found = number(intent_id, MISSING)
        values = schemas.given(schemas.fields(self.body(), kind))
        return self.json(await self.parts.rows.run(partial(change, self.principal.tenant_id, found, values)))


class IntentSettingsView(LeanView):
    """GET and PATCH: from which score an intent is named, and what is none of them."""

    area = "plugins"
    http_method_names = ["get", "patch"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        row = await self.parts.rows.run(partial(services.settings_of, self.principal.tenant_id))
        return self.json(settings_answer(row))

    async def patch(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        values = schemas.given(schemas.fields(self.body(), IntentSettingsPatch))
        return self.json(await self.parts.rows.run(partial(set_up, self.principal.tenant_id, values)))


class IntentTraining(LeanView):
    """GET: how well the intents were learnt, and what they are confused with. POST: learn them again, 202."""

    area = "plugins"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(training, self.principal.tenant_id)))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        await self.parts.rows.run(partial(services.learn_again, self.principal.tenant_id))
        return self.json(await self.parts.rows.run(partial(training, self.principal.tenant_id)), status=202)


class IntentClassify(LeanView):
    """POST `{"text"}`: the intent it is taken for by this worker's turns at this moment, or null. Counts against the
    tenant's limits like a turn; nothing is written and no model is asked."""

    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        text = schemas.fields(self.body(), ClassifyBody).text
        await count(self.parts, self.principal, ChatRequest(messages=[]))
        own = LIVE.value.tenants.get(self.principal.tenant_id)
        if own is None:
            raise Conflict(NONE)
        found = own.classify(text)
        if found is None:
            raise Conflict(NOT_YET, retry_after=PAUSE)
        return self.json(found)


def listed(tenant_id: int) -> IntentPage:
    return IntentPage([line(row) for row in services.intents_of(tenant_id)])


def make(tenant_id: int, values: Json) -> IntentAnswer:
    """Raises ValidationError."""
    row = Intent(tenant_id=tenant_id)
    _fill(row, values)
    return answer(services.save_intent(intent=row))


def change(tenant_id: int, intent_id: int, values: Json) -> IntentAnswer:
    """Raises NotFound, ValidationError."""
    with transaction.atomic():
        row = own(tenant_id, intent_id)
        _fill(row, values)
        return answer(services.save_intent(intent=row))


def remove(tenant_id: int, intent_id: int) -> None:
    """Raises NotFound."""
    with transaction.atomic():
        own(tenant_id, intent_id).delete()


def set_up(tenant_id: int, values: Json) -> IntentSettingsAnswer:
    """Raises ValidationError."""
    row = services.settings_of(tenant_id)
    if "threshold" in values:
        row.threshold = values["threshold"]
    if "outside" in values:
        row.outside = services.lines(values["outside"], "outside")
    return settings_answer(services.save_settings(settings=row))


def training(tenant_id: int) -> TrainingAnswer:
    row = services.trained_of(tenant_id)
    return TrainingAnswer(
        state=state(row),
        trained_at=row.trained_at.timestamp() if row.trained_at is not None else None,
        failed=row.failed,
        vectors=row.vectors,
        report=row.report,
    )


def state(row: TrainedIntents) -> str:
    if row.wanted != row.revision:
        return "training"
    if row.failed:
        return "failed"
    return "ready" if row.report else "none"


def answer(row: Intent) -> IntentAnswer:
    return IntentAnswer(**_fields(row), utterances=row.examples)


def line(row: Intent) -> IntentLine:
    return IntentLine(**_fields(row))


def _fields(row: Intent) -> Json:
    return {
        "id": row.pk,
        "name": row.name,
        "description": row.description,
        "examples": len(row.examples),
        "enabled": row.enabled,
        "created_at": row.created_at.timestamp(),
        "updated_at": row.updated_at.timestamp(),
    }


def settings_answer(row: IntentSettings) -> IntentSettingsAnswer:
    return IntentSettingsAnswer(threshold=row.threshold, outside=row.outside.splitlines())


def own(tenant_id: int, intent_id: int) -> Intent:
    """Raises NotFound."""
    row: Intent | None = services.intents_of(tenant_id).filter(pk=intent_id).first()
    if row is None:
        raise NotFound(MISSING)
    return row


def _fill(row: Intent, values: Json) -> None:
    """Examples are cleaned before they are put together: a line break inside of one is no way to make two."""
    for name, value in values.items():
        if name in ("utterances", "add"):
            more = row.examples if name == "add" else []
            row.utterances = services.lines([*more, *value], name)
        else:
            setattr(row, name, value)
