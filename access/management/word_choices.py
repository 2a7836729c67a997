"""`/api/words/{list_id}/subscription` and `/api/words/exceptions`: which platform lists a tenant has, and what it lets
pass."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from django.db import transaction
from django.http import HttpResponse
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.words import ActionName, WordListAnswer, answer, known_form, subscriptions, visible
from access.views import LeanView
from compliance import wordlists
from compliance.compiling import effective
from compliance.models import WordExceptions
from compliance.models.subscriptions import MOST_EXCEPTIONS
from compliance.validation import clean_words
from engine.errors import InvalidRequest


class SubscriptionBody(msgspec.Struct, forbid_unknown_fields=True):
    """`action` null: the list's own stage. Of a mandatory list only a stronger one than the list's counts."""

    action: ActionName | None = None


class ExceptionsBody(msgspec.Struct, forbid_unknown_fields=True):
    """All of them. More than 4,096 go in several PATCHes."""

    words: list[str]


class ExceptionsPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`remove` goes first."""

    add: list[str] = []
    remove: list[str] = []


class ExceptionsAnswer(msgspec.Struct, kw_only=True):
    """Text in which a listed word is no hit. `ineffective` are those that hold a word of a mandatory list."""

    words: list[str]
    version: int
    ineffective: list[str]


class SubscriptionView(LeanView):
    """PUT `{"action"?}`: the tenant has this list of the platform's from now on. DELETE: no longer, 204."""

    area = "words"
    http_method_names = ["put", "delete"]

    async def put(self, request: Request, list_id: str, **kwargs: Any) -> JsonReply:
        chosen = schemas.fields(self.body() if self.lean_request.body else {}, SubscriptionBody).action
        work = partial(subscribe, self.principal.tenant_id, known_form(list_id), chosen or "", self.principal.subject)
        return self.json(await self.parts.rows.run(work))

    async def delete(self, request: Request, list_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(unsubscribe, self.principal.tenant_id, known_form(list_id)))
        return HttpResponse(status=204)


class ExceptionsView(LeanView):
    """GET, PUT (all of them) and PATCH (some) of what the tenant lets pass."""

    area = "words"
    http_method_names = ["get", "put", "patch"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self._answer(await self.parts.rows.run(partial(read, self.principal.tenant_id)))

    async def put(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        words = schemas.fields(self.body(), ExceptionsBody).words
        work = partial(replace, self.principal.tenant_id, words, self.principal.subject)
        return self._answer(await self.parts.rows.run(work))

    async def patch(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body(), ExceptionsPatch)
        work = partial(change, self.principal.tenant_id, body.add, body.remove, self.principal.subject)
        return self._answer(await self.parts.rows.run(work))

    def _answer(self, row: WordExceptions) -> JsonReply:
        """What has no effect is told by what this worker's turns read now."""
        words = row.words.splitlines()
        kept = set(effective(words, self.parts.words.value.default))
        ineffective = [each for each in words if each not in kept]
        return self.json(ExceptionsAnswer(words=words, version=row.version, ineffective=ineffective))


def subscribe(tenant_id: int, list_id: int, action: str, by: str) -> WordListAnswer:
    """Raises NotFound, InvalidRequest."""
    with transaction.atomic():
        row = visible(tenant_id, list_id)
        if row.tenant_id is not None:
            raise InvalidRequest("This list is the tenant's own: it applies without a subscription.")
        wordlists.subscribe(tenant_id=tenant_id, words=row, action=action, by=by)
        return answer(row, subscriptions(tenant_id))


def unsubscribe(tenant_id: int, list_id: int) -> None:
    """Raises NotFound."""
    wordlists.unsubscribe(tenant_id=tenant_id, words=visible(tenant_id, list_id))


def read(tenant_id: int) -> WordExceptions:
    return wordlists.exceptions_of(tenant_id)


def replace(tenant_id: int, words: list[str], by: str) -> WordExceptions:
    """Raises ValidationError."""
    cleaned = clean_words(words, most=MOST_EXCEPTIONS)
    return wordlists.save_exceptions(tenant_id=tenant_id, words=cleaned, by=by)


def change(tenant_id: int, add: list[str], remove: list[str], by: str) -> WordExceptions:
    """Raises ValidationError."""
    return wordlists.save_exceptions(tenant_id=tenant_id, add=clean_words(add), remove=remove, by=by)
