"""Screens of the tenants app: tenants, the people in them, the addresses they call from, their jobs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, BaseDialogForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldBooleanSwitchWidget

from access.console.bridge import bridge_of
from access.console.dialogs import action
from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm, ReadOnlyAdmin
from access.people import second_factor, web_sessions
from engine.errors import EngineError
from tenants import membership, services
from tenants.models import AtLimit, IpRule, Job, Member, Tenant

FORGETTING = 60.0  # seconds
STREAMS = _(
    "Milliseconds, 1 to 50. What a model says within that time leaves as one event, which spares callers "
    "and workers most of the cost of fast streams. The first piece is never held. A request may ask "
    "for another interval. Empty: every piece leaves as it comes."
)
DEFAULTED = {"at_limit": AtLimit.REFUSE, "share": 1, "time_zone": "UTC"}  # what an empty field means


class TenantForm(PlatformForm):
    blamed = "slug"

    store_url = forms.CharField(
        label=_("Store address"),
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=_("The tenant's own Valkey server, if it has one. It may hold a password and is never shown."),
    )
    remove_store_url = forms.BooleanField(
        label=_("Remove the store address"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=_("Back to the platform's own server."),
    )

    class Meta:
        model = Tenant
        fields = [
            "name", "slug", "is_active", "requests_per_minute", "tokens_per_minute", "concurrent_turns",
            "money_per_day", "money_per_month", "at_limit", "budget_webhook", "share", "body_limit", "time_zone",
            "cache_ttl", "cache_sampled", "coalesce", "retention_days", "legal_hold", "legal_hold_note", "session_ttl",
            "session_retention_days", "snapshot_every", "resume_grace", "summary_model", "profile_template",
            "stream_interval", "store_url",
        ]  # fmt: skip
        labels = {
            "is_active": _("Active"),
            "money_per_day": _("Money a day"),
            "money_per_month": _("Money a month"),
            "at_limit": _("At the limit"),
            "budget_webhook": _("Tell this address"),
            "share": _("Share"),
            "body_limit": _("Largest request"),
            "time_zone": _("Time zone"),
            "session_ttl": _("Archive sessions after"),
            "session_retention_days": _("End sessions after"),
            "snapshot_every": _("Snapshot every"),
            "resume_grace": _("Go on without a reader for"),
            "summary_model": _("Summaries by"),
            "profile_template": _("Profile in the prompt"),
            "cache_ttl": _("Keep answers for"),
            "cache_sampled": _("Sampled answers too"),
            "coalesce": _("Share calls"),
            "stream_interval": _("Events of a stream apart"),
            "retention_days": _("Keep turns for"),
            "legal_hold": _("Legal hold"),
            "legal_hold_note": _("Reason of the hold"),
        }
        help_texts = {
            "money_per_day": _(
                "What its calls may cost a calendar day in its time zone, in the currency of the prices. Empty: "
                "unlimited."
            ),
            "money_per_month": _("The same for a calendar month. Empty: unlimited."),
            "at_limit": _("What becomes of a turn its budget has no room for."),
            "budget_webhook": _("Told when four fifths of a budget are used, and when all of it is. Empty: nobody."),
            "share": _(
                "1 to 100: its weight among the tenants that wait for the same instance or worker. One with 3 gets "
                "three times the tokens of one with 1 while both wait; where nobody waits it means nothing."
            ),
            "body_limit": _(
                "MiB, 2 to 20: what the body of one request of its callers may have, for instance with pictures. "
                "Empty: as for everybody, 2, and 8 for a conversation under /v1."
            ),
            "time_zone": _("An IANA name, such as Asia/Shanghai: where its days and months begin."),
            "cache_ttl": _(
                "Seconds. The same request of this tenant is then answered from memory, without a call to a model; the "
                "word lists of the moment still count. Empty: no answer is kept."
            ),
            "cache_sampled": _(
                "Keep and share answers to requests with a temperature above 0, or without one, too: whoever asks "
                "again gets the same words."
            ),
            "coalesce": _(
                "Identical requests of this tenant that run at the same time share one call to the model. Each still "
                "has its own guard and its own entry in the journal."
            ),
            "stream_interval": STREAMS,
            "retention_days": _(
                "Days. Older turns are then removed from the journal for good. 0: they are kept; empty: as the "
                "platform says (JOURNAL_RETENTION_DAYS)."
            ),
            "session_ttl": _(
                "Seconds after its last turn. An archived session leaves the store and comes back when it is touched. "
                "Empty: as the platform says (SESSION_TTL)."
            ),
            "session_retention_days": _(
                "Days after its last turn. 0: never; empty: as the platform says (SESSION_RETENTION_DAYS)."
            ),
            "snapshot_every": _(
                "Turns and other changes. 0: no snapshots; empty: as the platform says (SNAPSHOT_EVERY)."
            ),
            "resume_grace": _(
                "Seconds an answer goes on when its reader has left. 0: it is cancelled at once; empty: as the "
                "platform says (RESUME_GRACE)."
            ),
            "summary_model": _(
                "The public name of the model that sums up the older part of long sessions, in turns of their own that "
                "count against the limits. Empty: nothing is summed up."
            ),
            "profile_template": _(
                "How a user's profile stands in the prompt, for instance: You talk to {name}. {profile} is all of it "
                "as JSON; a value the profile does not have is empty; {{ and }} are braces. Empty: one line of JSON."
            ),
            "legal_hold": _("Nothing of this tenant is removed from the journal, however old it is."),
            "legal_hold_note": _("Why it is held, and who asked for it."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["store_url"] = ""
        for name in DEFAULTED:
            self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        for name, value in DEFAULTED.items():
            if name in data and data[name] in self.fields[name].empty_values:
                data[name] = value
        if data.get("remove_store_url"):
            data["store_url"] = ""
        elif data.get("store_url"):
            if Tenant.objects.filter(store_url=data["store_url"]).exclude(pk=self.instance.pk).exists():
                self.add_error("store_url", _("Another tenant has this store."))
        elif "store_url" in data:
            data["store_url"] = self.instance.store_url
        return data


class TenantAdmin(PlatformAdmin):
    """A tenant is suspended, never deleted here: what it left in stores and journal must go with it or stay."""

    form = TenantForm
    list_display = ["name", "slug", "standing", "requests_per_minute", "tokens_per_minute", "concurrent_turns",
                    "store_database", "created_at"]  # fmt: skip
    list_filter = ["is_active"]
    search_fields = ["name", "slug"]
    readonly_fields = ["store_layout", "store_database", "created_at"]
    actions = ["suspend", "resume"]
    actions_detail = ["forget_answers"]
    fieldsets = [
        (None, {"fields": ["name", "slug", "is_active"]}),
        (
            _("Limits"),
            {"fields": ["requests_per_minute", "tokens_per_minute", "concurrent_turns", "share", "body_limit"]},
        ),
        (_("Budgets"), {"fields": ["money_per_day", "money_per_month", "at_limit", "budget_webhook", "time_zone"]}),
        (_("Repeated requests"), {"fields": ["cache_ttl", "cache_sampled", "coalesce"]}),
        (_("Streams"), {"fields": ["stream_interval"]}),
        (_("Journal"), {"fields": ["retention_days", "legal_hold", "legal_hold_note"]}),
        (
            _("Sessions"),
            {
                "fields": [
                    "session_ttl",
                    "session_retention_days",
                    "snapshot_every",
                    "resume_grace",
                    "summary_model",
                    "profile_template",
                ]
            },
        ),  # fmt: skip
        (_("Store"), {"fields": ["store_layout", "store_url", "remove_store_url", "store_database", "created_at"]}),
    ]

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    @display(description=_("State"), ordering="is_active", label={"active": "success", "suspended": "danger"})
    def standing(self, tenant: Tenant) -> tuple[str, Any]:
        return ("active", _("active")) if tenant.is_active else ("suspended", _("suspended"))

    @admin.action(description=_("Suspend the chosen tenants"), permissions=["change"])
    def suspend(self, request: HttpRequest, tenants: models.QuerySet[Tenant]) -> None:
        for tenant in tenants:
            services.suspend_tenant(tenant=tenant)
        self.message_user(request, _("Suspended: their callers are refused from the next second on."))

    @admin.action(description=_("Let the chosen tenants in again"), permissions=["change"])
    def resume(self, request: HttpRequest, tenants: models.QuerySet[Tenant]) -> None:
        closed = [tenant for tenant in tenants if tenant.closed_at is not None]
        for tenant in tenants:
            if tenant not in closed:
                services.resume_tenant(tenant=tenant)
        if closed:
            names = ", ".join(str(tenant) for tenant in closed)
            self.message_user(request, _("Closed, and they stay so: %(names)s.") % {"names": names}, "error")
        if len(closed) < len(tenants):
            self.message_user(request, _("They are let in again from the next second on."))

    @action(
        description=_("Forget kept answers"),
        icon="delete_sweep",
        permissions=["change"],
        dialog={
            "title": _("Forget every answer that is kept for this tenant?"),
            "description": _("The same requests are then sent to a model again. Sessions and the journal stay."),
            "form_submit_text": _("Forget"),
        },
    )
    def forget_answers(self, request: HttpRequest, form: BaseDialogForm, object_id: int) -> HttpResponse:
        try:
            bridge = bridge_of(request)
            count = bridge.run(bridge.answers.forget(int(object_id)), FORGETTING)
        except EngineError as error:
            self.message_user(request, f"{error.message} ({error.code})", "error")
        except TimeoutError:
            self.message_user(request, _("Not all were forgotten within a minute. Try again."), "error")
        else:
            self.message_user(request, _("Forgotten: %(count)s kept answers.") % {"count": count})
        return HttpResponse(headers={"HX-Redirect": self.link("change", object_id)})

    def save_model(self, request: HttpRequest, obj: Tenant, form: forms.ModelForm[Tenant], change: bool) -> None:
        assert isinstance(form, TenantForm)
        if change:
            obj.save()
            return
        made = services.create_tenant(**{name: form.cleaned_data[name] for name in TenantForm.Meta.fields})
        obj.pk, obj.store_database, obj._state.adding = made.pk, made.store_database, False


class UserAdmin(DjangoUserAdmin, PlatformAdmin):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "standing", "is_operator", "last_login"]
    list_filter = ["is_active", "is_superuser"]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        (_("Person"), {"fields": ["first_name", "last_name", "email"]}),
        (_("Access"), {"fields": ["is_active", "is_superuser"]}),
        (_("Signing in"), {"fields": ["second_factors", "web_sessions", "last_login"]}),
    ]
    readonly_fields = ["second_factors", "web_sessions"]
    actions_detail = ["reset_factors", "sign_out"]
    add_fieldsets = [(None, {"fields": ["username", "usable_password", "password1", "password2"]})]

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return super().has_delete_permission(request, obj) and obj != request.user

    @display(description=_("State"), ordering="is_active", label={"active": "success", "off": "danger"})
    def standing(self, user: Any) -> tuple[str, Any]:
        return ("active", _("active")) if user.is_active else ("off", _("switched off"))

    @display(description=_("Second factors"))
    def second_factors(self, user: Any) -> str:
        return ", ".join(second_factor.kinds(user)) or "—"

    @display(description=_("Web sessions"))
    def web_sessions(self, user: Any) -> int:
        return len(web_sessions.sessions_of(user))

    @action(
        description=_("Reset second factors"),
        icon="phonelink_erase",
        permissions=["change"],
        dialog={
            "title": _("Take every second factor of this person away?"),
            "description": _("For somebody who lost theirs. Make sure that it is them who asks."),
            "form_submit_text": _("Reset"),
        },
    )
    def reset_factors(self, request: HttpRequest, form: BaseDialogForm, object_id: int) -> HttpResponse:
        user = self.pressed(request, object_id)
        count = second_factor.reset(user=user)
        self.message_user(request, _("Taken away: %(count)s second factors.") % {"count": count})
        return HttpResponse(headers={"HX-Redirect": reverse("admin:tenants_user_change", args=[object_id])})

    @action(
        description=_("Sign out everywhere"),
        icon="logout",
        permissions=["change"],
        dialog={
            "title": _("End every session and token of this person?"),
            "description": _("They can sign in again. To keep them out, switch them off."),
            "form_submit_text": _("Sign out"),
        },
    )
    def sign_out(self, request: HttpRequest, form: BaseDialogForm, object_id: int) -> HttpResponse:
        web_sessions.sign_out_everywhere(user=self.pressed(request, object_id))
        self.message_user(request, _("Signed out everywhere."))
        return HttpResponse(headers={"HX-Redirect": reverse("admin:tenants_user_change", args=[object_id])})

    @display(description=_("Operator"), ordering="is_superuser")
    def is_operator(self, user: Any) -> Any:
        return _("yes") if user.is_superuser else None


class MemberForm(PlatformForm):
    blamed = "user"

    class Meta:
        model = Member
        fields = ["tenant", "user", "role", "is_active"]
        labels = {"is_active": _("Active")}


class MemberAdmin(PlatformAdmin):
    form = MemberForm
    list_display = ["user", "owner", "role", "standing", "created_at"]
    ordering = ["pk"]
    list_filter = ["role", "is_active", BY_TENANT]
    list_select_related = ["user", "tenant"]
    search_fields = ["user__username", "user__email", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["user", "tenant"]

    def save_model(self, request: HttpRequest, obj: Member, form: MemberForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not obj.is_active:
            membership.withdraw_invitations(obj)

    @display(description=_("State"), ordering="is_active", label={"active": "success", "off": "danger"})
    def standing(self, member: Member) -> tuple[str, Any]:
        return ("active", _("active")) if member.is_active else ("off", _("switched off"))


class IpRuleForm(PlatformForm):
    blamed = "network"

    class Meta:
        model = IpRule
        fields = ["tenant", "network", "note"]


class IpRuleAdmin(PlatformAdmin):
    form = IpRuleForm
    list_display = ["network", "owner", "note", "created_at"]
    list_filter = [BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["network", "note", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]


JOB_COLOURS = {"queued": "info", "running": "warning", "done": "success", "failed": "danger"}


class JobAdmin(ReadOnlyAdmin):
    list_display = ["kind", "owner", "outcome", "percent", "error", "created_at", "finished_at"]
    list_filter = ["state", "kind", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["kind", "created_by", "tenant__slug", "tenant__name"]
    fields = ["kind", "owner", "state", "percent", "arguments", "result_name", "error", "created_by", "created_at",
              "finished_at"]  # fmt: skip

    @display(description=_("State"), ordering="state", label=JOB_COLOURS)
    def outcome(self, job: Job) -> tuple[str, str]:
        return job.state, job.get_state_display()

    @display(description=_("Progress"), ordering="progress")
    def percent(self, job: Job) -> str:
        return f"{job.progress} %"
