"""The test button of a model instance: one question to this very instance, through the engine like every turn. A model
for embeddings makes its vector."""

from __future__ import annotations

from typing import Any

import msgspec
from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from access.console.bridge import bridge_of
from engine.errors import EngineError
from engine.types import ChatRequest, Embeddings, Message, Principal
from routing.models import ModelInstance

TIMEOUT = 60.0  # seconds
ANSWER_TOKENS = 200
QUESTION = "Say hello in one short sentence."
SHOWN = 8  # numbers of a vector


class TrialForm(BaseDialogForm):
    question = forms.CharField(
        label=_("Question"),
        initial=QUESTION,
        max_length=4_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )


class Trial(msgspec.Struct, frozen=True):
    """What came of it: `answer` or `error`. `turn_id` is the journal's."""

    answer: str = ""
    error: Any = ""
    model: str = ""
    turn_id: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


def ask(request: HttpRequest, instance: ModelInstance, principal: Principal, question: str) -> Trial:
    """Blocks the calling thread until the answer is whole, at most a minute."""
    if not instance.enabled:
        return Trial(error=_("It is switched off: no worker has it in service. Switch it on and save it first."))
    chat = ChatRequest(
        messages=[Message("user", question)],
        model=instance.name.replace("*", "test"),
        max_tokens=ANSWER_TOKENS,
        instance_id=instance.pk,
        edge="console",
    )
    try:
        bridge = bridge_of(request)
        if instance.task == ModelInstance.Task.EMBEDDINGS:
            asked = msgspec.structs.replace(chat, task="embeddings", max_tokens=None)
            return _vector(bridge.run(bridge.engine.embed(principal, asked), TIMEOUT))
        done = bridge.run(bridge.engine.complete(principal, chat), TIMEOUT)
    except EngineError as error:
        return Trial(error=f"{error.message} ({error.code})")
    except TimeoutError:
        return Trial(error=_("No answer within a minute."))
    content = done.message.content
    return Trial(
        answer=content if isinstance(content, str) else "",
        model=done.model,
        turn_id=done.id,
        prompt_tokens=done.usage.prompt_tokens,
        completion_tokens=done.usage.completion_tokens,
    )


def _vector(made: Embeddings) -> Trial:
    """The beginning of the question's vector stands for all of it."""
    [vector] = made.vectors
    shown = ", ".join(f"{number:.4f}" for number in vector[:SHOWN])
    return Trial(
        answer=f"[{shown}{', …' if len(vector) > SHOWN else ''}] ({len(vector)})",
        model=made.model,
        turn_id=made.id,
        prompt_tokens=made.usage.prompt_tokens,
    )


def operator(request: HttpRequest, instance: ModelInstance) -> Principal:
    """The platform's operator, acting for the instance's tenant; tenant 0 is the platform itself."""
    name = f"operator:{request.user.pk}"
    slug = instance.tenant.slug if instance.tenant is not None else "platform"
    return Principal(
        tenant_id=instance.tenant_id or 0, tenant=slug, kind="system", subject=name, user=name, role="operator"
    )
