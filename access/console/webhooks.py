"""Screens of webhooks, sinks and held events: where events go, how far they are, and what did not get there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Exists, OuterRef, Subquery, Value
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from access.console.dialogs import action as dialog_action
from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm, ReadOnlyAdmin
from access.console.texts import short_address
from plugins.models import HeldEvent, SinkState, Webhook
from plugins.outbox import holding, places, signing
from plugins.outbox.declared import forget_webhook
from plugins.outbox.delivering import attempts_of
from plugins.outbox.events import CHOICES, sorted_types

SHOWN: Final = 20  # attempts


class WebhookForm(PlatformForm):
    events = forms.MultipleChoiceField(
        label=_("Events"),
        choices=[(each, each) for each in CHOICES],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("Which events are posted; .* stands for all of a kind."),
    )

    class Meta:
        model = Webhook
        fields = ["tenant", "name", "url", "events", "content", "enabled"]
        labels = {"url": _("Address"), "content": _("What was said, too"), "enabled": _("In use")}
        help_texts = {
            "url": _("Such as https://example.com/clawdbot. It must be reachable from the public internet."),
            "content": _("Messages and answers are sent as well. Without, figures and names alone."),
            "enabled": _("One that was switched off goes on where it stopped."),
        }

    def clean_events(self) -> list[str]:
        return sorted_types(self.cleaned_data["events"])


class WebhookAdmin(PlatformAdmin):
    """A new one's secret, and one that is made anew, is shown in the answer alone."""

    form = WebhookForm
    list_display = ["name", "owner", "address", "standing", "created_at"]
    list_filter = ["enabled", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["name", "url", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]
    actions_detail = ["send_test", "rotate"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        sink = Concat(Value("webhook:"), Cast(OuterRef("pk"), models.CharField()))
        states = SinkState.objects.filter(tenant_id=OuterRef("tenant_id"), sink=sink, failing_since__isnull=False)
        rows: models.QuerySet[Any] = super().get_queryset(request).annotate(failing=Exists(states))
        return rows

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["tenant", "why", "how_far", "last_attempts"] if obj is not None else []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = ["tenant", "name", "url", "events", "content", "enabled"]
        return [*fields, "why", "how_far", "last_attempts"] if obj is not None else fields

    @display(description=_("Address"), ordering="url")
    def address(self, webhook: Webhook) -> str:
        return short_address(webhook.url)

    @display(description=_("State"), label={"on": "success", "off": "danger", "failing": "warning"})
    def standing(self, webhook: Webhook) -> tuple[str, Any]:
        if not webhook.enabled:
            return ("off", _("switched off by itself") if webhook.disabled_reason else _("switched off"))
        failing = getattr(webhook, "failing", False)
        return ("failing", _("failing")) if failing else ("on", _("in use"))

    @display(description=_("Switched off because"))
    def why(self, webhook: Webhook) -> str:
        return webhook.disabled_reason or "—"

    @display(description=_("Delivered"))
    def how_far(self, webhook: Webhook) -> Any:
        state = self._state(webhook)
        if state is None:
            return _("nothing yet")
        return _("%(delivered)s events; %(lag)s entries of the journal are still to be looked at") % {
            "delivered": state.delivered,
            "lag": state.lag,
        }

    @display(description=_("Last attempts"))
    def last_attempts(self, webhook: Webhook) -> Any:
        lines = [
            f"{_moment(each.at)}  {each.status or '—':>3}  {each.milliseconds:>6} ms  {each.type}  {each.error}"
            for each in attempts_of(webhook.tenant_id, webhook.sink, SHOWN)
        ]
        return format_html('<pre class="turn-json">{}</pre>', "\n".join(lines)) if lines else "—"

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """What saving refuses that the form did not: there are too many, or somebody was quicker."""
        try:
            answer: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), "error")
            return HttpResponseRedirect(self.link("changelist"))
        return answer

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        secret = signing.save_webhook(webhook=obj)
        if change and obj.enabled:
            holding.try_now(obj.tenant_id, obj.sink)
        request.new_secret = secret  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None) -> HttpResponse:
        return self.revealed(request, obj, request.new_secret)  # type: ignore[attr-defined]

    def revealed(self, request: HttpRequest, webhook: Webhook, secret: str) -> HttpResponse:
        back = self.link("change", webhook.pk)
        page = self.framed(
            request, "new_secret.html", title=_("Secret of a webhook"), webhook=webhook, plain=secret, back=back
        )
        page.headers["Cache-Control"] = "no-store"
        return page

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        forget_webhook(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Webhook]) -> None:
        for webhook in queryset:
            forget_webhook(webhook)

    @action(description=_("Send a test event"), icon="send", permissions=["press"])
    def send_test(self, request: HttpRequest, object_id: int) -> HttpResponse:
        webhook = self.pressed(request, object_id)
        if request.method == "POST":
            holding.send_test(webhook.tenant_id, webhook.sink)
            self.message_user(request, _("It is sent within a second; the last attempts below tell what became of it."))
        return self._asked(request, webhook, _("Send a test event"))

    @action(
        description=_("Another secret"),
        icon="autorenew",
        permissions=["press"],
    )
    def rotate(self, request: HttpRequest, object_id: int) -> HttpResponse:
        webhook = self.pressed(request, object_id)
        if request.method == "POST":
            return self.revealed(request, webhook, signing.rotate(webhook=webhook))
        return self._asked(request, webhook, _("Another secret"))

    def _asked(self, request: HttpRequest, webhook: Webhook, title: Any) -> HttpResponse:
        """A page with one button, as a link changes nothing."""
        back = self.link("change", webhook.pk)
        return self.framed(request, "webhook_ask.html", title=title, webhook=webhook, back=back)

    def _state(self, webhook: Webhook) -> SinkState | None:
        return SinkState.objects.for_tenant(webhook.tenant_id).filter(sink=webhook.sink).first()


class SinkStateAdmin(ReadOnlyAdmin):
    """Queues and webhooks as the publisher has them."""

    list_display = ["label", "owner", "standing", "delivered", "lag", "behind", "dead", "pruned", "seen"]
    list_filter = [BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["label", "sink", "tenant__slug", "tenant__name"]
    actions_detail = ["from_now"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [
            "whose",
            "owner",
            "delivered",
            "lag",
            "behind",
            "dead",
            "pruned",
            "failing",
            "last_error",
            "sent",
            "seen",
        ]

    @display(description=_("Sink"))
    def whose(self, state: SinkState) -> str:
        return str(state)  # a webhook's name, not its number

    @display(description=_("State"), label={"works": "success", "failing": "danger"})
    def standing(self, state: SinkState) -> tuple[str, Any]:
        return ("failing", _("failing")) if state.failing_since is not None else ("works", _("works"))

    @display(description=_("Behind by"))
    def behind(self, state: SinkState) -> Any:
        return _("%(seconds)s s") % {"seconds": round(state.lag_seconds)} if state.lag else "—"

    @display(description=_("Failing since"))
    def failing(self, state: SinkState) -> str:
        return _moment(state.failing_since)

    @display(description=_("Sent last"))
    def sent(self, state: SinkState) -> str:
        return _moment(state.last_sent_at)

    @display(description=_("Looked after"))
    def seen(self, state: SinkState) -> str:
        return _moment(state.seen_at or None)

    @dialog_action(
        description=_("Go on from now"),
        icon="skip_next",
        permissions=["press"],
        dialog={
            "title": _("Go on from now?"),
            "description": _("What happened until now and was not sent yet is not sent any more."),
            "form_submit_text": _("Go on from now"),
        },
    )
    def from_now(self, request: HttpRequest, form: BaseDialogForm, object_id: int) -> HttpResponse:
        state = self.pressed(request, object_id)
        places.skip(state, position=state.position + state.lag)
        self.message_user(request, _("It goes on from now."))
        return HttpResponse(headers={"HX-Redirect": self.link("change", object_id)})


class HeldEventAdmin(ReadOnlyAdmin):
    """What was refused: it waits for another try, or was given up."""

    list_display = ["type", "owner", "whose", "subject", "standing", "attempts", "tried_again", "last_error"]
    list_filter = ["state", "type", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["event", "subject", "sink"]
    actions = ["send_chosen", "forget_chosen"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["type", "owner", "whose", "event", "subject", "partition", "state", "attempts", "first", "tried_again",
                "last_error"]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        states = SinkState.objects.filter(tenant_id=OuterRef("tenant_id"), sink=OuterRef("sink"))
        rows: models.QuerySet[Any] = super().get_queryset(request).annotate(label=Subquery(states.values("label")[:1]))
        return rows

    @display(description=_("Sink"), ordering="sink")
    def whose(self, held: HeldEvent) -> str:
        """A webhook's name, not its number."""
        return getattr(held, "label", None) or held.sink

    @display(description=_("State"), label={"waiting": "warning", "dead": "danger"})
    def standing(self, held: HeldEvent) -> tuple[str, Any]:
        return (held.state, _("waits") if held.state == HeldEvent.State.WAITING else _("given up"))

    @display(description=_("First tried"))
    def first(self, held: HeldEvent) -> str:
        return _moment(held.first_at)

    @display(description=_("Tried again"))
    def tried_again(self, held: HeldEvent) -> Any:
        if held.state == HeldEvent.State.DEAD:
            return "—"
        return _moment(held.next_at) if held.next_at < holding.BEHIND else _("after the one before it")

    def has_send_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_press_permission(request)

    @admin.action(description=_("Send the chosen events again"), permissions=["send"])
    def send_chosen(self, request: HttpRequest, rows: models.QuerySet[HeldEvent]) -> None:
        number = holding.send_again([row for row in rows if self.has_press_permission(request, row)])
        self.message_user(request, _("%(number)s events are sent within a second.") % {"number": number})

    @admin.action(description=_("Forget the chosen events"), permissions=["send"])
    def forget_chosen(self, request: HttpRequest, rows: models.QuerySet[HeldEvent]) -> None:
        for row in rows:
            if self.has_press_permission(request, row):
                holding.forget(row)
        self.message_user(request, _("They are not sent any more."))


def _moment(at: float | None) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}" if at else "—"
