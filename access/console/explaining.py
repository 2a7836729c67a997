"""Where a message would go now, and why: the router is asked and no model is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from access import schemas
from access.console import decisions
from access.console.bridge import bridge_of
from access.console.json_field import JsonField
from access.console.tenant_field import TenantField
from engine.errors import EngineError, SessionNotFound
from engine.types import AUTO, ChatRequest, Json, Principal
from routing.router import RuleRouter
from tenants.models import Tenant

TIMEOUT = 10.0  # seconds
FOUND = ("language", "intent")  # what plugins would find out


class ExplainForm(forms.Form):
    """`principal` is who asks where that is settled; else the form asks for a tenant."""

    tenant = TenantField(help_text=_("Who asks: slug of a tenant."))
    model = forms.CharField(
        label=_("Model"), initial=AUTO, required=False, max_length=200, widget=UnfoldAdminTextInputWidget
    )
    message = forms.CharField(
        label=_("Message"), max_length=100_000, strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 6})
    )
    max_tokens = forms.IntegerField(label="max_tokens", required=False, widget=UnfoldAdminIntegerFieldWidget)
    temperature = forms.FloatField(label="temperature", required=False, widget=UnfoldAdminDecimalFieldWidget)
    stream = forms.BooleanField(label="stream", required=False, widget=UnfoldBooleanSwitchWidget)
    user = forms.CharField(label="user", required=False, max_length=256, widget=UnfoldAdminTextInputWidget)
    session = forms.CharField(
        label=_("Session"),
        required=False,
        max_length=128,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Id of a session of this user's."),
    )
    language = forms.CharField(
        label="language",
        required=False,
        max_length=35,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Plugins are not asked here: say what they would find."),
    )
    intent = forms.CharField(label="intent", required=False, max_length=100, widget=UnfoldAdminTextInputWidget)
    metadata = JsonField(
        label="metadata",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("A JSON object."),
    )
    headers = forms.CharField(
        label=_("Headers"),
        required=False,
        max_length=10_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("One a line, such as x-team: search."),
    )

    def __init__(self, *args: Any, principal: Principal | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.principal = principal
        if principal is not None:
            del self.fields["tenant"]

    def clean_headers(self) -> list[tuple[bytes, bytes]]:
        found = []
        for line in self.cleaned_data["headers"].splitlines():
            name, colon, value = line.partition(":")
            if line.strip() and not (colon and name.strip().isascii()):
                raise forms.ValidationError(_("Expected a name, a colon and a value."))
            if line.strip():
                found.append((name.strip().lower().encode(), value.strip().encode()))
        return found

    def request(self) -> ChatRequest:
        """Raises InvalidRequest."""
        data = self.cleaned_data
        body: Json = {"model": data["model"] or AUTO, "message": data["message"], "stream": data["stream"]}
        for name in ("max_tokens", "temperature", "user", "metadata"):
            if data[name] not in (None, ""):
                body[name] = data[name]
        if data["session"]:
            body["session_id"] = data["session"]
        return schemas.chat_request(body, edge="console", request_id="", headers=data["headers"])

    def found(self) -> Json:
        return {name: self.cleaned_data[name] for name in FOUND if self.cleaned_data[name]}


def explain_view(request: HttpRequest, principal: Principal | None = None) -> dict[str, Any]:
    """What the page shows: the form, and with it sent the decision. `principal`: the only one who may ask here."""
    form = ExplainForm(request.POST if request.method == "POST" else None, principal=principal)
    if not form.is_valid():
        return {"form": form}
    try:
        return {"form": form, "decision": _shown(_decided(request, form))}
    except EngineError as error:
        form.add_error(_field(error, form), f"{error.message} ({error.code})")
    except TimeoutError:
        form.add_error(None, _("No answer within 10 seconds."))
    return {"form": form}


def _field(error: EngineError, form: ExplainForm) -> str | None:
    if isinstance(error, SessionNotFound) or error.param == "session_id":
        return "session"
    return error.param if error.param in form.fields else None


def _decided(request: HttpRequest, form: ExplainForm) -> Json:
    """Raises EngineError, TimeoutError."""
    bridge = bridge_of(request)
    chat = form.request()
    asking = form.principal or _operator(request, form.cleaned_data["tenant"])
    principal = msgspec.structs.replace(asking, user=chat.user or asking.user)

    async def decided() -> Json:  # the live table belongs to the event loop
        async with bridge.engine.rehearsed(principal, chat) as turn:
            router = RuleRouter(bridge.routes)
            found = {**turn.features, **form.found()}
            return router.explain(principal, turn.request, turn.history(), found, turn.constraints)

    return bridge.run(decided(), TIMEOUT)


def _operator(request: HttpRequest, tenant: Tenant) -> Principal:
    name = f"operator:{request.user.pk}"
    return Principal(tenant_id=tenant.pk, tenant=tenant.slug, kind="system", subject=name, user=name, role="operator")


def _in_words(value: Any) -> Any:
    """A feature's value as people write it."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def _shown(decision: Json) -> dict[str, Any]:
    features = [[name, _in_words(value)] for name, value in decision["features"].items()]
    return {
        "reasons": decisions.reasons(decision),
        "passed_over": decisions.passed_over(decision.get("passed_over")),
        "candidates": decisions.candidates(decision["candidates"]),
        "features": {"headers": [_("Feature"), _("Value")], "rows": features},
    }
