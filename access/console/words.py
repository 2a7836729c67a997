"""Screen of sensitive-word lists. Long ones are not put into a page: they come and go as files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm, everywhere
from compliance.models import SensitiveWordList
from compliance.wordfiles import read_words

EDITABLE = 2_000  # words a page shows in a text field; 60,000 would make it megabytes
LARGEST_FILE = 16 * 2**20  # bytes


class WordListForm(PlatformForm):
    words = forms.CharField(
        label=_("Words"), required=False, strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 12}),
        help_text=_("One a line."),
    )  # fmt: skip
    file = forms.FileField(
        label=_("Words from a file"),
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text=_("UTF-8 text, one word a line, or CSV, whose first column counts. Replaces all words."),
    )

    class Meta:
        model = SensitiveWordList
        fields = ["name", "tenant", "action", "direction", "enabled", "words"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.size > EDITABLE:
            self.fields["words"].disabled = True
            self.initial["words"] = ""
            self.fields["words"].widget.attrs["rows"] = 1
            self.fields["words"].help_text = _("Too many to edit here: download them, and give the new list as a file.")

    def clean_file(self) -> str | None:
        file: UploadedFile[bytes] | None = self.cleaned_data["file"]
        if file is None:
            return None
        if (file.size or 0) > LARGEST_FILE:
            raise ValidationError(_("The file is larger than 16 MiB."))
        try:
            return "\n".join(read_words(file.read(), str(file.name)))
        except ValidationError as error:
            raise ValidationError(error.messages) from None

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("file") is not None:
            data["words"] = data["file"]
        elif self.fields["words"].disabled:
            data["words"] = self.instance.words
        return data


class WordListAdmin(PlatformAdmin):
    form = WordListForm
    list_display = ["name", "owner", "action", "direction", "standing", "size", "version", "updated_at"]
    list_filter = ["action", "direction", "enabled", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["name", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]
    readonly_fields = ["size", "version", "updated_at"]
    actions_detail = ["download"]
    fieldsets = [
        (None, {"fields": ["name", "tenant", "action", "direction", "enabled"]}),
        (_("Words"), {"fields": ["words", "file", "size", "version", "updated_at"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The list of lists does without their words; what is deleted there needs them, for its change record."""
        rows = super().get_queryset(request)
        match = request.resolver_match
        lists = match is not None and str(match.url_name).endswith("_changelist") and request.method == "GET"
        return rows.defer("words") if lists else rows

    @display(description=_("State"), ordering="enabled", label={"on": "success", "off": "danger"})
    def standing(self, words: SensitiveWordList) -> tuple[str, Any]:
        return ("on", _("in use")) if words.enabled else ("off", _("switched off"))

    @action(description=_("Download"), icon="download", permissions=["view"])
    def download(self, request: HttpRequest, object_id: int) -> HttpResponse:
        found = everywhere(SensitiveWordList).filter(pk=object_id).values_list("words", "version").first()
        words, version = found or ("", 0)
        response = HttpResponse(words, content_type="text/plain; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="words-{object_id}-v{version}.txt"'
        response["X-Content-Type-Options"] = "nosniff"
        return response
