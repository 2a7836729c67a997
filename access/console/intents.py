"""Screens of intents: what people may want, how well it was learnt, and a text to try it on."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from access.console.intent_bench import bench_view
from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm
from access.console.tenant_field import TenantField
from plugins.intents import services
from plugins.intents.files import LARGEST, as_csv, read_intents
from plugins.models import Intent, IntentSettings
from tenants.models import Tenant


class IntentForm(PlatformForm):
    utterances = forms.CharField(
        label=_("Examples"), required=False, strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 14}),
        help_text=_("One a line, as people say it: ten or more, in each language that they use."),
    )  # fmt: skip

    class Meta:
        model = Intent
        fields = ["name", "tenant", "description", "enabled", "utterances"]

    def _post_clean(self) -> None:
        super()._post_clean()
        if not self.errors:
            try:
                services.check_room(self.instance)
            except ValidationError as error:
                self.add_error(None, error)


class UploadForm(forms.Form):
    tenant = TenantField(help_text=_("Slug of the tenant whose intents they become."))
    upload = forms.FileField(
        label=_("File"),
        widget=UnfoldAdminFileFieldWidget,
        help_text=_(
            "CSV with an intent and an example a row, or JSON: an object of lists by intent, or a list of example and "
            "intent. Examples are added; intents that are not there are made. Nothing is saved if one is wrong."
        ),
    )

    def __init__(self, *args: Any, only: Tenant | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if only is not None:
            del self.fields["tenant"]

    def clean_upload(self) -> dict[str, list[str]]:
        file: UploadedFile[bytes] = self.cleaned_data["upload"]
        if (file.size or 0) > LARGEST:
            raise ValidationError(_("The file is larger than 8 MiB."))
        return read_intents(file.read(), PurePath(file.name or "").name)


class IntentAdmin(PlatformAdmin):
    form = IntentForm
    list_display = ["name", "owner", "standing", "examples", "description", "updated_at"]
    list_filter = ["enabled", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["name", "description", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]
    readonly_fields = ["updated_at"]
    actions_list = ["try_text", "upload", "download"]

    def save_model(self, request: HttpRequest, obj: Intent, form: forms.ModelForm[Any], change: bool) -> None:
        services.save_intent(intent=obj)

    @display(description=_("State"), ordering="enabled", label={"on": "success", "off": "danger"})
    def standing(self, intent: Intent) -> tuple[str, Any]:
        return ("on", _("in use")) if intent.enabled else ("off", _("switched off"))

    @display(description=_("Examples"))
    def examples(self, intent: Intent) -> int:
        return len(intent.examples)

    @action(description=_("Training and test"), icon="science", url_path="try", permissions=["view"])
    def try_text(self, request: HttpRequest) -> HttpResponse:
        shown = bench_view(request, self.only(request), may_press=self.has_press_permission(request))
        if shown.get("done"):
            self.message_user(request, shown["done"])
            return HttpResponseRedirect(request.path)
        return self.framed(request, "intent_bench.html", title=_("Training and test"), **shown)

    @action(description=_("Upload"), icon="upload_file", url_path="upload", permissions=["add"])
    def upload(self, request: HttpRequest) -> HttpResponse:
        only = self.only(request)
        form = UploadForm(request.POST or None, request.FILES or None, only=only)
        if request.method == "POST" and form.is_valid():
            try:
                tenant = only or form.cleaned_data["tenant"]
                intents, examples = services.add_examples(tenant=tenant, found=form.cleaned_data["upload"])
            except ValidationError as error:
                form.add_error("upload", error.messages)
            else:
                told = ngettext("%(count)s intent was saved", "%(count)s intents were saved", intents)
                have = ngettext("it has %(count)s example", "they have %(count)s examples", examples)
                self.message_user(request, f"{told % {'count': intents}}: {have % {'count': examples}}.")
                return HttpResponseRedirect(self.link("changelist"))
        return self.framed(request, "word_import.html", title=_("Upload"), form=form)

    @action(description=_("Download"), icon="download", url_path="download", permissions=["view"])
    def download(self, request: HttpRequest) -> HttpResponse:
        rows = self.get_queryset(request).filter(tenant=self.only(request)) if self.only(request) else None
        if rows is None:
            self.message_user(request, gettext("Intents are downloaded in a tenant's own console."), "warning")
            return HttpResponseRedirect(self.link("changelist"))
        text = as_csv((row.name, row.examples) for row in rows)
        headers = {"Content-Disposition": 'attachment; filename="intents.csv"'}
        return HttpResponse(text, content_type="text/csv; charset=utf-8", headers=headers)

    def only(self, request: HttpRequest) -> Tenant | None:
        """The one tenant whose intents these are; None: everybody's."""
        return None


class IntentSettingsForm(PlatformForm):
    blamed = "threshold"

    threshold = forms.FloatField(
        label=_("Threshold"), required=False, min_value=0, max_value=1,
        help_text=_(
            "The score from which an intent is named, 0 to 1: lower names more, higher more often says none of these. "
            "Empty: the one found in training."
        ),
    )  # fmt: skip
    outside = forms.CharField(
        label=_("None of these"), required=False, strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 12}),
        help_text=_("One a line: what people say here that is none of the intents. Everyday texts are known already."),
    )  # fmt: skip

    class Meta:
        model = IntentSettings
        fields = ["tenant", "threshold", "outside"]


class IntentSettingsAdmin(PlatformAdmin):
    form = IntentSettingsForm
    list_display = ["owner", "threshold"]
    list_filter = [BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]
