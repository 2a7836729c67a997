"""`/api/models/{id}/test`: one question to this very instance, through the engine like every turn."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.instances import MISSING, own
from access.management.paging import number
from access.views import LeanView
from engine.errors import Conflict, ModelNotFound, UpstreamTimeout
from engine.types import ChatRequest, Message
from routing.models import ModelInstance
from tenants import walls

SECONDS: Final = 60.0
ANSWER_TOKENS: Final = 200
QUESTION: Final = "Say hello in one short sentence."


class TrialBody(msgspec.Struct, forbid_unknown_fields=True):
    """What it is asked; a model for embeddings makes its vector."""

    question: Annotated[str, Meta(min_length=1, max_length=4_000)] = QUESTION


class TrialAnswer(msgspec.Struct, kw_only=True):
    """What came of it. `answer` is a model's for chat, `dimensions` how long the vector is of one for embeddings.
    `turn_id` is the journal's."""

    turn_id: str
    model: str
    answer: str | None
    dimensions: int | None
    prompt_tokens: int
    completion_tokens: int


class InstanceTrial(LeanView):
    """POST: asks one of the tenant's own instances. What goes wrong is told as of every turn."""

    area = "models"
    http_method_names = ["post"]

    async def post(self, request: Request, instance_id: str, **kwargs: Any) -> JsonReply:
        found = number(instance_id, MISSING)
        asked = schemas.fields(self.body(), TrialBody)
        instance = await self.parts.rows.run(partial(own, self.principal.tenant_id, found, lock=False))
        if not instance.enabled:
            raise Conflict("This model is switched off.")
        chat = ChatRequest(
            messages=[Message("user", asked.question)],
            model=instance.name.replace("*", "test"),
            max_tokens=ANSWER_TOKENS,
            instance_id=instance.pk,
            edge="console",
            request_id=self.lean_request.request_id,
        )
        try:
            async with asyncio.timeout(SECONDS):
                with walls.lifted():  # the engine keeps what it reads for all tenants
                    return self.json(await self._ask(instance, chat))
        except TimeoutError:
            raise UpstreamTimeout from None
        except ModelNotFound:
            raise Conflict("This model is not in service yet: try again in a second.") from None

    async def _ask(self, instance: ModelInstance, chat: ChatRequest) -> TrialAnswer:
        if instance.task == ModelInstance.Task.EMBEDDINGS:
            asked = msgspec.structs.replace(chat, task="embeddings", max_tokens=None)
            made = await self.parts.engine.embed(self.principal, asked)
            return TrialAnswer(
                turn_id=made.id,
                model=made.model,
                answer=None,
                dimensions=len(made.vectors[0]),
                prompt_tokens=made.usage.prompt_tokens,
                completion_tokens=0,
            )
        done = await self.parts.engine.complete(self.principal, chat)
        content = done.message.content
        return TrialAnswer(
            turn_id=done.id,
            model=done.model,
            answer=content if isinstance(content, str) else "",
            dimensions=None,
            prompt_tokens=done.usage.prompt_tokens,
            completion_tokens=done.usage.completion_tokens,
        )
