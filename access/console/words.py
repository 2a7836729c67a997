"""Screens of word lists: what they are, what they were, what they did, and what they would do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from access.console.dialogs import action as dialog_action
from access.console.scoped import BY_TENANT, PlatformAdmin
from access.console.screen import LONGEST
from access.console.word_bench import bench_view
from access.console.word_form import WordListForm
from access.console.word_import import import_view
from access.console.word_reports import hits_page, promoted, versions_page
from access.management.word_files import as_download
from compliance import wordlists
from compliance.models import SensitiveWordList
from tenants.models import Tenant

STAGES = {"record": "info", "mask": "warning", "block": "danger"}


class WordListAdmin(PlatformAdmin):
    form = WordListForm
    list_display = ["name", "owner", "stage", "direction", "standing", "size", "version", "updated_at"]
    list_filter = ["action", "direction", "enabled", "mandatory", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["name", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]
    readonly_fields = ["size", "version", "updated_at", "updated_by"]
    actions_list = ["try_text", "import_files"]
    actions_detail = [
        "promote",
        "hits",
        "versions",
        {"title": _("Download"), "icon": "download", "items": ["download", "download_csv"]},
    ]
    fieldsets = [
        (None, {"fields": ["name", "tenant", "action", "direction", "enabled", "mandatory", "public"]}),
        (_("Words"), {"fields": ["words", "file", "switches", "size", "version", "updated_at", "updated_by"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The list of lists does without their words; what is deleted there needs them, for its change record."""
        rows = super().get_queryset(request)
        match = request.resolver_match
        lists = match is not None and str(match.url_name).endswith("_changelist") and request.method == "GET"
        return rows.defer("words") if lists else rows

    def save_model(
        self, request: HttpRequest, obj: SensitiveWordList, form: forms.ModelForm[Any], change: bool
    ) -> None:
        wordlists.save_list(words=obj, by=self.by(request))

    @display(description=_("Stage"), ordering="action", label=STAGES)
    def stage(self, words: SensitiveWordList) -> tuple[str, Any]:
        return words.action, words.get_action_display()

    @display(description=_("State"), ordering="enabled", label={"on": "success", "all": "warning", "off": "danger"})
    def standing(self, words: SensitiveWordList) -> tuple[str, Any]:
        if not words.enabled:
            return "off", _("switched off")
        return ("all", _("mandatory")) if words.mandatory else ("on", _("in use"))

    # Of one list --------------------------------------------------------------------------------------------------

    @dialog_action(
        description=_("Next stage"),
        icon="moving",
        permissions=["press"],
        dialog={
            "title": _("On to the next stage?"),
            "description": _("From recording to masking, from masking to blocking. Live within a second."),
            "form_submit_text": _("Next stage"),
        },
    )
    def promote(self, request: HttpRequest, form: BaseDialogForm, object_id: int) -> HttpResponse:
        words = self.pressed(request, object_id)
        self.message_user(request, promoted(words, self.by(request)))
        return HttpResponse(headers={"HX-Redirect": self.link("change", object_id)})

    @action(description=_("Hits"), icon="bar_chart", url_path="hits", permissions=["view"])
    def hits(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._of_list(request, object_id, hits_page)

    @action(description=_("Versions"), icon="history", url_path="versions", permissions=["words"])
    def versions(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._of_list(request, object_id, versions_page)

    @action(description=_("Text"), icon="description", permissions=["words"])
    def download(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._file(request, object_id, "text")

    @action(description=_("CSV"), icon="table", url_path="download-csv", permissions=["words"])
    def download_csv(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._file(request, object_id, "csv")

    def has_words_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the words of this list are to be read here."""
        return bool(self.has_view_permission(request))

    # Above the list -----------------------------------------------------------------------------------------------

    @action(description=_("Try a text"), icon="science", url_path="try", permissions=["view"])
    def try_text(self, request: HttpRequest) -> HttpResponse:
        return self.framed(request, "word_bench.html", title=_("Try a text"), **bench_view(request, self.only(request)))

    @action(description=_("Import files"), icon="upload_file", url_path="import", permissions=["add"])
    def import_files(self, request: HttpRequest) -> HttpResponse:
        shown = import_view(request, self.by(request), self.only(request))
        if shown.get("saved"):
            self.message_user(request, shown["saved"])
            return HttpResponseRedirect(self.link("changelist"))
        return self.framed(request, "word_import.html", title=_("Import files"), **shown)

    def only(self, request: HttpRequest) -> Tenant | None:
        """The one tenant whose lists these are; None: everybody's."""
        return None

    def _of_list(self, request: HttpRequest, object_id: int, page: Callable[..., dict[str, Any]]) -> HttpResponse:
        words = self.get_object(request, str(object_id))
        if words is None:
            self.message_user(request, _("There is no such word list."), "warning")
            return HttpResponseRedirect(self.link("changelist"))
        may_press = self.has_press_permission(request, words)
        if request.method == "POST" and not may_press:
            raise PermissionDenied
        shown = page(request, words, self.by(request), self.only(request))
        if shown.get("done"):
            self.message_user(request, shown["done"])
            return HttpResponseRedirect(request.path)
        return self.framed(request, words=words, may_press=may_press, **shown)

    def _file(self, request: HttpRequest, object_id: int, form: str) -> HttpResponse:
        if not str(object_id).isdecimal() or len(str(object_id)) >= LONGEST:
            raise Http404
        found = self.get_queryset(request).filter(pk=object_id).values_list("words", "version").first()
        if found is None:
            raise Http404
        words, version = found
        return as_download(words.splitlines(), form, f"words-{object_id}-v{version}")
